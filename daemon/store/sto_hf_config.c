/* SPDX-License-Identifier: MIT */
/* sto_hf_config.c: read and judge a Hugging Face configuration. */
#include "sto_hf_config.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "sto_json.h"

#define ROPE_FACTOR_MAX	1e6f

static const struct sto_config_names names = {
	.layer_count = "num_hidden_layers",
	.hidden = "hidden_size",
	.intermediate = "intermediate_size",
	.head_count = "num_attention_heads",
	.kv_head_count = "num_key_value_heads",
	.head_dim = "head_dim",
	.vocab_count = "vocab_size",
	.context_max = "max_position_embeddings",
	.rms_eps = "rms_norm_eps",
	.rope_base = "rope_theta",
};

/* Absent keeps the default. */
static int maybe(int err)
{
	return err == -ENOENT ? 0 : err;
}

static int unsupported(const struct sto_json *json, const char *key, const char *is,
		       const char *limit)
{
	sto_fail(json->error, "%s: %s%s: is %s, limit %s; this kind of model is not supported",
		 json->shown, json->prefix, key, is, limit);
	return -ENOTSUP;
}

/* ---- what kind of model ------------------------------------------------------------------ */

static int check_architectures(const struct sto_json *json, bool *known)
{
	const json_t *list = sto_json_get(json, "architectures");
	const char *first = json_string_value(json_array_get(list, 0));

	*known = false;
	if (!list || (json_is_array(list) && json_array_size(list) == 0))
		return 0;
	if (!json_is_array(list) || json_array_size(list) != 1 || !first)
		return unsupported(json, "architectures", "not a list of one name",
				   "[\"LlamaForCausalLM\"]");
	if (strcmp(first, "LlamaForCausalLM"))
		return unsupported(json, "architectures", first, "LlamaForCausalLM");
	*known = true;
	return 0;
}

static int check_kind(const struct sto_json *json)
{
	const char *type = "llama", *act = "silu";
	bool known;
	int err = check_architectures(json, &known);

	if (!err)
		err = sto_json_text(json, "model_type", &type);
	if (err == -ENOENT && !known) {
		sto_fail(json->error,
			 "%s: model_type: is absent, and so is architectures, limit llama; this is "
			 "not a model's configuration",
			 json->shown);
		return -EINVAL;
	}
	if (maybe(err))
		return err;
	if (strcmp(type, "llama"))
		return unsupported(json, "model_type", type, "llama");
	err = maybe(sto_json_text(json, "hidden_act", &act));
	if (err)
		return err;
	if (strcmp(act, "silu") && strcmp(act, "swish"))
		return unsupported(json, "hidden_act", act, "silu");
	return 0;
}

static int check_false(const struct sto_json *json, const char *key)
{
	bool value = false;
	int err = maybe(sto_json_bool(json, key, &value));

	return err || !value ? err : unsupported(json, key, "true", "false");
}

/* Llama itself has no window; one that is never reached changes nothing. */
static int check_window(const struct sto_json *json, uint32_t context)
{
	bool used = true;
	uint32_t window = context;
	int err = maybe(sto_json_bool(json, "use_sliding_window", &used));

	if (!err && used)
		err = maybe(sto_json_u32(json, "sliding_window", &window));
	return err || window >= context ? err :
	       unsupported(json, "sliding_window", "shorter than the context", "null");
}

static int check_variants(const struct sto_json *json, const struct mhs_image_config *c)
{
	float rotary = 1.0f;
	int err = check_false(json, "attention_bias");

	if (!err)
		err = check_false(json, "mlp_bias");
	if (!err)
		err = check_window(json, c->context_max);
	if (!err)
		err = maybe(sto_json_f32(json, "partial_rotary_factor", &rotary));
	if (err)
		return err;
	if (rotary != 1.0f)
		return unsupported(json, "partial_rotary_factor", "not 1", "1");
	if (sto_json_get(json, "quantization_config"))
		return unsupported(json, "quantization_config", "present",
				   "F32, F16 or BF16 weights (or a GGUF file)");
	return 0;
}

/* ---- numbers ----------------------------------------------------------------------------- */

static int need_u32(const struct sto_json *json, const char *key, uint32_t *value)
{
	return sto_json_need(json, key, sto_json_u32(json, key, value));
}

static int read_sizes(const struct sto_json *json, struct mhs_image_config *c)
{
	int err = need_u32(json, names.vocab_count, &c->vocab_count);

	if (!err)
		err = need_u32(json, names.hidden, &c->hidden);
	if (!err)
		err = need_u32(json, names.intermediate, &c->intermediate);
	if (!err)
		err = need_u32(json, names.layer_count, &c->layer_count);
	if (!err)
		err = need_u32(json, names.head_count, &c->head_count);
	c->kv_head_count = c->head_count;
	if (!err)
		err = maybe(sto_json_u32(json, names.kv_head_count, &c->kv_head_count));
	c->context_max = 2048;
	if (!err)
		err = maybe(sto_json_u32(json, names.context_max, &c->context_max));
	return err;
}

static int read_head_dim(const struct sto_json *json, struct mhs_image_config *c)
{
	int err = sto_json_u32(json, names.head_dim, &c->head_dim);

	if (err != -ENOENT)
		return err;
	if (c->head_count == 0 || c->hidden % c->head_count) {
		sto_fail(json->error, "%s: %s: is %u, limit a divisor of %s = %u; correct the file",
			 json->shown, names.head_count, c->head_count, names.hidden, c->hidden);
		return -EINVAL;
	}
	c->head_dim = c->hidden / c->head_count;
	return 0;
}

