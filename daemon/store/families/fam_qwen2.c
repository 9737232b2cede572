/* SPDX-License-Identifier: MIT */
/* fam_qwen2.c: Qwen2 and 2.5 (Yang et al. 2024): a Llama with biases in q, k and v. */
#include "import_gguf_priv.h"
#include "sto_hf_priv.h"

static int hf(struct sto_hf *h)
{
	bool used = false;
	uint32_t window, from;
	int err = hf_rope(h);

	h->model->shape.flags |= MHS_SHAPE_QKV_BIAS;
	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
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
	g->model->shape.flags |= MHS_SHAPE_QKV_BIAS;
	return gguf_demand_u32(g, "attention.sliding_window", 0);
}

const struct sto_family sto_family_qwen2 = {
	.arch = MHS_ARCH_QWEN2, .hf_class = "Qwen2ForCausalLM", .hf_type = "qwen2", .gguf = "qwen2",
	.defaults = { .context_max = 32768, .kv_heads = 32, .rms_eps = 1e-6f, .rope_base = 10000 },
	.peft_targets = { "q_proj", "v_proj" }, .hf = hf, .gguf_read = gguf,
};
