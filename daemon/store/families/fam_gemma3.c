/* SPDX-License-Identifier: MIT */
/*
 * fam_gemma3.c: Gemma 3 (Gemma Team 2025), text: norms around each block and of q and k; layers with a
 * window rotate by frequencies of their own.
 */
#include "gemma_priv.h"

#define PATTERN	6u	/* of so many layers the last one sees all */

static const struct sto_name names[] = {
	GEMMA_NAMES,
	{ MHS_ROLE_ATTN_Q_NORM, NULL, NULL, STO_PLUS_ONE },
	{ MHS_ROLE_ATTN_K_NORM, NULL, NULL, STO_PLUS_ONE },
	{ 0, NULL, NULL, 0 },
};

/* Without a layer that has a window nothing rotates by the local frequencies. */
static int finish(struct sto_model *model)
{
	if (!model->shape.window)
		model->shape.flags &= ~(uint32_t)MHS_SHAPE_LOCAL_ROPE;
	return 0;
}

static int hf(struct sto_hf *h)
{
	uint32_t window, pattern = PATTERN;
	int err = gemma_hf(h, 0, 0);

	h->model->shape.flags |= MHS_SHAPE_QK_NORM | MHS_SHAPE_LOCAL_ROPE;
	h->model->local_rope_base = 10000;
	if (!err)
		err = hf_two_ropes(h);
	if (!err)
		err = hf_u32_or(h, "sliding_window", 4096, &window);
	if (!err)
		err = hf_maybe(sto_json_u32(h->json, "sliding_window_pattern", &pattern));
	if (!err && !pattern)
		return hf_unsupported(h->json, "sliding_window_pattern", "0", "at least 1");
	if (!err)
		err = hf_windows(h, window, 0, pattern);
	return err ? err : finish(h->model);
}

static int gguf(struct gguf_config *g)
{
	uint32_t window = 0, pattern = PATTERN;
	int err = gemma_gguf(g, 62, 0, 0);

	g->model->shape.flags |= MHS_SHAPE_QK_NORM | MHS_SHAPE_LOCAL_ROPE;
	if (!err)
		err = gguf_maybe_u32(g, "attention.sliding_window", &window);
	if (!err)
		err = gguf_maybe_u32(g, "attention.sliding_window_pattern", &pattern);
	if (!err)
		err = gguf_maybe_f32(g, "rope.freq_base_swa", &g->model->local_rope_base);
	if (!err && !pattern)
		return gguf_unsupported(g, "attention.sliding_window_pattern", "0", "at least 1");
	if (err)
		return err;
	sto_model_set_windows(g->model, window, 0, pattern);
	return finish(g->model);
}

const struct sto_family sto_family_gemma3 = {
	.arch = MHS_ARCH_GEMMA3, .hf_class = "Gemma3ForCausalLM", .hf_type = "gemma3_text", .gguf = "gemma3",
	.names = names,
	.defaults = { .context_max = 131072, .head_dim = 256, .kv_heads = 4, .rms_eps = 1e-6f,
		      .rope_base = 1000000, .tied = true },
	.peft_targets = { "q_proj", "v_proj" }, .hf = hf, .gguf_read = gguf,
};
