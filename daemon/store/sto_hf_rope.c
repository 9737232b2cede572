/* SPDX-License-Identifier: MIT */
/*
 * sto_hf_rope.c: rotary positions of config.json. Two kinds change frequencies with the length of a
 * text: "dynamic" behind max_position_embeddings, "longrope" behind original_max_position_embeddings.
 * There the context ends, or, where a longer one is wanted, it has that one's frequencies throughout.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sto_hf_priv.h"

#define ROPE_FACTOR_MAX	1e6f

/* One rope being read. */
struct reader {
	struct sto_hf *hf;
	struct sto_json at;		/* the object that it is in */
	struct sto_rope *rope;
	float attn_scale;		/* of cos and sin */
	float partial;
};

static int need_factor(const struct sto_json *json, const char *key, float low, float *value)
{
	int err = sto_json_need(json, key, sto_json_f32(json, key, value));

	if (err)
		return err;
	if (*value >= low && *value <= ROPE_FACTOR_MAX)
		return 0;
	sto_fail(json->error, "%s: %s%s: is %g, limit %g..%g; correct the file", json->shown,
		 json->prefix, key, (double)*value, (double)low, (double)ROPE_FACTOR_MAX);
	return -EINVAL;
}

/* The same, with a value where it is absent. */
static int maybe_factor(const struct sto_json *json, const char *key, float low, float fallback,
			float *value)
{
	*value = fallback;
	return sto_json_get(json, key) ? need_factor(json, key, low, value) : 0;
}

static int read_llama3(struct reader *r)
{
	const struct sto_json *json = &r->at;
	struct sto_rope *rope = r->rope;
	uint32_t original = 0;
	int err = need_factor(json, "factor", 1.0f, &rope->factor);

	if (!err)
		err = need_factor(json, "low_freq_factor", 1e-6f, &rope->low_freq_factor);
	if (!err)
		err = need_factor(json, "high_freq_factor", 1e-6f, &rope->high_freq_factor);
	if (!err)
		err = sto_json_need(json, "original_max_position_embeddings",
				    sto_json_u32(json, "original_max_position_embeddings", &original));
	if (err)
		return err;
	rope->kind = STO_ROPE_LLAMA3;
	rope->original_context = (float)original;
	if (original == 0 || rope->high_freq_factor <= rope->low_freq_factor) {
		sto_fail(json->error, "%s: %s%s: limit %s; correct the file", json->shown,
			 json->prefix,
			 original ? "high_freq_factor" : "original_max_position_embeddings",
			 original ? "above low_freq_factor" : "at least 1");
		return -EINVAL;
	}
	return 0;
}

static float yarn_scale(float factor, float mscale)
{
	return factor <= 1.0f ? 1.0f : 0.1f * mscale * logf(factor) + 1.0f;
}

static int read_yarn_scale(struct reader *r)
{
	float mscale, all;
	int err = maybe_factor(&r->at, "mscale", 0, 0, &mscale);

	if (!err)
		err = maybe_factor(&r->at, "mscale_all_dim", 0, 0, &all);
	if (err)
		return err;
	r->attn_scale = mscale > 0 && all > 0 ?
			yarn_scale(r->rope->factor, mscale) / yarn_scale(r->rope->factor, all) :
			yarn_scale(r->rope->factor, 1);
	return maybe_factor(&r->at, "attention_factor", 1e-3f, r->attn_scale, &r->attn_scale);
}

/* Peng et al. 2023. */
static int read_yarn(struct reader *r)
{
	const struct sto_json *json = &r->at;
	struct sto_rope *rope = r->rope;
	float context = (float)r->hf->model->config.context_max;
	bool whole = true;
	int err = need_factor(json, "factor", 1.0f, &rope->factor);

	rope->kind = STO_ROPE_YARN;
	rope->original_context = context;
	if (!err && sto_json_get(json, "original_max_position_embeddings"))
		err = need_factor(json, "original_max_position_embeddings", 1.0f,
				  &rope->original_context);
	if (!err)
		err = maybe_factor(json, "beta_fast", 1e-3f, 32, &rope->beta_fast);
	if (!err)
		err = maybe_factor(json, "beta_slow", 1e-3f, 1, &rope->beta_slow);
	if (!err)
		err = hf_maybe(sto_json_bool(json, "truncate", &whole));
	rope->between = !whole;
	return err ? err : read_yarn_scale(r);
}

