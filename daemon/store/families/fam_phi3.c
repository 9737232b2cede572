/* SPDX-License-Identifier: MIT */
/*
 * fam_phi3.c: Phi-3 and Phi-4 mini (Abdin et al. 2024): a Llama whose q, k, v and whose gate and up are
 * stored in one; a window, and rotation of a part of each head, where the configuration says so.
 */
#include "import_gguf_priv.h"
#include "sto_hf_priv.h"

#define QKV	"blk.%u.attn_qkv.weight", "model.layers.%u.self_attn.qkv_proj.weight", STO_FUSED
#define GATE_UP	"blk.%u.ffn_up.weight", "model.layers.%u.mlp.gate_up_proj.weight", STO_FUSED

static const struct sto_name names[] = {
	{ MHS_ROLE_ATTN_Q, QKV },
	{ MHS_ROLE_ATTN_K, QKV },
	{ MHS_ROLE_ATTN_V, QKV },
	{ MHS_ROLE_FFN_GATE, GATE_UP },
	{ MHS_ROLE_FFN_UP, GATE_UP },
	{ 0, NULL, NULL, 0 },
};

static int hf(struct sto_hf *h)
{
	uint32_t window;
	int err = hf_rope(h);

	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
	if (!err)
		err = hf_u32_or(h, "sliding_window", 0, &window);
	return err ? err : hf_windows(h, window, 0, 0);
}

static int gguf(struct gguf_config *g)
{
	uint32_t window = 0;
	int err = gguf_maybe_u32(g, "attention.sliding_window", &window);

	if (!err)
		sto_model_set_windows(g->model, window, 0, 0);
	return err;
}

const struct sto_family sto_family_phi3 = {
	.arch = MHS_ARCH_PHI3, .hf_class = "Phi3ForCausalLM", .hf_type = "phi3", .gguf = "phi3",
	.names = names, .partial_rope = true,
	.defaults = { .context_max = 4096, .rms_eps = 1e-5f, .rope_base = 10000 },
	.hf = hf, .gguf_read = gguf,
};
