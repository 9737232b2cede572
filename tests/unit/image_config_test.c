/* SPDX-License-Identifier: MIT */
/* image_config_test.c: rotary frequencies and hyper-parameters of imported models. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "t.h"
#include "t_imported.h"

#define HEAD_DIM	32u

static void check_frequencies(const struct t_gguf *g, const float *divisors)
{
	struct t_imported image;
	const float *freq;

	t_need(t_imported_open(&image, g, 0) == 0);
	freq = (const void *)(image.base +
			      t_imported_find(&image, MHS_ROLE_INV_FREQ)->offset_bytes);
	for (uint32_t i = 0; i < HEAD_DIM / 2; i++)
		t_near(freq[i],
		       pow((double)g->rope_base, -2.0 * i / HEAD_DIM) / (double)divisors[i], 1e-7);
	t_imported_close(&image);
}

static void computes_rope_frequencies(void)
{
	static const float bad = -1.0f;
	float ones[HEAD_DIM / 2], fours[HEAD_DIM / 2], rising[HEAD_DIM / 2];
	struct t_gguf_tensor *factors;
	struct t_gguf g;

	for (uint32_t i = 0; i < HEAD_DIM / 2; i++) {
		ones[i] = 1;
		fours[i] = 4;
		rising[i] = 1 + (float)i;
	}
	t_gguf_init(&g, ENG_SRC_F16, 1);
	g.rope_base = 500000.0f;
	check_frequencies(&g, ones);
	factors = t_gguf_tensor(&g, "rope_freqs");
	factors->bytes = sizeof(rising);
	memcpy(factors->data, rising, sizeof(rising));
	check_frequencies(&g, rising);
	memcpy(factors->data + 8, &bad, 4);
	t_imported_refused(&g, 0, "rope_freqs.weight: value 2 is -1");
	factors->bytes = 0;
	t_kv_text(&g.kv, "llama.rope.scaling.type", "linear");
	t_kv_f32(&g.kv, "llama.rope.scaling.factor", 4.0f);
	g.kv_count = 2;
	check_frequencies(&g, fours);
	t_bytes_free(&g.kv);
	t_kv_text(&g.kv, "llama.rope.scaling.type", "none");
	t_kv_f32(&g.kv, "llama.rope.scaling.factor", 4.0f);
	check_frequencies(&g, ones);
	t_bytes_free(&g.kv);
	t_kv_text(&g.kv, "llama.rope.scaling.type", "ntk");
	t_kv_f32(&g.kv, "llama.rope.scaling.factor", 4.0f);
	t_imported_refused(&g, 0, "llama.rope.scaling.type: is \"ntk\"");
	t_gguf_free(&g);
}

/* Numbers that fit together or are refused by their key. */
static void refuses_wrong_hyperparameters(void)
{
	static const struct {
		size_t field;
		uint32_t value;
		const char *expect;
	} cases[] = {
#define F(f) offsetof(struct t_gguf, f)
		{ F(layers), 0, "llama.block_count: is 0" },
		{ F(layers), 513, "llama.block_count: is 513" },
		{ F(layers), UINT32_MAX, "llama.block_count" },
		{ F(layers), 2, "blk.1.attn_norm.weight: is absent" },
		{ F(context), 0, "llama.context_length: is 0" },
		{ F(context), 1u << 31, "llama.context_length: is 2147483648" },
		{ F(hidden), 0, "llama.embedding_length" },
		{ F(hidden), 96, "llama.embedding_length: is 96" },
		{ F(intermediate), 64, "blk.0.ffn_gate.weight: has" },
		{ F(heads), 0, "head_count: is 0" },
		{ F(heads), 3, "head_count: is 3, limit a divisor" },
		{ F(kv_heads), 0, "head_count_kv: is 0" },
		{ F(kv_heads), 4, "head_count_kv: is 4" },
		{ F(kv_heads), 2, "blk.0.attn_k.weight: has" },
		{ F(rope_dims), 16, "llama.rope.dimension_count: is 16, limit 32" },
		{ F(eps), 0x7fc00000, "layer_norm_rms_epsilon: is nan" },
		{ F(eps), 0, "layer_norm_rms_epsilon: is 0" },
		{ F(rope_base), 0, "llama.rope.freq_base: is 0" },
		{ F(rope_base), 0x7fc00000, "llama.rope.freq_base: is nan" },
		{ F(rope_base), 0xbf800000, "llama.rope.freq_base: is -1" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct t_gguf g;

		t_gguf_init(&g, ENG_SRC_F16, 1);
		memcpy((char *)&g + cases[i].field, &cases[i].value, 4);
		t_imported_refused(&g, 0, cases[i].expect);
		t_gguf_free(&g);
	}
}

static void refuses_other_models(void)
{
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	g.arch = "bert";
	t_imported_refused(&g, 0, "general.architecture: is \"bert\", limit llama, qwen2, ");
	g.arch = "qwen2";
	t_imported_refused(&g, 0, "qwen2.block_count: is absent");
	g.arch = "llama";
	t_kv_u32(&g.kv, "llama.expert_count", 8);
	g.kv_count = 1;
	t_imported_refused(&g, 0, "llama.expert_used_count: is absent");
	t_kv_u32(&g.kv, "llama.expert_used_count", 9);
	g.kv_count = 2;
	t_imported_refused(&g, 0, "llama.expert_used_count: is 9, limit 1..8");
	t_bytes_free(&g.kv);
	t_kv_u32(&g.kv, "llama.expert_count", 8);
	t_kv_u32(&g.kv, "llama.expert_used_count", 2);
	t_imported_refused(&g, 0, "blk.0.ffn_gate_inp.weight: is absent");
	t_kv_u32(&g.kv, "llama.expert_gating_func", 2);
	g.kv_count = 3;
	t_imported_refused(&g, 0, "llama.expert_gating_func: is 2, limit 1");
	t_bytes_free(&g.kv);
	t_kv_u32(&g.kv, "llama.expert_feed_forward_length", 40);
	t_kv_u32(&g.kv, "llama.expert_count", 8);
	t_kv_u32(&g.kv, "llama.expert_used_count", 2);
	t_imported_refused(&g, 0, "llama.expert_feed_forward_length: is 40 of 64, limit multiples of 16");
	g.kv_count = 0;
	t_bytes_free(&g.kv);
	strcpy(t_gguf_tensor(&g, "blk.0.ffn_norm")->name, "blk.0.attn_q.bias");
	t_imported_refused(&g, 0, "blk.0.ffn_norm.weight: is absent");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_F16, 1);
	g.tensors[12].bytes = g.tensors[12].dims[1] * 128;
	strcpy(g.tensors[12].name, "blk.0.attn_q.bias");
	t_imported_refused(&g, 0, "blk.0.attn_q.bias: has no place");
	t_gguf_free(&g);
}

int main(void)
{
	T_RUN(computes_rope_frequencies);
	T_RUN(refuses_wrong_hyperparameters);
	T_RUN(refuses_other_models);
	return t_done();
}
