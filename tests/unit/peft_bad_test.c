/* SPDX-License-Identifier: MIT */
/*
 * peft_bad_test.c: PEFT folders that must not come in: each is refused in one line that names the
 * field or tensor, and leaves nothing behind.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_adapter.h"
#include "t.h"
#include "t_bad.h"
#include "t_import.h"
#include "t_peft.h"

#define MODULE	"base_model.model.model.layers.1.self_attn.v_proj"

static struct sto_error error;

static int import(const char *path)
{
	struct sto_adapter_import import = { .store = t_path("store"), .path = path, .model = "tiny",
					     .adapter = "bad", .version = "1.0.0" };
	struct sto_adapter_result result;

	error.text[0] = '\0';
	return sto_adapter_import(&import, &result, &error);
}

static void need_base(void)
{
	if (access(t_path("store/models/tiny/1.0.0/image.mhi"), R_OK))
		t_eq(t_import(t_path("store"), "tiny@1.0.0", T_TINY_MODEL, &error), 0);
}

static void good(struct t_peft *p)
{
	need_base();
	t_peft_init(p, 2, "[\"v_proj\", \"up_proj\"]");
	t_peft_pairs(p, "v_proj", 2, "F32");
	t_peft_pairs(p, "up_proj", 2, "F16");
}

/* The folder "peft" is refused with @expect in one line, and the store is as before. */
static void refused(const char *what, const char *expect)
{
	int err = import(t_path("peft"));
	bool clean = access(t_path("store/models/tiny/adapters"), F_OK) != 0 &&
		     t_store_has_no_tmp(t_path("store"));

	if (!t_ok(err < 0 && strstr(error.text, expect) && !strchr(error.text, '\n') && clean))
		printf("# %s: %d, \"%s\", wanted \"%s\"\n", what, err, error.text, expect);
	if (!err)
		t_remove_tree(t_path("store/models/tiny/adapters"));
}

static void write_it(struct t_peft *p)
{
	t_remove_tree(t_path("peft"));
	t_peft_write(p, t_path("peft"));
	t_peft_fini(p);
}

static void control(void)
{
	struct t_peft p;

	good(&p);
	write_it(&p);
	if (!t_ok(import(t_path("peft")) == 0))
		printf("# %s\n", error.text);
	t_remove_tree(t_path("store/models/tiny/adapters"));
}

/* ---- fields ------------------------------------------------------------------------------------ */

