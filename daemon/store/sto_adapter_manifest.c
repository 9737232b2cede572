/* SPDX-License-Identifier: MIT */
/* sto_adapter_manifest.c: manifest.json of an adapter: what it is of, what it fits, who made it when. */
#include <string.h>

#include "mhs_attach.h"
#include "sto_adapter_priv.h"
#include "sto_image_priv.h"

static json_t *fits_object(const struct mhs_image_config *config)
{
	uint32_t numbers[MHS_FITS_COUNT];
	json_t *object = json_object();

	mhs_fits_numbers(config, numbers);
	json_object_set_new(object, "arch", json_string(mhs_arch_name(config->arch)));
	for (uint32_t i = 1; i < MHS_FITS_COUNT; i++)	/* 0: arch */
		json_object_set_new(object, mhs_fits_names[i], json_integer(numbers[i]));
	return object;
}

/* The version that its shapes were checked against, and what others must have for it to fit them. */
static json_t *base_object(const struct sto_lora *lora, const struct mhs_image_header *h,
			   const struct sto_adapter_result *result)
{
	const char *trained = json_string_value(json_object_get(lora->peft.root, "base_model_name_or_path"));
	char fits[STO_HEX_BYTES];

	sto_hex(h->fits_hash, MHS_HASH_BYTES, fits);
	return json_pack("{s:s, s:s, s:o, s:o}", "version", result->base, "fits_hash", fits, "fits",
			 fits_object(&h->config), "trained_on",
			 trained ? json_string(trained) : json_null());
}

static const char *module_end(const struct sto_lora_target *target)
{
	const char *dot = strrchr(target->module, '.');

	return dot ? dot + 1 : target->module;
}

/* "q_proj": how many layers have it. */
static json_t *targets_object(const struct sto_lora *lora)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < lora->target_count; i++) {
		const char *name = module_end(&lora->targets[i]);

		json_object_set_new(object, name, json_integer(
			json_integer_value(json_object_get(object, name)) + 1));
	}
	return object;
}

/* All that occur, rising. */
static json_t *ranks_array(const struct sto_lora *lora)
{
	json_t *array = json_array();
	uint32_t last = 0, next;

	do {
		next = UINT32_MAX;
		for (uint32_t i = 0; i < lora->target_count; i++) {
			uint32_t rank = lora->targets[i].scale.rank;

			if (rank > last && rank < next)
				next = rank;
		}
		if (next != UINT32_MAX)
			json_array_append_new(array, json_integer(next));
		last = next;
	} while (next != UINT32_MAX);
	return array;
}

static json_t *lora_object(const struct sto_lora *lora)
{
	json_int_t parameters = 0;

	for (uint32_t i = 0; i < lora->target_count; i++) {
		const struct sto_lora_target *t = &lora->targets[i];

		parameters += (json_int_t)(t->scale.rank * (t->rows + t->cols));
	}
	return json_pack("{s:i, s:f, s:b, s:o, s:o, s:i, s:I, s:O*, s:O*}", "r", lora->peft.rank,
			 "lora_alpha", lora->peft.alpha, "use_rslora", lora->peft.rslora, "ranks",
			 ranks_array(lora), "targets", targets_object(lora), "target_count",
			 lora->target_count, "parameters", parameters, "rank_pattern",
			 json_object_get(lora->peft.root, "rank_pattern"), "alpha_pattern",
			 json_object_get(lora->peft.root, "alpha_pattern"));
}

int sto_adapter_manifest_write(const struct sto_adapter_import *import, const struct sto_lora *lora,
			       const struct mhs_image_header *h,
			       const struct sto_adapter_result *result, int dir_fd,
			       struct sto_error *error)
{
	char content[STO_HEX_BYTES];
	json_t *image, *manifest;

	sto_hex(h->content_hash, MHS_HASH_BYTES, content);
	image = json_pack("{s:I, s:s, s:i}", "bytes", (json_int_t)h->image_bytes, "content_hash", content,
			  "tensors", h->tensor_count);
	manifest = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o}",
			     "kind", "adapter", "model", import->model, "adapter", import->adapter,
			     "version", import->version, "parent",
			     result->parent[0] ? result->parent : NULL, "created", sto_manifest_time(),
			     "user", sto_manifest_user(), "mhost", MHOST_VERSION, "source",
			     sto_manifest_source("peft", lora->files, lora->file_count), "image", image,
			     "base", base_object(lora, h, result), "lora", lora_object(lora), "meta",
			     import->meta ? json_incref(import->meta) : json_object());
	return sto_manifest_put(manifest, dir_fd, error);
}
