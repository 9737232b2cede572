/* SPDX-License-Identifier: MIT */
/* sto_peft.c: read adapter_config.json; refuse by name what is no plain LoRA. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mhs_adapter.h"
#include "sto_json.h"
#include "sto_peft_priv.h"

#define CONFIG_MAX	(UINT64_C(4) << 20)
#define RANK_DEFAULT	8u		/* PEFT's */
#define ALPHA_DEFAULT	8.0
#define ALPHA_MAX	1e30

/* Fields that change the result into something else, and the one value of each that does not. */
static const struct {
	const char *name;
	const char *why;
} variants[] = {
	{ "use_dora", "DoRA rescales the columns of the base" },
	{ "lora_bias", "it adds a bias to B" },
	{ "use_qalora", "QA-LoRA pools the inputs" },
	{ "modules_to_save", "it replaces whole modules of the base" },
	{ "layer_replication", "it makes another base of the layers" },
	{ "trainable_token_indices", "it replaces rows of the embedding" },
	{ "target_parameters", "it adapts parameters and not modules" },
	{ "alora_invocation_tokens", "aLoRA works from some token on" },
	{ "megatron_config", "it is for Megatron's layers" },
	{ "use_bdlora", "its factors are block-diagonal" },
	{ "arrow_config", "it routes between adapters" },
	{ "kasa_config", "KaSA cuts the base's own singular values" },
	{ "monteclora_config", "its weights are drawn at random" },
	{ "velora_config", "VeLoRA is another layer" },
};

/* Fields without a part in the result. */
static const char *const ignored[] = {
	"auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "inference_mode",
	"loftq_config", "lora_dropout", "lora_ga_config", "megatron_core", "peft_version",
	"qalora_group_size", "revision", "runtime_config",
};

/* Fields that are read below. */
static const char *const known[] = {
	"alpha_pattern", "bias", "ensure_weight_tying", "exclude_modules", "init_lora_weights",
	"fan_in_fan_out", "layers_pattern", "layers_to_transform", "lora_alpha", "peft_type", "r", "rank_pattern",
	"target_modules", "task_type", "use_rslora",
};

static int refuse(const struct sto_json *j, const char *key, const char *is, const char *limit)
{
	sto_fail(j->error, "%s: %s: %s, limit %s", j->shown, key, is, limit);
	return -EINVAL;
}

static bool is_among(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(name, list[i]))
			return true;
	return false;
}

/* null, false, [], {}, "", as PEFT writes what is not used. */
static bool is_unused(const json_t *value)
{
	return json_is_null(value) || json_is_false(value) ||
	       (json_is_array(value) && !json_array_size(value)) ||
	       (json_is_object(value) && !json_object_size(value)) ||
	       (json_is_string(value) && !json_string_length(value));
}

/* ---- what is refused ------------------------------------------------------------------------ */

static int check_method(const struct sto_json *j)
{
	const char *type = NULL, *task = NULL;
	int err = sto_json_need(j, "peft_type", sto_json_text(j, "peft_type", &type));

	if (err)
		return err;
	if (strcmp(type, "LORA")) {
		sto_fail(j->error, "%s: peft_type: is \"%.40s\", limit LORA; other methods are not "
			 "supported", j->shown, type);
		return -ENOTSUP;
	}
	err = sto_json_text(j, "task_type", &task);
	if (err == -ENOENT || (!err && !strcmp(task, "CAUSAL_LM")))
		return 0;
	return err ? err : refuse(j, "task_type", "is for another kind of model",
				  "CAUSAL_LM or none; train it on the causal model");
}

static int check_variants(const struct sto_json *j)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		const json_t *value = json_object_get(j->object, variants[i].name);

		if (!value || is_unused(value))
			continue;
		sto_fail(j->error, "%s: %s: is set, limit none: %s, which is not supported; train "
			 "without it, or merge the adapter with PEFT and import the model", j->shown,
			 variants[i].name, variants[i].why);
		return -ENOTSUP;
	}
	return 0;
}

/* It says how the base keeps its matrices, and changes nothing in A and B. */
static int check_fan_in(const struct sto_peft *peft, const struct sto_json *j)
{
	bool turned = false;
	int err = sto_json_bool(j, "fan_in_fan_out", &turned);

	if (err && err != -ENOENT)
		return err;
	if (!turned || peft->family->fan_in_fan_out)
		return 0;
	sto_fail(j->error, "%s: fan_in_fan_out: is true, limit false: no matrix of a %s is stored transposed; "
		 "give the base that it was trained on", j->shown, peft->family->hf_type);
	return -EINVAL;
}