static const struct {
	const char *key, *value, *expect;
} fields[] = {
	{ "peft_type", "\"IA3\"", "peft_type: is \"IA3\"" },
	{ "peft_type", "\"LOHA\"", "peft_type: is \"LOHA\"" },
	{ "peft_type", "\"LOKR\"", "peft_type: is \"LOKR\"" },
	{ "peft_type", "\"ADALORA\"", "peft_type: is \"ADALORA\"" },
	{ "peft_type", "\"PREFIX_TUNING\"", "peft_type: is \"PREFIX_TUNING\"" },
	{ "peft_type", "7", "peft_type" },
	{ "peft_type", "null", "peft_type: is absent" },
	{ "task_type", "\"SEQ_CLS\"", "task_type" },
	{ "use_dora", "true", "use_dora" },
	{ "use_qalora", "true", "use_qalora" },
	{ "lora_bias", "true", "lora_bias" },
	{ "fan_in_fan_out", "true", "fan_in_fan_out" },
	{ "bias", "\"all\"", "bias" },
	{ "bias", "\"lora_only\"", "bias" },
	{ "bias", "1", "bias" },
	{ "modules_to_save", "[\"lm_head\"]", "modules_to_save" },
	{ "layer_replication", "[[0, 2], [1, 3]]", "layer_replication" },
	{ "trainable_token_indices", "[1, 2]", "trainable_token_indices" },
	{ "trainable_token_indices", "{\"embed_tokens\": [3]}", "trainable_token_indices" },
	{ "target_parameters", "[\"mlp.experts.gate_up_proj\"]", "target_parameters" },
	{ "alora_invocation_tokens", "[5]", "alora_invocation_tokens" },
	{ "megatron_config", "{\"a\": 1}", "megatron_config" },
	{ "use_bdlora", "{\"nblocks\": 2}", "use_bdlora" },
	{ "arrow_config", "{\"top_k\": 3}", "arrow_config" },
	{ "kasa_config", "{\"beta\": 1}", "kasa_config" },
	{ "init_lora_weights", "\"pissa\"", "init_lora_weights: \"pissa\"" },
	{ "init_lora_weights", "\"pissa_niter_4\"", "init_lora_weights" },
	{ "init_lora_weights", "\"olora\"", "init_lora_weights" },
	{ "init_lora_weights", "\"loftq\"", "init_lora_weights" },
	{ "init_lora_weights", "\"corda\"", "init_lora_weights" },
	{ "init_lora_weights", "3", "init_lora_weights" },
	{ "use_new_variant", "true", "use_new_variant: is not a known field" },
	{ "new_config", "{\"a\": 1}", "new_config: is not a known field" },
	{ "r", "0", "r: " },
	{ "r", "-2", "r: " },
	{ "r", "2.5", "r: " },
	{ "r", "65537", "r: " },
	{ "r", "\"2\"", "r: " },
	{ "r", "null", "r: " },
	{ "r", "3", "lora_A.weight: shape has 2 dimensions, 2 x 96, limit 2, 3 x 96" },
	{ "lora_alpha", "\"sixteen\"", "lora_alpha" },
	{ "lora_alpha", "null", "lora_alpha" },
	{ "lora_alpha", "1e300", "lora_alpha" },
	{ "use_rslora", "1", "use_rslora" },
	{ "rank_pattern", "{\"v_proj\": 3}", "lora_A.weight: shape has 2 dimensions, 2 x 96, limit 2, 3 x 96" },
	{ "rank_pattern", "{\"v_proj\": 0}", "rank_pattern.v_proj" },
	{ "rank_pattern", "{\"v_proj\": \"2\"}", "rank_pattern.v_proj" },
	{ "rank_pattern", "[2]", "rank_pattern" },
	{ "rank_pattern", "{\"v_(proj\": 2}", "rank_pattern: \"v_(proj\"" },
	{ "alpha_pattern", "{\"v_proj\": null}", "alpha_pattern.v_proj" },
	{ "alpha_pattern", "{\"*\": 1}", "alpha_pattern: \"*\"" },
	{ "alpha_pattern", "3", "alpha_pattern" },
	{ "target_modules", "[\"query_key_value\"]", "target_modules: names no module" },
	{ "target_modules", "[]", "target_modules: names no module" },
	{ "target_modules", "7", "target_modules" },
	{ "target_modules", "[\"v_proj\", 7]", "target_modules" },
	{ "target_modules", "[\"v_proj\"]", "up_proj.lora_A.weight: is of no module" },
	{ "target_modules", "[\"v_proj\", \"up_proj\", \"q_proj\"]", "q_proj.lora_A.weight: is absent" },
	{ "target_modules", "\"all-linear\"", "q_proj.lora_A.weight: is absent" },
	{ "target_modules", "\"(v_proj\"", "target_modules: \"(v_proj\"" },
	{ "target_modules", "\"(*NO_JIT).*v_proj\"", "target_modules" },
	{ "target_modules", "\"((([a-z]|[._0-9])+)+)+[!?]\"", "target_modules: a pattern takes too long" },
	{ "exclude_modules", "[\"up_proj\"]", "up_proj.lora_A.weight: is of no module" },
	{ "exclude_modules", "{}", "target" },
	{ "exclude_modules", "3", "exclude_modules" },
	{ "layers_to_transform", "[0]", "lora_A.weight: is of no module" },
	{ "layers_to_transform", "[0, 1, \"2\"]", "layers_to_transform" },
	{ "layers_to_transform", "true", "layers_to_transform" },
	{ "layers_pattern", "\"layers\"", "layers_pattern" },
};

static void refuses_fields(void)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct t_peft p;
		char what[160];

		good(&p);
		if (!strcmp(fields[i].key, "exclude_modules") && !strcmp(fields[i].value, "{}"))
			json_object_set_new(p.config, "target_modules", json_string("x"));
		json_object_set_new(p.config, fields[i].key,
				    json_loads(fields[i].value, JSON_DECODE_ANY, NULL));
		write_it(&p);
		snprintf(what, sizeof(what), "%s = %s", fields[i].key, fields[i].value);
		refused(what, fields[i].expect);
	}
}

/* A pattern and a choice of layers exclude each other, as in PEFT; tied weights are named. */
static void refuses_what_contradicts(void)
{
	struct t_peft p;

	good(&p);
	json_object_set_new(p.config, "target_modules", json_string(".*v_proj"));
	json_object_set_new(p.config, "layers_to_transform", json_integer(1));
	write_it(&p);
	refused("pattern and layers", "layers_to_transform: goes with a pattern");
	need_base();
	t_peft_init(&p, 2, "[\"lm_head\"]");
	t_peft_pair(&p, "lm_head", 2, "F32");
	json_object_set_new(p.config, "ensure_weight_tying", json_true());
	write_it(&p);
	refused("tying", "ensure_weight_tying");
}

