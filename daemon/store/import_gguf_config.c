/* SPDX-License-Identifier: MIT */
/*
 * import_gguf_config.c: the numbers of a GGUF file of the llama architecture; what else it may be
 * is refused.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import_gguf_priv.h"

static const struct sto_config_names names = {
	.layer_count = "llama.block_count", .hidden = "llama.embedding_length",
	.intermediate = "llama.feed_forward_length", .head_count = "llama.attention.head_count",
	.kv_head_count = "llama.attention.head_count_kv", .head_dim = "llama.attention.key_length",
	.vocab_count = "tensor token_embd.weight, rows", .context_max = "llama.context_length",
	.rms_eps = "llama.attention.layer_norm_rms_epsilon", .rope_base = "llama.rope.freq_base",
};

int import_gguf_architecture(const struct sto_gguf *gguf, struct sto_error *error)
{
	struct eng_tok_string arch;
	int err = sto_gguf_string(gguf, "general.architecture", &arch, error);

	if (err == -ENOENT)
		sto_fail(error, "%s: general.architecture: is absent, limit \"llama\"; " CONVERT,
			 gguf->file->path);
	if (err)
		return -EINVAL;
	if (arch.bytes == 5 && memcmp(arch.data, "llama", 5) == 0)
		return 0;
	sto_fail(error,
		 "%s: general.architecture: is \"%.*s\", limit \"llama\"; give a Llama model",
		 gguf->file->path, (int)(arch.bytes < 64 ? arch.bytes : 64), arch.data);
	return -ENOTSUP;
}

static int need_u32(const struct sto_gguf *gguf, const char *key, uint32_t *value,
		    struct sto_error *error)
{
	int err = sto_gguf_u32(gguf, key, value, error);

	if (err == -ENOENT)
		sto_fail(error, "%s: %s: is absent; " CONVERT, gguf->file->path, key);
	return err ? -EINVAL : 0;
}

/* @value keeps its default when the key is absent. */
static int maybe_u32(const struct sto_gguf *gguf, const char *key, uint32_t *value,
		     struct sto_error *error)
{
	int err = sto_gguf_u32(gguf, key, value, error);

	return err == -ENOENT ? 0 : err;
}

static int maybe_f32(const struct sto_gguf *gguf, const char *key, float *value,
		     struct sto_error *error)
{
	int err = sto_gguf_f32(gguf, key, value, error);

	return err == -ENOENT ? 0 : err;
}

/* A key that must have one value because another would change the results. */
static int demand_u32(const struct sto_gguf *gguf, const char *key, uint32_t only,
		      struct sto_error *error)
{
	uint32_t value = only;

	if (maybe_u32(gguf, key, &value, error))
		return -EINVAL;
	if (value == only)
		return 0;
	sto_fail(error, "%s: %s: is %u, limit %u; this kind of model is not supported",
		 gguf->file->path, key, value, only);
	return -ENOTSUP;
}

static int demand_f32(const struct sto_gguf *gguf, const char *key, float only,
		      struct sto_error *error)
{
	float value = only;

	if (maybe_f32(gguf, key, &value, error))
		return -EINVAL;
	if (value == only)
		return 0;
	sto_fail(error, "%s: %s: is %g, limit %g; this kind of model is not supported",
		 gguf->file->path, key, (double)value, (double)only);
	return -ENOTSUP;
}

/* ---- configuration ----------------------------------------------------------------------- */

static int read_sizes(const struct sto_gguf *gguf, struct mhs_image_config *c,
		      struct sto_error *error)
{
	const struct sto_gguf_tensor *embed = sto_gguf_find_tensor(gguf, "token_embd.weight");

	if (!embed) {
		sto_fail(error, "%s: tensor token_embd.weight: is absent; " CONVERT,
			 gguf->file->path);
		return -EINVAL;
	}
	c->vocab_count = (uint32_t)embed->dims[1];	/* a dimension fits 32 bits */
	if (need_u32(gguf, names.layer_count, &c->layer_count, error) ||
	    need_u32(gguf, names.context_max, &c->context_max, error) ||
	    need_u32(gguf, names.hidden, &c->hidden, error) ||
	    need_u32(gguf, names.intermediate, &c->intermediate, error) ||
	    need_u32(gguf, names.head_count, &c->head_count, error))
		return -EINVAL;
	if (embed->dims[0] != c->hidden) {
		sto_fail(error,
			 "%s: %s: is %u, limit %llu (the rows of token_embd.weight); " CONVERT,
			 gguf->file->path, names.hidden, c->hidden,
			 (unsigned long long)embed->dims[0]);
		return -EINVAL;
	}
	c->kv_head_count = c->head_count;
	if (maybe_u32(gguf, names.kv_head_count, &c->kv_head_count, error))
		return -EINVAL;
	return demand_u32(gguf, "llama.vocab_size", c->vocab_count, error);
}

static int read_head_dim(const struct sto_gguf *gguf, struct mhs_image_config *c,
			 struct sto_error *error)
{
	int err = sto_gguf_u32(gguf, names.head_dim, &c->head_dim, error);

	if (err == -ENOENT) {
		if (c->head_count == 0 || c->hidden % c->head_count) {
			sto_fail(error, "%s: %s: is %u, limit a divisor of %s = %u; " CONVERT,
				 gguf->file->path, names.head_count, c->head_count, names.hidden,
				 c->hidden);
			return -EINVAL;
		}
		c->head_dim = c->hidden / c->head_count;
	} else if (err) {
		return err;
	}
	err = demand_u32(gguf, "llama.attention.value_length", c->head_dim, error);
	/* Rotating only a part of each head is another model. */
	return err ? err : demand_u32(gguf, "llama.rope.dimension_count", c->head_dim, error);
}