/* Some ways to begin change the base's weights, and the adapter is a difference to those. */
static int check_init(const struct sto_json *j)
{
	static const char *const good[] = { "gaussian", "eva", "orthogonal" };
	const json_t *value = sto_json_get(j, "init_lora_weights");
	const char *text = json_string_value(value);

	if (!value || json_is_boolean(value))
		return 0;
	if (text && is_among(text, good, sizeof(good) / sizeof(good[0])))
		return 0;
	sto_fail(j->error, "%s: init_lora_weights: \"%.40s\" changes the base's weights, limit true, "
		 "false, gaussian, eva, orthogonal; save it with "
		 "path_initial_model_for_weight_conversion", j->shown, text ? text : "(not text)");
	return -ENOTSUP;
}

static int check_unknown(const struct sto_json *j, json_t *root)
{
	const char *key;
	json_t *value;

	json_object_foreach(root, key, value) {
		bool is_variant = false;

		for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
			is_variant |= !strcmp(key, variants[i].name);
		if (is_variant || is_unused(value) || json_is_number(value) ||
		    is_among(key, ignored, sizeof(ignored) / sizeof(ignored[0])) ||
		    is_among(key, known, sizeof(known) / sizeof(known[0])))
			continue;
		sto_fail(j->error, "%s: %.80s: is not a known field, limit those of PEFT's LoraConfig up "
			 "to 0.21; remove it if it does not change the result", j->shown, key);
		return -EINVAL;
	}
	return 0;
}

