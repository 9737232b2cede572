/* SPDX-License-Identifier: MIT */
#include "t_peft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "eng_half.h"
#include "t.h"

static const char config_text[] =
	"{\"alora_invocation_tokens\":null,\"alpha_pattern\":{},\"auto_mapping\":null,"
	"\"base_model_name_or_path\":\"tools/tiny/model\",\"bias\":\"none\",\"corda_config\":null,"
	"\"ensure_weight_tying\":false,\"eva_config\":null,\"exclude_modules\":null,"
	"\"fan_in_fan_out\":false,\"inference_mode\":true,\"init_lora_weights\":true,"
	"\"layer_replication\":null,\"layers_pattern\":null,\"layers_to_transform\":null,"
	"\"loftq_config\":{},\"lora_alpha\":8,\"lora_bias\":false,\"lora_dropout\":0.0,"
	"\"megatron_config\":null,\"megatron_core\":\"megatron.core\",\"modules_to_save\":null,"
	"\"peft_type\":\"LORA\",\"peft_version\":\"0.21.2\",\"qalora_group_size\":16,"
	"\"rank_pattern\":{},\"revision\":null,\"target_parameters\":null,"
	"\"task_type\":\"CAUSAL_LM\",\"trainable_token_indices\":null,\"use_dora\":false,"
	"\"use_qalora\":false,\"use_rslora\":false}";

void t_peft_init(struct t_peft *p, uint32_t rank, const char *targets)
{
	memset(p, 0, sizeof(*p));
	p->seed = 1;
	p->config = json_loads(config_text, 0, NULL);
	json_object_set_new(p->config, "r", json_integer(rank));
	json_object_set_new(p->config, "target_modules", json_loads(targets, JSON_DECODE_ANY, NULL));
}

void t_peft_fini(struct t_peft *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		free(p->tensors[i].data);
	free(p->tensors);
	json_decref(p->config);
	memset(p, 0, sizeof(*p));
}

static void fill(struct t_peft *p, struct t_peft_tensor *t, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		float f = t_random_float(&p->seed);
		uint32_t bits = eng_float_bits(f);
		uint16_t half = t->dtype[0] == 'B' ? (uint16_t)(bits >> 16) : eng_float_f16(f);

		if (t->bytes == count * 4)
			memcpy(t->data + 4 * i, &f, 4);
		else
			memcpy(t->data + 2 * i, &half, 2);
	}
}

struct t_peft_tensor *t_peft_add(struct t_peft *p, const char *name, const char *dtype, uint64_t rows,
				 uint64_t cols)
{
	struct t_peft_tensor *t;

	p->tensors = realloc(p->tensors, (p->count + 1) * sizeof(*p->tensors));
	t = &p->tensors[p->count++];
	memset(t, 0, sizeof(*t));
	snprintf(t->name, sizeof(t->name), "%s", name);
	snprintf(t->dtype, sizeof(t->dtype), "%s", dtype);
	t->dim_count = 2;
	t->dims[0] = rows;
	t->dims[1] = cols;
	t->bytes = rows * cols * (strstr(dtype, "32") ? 4 : 2);
	t->data = malloc(t->bytes);
	fill(p, t, rows * cols);
	return t;
}

void t_peft_pair(struct t_peft *p, const char *module, uint32_t rank, const char *dtype)
{
	bool kv = strstr(module, "k_proj") || strstr(module, "v_proj");
	bool embed = !strcmp(module, "embed_tokens"), output = !strcmp(module, "lm_head");
	char name[160];

	snprintf(name, sizeof(name), "base_model.model.%s%s.lora_%sA%s", output ? "" : "model.", module,
		 embed ? "embedding_" : "", embed ? "" : ".weight");
	t_peft_add(p, name, dtype, rank, embed ? T_TINY_VOCAB : T_TINY_HIDDEN);
	name[strlen(name) - (embed ? 1 : strlen("A.weight"))] = 'B';
	t_peft_add(p, name, dtype, output ? T_TINY_VOCAB : kv ? T_TINY_KV : T_TINY_HIDDEN, rank);
}

void t_peft_pairs(struct t_peft *p, const char *module, uint32_t rank, const char *dtype)
{
	static const char attention[] = "q_projk_projv_projo_proj";

	for (uint32_t l = 0; l < T_TINY_LAYERS; l++) {
		char name[96];

		snprintf(name, sizeof(name), "layers.%u.%s.%s", l,
			 strstr(attention, module) ? "self_attn" : "mlp", module);
		t_peft_pair(p, name, rank, dtype);
	}
}

struct t_peft_tensor *t_peft_find(const struct t_peft *p, const char *part)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (strstr(p->tensors[i].name, part))
			return &p->tensors[i];
	return NULL;
}

void t_peft_drop(struct t_peft *p, const char *part)
{
	struct t_peft_tensor *t = t_peft_find(p, part);

	if (!t)
		return;
	free(t->data);
	*t = p->tensors[--p->count];
}

static json_t *header_of(const struct t_peft *p)
{
	json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
	uint64_t at = 0;

	for (uint32_t i = 0; i < p->count; i++) {
		const struct t_peft_tensor *t = &p->tensors[i];
		json_t *shape = json_array();

		for (uint32_t d = 0; d < t->dim_count; d++)
			json_array_append_new(shape, json_integer((json_int_t)t->dims[d]));
		json_object_set_new(header, t->name, json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->dtype,
				    "shape", shape, "data_offsets", (json_int_t)at,
				    (json_int_t)(at + t->bytes)));
		at += t->bytes;
	}
	return header;
}

void t_peft_write(const struct t_peft *p, const char *path)
{
	json_t *header = header_of(p);
	char *text = json_dumps(header, JSON_COMPACT), *config = json_dumps(p->config, 0), name[512];
	uint64_t bytes = strlen(text);
	FILE *f;

	mkdir(path, 0755);
	snprintf(name, sizeof(name), "%s/adapter_config.json", path);
	t_write_file(name, config, strlen(config));
	snprintf(name, sizeof(name), "%s/adapter_model.safetensors", path);
	f = fopen(name, "wb");
	if (!f || fwrite(&bytes, 8, 1, f) != 1 || fwrite(text, 1, bytes, f) != bytes)
		exit(1);
	for (uint32_t i = 0; i < p->count; i++)
		if (fwrite(p->tensors[i].data, 1, p->tensors[i].bytes, f) != p->tensors[i].bytes)
			exit(1);
	if (fclose(f))
		exit(1);
	free(config);
	free(text);
	json_decref(header);
}

const char *t_peft_overflowing(void)
{
	struct t_peft p;

	t_peft_init(&p, 1, "[\"v_proj\", \"o_proj\"]");
	json_object_set_new(p.config, "lora_alpha", json_real(1e30));
	t_peft_pairs(&p, "v_proj", 1, "F32");
	t_peft_pairs(&p, "o_proj", 1, "F32");
	t_peft_write(&p, t_path("overflowing"));
	t_peft_fini(&p);
	return t_path("overflowing");
}