/* A divisor for each frequency. */
static int read_factors(struct reader *r, const char *key)
{
	const json_t *list = sto_json_get(&r->at, key);
	size_t count = json_array_size(list);

	if (!json_is_array(list) || count > 4096)
		return hf_unsupported(&r->at, key, "not a list of numbers", "half of the rotated dims");
	free(r->rope->factors);
	r->rope->factors = calloc(count + 1, sizeof(float));
	if (!r->rope->factors) {
		sto_fail(r->at.error, "%s: out of memory; free some", r->at.shown);
		return -ENOMEM;
	}
	r->rope->factor_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		double value = json_number_value(json_array_get(list, i));

		if (!(value >= 1e-3 && value <= (double)ROPE_FACTOR_MAX))
			return hf_unsupported(&r->at, key, "not all numbers", "0.001..1e6 each");
		r->rope->factors[i] = (float)value;
	}
	return 0;
}

static int read_dynamic(struct reader *r)
{
	const struct sto_model *model = r->hf->model;
	uint32_t *context = &r->hf->model->config.context_max;
	int err = need_factor(&r->at, "factor", 1.0f, &r->rope->factor);
	double most = (double)*context * (double)r->rope->factor;

	r->rope->kind = STO_ROPE_DYNAMIC;
	r->rope->original_context = (float)*context;
	if (!err && model->context_wanted > *context)
		*context = model->context_wanted < most ? model->context_wanted : (uint32_t)most;
	return err;
}

/* Ding et al. 2024: the short factors hold up to the original context, the long ones beyond. */
static int read_longrope(struct reader *r)
{
	struct mhs_image_config *c = &r->hf->model->config;
	static const char key[] = "original_max_position_embeddings";
	const struct sto_json *top = r->hf->json;
	uint32_t original = 0;
	float factor;
	int err = hf_maybe(sto_json_u32(&r->at, key, &original));

	if (!err)
		err = hf_maybe(sto_json_u32(top, key, &original));
	if (!err && !original)
		return sto_json_need(top, key, -ENOENT);
	if (!err)
		err = maybe_factor(&r->at, "factor", 1.0f, (float)c->context_max / (float)original,
				   &factor);
	if (!err && sto_json_get(top, key))
		factor = (float)c->context_max / (float)original;
	if (!err)
		err = read_factors(r, r->hf->model->context_wanted > original ? "long_factor" : "short_factor");
	if (err)
		return err;
	r->attn_scale = factor > 1.0f && original > 1 ?
			sqrtf(1.0f + logf(factor) / logf((float)original)) : 1.0f;
	if (c->context_max > original && r->hf->model->context_wanted <= original)
		c->context_max = original;
	return maybe_factor(&r->at, "attention_factor", 1e-3f, r->attn_scale, &r->attn_scale);
}

static int read_kind(struct reader *r)
{
	const struct sto_json *json = &r->at;
	const char *kind = sto_json_get(json, "factor") ? NULL : "default";
	int err = sto_json_text(json, "rope_type", &kind);

	if (err == -ENOENT)
		err = sto_json_text(json, "type", &kind);
	if (err && err != -ENOENT)
		return err;
	if (!kind)
		return sto_json_need(json, "rope_type", -ENOENT);
	if (!strcmp(kind, "default"))
		return 0;
	if (!strcmp(kind, "linear")) {
		r->rope->kind = STO_ROPE_LINEAR;
		return need_factor(json, "factor", 1.0f, &r->rope->factor);
	}
	if (!strcmp(kind, "dynamic"))
		return read_dynamic(r);
	if (!strcmp(kind, "llama3"))
		return read_llama3(r);
	if (!strcmp(kind, "yarn"))
		return read_yarn(r);
	if (!strcmp(kind, "longrope") || !strcmp(kind, "su"))
		return read_longrope(r);
	return hf_unsupported(json, "rope_type", kind, "default, linear, dynamic, llama3, yarn, longrope");
}