static int read_numbers(const struct sto_json *json, struct sto_model *model)
{
	struct mhs_image_config *c = &model->config;
	bool tied = false;
	int err = read_sizes(json, c);

	if (!err)
		err = read_head_dim(json, c);
	c->rms_eps = 1e-6f;
	if (!err)
		err = maybe(sto_json_f32(json, names.rms_eps, &c->rms_eps));
	if (!err)
		err = maybe(sto_json_bool(json, "tie_word_embeddings", &tied));
	c->tied = tied;
	return err;
}

/* ---- rope -------------------------------------------------------------------------------- */

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

static int read_llama3(const struct sto_json *json, struct sto_rope_scaling *s)
{
	uint32_t original = 0;
	int err = need_factor(json, "factor", 1.0f, &s->factor);

	if (!err)
		err = need_factor(json, "low_freq_factor", 1e-6f, &s->low_freq_factor);
	if (!err)
		err = need_factor(json, "high_freq_factor", 1e-6f, &s->high_freq_factor);
	if (!err)
		err = need_u32(json, "original_max_position_embeddings", &original);
	if (err)
		return err;
	s->original_context = (float)original;
	if (original == 0 || s->high_freq_factor <= s->low_freq_factor) {
		sto_fail(json->error, "%s: %s%s: limit %s; correct the file", json->shown,
			 json->prefix,
			 original ? "high_freq_factor" : "original_max_position_embeddings",
			 original ? "above low_freq_factor" : "at least 1");
		return -EINVAL;
	}
	return 0;
}

static int read_rope_kind(const struct sto_json *json, struct sto_rope_scaling *s)
{
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
		s->kind = STO_ROPE_LINEAR;
		return need_factor(json, "factor", 1.0f, &s->factor);
	}
	if (!strcmp(kind, "llama3")) {
		s->kind = STO_ROPE_LLAMA3;
		return read_llama3(json, s);
	}
	return unsupported(json, "rope_type", kind, "default, linear, llama3");
}

/* rope_parameters holds all; the older spelling has rope_theta at the top, and rope_scaling. */
static int read_rope(const struct sto_json *json, struct sto_model *model,
		     struct sto_rope_scaling *s)
{
	struct sto_json below = *json;
	const char *key = "rope_parameters";
	float rotary = 1.0f;
	int err;

	model->rope_base = 10000.0f;
	err = maybe(sto_json_f32(json, names.rope_base, &model->rope_base));
	if (err)
		return err;
	below.object = sto_json_get(json, key);
	below.prefix = "rope_parameters.";
	if (!below.object) {
		key = "rope_scaling";
		below.prefix = "rope_scaling.";
		below.object = sto_json_get(json, key);
	}
	if (!below.object)
		return 0;
	if (!json_is_object(below.object))
		return unsupported(json, key, "not an object", "null or {...}");
	err = maybe(sto_json_f32(&below, names.rope_base, &model->rope_base));
	if (!err)
		err = maybe(sto_json_f32(&below, "partial_rotary_factor", &rotary));
	if (!err && rotary != 1.0f)
		err = unsupported(&below, "partial_rotary_factor", "not 1", "1");
	return err ? err : read_rope_kind(&below, s);
}

/* ---- tokens ------------------------------------------------------------------------------ */

static int read_bos(const struct sto_json *json, struct sto_model *model)
{
	uint32_t bos;
	int err = sto_json_u32(json, "bos_token_id", &bos);

	if (err)
		return maybe(err);
	if (bos >= model->config.vocab_count) {
		sto_fail(json->error,
			 "%s: bos_token_id: token %u is past the vocabulary, limit %u; correct the "
			 "file",
			 json->shown, bos, model->config.vocab_count - 1);
		return -EINVAL;
	}
	model->bos_id = bos;
	return 0;
}

int sto_hf_eos(struct sto_model *model, const char *shown, const json_t *root, bool *found,
	       struct sto_error *error)
{
	static const char key[] = "eos_token_id";
	const struct sto_json json = { shown, "", root, error };
	const json_t *field = sto_json_get(&json, key);
	size_t count = json_is_array(field) ? json_array_size(field) : 1;

	*found = field && count;
	for (size_t i = 0; *found && i < count; i++) {
		const json_t *id = json_is_array(field) ? json_array_get(field, i) : field;
		int err;

		if (!json_is_integer(id) || json_integer_value(id) < 0) {
			sto_fail(error, "%s: %s: is not a token, limit 0..%u; correct the file",
				 shown, key, model->config.vocab_count - 1);
			return -EINVAL;
		}
		err = sto_model_add_eos(model, shown, key, (uint64_t)json_integer_value(id), error);
		if (err)
			return err;
	}
	return 0;
}

int sto_hf_config(struct sto_model *model, const char *shown, const json_t *root,
		  struct sto_error *error)
{
	const struct sto_json json = { shown, "", root, error };
	struct sto_rope_scaling scaling = { 0 };
	int err = check_kind(&json);

	if (!err)
		err = read_numbers(&json, model);
	if (!err)
		err = read_rope(&json, model, &scaling);
	if (!err)
		err = sto_model_check_config(model, shown, &names, error);
	if (!err)
		err = check_variants(&json, &model->config);
	if (!err)
		err = read_bos(&json, model);
	return err ? err : sto_model_set_rope(model, shown, &scaling, error);
}