/* ---- tensors ----------------------------------------------------------------------------------- */

#define TENSOR(change, expect) do {			\
	struct t_peft p;				\
	struct t_peft_tensor *t;			\
							\
	good(&p);					\
	t = t_peft_find(&p, MODULE ".lora_B");		\
	(void)t;					\
	change;						\
	write_it(&p);					\
	refused(#change, expect);			\
} while (0)

static void set_float(struct t_peft_tensor *t, uint64_t i, float value)
{
	memcpy(t->data + 4 * i, &value, 4);
}

static void set_half(struct t_peft_tensor *t, uint64_t i, uint16_t value)
{
	memcpy(t->data + 2 * i, &value, 2);
}

static void rename_tensor(struct t_peft_tensor *t, const char *name)
{
	snprintf(t->name, sizeof(t->name), "%s", name);
}

static void shape(struct t_peft_tensor *t, uint64_t rows, uint64_t cols)
{
	t->dims[0] = rows;
	t->dims[1] = cols;
	t->bytes = rows * cols * 4;
	t->data = realloc(t->data, t->bytes);
	memset(t->data, 0, t->bytes);
}

static void refuses_tensors(void)
{
	TENSOR(t_peft_drop(&p, MODULE ".lora_B"), MODULE ".lora_B.weight: is absent");
	TENSOR(t_peft_drop(&p, MODULE ".lora_A"), MODULE ".lora_A.weight: is absent");
	TENSOR((t_peft_drop(&p, MODULE ".lora_A"), t_peft_drop(&p, MODULE ".lora_B")),
	       MODULE ".lora_A.weight: is absent");
	TENSOR(shape(t, 31, 2), MODULE ".lora_B.weight: shape has 2 dimensions, 31 x 2, limit 2, 32 x 2");
	TENSOR(shape(t, 32, 3), "32 x 3, limit 2, 32 x 2");
	TENSOR(shape(t, 2, 32), "2 x 32, limit 2, 32 x 2");
	TENSOR(shape(t_peft_find(&p, MODULE ".lora_A"), 3, 96), "3 x 96, limit 2, 2 x 96");
	TENSOR(shape(t_peft_find(&p, MODULE ".lora_A"), 2, 104), "2 x 104, limit 2, 2 x 96");
	TENSOR((t->dim_count = 1, t->dims[0] = 64), "shape has 1 dimensions");
	TENSOR((t->dim_count = 3, t->dims[2] = 1), "shape has 3 dimensions");
	TENSOR(strcpy(t->dtype, "I32"), MODULE ".lora_B.weight: dtype is I32");
	TENSOR(set_float(t, 63, NAN), "v_proj.lora_B: row ");
	TENSOR(set_float(t, 0, INFINITY), "v_proj.lora_B: row ");
	TENSOR(set_float(t_peft_find(&p, MODULE ".lora_A"), 191, -INFINITY), "v_proj.lora_A: row 1 holds");
	TENSOR(set_half(t_peft_find(&p, "layers.2.mlp.up_proj.lora_A"), 0, 0x7c00),
	       "layers.2.mlp.up_proj.lora_A: row 0");
	TENSOR(set_half(t_peft_find(&p, "layers.2.mlp.up_proj.lora_B"), 191, 0xfe01),
	       "layers.2.mlp.up_proj.lora_B: row ");
	TENSOR(rename_tensor(t, "base_model.model.model.layers.90.self_attn.v_proj.lora_B.weight"),
	       MODULE ".lora_B.weight: is absent");
	TENSOR(rename_tensor(t, "model.layers.1.self_attn.v_proj.lora_B.weight"), "is absent");
	TENSOR(rename_tensor(t, MODULE ".lora_B.default.weight"), "is absent");
	TENSOR(t_peft_add(&p, "base_model.model.model.layers.3.self_attn.v_proj.lora_A.weight", "F32", 2, 96),
	       "layers.3.self_attn.v_proj.lora_A.weight: is of no module");
	TENSOR(t_peft_add(&p, MODULE ".lora_magnitude_vector", "F32", 1, 32), "use_dora");
	TENSOR(t_peft_add(&p, MODULE ".lora_B.bias", "F32", 1, 32), "lora_bias");
	TENSOR(t_peft_add(&p, "base_model.model.model.norm.modules_to_save.weight", "F32", 1, 96),
	       "modules_to_save");
	TENSOR(t_peft_add(&p, "base_model.model.model.norm.weight", "F32", 1, 96), "is no part of a LoRA");
	TENSOR(t_peft_add(&p, "something", "F32", 1, 1), "tensor something: is no part of a LoRA");
	TENSOR(t_peft_add(&p, "base_model.model.model.embed_tokens.weight", "F32", T_TINY_VOCAB,
			  T_TINY_HIDDEN), "embed_tokens.weight: differs from row 0");
	TENSOR(t_peft_add(&p, "base_model.model.model.embed_tokens.base_layer.weight", "F32",
			  T_TINY_VOCAB + 2, T_TINY_HIDDEN), "has another type or shape");
	TENSOR(while (p.count) t_peft_drop(&p, ""), "has no tensors");
}