static int check_bias(const struct sto_json *j)
{
	const char *bias = "none";
	int err = sto_json_text(j, "bias", &bias);

	if (err && err != -ENOENT)
		return err;
	return strcmp(bias, "none") ? refuse(j, "bias", "trains biases of the base",
					     "\"none\"; train without them") : 0;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static bool rank_good(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 1 &&
	       json_integer_value(value) <= (json_int_t)MHS_ADAPTER_RANK_MAX;
}

static bool alpha_good(const json_t *value)
{
	return json_is_number(value) && fabs(json_number_value(value)) <= ALPHA_MAX;
}

static int read_numbers(struct sto_peft *peft, const struct sto_json *j)
{
	const json_t *rank = json_object_get(j->object, "r");
	const json_t *alpha = json_object_get(j->object, "lora_alpha");
	int err;

	peft->rank = RANK_DEFAULT;
	peft->alpha = ALPHA_DEFAULT;
	if (rank && !rank_good(rank))
		return refuse(j, "r", "is no rank", "a whole number 1..65536; correct the file");
	if (alpha && !alpha_good(alpha))
		return refuse(j, "lora_alpha", "is no number", "-1e30..1e30; correct the file");
	if (rank)
		peft->rank = (uint32_t)json_integer_value(rank);
	if (alpha)
		peft->alpha = json_number_value(alpha);
	err = sto_json_bool(j, "use_rslora", &peft->rslora);
	if (!err || err == -ENOENT)
		err = sto_json_bool(j, "ensure_weight_tying", &peft->ensure_tying);
	return err == -ENOENT ? 0 : err;
}

static int read_patterns(struct sto_peft *peft, const struct sto_json *j, const char *key,
			 bool (*good)(const json_t *value), struct sto_peft_patterns *patterns)
{
	json_t *object = sto_json_get(j, key), *value;
	const char *name;
	int err;

	if (!object)
		return 0;
	if (!json_is_object(object) || json_object_size(object) > STO_PEFT_PATTERNS_MAX)
		return refuse(j, key, "is no object of patterns", "4096 of them; correct the file");
	err = sto_peft_patterns_init(patterns, json_object_size(object));
	if (err)
		return err;
	json_object_foreach(object, name, value) {
		if (!good(value)) {
			sto_fail(j->error, "%s: %s.%.80s: is no such number, limit 1..65536 of a rank, "
				 "-1e30..1e30 of an alpha; correct the file", j->shown, key, name);
			return -EINVAL;
		}
		err = sto_peft_compile(patterns, peft->shown, key, "(.*\\.)?(", name, ")$", false,
				       json_number_value(value), j->error);
		if (err)
			return err;
	}
	return 0;
}

/* ---- modules -------------------------------------------------------------------------------- */

static int check_texts(const struct sto_json *j, const char *key, const json_t *list)
{
	size_t i;
	const json_t *entry;
	bool good = json_is_array(list) && json_array_size(list) <= STO_PEFT_PATTERNS_MAX;

	json_array_foreach(list, i, entry)
		good = good && json_is_string(entry) && json_string_length(entry);
	return good ? 0 : refuse(j, key, "is neither text nor a list of texts",
				 "4096 texts; correct the file");
}

/* Text is one pattern for the whole name, a list is one of names. */
static int read_modules(struct sto_peft *peft, const struct sto_json *j, const char *key,
			struct sto_peft_patterns *pattern, const json_t **list)
{
	const json_t *value = sto_json_get(j, key);
	int err;

	if (!json_is_string(value)) {
		*list = value;
		return value ? check_texts(j, key, value) : 0;
	}
	err = sto_peft_patterns_init(pattern, 1);
	return err ? err : sto_peft_compile(pattern, peft->shown, key, "", json_string_value(value), "",
					    true, 0, j->error);
}

/* Absent, PEFT has a list for each architecture. */
static int default_targets(struct sto_peft *peft, const struct sto_json *j)
{
	const char *const *names = peft->family->peft_targets;
	json_t *list = names[1] ? json_pack("[s, s]", names[0], names[1]) : json_pack("[s*]", names[0]);

	if (!names[0]) {
		json_decref(list);
		return refuse(j, "target_modules", "is absent", "the modules that it adapts; save it again");
	}
	if (!list || json_object_set_new(peft->root, "target_modules", list))
		return -ENOMEM;
	peft->targets = list;
	return 0;
}

static int read_targets(struct sto_peft *peft, const struct sto_json *j)
{
	const char *text = json_string_value(json_object_get(j->object, "target_modules"));
	const json_t *excluded = json_object_get(j->object, "exclude_modules");
	int err;

	if (text && !strcasecmp(text, "all-linear"))
		peft->all_linear = true;
	else if (!sto_json_get(j, "target_modules"))
		return default_targets(peft, j);
	err = peft->all_linear ? 0 : read_modules(peft, j, "target_modules", &peft->target,
						  &peft->targets);
	if (err || !excluded || is_unused(excluded))
		return err;
	return read_modules(peft, j, "exclude_modules", &peft->exclude, &peft->excluded);
}

static int read_layer_names(struct sto_peft *peft, const struct sto_json *j, const json_t *names)
{
	size_t count = json_is_string(names) ? 1 : json_array_size(names);
	int err = json_is_string(names) ? 0 : check_texts(j, "layers_pattern", names);

	if (!err)
		err = sto_peft_patterns_init(&peft->layer_names, count);
	for (size_t i = 0; i < count && !err; i++) {
		const json_t *name = json_is_string(names) ? names : json_array_get(names, i);

		err = sto_peft_compile(&peft->layer_names, peft->shown, "layers_pattern",
				       "(?:^|.*?\\.)", json_string_value(name), "\\.\\d+\\.", false, 0,
				       j->error);
	}
	return err;
}

static int read_layers(struct sto_peft *peft, const struct sto_json *j)
{
	const json_t *layers = sto_json_get(j, "layers_to_transform"), *entry;
	const json_t *names = sto_json_get(j, "layers_pattern");
	bool good = json_is_integer(layers) || json_is_array(layers);
	size_t i;

	if (names && is_unused(names))
		names = NULL;
	if (names && !layers)
		return refuse(j, "layers_pattern", "stands alone", "with layers_to_transform; remove it");
	if (!layers)
		return 0;
	json_array_foreach(layers, i, entry)
		good = good && json_is_integer(entry);
	if (!good)
		return refuse(j, "layers_to_transform", "is no list of layers",
			      "whole numbers; correct the file");
	if (!peft->targets)
		return refuse(j, "layers_to_transform", "goes with a pattern in target_modules",
			      "a list of modules; name the layers in the pattern");
	if (!json_is_array(layers) || json_array_size(layers))
		peft->layers = layers;
	return names ? read_layer_names(peft, j, names) : 0;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int read_all(struct sto_peft *peft, const struct sto_json *j)
{
	int err = check_method(j);

	if (!err)
		err = check_variants(j);
	if (!err)
		err = check_fan_in(peft, j);
	if (!err)
		err = check_init(j);
	if (!err)
		err = check_bias(j);
	if (!err)
		err = check_unknown(j, peft->root);
	if (!err)
		err = read_numbers(peft, j);
	if (!err)
		err = read_patterns(peft, j, "rank_pattern", rank_good, &peft->ranks);
	if (!err)
		err = read_patterns(peft, j, "alpha_pattern", alpha_good, &peft->alphas);
	if (!err)
		err = read_targets(peft, j);
	return err ? err : read_layers(peft, j);
}

int sto_peft_read(struct sto_peft *peft, const struct sto_file *file, const struct sto_family *family,
		  struct sto_error *error)
{
	struct sto_json j = { .shown = file->path, .prefix = "", .error = error };
	int err;

	memset(peft, 0, sizeof(*peft));
	peft->shown = file->path;
	peft->family = family;
	err = sto_json_load(file, CONFIG_MAX, &peft->root, error);
	if (err)
		return err;
	j.object = peft->root;
	err = read_all(peft, &j);
	if (err == -ENOMEM)
		sto_fail(error, "%s: out of memory; free some", file->path);
	if (err)
		sto_peft_fini(peft);
	return err;
}

void sto_peft_fini(struct sto_peft *peft)
{
	sto_peft_patterns_fini(&peft->target);
	sto_peft_patterns_fini(&peft->exclude);
	sto_peft_patterns_fini(&peft->layer_names);
	sto_peft_patterns_fini(&peft->ranks);
	sto_peft_patterns_fini(&peft->alphas);
	json_decref(peft->root);
	memset(peft, 0, sizeof(*peft));
}
