/* SPDX-License-Identifier: MIT */
/* fam_gemma2.c: Gemma 2 (Gemma Team 2024): norms around each block, soft caps, a window on every other layer. */
#include "gemma_priv.h"

static const struct sto_name names[] = { GEMMA_NAMES, { 0, NULL, NULL, 0 } };

static int hf(struct sto_hf *h)
{
	uint32_t window;
	int err = gemma_hf(h, 50, 30);

	if (!err)
		err = hf_rope(h);
	if (!err)
		err = hf_u32_or(h, "sliding_window", 4096, &window);
	return err ? err : hf_windows(h, window, 0, 2);
}

static int gguf(struct gguf_config *g)
{
	uint32_t window = 4096;
	int err = gemma_gguf(g, 46, 50, 30);

	if (!err)
		err = gguf_maybe_u32(g, "attention.sliding_window", &window);
	if (!err)
		sto_model_set_windows(g->model, window, 0, 2);
	return err;
}

const struct sto_family sto_family_gemma2 = {
	.arch = MHS_ARCH_GEMMA2, .hf_class = "Gemma2ForCausalLM", .hf_type = "gemma2", .gguf = "gemma2",
	.names = names,
	.defaults = { .context_max = 8192, .head_dim = 256, .kv_heads = 4, .rms_eps = 1e-6f,
		      .rope_base = 10000, .tied = true },
	.peft_targets = { "q_proj", "v_proj" }, .hf = hf, .gguf_read = gguf,
};