/* An object with a rope in it; @base keeps its value when it has none. */
static int read_object(struct reader *r, const json_t *object, const char *key, float *base)
{
	int err;

	if (!json_is_object(object))
		return hf_unsupported(r->hf->json, key, "not an object", "null or {...}");
	r->at.object = object;
	err = hf_maybe(sto_json_f32(&r->at, "rope_theta", base));
	if (!err)
		err = hf_maybe(sto_json_f32(&r->at, "partial_rotary_factor", &r->partial));
	return err ? err : read_kind(r);
}

static struct reader reader_of(struct sto_hf *hf, struct sto_rope *rope, const char *prefix)
{
	return (struct reader){ .hf = hf, .at = { hf->json->shown, prefix, NULL, hf->json->error },
				.rope = rope, .attn_scale = 1, .partial = 1 };
}

/* How much of each head rotates. */
static int set_partial(struct sto_hf *hf, const struct sto_json *json, float partial)
{
	struct sto_model *model = hf->model;
	float dims = floorf((float)model->config.head_dim * partial);
	uint32_t rotary = dims >= 1 && dims <= 4096 ? (uint32_t)dims : 0;

	if (partial == 1.0f)
		return 0;
	if (!model->family->partial_rope)
		return hf_unsupported(json, "partial_rotary_factor", "not 1", "1");
	if (!(partial > 0 && partial < 1) || rotary < 2 || rotary % 2)
		return hf_unsupported(json, "partial_rotary_factor", "out of range",
				      "an even number of each head's dims");
	model->shape.rotary_dim = rotary;
	return 0;
}

int hf_rope(struct sto_hf *hf)
{
	struct reader r = reader_of(hf, &hf->rope, "rope_parameters.");
	const char *key = "rope_parameters";
	const json_t *object = sto_json_get(hf->json, key);
	int err = hf_maybe(sto_json_f32(hf->json, "rope_theta", &hf->model->rope_base));

	if (!err)
		err = hf_maybe(sto_json_f32(hf->json, "partial_rotary_factor", &r.partial));
	if (!object) {
		key = "rope_scaling";
		r.at.prefix = "rope_scaling.";
		object = sto_json_get(hf->json, key);
	}
	if (!err && object)
		err = read_object(&r, object, key, &hf->model->rope_base);
	hf->model->config.rope_attn_scale = r.attn_scale;
	return err ? err : set_partial(hf, hf->json, r.partial);
}

static int read_local(struct sto_hf *hf, const json_t *object)
{
	struct reader r = reader_of(hf, &hf->local, "rope_parameters.sliding_attention.");
	int err = read_object(&r, object, "rope_parameters.sliding_attention",
			      &hf->model->local_rope_base);

	/* two ropes cannot both say how far one context reaches */
	if (!err && (r.attn_scale != 1 || r.partial != 1 ||
		     (hf->local.kind == STO_ROPE_DYNAMIC && hf->model->context_wanted)))
		err = hf_unsupported(hf->json, "rope_parameters.sliding_attention", "scaled",
				     "default, linear");
	return err;
}

static int read_full(struct sto_hf *hf, const json_t *object, const char *key, const char *prefix)
{
	struct reader r = reader_of(hf, &hf->rope, prefix);
	int err = read_object(&r, object, key, &hf->model->rope_base);

	hf->model->config.rope_attn_scale = r.attn_scale;
	return err ? err : set_partial(hf, hf->json, r.partial);
}

int hf_two_ropes(struct sto_hf *hf)
{
	struct sto_model *model = hf->model;
	const json_t *both = sto_json_get(hf->json, "rope_parameters");
	const json_t *scaling = sto_json_get(hf->json, "rope_scaling");
	int err;

	if (both) {
		err = read_full(hf, json_object_get(both, "full_attention"),
				"rope_parameters.full_attention", "rope_parameters.full_attention.");
		return err ? err : read_local(hf, json_object_get(both, "sliding_attention"));
	}
	err = hf_maybe(sto_json_f32(hf->json, "rope_theta", &model->rope_base));
	if (!err)
		err = hf_maybe(sto_json_f32(hf->json, "rope_local_base_freq", &model->local_rope_base));
	if (!err && scaling)
		err = read_full(hf, scaling, "rope_scaling", "rope_scaling.");
	return err;
}
