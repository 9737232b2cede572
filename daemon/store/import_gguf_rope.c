/* SPDX-License-Identifier: MIT */
/* import_gguf_rope.c: how a GGUF file scales rotary positions: by keys, or by a tensor of divisors. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_gguf_priv.h"

#define FACTOR_MAX	1e6f

static int refuse_factor(const struct gguf_config *g, const char *key, float value)
{
	sto_fail(g->error, "%s: %s.%s: is %g, limit 1..1e6; " CONVERT, g->gguf->file->path, g->arch, key,
		 (double)value);
	return -EINVAL;
}

static int read_factor(struct gguf_config *g)
{
	g->rope.factor = 1.0f;
	if (gguf_maybe_f32(g, "rope.scale_linear", &g->rope.factor) ||
	    gguf_maybe_f32(g, "rope.scaling.factor", &g->rope.factor))
		return -EINVAL;
	if (!(g->rope.factor >= 1.0f && g->rope.factor <= FACTOR_MAX))
		return refuse_factor(g, "rope.scaling.factor", g->rope.factor);
	return 0;
}

static int read_linear(struct gguf_config *g)
{
	int err = read_factor(g);

	if (!err)
		err = gguf_demand_f32(g, "rope.scaling.attn_factor", 1.0f);
	g->rope.kind = g->rope.factor > 1.0f ? STO_ROPE_LINEAR : STO_ROPE_NONE;
	return err;
}

/* llama.cpp multiplies attn_factor by 1 + 0.1 ln(factor). */
static int read_yarn(struct gguf_config *g)
{
	uint32_t original = g->model->config.context_max;
	float attn = 1.0f;
	int err = read_factor(g);

	g->rope.kind = STO_ROPE_YARN;
	g->rope.beta_fast = 32;
	g->rope.beta_slow = 1;
	if (!err)
		err = gguf_maybe_f32(g, "rope.scaling.attn_factor", &attn);
	if (!err)
		err = gguf_maybe_u32(g, "rope.scaling.original_context_length", &original);
	if (!err)
		err = gguf_maybe_f32(g, "rope.scaling.yarn_beta_fast", &g->rope.beta_fast);
	if (!err)
		err = gguf_maybe_f32(g, "rope.scaling.yarn_beta_slow", &g->rope.beta_slow);
	if (!err)
		err = gguf_demand_f32(g, "rope.scaling.yarn_ext_factor", 1.0f);
	if (err)
		return err;
	if (!original || !(g->rope.beta_fast > 0) || !(g->rope.beta_slow > 0) || !(attn > 0 && attn < 100))
		return gguf_unsupported(g, "rope.scaling.type", "yarn with numbers out of range",
					"original_context_length, betas and attn_factor above 0");
	g->rope.original_context = (float)original;
	g->model->config.rope_attn_scale = attn * (1.0f + 0.1f * logf(g->rope.factor));
	return 0;
}

/*
 * Phi-3's: the divisors for short texts hold up to the original context, where we end unless a longer
 * one is wanted; then those for long ones hold throughout, as in llama.cpp.
 */
static int read_longrope(struct gguf_config *g)
{
	struct mhs_image_config *c = &g->model->config;
	uint32_t original = c->context_max;
	float attn = 1.0f;
	int err = gguf_maybe_f32(g, "rope.scaling.attn_factor", &attn);

	if (!err)
		err = gguf_maybe_u32(g, "rope.scaling.original_context_length", &original);
	if (err)
		return err;
	if (!original || !(attn > 0 && attn < 100))
		return gguf_unsupported(g, "rope.scaling.attn_factor", "out of range", "above 0, below 100");
	g->far = g->model->context_wanted > original;
	if (c->context_max > original && !g->far)
		c->context_max = original;
	c->rope_attn_scale = attn;
	return 0;
}

static int read_kind(struct gguf_config *g, bool has_long)
{
	/* llama.cpp's default when a factor is given */
	struct eng_tok_string kind = { "linear", 6 };
	char key[96], text[40];
	int err;

	snprintf(key, sizeof(key), "%s.rope.scaling.type", g->arch);
	err = sto_gguf_string(g->gguf, key, &kind, g->error);
	if (err && err != -ENOENT)
		return err;
	snprintf(text, sizeof(text), "%.*s", (int)(kind.bytes < 32 ? kind.bytes : 32), kind.data);
	if (has_long && (err == -ENOENT || !strcmp(text, "longrope")))
		return read_longrope(g);
	if (!strcmp(text, "none"))
		return 0;
	if (!strcmp(text, "linear"))
		return read_linear(g);
	if (!strcmp(text, "yarn"))
		return read_yarn(g);
	sto_fail(g->error,
		 "%s: %s: is \"%s\", limit none, linear, yarn (and divisors as tensor "
		 "rope_freqs.weight or rope_factors_short.weight); this kind of model is not supported",
		 g->gguf->file->path, key, text);
	return -ENOTSUP;
}

static int check_divisors(const struct gguf_config *g, const struct sto_gguf_tensor *t)
{
	for (uint32_t i = 0; i < g->rope.factor_count; i++) {
		float value = g->rope.factors[i];

		if (isfinite(value) && value > 0.0f)
			continue;
		sto_fail(g->error, "%s: tensor %s: value %u is %g, limit above 0; " CONVERT,
			 g->gguf->file->path, t->name, i, (double)value);
		return -EINVAL;
	}
	return 0;
}

/* One divisor for each frequency: llama3's scaling is stored so. */
static int read_divisors(struct gguf_config *g, const struct sto_gguf_tensor *t)
{
	uint32_t count = sto_model_turns(g->model);
	int err;

	if (t->type != ENG_SRC_F32 || t->dim_count != 1 || t->dims[0] != count) {
		sto_fail(g->error, "%s: tensor %s: is %s of %llu values, limit F32 of %u; " CONVERT,
			 g->gguf->file->path, t->name, sto_gguf_tensor_type_name(t->type),
			 (unsigned long long)(t->bytes / 4), count);
		return -EINVAL;
	}
	g->rope.factors = malloc(t->bytes);
	if (!g->rope.factors) {
		sto_fail(g->error, "%s: out of memory; free some", g->gguf->file->path);
		return -ENOMEM;
	}
	g->rope.factor_count = count;
	err = sto_file_read(&g->gguf->file[t->part], g->rope.factors, t->bytes, t->offset_bytes, g->error);
	return err ? err : check_divisors(g, t);
}

int import_gguf_rope(struct gguf_config *g)
{
	const struct sto_gguf_tensor *few = sto_gguf_find_tensor(g->gguf, "rope_factors_short.weight");
	const struct sto_gguf_tensor *t = few ? few : sto_gguf_find_tensor(g->gguf, "rope_freqs.weight");
	int err = read_kind(g, few != NULL);

	if (!err && g->far) {
		t = sto_gguf_find_tensor(g->gguf, "rope_factors_long.weight");
		if (!t)
			return gguf_unsupported(g, "rope.scaling.type", "longrope without the tensor "
						"rope_factors_long.weight", "both tensors of divisors");
	}
	return err || !t ? err : read_divisors(g, t);
}