/* ---- files ------------------------------------------------------------------------------------- */

static void refuses_damaged_files(void)
{
	static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1234\n";
	char weights[512], config[512];	/* t_path() has a few buffers only */
	struct t_peft p;
	struct stat st;

	snprintf(weights, sizeof(weights), "%s", t_path("peft/adapter_model.safetensors"));
	snprintf(config, sizeof(config), "%s", t_path("peft/adapter_config.json"));
	good(&p);
	write_it(&p);
	t_need(stat(weights, &st) == 0);
	t_eq(truncate(weights, st.st_size - 100), 0);
	refused("cut", "adapter_model.safetensors");
	t_eq(truncate(weights, 40), 0);
	refused("cut in the header", "adapter_model.safetensors");
	t_eq(truncate(weights, 0), 0);
	refused("empty", "adapter_model.safetensors");
	t_write_file(weights, lfs, sizeof(lfs) - 1);
	refused("LFS", "Git-LFS pointer");
	unlink(weights);
	refused("absent", "adapter_model.safetensors");
	t_write_file(t_path("peft/adapter_model.bin"), "x", 1);
	refused("pickle", "adapter_model.bin is a pickle");
	t_write_file(config, "{\"peft_type\": \"LORA\", \"r\": 2,", 29);
	t_write_file(weights, lfs, 8);
	refused("JSON cut", "adapter_config.json: JSON");
	t_write_file(config, "[]", 2);
	refused("JSON list", "adapter_config.json: JSON");
	unlink(config);
	refused("no config", "adapter_config.json");
	t_remove_tree(t_path("peft"));
	refused("no folder", "cannot be opened as a folder");
	t_write_file(t_path("peft"), "x", 1);
	refused("no folder", "cannot be opened as a folder");
	unlink(t_path("peft"));
}

static void refuses_another_base(void)
{
	struct t_peft p;

	t_need(t_import(t_path("store"), "other@1.0.0", T_REFERENCE "/models/tied_f32", &error) == 0);
	good(&p);
	write_it(&p);
	{
		struct sto_adapter_import import = { .store = t_path("store"), .path = t_path("peft"),
						     .model = "other", .adapter = "bad", .version = "1.0.0" };
		struct sto_adapter_result result;

		t_ok(sto_adapter_import(&import, &result, &error) < 0);
		t_ok(strstr(error.text, "of the base"));
		snprintf(import.model, sizeof(import.model), "tiny");
		snprintf(import.base, sizeof(import.base), "9.0.0");
		t_eq(sto_adapter_import(&import, &result, &error), -ENOENT);
		t_ok(strstr(error.text, "base: tiny@9.0.0"));
	}
}

/* Bytes changed at random: it comes in or it does not, and nothing else happens. */
static void survives_noise(void)
{
	static const char *const names[] = { "peft/adapter_config.json", "peft/adapter_model.safetensors" };
	uint64_t state = 11;
	uint32_t taken = 0;

	for (uint32_t round = 0; round < 300; round++) {
		char path[512];
		uint64_t r = t_random(&state);
		struct t_peft p;
		struct stat st;
		FILE *f;

		good(&p);
		write_it(&p);
		snprintf(path, sizeof(path), "%s", t_path(names[round % 2]));
		t_need(stat(path, &st) == 0);
		f = fopen(path, "r+b");
		fseek(f, (long)(r % (round % 2 ? 2000 : (uint64_t)st.st_size)), SEEK_SET);
		fputc((int)(r >> 32 & 255), f);
		fclose(f);
		if (import(t_path("peft")) == 0) {
			taken++;
			t_remove_tree(t_path("store/models/tiny/adapters"));
		} else {
			t_need(error.text[0] && !strchr(error.text, '\n'));
		}
	}
	t_ok(taken > 10 && taken < 290);
	t_ok(t_store_has_no_tmp(t_path("store")));
}

int main(void)
{
	T_RUN(control);
	T_RUN(refuses_fields);
	T_RUN(refuses_what_contradicts);
	T_RUN(refuses_tensors);
	T_RUN(refuses_damaged_files);
	T_RUN(refuses_another_base);
	T_RUN(survives_noise);
	return t_done();
}
