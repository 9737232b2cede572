/* SPDX-License-Identifier: MIT */
/* fam_qwen3.c: Qwen3 (Yang et al. 2025), dense: a Llama whose heads of q and k are normed. */
#include "import_gguf_priv.h"
#include "sto_hf_priv.h"

static int hf(struct sto_hf *h)
{
	bool used = false;
	uint32_t window, from;
	int err = hf_rope(h);

	h->model->shape.flags |= MHS_SHAPE_QK_NORM;
	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
	if (!err)
		err = hf_flag_if(h, "attention_bias", MHS_SHAPE_QKV_BIAS | MHS_SHAPE_O_BIAS);
	if (!err)
		err = hf_maybe(sto_json_bool(h->json, "use_sliding_window", &used));
	if (!err)
		err = hf_u32_or(h, "sliding_window", 4096, &window);
	if (!err)
		err = hf_u32_or(h, "max_window_layers", 28, &from);
	return err ? err : hf_windows(h, used ? window : 0, from, 0);
}

static int gguf(struct gguf_config *g)
{
	g->model->shape.flags |= MHS_SHAPE_QK_NORM;
	return gguf_demand_u32(g, "attention.sliding_window", 0);
}

const struct sto_family sto_family_qwen3 = {
	.arch = MHS_ARCH_QWEN3, .hf_class = "Qwen3ForCausalLM", .hf_type = "qwen3", .gguf = "qwen3",
	.defaults = { .context_max = 32768, .head_dim = 128, .kv_heads = 32, .rms_eps = 1e-6f,
		      .rope_base = 10000 },
	.peft_targets = { "q_proj", "v_proj" }, .hf = hf, .gguf_read = gguf,
};