static int read_rms_eps(const struct sto_gguf *gguf, struct mhs_image_config *c,
			struct sto_error *error)
{
	int err = sto_gguf_f32(gguf, names.rms_eps, &c->rms_eps, error);

	if (err == -ENOENT)
		sto_fail(error, "%s: %s: is absent; " CONVERT, gguf->file->path, names.rms_eps);
	return err ? -EINVAL : 0;
}

static int check_variants(const struct sto_gguf *gguf, struct sto_error *error)
{
	int err = demand_u32(gguf, "llama.expert_count", 0, error);

	if (!err)
		err = demand_u32(gguf, "llama.attention.sliding_window", 0, error);
	if (!err)
		err = demand_f32(gguf, "llama.attention.scale", 0.0f, error);
	if (!err)
		err = demand_f32(gguf, "llama.logit_scale", 0.0f, error);
	if (!err)
		err = demand_f32(gguf, "llama.rope.scaling.attn_factor", 1.0f, error);
	return err;
}

int import_gguf_config(const struct sto_gguf *gguf, struct sto_model *model,
		       struct sto_error *error)
{
	struct mhs_image_config *c = &model->config;
	int err = read_sizes(gguf, c, error);

	if (!err)
		err = read_head_dim(gguf, c, error);
	if (!err)
		err = read_rms_eps(gguf, c, error);
	if (!err)
		err = check_variants(gguf, error);
	model->rope_base = 10000.0f;
	if (!err)
		err = maybe_f32(gguf, names.rope_base, &model->rope_base, error);
	return err ? err : sto_model_check_config(model, gguf->file->path, &names, error);
}

/* ---- rope -------------------------------------------------------------------------------- */

static int read_rope_kind(const struct sto_gguf *gguf, struct sto_rope_scaling *s,
			  struct sto_error *error)
{
	/* llama.cpp's default when a factor is given */
	struct eng_tok_string kind = { "linear", 6 };
	int err = sto_gguf_string(gguf, "llama.rope.scaling.type", &kind, error);

	if (err && err != -ENOENT)
		return err;
	s->kind = STO_ROPE_NONE;
	if (kind.bytes == 4 && memcmp(kind.data, "none", 4) == 0)
		return 0;
	if (kind.bytes != 6 || memcmp(kind.data, "linear", 6)) {
		sto_fail(error,
			 "%s: llama.rope.scaling.type: is \"%.*s\", limit none, linear (and llama3 "
			 "as tensor rope_freqs.weight); this kind of model is not supported",
			 gguf->file->path, (int)(kind.bytes < 32 ? kind.bytes : 32), kind.data);
		return -ENOTSUP;
	}
	s->factor = 1.0f;
	if (maybe_f32(gguf, "llama.rope.scale_linear", &s->factor, error) ||
	    maybe_f32(gguf, "llama.rope.scaling.factor", &s->factor, error))
		return -EINVAL;
	if (!(s->factor >= 1.0f && s->factor <= 1e6f)) {
		sto_fail(error, "%s: llama.rope.scaling.factor: is %g, limit 1..1e6; " CONVERT,
			 gguf->file->path, (double)s->factor);
		return -EINVAL;
	}
	s->kind = s->factor > 1.0f ? STO_ROPE_LINEAR : STO_ROPE_NONE;
	return 0;
}

/* llama3's scaling is stored as one divisor per frequency. *@factors is freed by the caller. */
static int read_rope_factors(const struct sto_gguf *gguf, uint32_t count, float **factors,
			     struct sto_error *error)
{
	const struct sto_gguf_tensor *t = sto_gguf_find_tensor(gguf, "rope_freqs.weight");
	int err;

	if (!t)
		return 0;
	if (t->type != ENG_SRC_F32 || t->dim_count != 1 || t->dims[0] != count) {
		sto_fail(error,
			 "%s: tensor rope_freqs.weight: is %s of %llu values, limit F32 of "
			 "%u; " CONVERT,
			 gguf->file->path, sto_gguf_tensor_type_name(t->type),
			 (unsigned long long)(t->bytes / 4), count);
		return -EINVAL;
	}
	*factors = malloc(t->bytes);
	if (!*factors) {
		sto_fail(error, "%s: out of memory; free some", gguf->file->path);
		return -ENOMEM;
	}
	err = sto_file_read(&gguf->file[t->part], *factors, t->bytes, t->offset_bytes, error);
	for (uint32_t i = 0; i < count && !err; i++) {
		if (isfinite((*factors)[i]) && (*factors)[i] > 0.0f)
			continue;
		sto_fail(error,
			 "%s: tensor rope_freqs.weight: value %u is %g, limit above 0; " CONVERT,
			 gguf->file->path, i, (double)(*factors)[i]);
		err = -EINVAL;
	}
	return err;
}

int import_gguf_rope(const struct sto_gguf *gguf, struct sto_model *model, struct sto_error *error)
{
	struct sto_rope_scaling scaling = { 0 };
	float *factors = NULL;
	int err = read_rope_kind(gguf, &scaling, error);

	if (!err)
		err = read_rope_factors(gguf, model->config.head_dim / 2, &factors, error);
	scaling.factors = factors;
	if (!err)
		err = sto_model_set_rope(model, gguf->file->path, &scaling, error);
	free(factors);
	return err;
}
