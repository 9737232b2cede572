/* SPDX-License-Identifier: MIT */
/* sto_hf_config.c: read and judge a Hugging Face configuration. */
#include "sto_hf_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sto_hf_priv.h"

#define LIST_BYTES	384u

static const struct sto_config_names llama_keys = {
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

static const struct sto_config_names *keys_of(const struct sto_family *family)
{
	return family->hf_keys ? family->hf_keys : &llama_keys;
}

int hf_maybe(int err)
{
	return err == -ENOENT ? 0 : err;
}

int hf_unsupported(const struct sto_json *json, const char *key, const char *is, const char *limit)
{
	sto_fail(json->error, "%s: %s%s: is %.80s, limit %s; this kind of model is not supported",
		 json->shown, json->prefix, key, is, limit);
	return -ENOTSUP;
}

/* ---- what kind of model ------------------------------------------------------------------ */

static const struct sto_family *find_family(size_t what, const char *name)
{
	for (uint32_t i = 0; i < sto_family_count; i++) {
		const char *own = *(const char *const *)((const char *)sto_families[i] + what);

		if (strcmp(own, name) == 0)
			return sto_families[i];
	}
	return NULL;
}

#define BY_CLASS	offsetof(struct sto_family, hf_class)
#define BY_TYPE		offsetof(struct sto_family, hf_type)

/* *@family stays NULL when the list is absent or empty. */
static int find_class(const struct sto_json *json, const struct sto_family **family)
{
	const json_t *list = sto_json_get(json, "architectures");
	const char *first = json_string_value(json_array_get(list, 0));
	char known[LIST_BYTES];

	if (!list || (json_is_array(list) && json_array_size(list) == 0))
		return 0;
	sto_family_list(BY_CLASS, known, sizeof(known));
	if (!json_is_array(list) || json_array_size(list) != 1 || !first)
		return hf_unsupported(json, "architectures", "not a list of one name", known);
	*family = find_family(BY_CLASS, first);
	return *family ? 0 : hf_unsupported(json, "architectures", first, known);
}

static int find_kind(const struct sto_json *json, const struct sto_family **family)
{
	const char *type = NULL;
	char known[LIST_BYTES];
	int err = find_class(json, family);

	if (err)
		return err;
	sto_family_list(BY_TYPE, known, sizeof(known));
	err = sto_json_text(json, "model_type", &type);
	if (err == -ENOENT && *family)
		return 0;
	if (err == -ENOENT) {
		sto_fail(json->error,
			 "%s: model_type: is absent, and so is architectures, limit %s; this is "
			 "not a model's configuration",
			 json->shown, known);
		return -EINVAL;
	}
	if (err)
		return err;
	if (*family && strcmp((*family)->hf_type, type))
		return hf_unsupported(json, "model_type", type, (*family)->hf_type);
	*family = find_family(BY_TYPE, type);
	return *family ? 0 : hf_unsupported(json, "model_type", type, known);
}

/* ---- what families ask ------------------------------------------------------------------- */

int hf_check_false(const struct sto_hf *hf, const char *key)
{
	bool value = false;
	int err = hf_maybe(sto_json_bool(hf->json, key, &value));

	return err || !value ? err : hf_unsupported(hf->json, key, "true", "false");
}

int hf_flag_if(const struct sto_hf *hf, const char *key, uint32_t flag)
{
	bool value = false;
	int err = hf_maybe(sto_json_bool(hf->json, key, &value));

	if (value)
		hf->model->shape.flags |= flag;
	return err;
}

int hf_activation(const struct sto_hf *hf, const char *key, const char *good, const char *alias)
{
	const char *act = good;
	int err = hf_maybe(sto_json_text(hf->json, key, &act));

	if (err || !strcmp(act, good) || !strcmp(act, alias))
		return err;
	return hf_unsupported(hf->json, key, act, good);
}

int hf_u32_or(const struct sto_hf *hf, const char *key, uint32_t fallback, uint32_t *value)
{
	const json_t *field = json_object_get(hf->json->object, key);

	*value = field ? 0 : fallback;
	return hf_maybe(sto_json_u32(hf->json, key, value));
}

int hf_f32_or(const struct sto_hf *hf, const char *key, float fallback, float *value)
{
	const json_t *field = json_object_get(hf->json->object, key);

	*value = field ? 0 : fallback;
	return hf_maybe(sto_json_f32(hf->json, key, value));
}

/* ---- windows ----------------------------------------------------------------------------- */

static int read_layer_types(const struct sto_hf *hf, const json_t *list, uint32_t window)
{
	struct mhs_image_shape *s = &hf->model->shape;
	uint32_t layers = hf->model->config.layer_count;
	struct mhs_image_shape chosen;

	if (!json_is_array(list) || json_array_size(list) != layers)
		return hf_unsupported(hf->json, "layer_types", "not one text a layer", "num_hidden_layers");
	sto_model_set_windows(hf->model, window, 0, 0);
	chosen = *s;
	for (uint32_t i = 0; i < layers && i < MHS_IMAGE_LAYER_MAX; i++) {
		const char *type = json_string_value(json_array_get(list, i));
		bool full = type && strcmp(type, "full_attention") == 0;

		if (!full && !(type && strcmp(type, "sliding_attention") == 0))
			return hf_unsupported(hf->json, "layer_types", type ? type : "not text",
					      "full_attention, sliding_attention");
		if (!full && !window)
			return hf_unsupported(hf->json, "sliding_window", "absent",
					      "a number, as layer_types has sliding_attention");
		if (full)
			chosen.window_layers[i / 64] &= ~(UINT64_C(1) << i % 64);
	}
	*s = chosen;
	for (uint32_t i = 0; i < sizeof(s->window_layers) / sizeof(s->window_layers[0]); i++)
		if (s->window_layers[i])
			return 0;
	s->window = 0;
	return 0;
}

int hf_windows(const struct sto_hf *hf, uint32_t window, uint32_t from, uint32_t every)
{
	const json_t *list = sto_json_get(hf->json, "layer_types");

	if (list)
		return read_layer_types(hf, list, window);
	sto_model_set_windows(hf->model, window, from, every);
	return 0;
}

int hf_no_window(const struct sto_hf *hf)
{
	bool used = true;
	uint32_t context = hf->model->config.context_max, window = context;
	int err = hf_maybe(sto_json_bool(hf->json, "use_sliding_window", &used));

	if (!err && used)
		err = hf_maybe(sto_json_u32(hf->json, "sliding_window", &window));
	return err || window >= context ? err :
	       hf_unsupported(hf->json, "sliding_window", "shorter than the context", "null");
}

/* ---- numbers ----------------------------------------------------------------------------- */

static int need_u32(const struct sto_json *json, const char *key, uint32_t *value)
{
	return sto_json_need(json, key, sto_json_u32(json, key, value));
}

/* @value keeps what it has when the family has no such field, or it is absent. */
static int maybe_u32(const struct sto_json *json, const char *key, uint32_t *value)
{
	return key ? hf_maybe(sto_json_u32(json, key, value)) : 0;
}

static int read_sizes(const struct sto_json *json, const struct sto_family *family,
		      struct mhs_image_config *c)
{
	const struct sto_config_names *keys = keys_of(family);
	int err = need_u32(json, keys->vocab_count, &c->vocab_count);

	if (!err)
		err = need_u32(json, keys->hidden, &c->hidden);
	if (!err && family->hf_keys)	/* four times as wide, where it may be absent */
		c->intermediate = c->hidden <= UINT32_MAX / 4 ? 4 * c->hidden : 0;
	if (!err)
		err = family->hf_keys ? maybe_u32(json, keys->intermediate, &c->intermediate) :
					need_u32(json, keys->intermediate, &c->intermediate);
	if (!err)
		err = need_u32(json, keys->layer_count, &c->layer_count);
	if (!err)
		err = need_u32(json, keys->head_count, &c->head_count);
	c->kv_head_count = family->defaults.kv_heads ? family->defaults.kv_heads : c->head_count;
	if (!err && keys->kv_head_count && json_is_null(json_object_get(json->object, keys->kv_head_count)))
		c->kv_head_count = c->head_count;
	if (!err)
		err = maybe_u32(json, keys->kv_head_count, &c->kv_head_count);
	c->context_max = family->defaults.context_max;
	return err ? err : maybe_u32(json, keys->context_max, &c->context_max);
}

static int read_head_dim(const struct sto_json *json, const struct sto_family *family,
			 struct mhs_image_config *c)
{
	const struct sto_config_names *keys = keys_of(family);
	const json_t *field = keys->head_dim ? json_object_get(json->object, keys->head_dim) : NULL;
	int err = keys->head_dim ? sto_json_u32(json, keys->head_dim, &c->head_dim) : -ENOENT;

	if (err != -ENOENT)
		return err;
	if (family->defaults.head_dim && !field) {
		c->head_dim = family->defaults.head_dim;
		return 0;
	}
	if (c->head_count == 0 || c->hidden % c->head_count) {
		sto_fail(json->error, "%s: %s: is %u, limit a divisor of %s = %u; correct the file",
			 json->shown, keys->head_count, c->head_count, keys->hidden, c->hidden);
		return -EINVAL;
	}
	c->head_dim = c->hidden / c->head_count;
	return 0;
}

static int read_numbers(const struct sto_json *json, struct sto_model *model)
{
	const struct sto_family *family = model->family;
	struct mhs_image_config *c = &model->config;
	bool tied = family->defaults.tied;
	int err = read_sizes(json, family, c);

	if (!err)
		err = read_head_dim(json, family, c);
	c->rms_eps = family->defaults.rms_eps;
	if (!err)
		err = hf_maybe(sto_json_f32(json, keys_of(family)->rms_eps, &c->rms_eps));
	if (!err)
		err = hf_maybe(sto_json_bool(json, "tie_word_embeddings", &tied));
	c->tied = tied;
	model->rope_base = model->local_rope_base = family->defaults.rope_base;
	return err;
}

/* ---- tokens ------------------------------------------------------------------------------ */

static int read_bos(const struct sto_json *json, struct sto_model *model)
{
	uint32_t bos;
	int err = sto_json_u32(json, "bos_token_id", &bos);

	if (err)
		return hf_maybe(err);
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

/* ---- all of it --------------------------------------------------------------------------- */

static int read_all(struct sto_hf *hf)
{
	const struct sto_json *json = hf->json;
	struct sto_model *model = hf->model;
	int err = read_numbers(json, model);

	if (!err)
		err = model->family->hf(hf);
	if (!err)
		err = sto_model_check_config(model, json->shown, keys_of(model->family), json->error);
	if (!err && sto_json_get(json, "quantization_config"))
		err = hf_unsupported(json, "quantization_config", "present",
				     "F32, F16 or BF16 weights (or a GGUF file)");
	if (!err)
		err = read_bos(json, model);
	if (!err)
		err = sto_model_set_rope(model, json->shown, &hf->rope, &hf->local, json->error);
	return err;
}

int sto_hf_config(struct sto_model *model, const char *shown, const json_t *root,
		  struct sto_error *error)
{
	const struct sto_json json = { shown, "", root, error };
	struct sto_hf hf = { .json = &json, .model = model };
	int err = find_kind(&json, &model->family);

	if (err)
		return err;
	model->config.arch = model->family->arch;
	err = read_all(&hf);
	sto_rope_fini(&hf.rope);
	sto_rope_fini(&hf.local);
	return err;
}
