/* SPDX-License-Identifier: MIT */
/* sto_merge.c: what a merge makes of which tensor of the base; merge_panels() does the sums. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sto_family.h"
#include "sto_image_priv.h"
#include "sto_merge_priv.h"

static int no_memory(struct sto_error *error)
{
	sto_fail(error, "merge: out of memory; free some");
	return -ENOMEM;
}

/* ---- what goes in ---------------------------------------------------------------------------- */

/* A merge is for ever: what a loader would refuse must not go into it. */
static int check_data(const struct merge_part *part, const struct mhs_image_header *h,
		      struct sto_error *error)
{
	const uint8_t *base = part->base;
	const struct mhs_image_tensor *t = (const void *)(base + h->tensor_table.offset_bytes);
	uint8_t hash[MHS_CHUNK_HASH_BYTES];

	for (uint32_t i = 0; i < h->tensor_count; i++) {
		sto_hash128(base + t[i].offset_bytes, t[i].length_bytes, hash);
		if (!memcmp(hash, t[i].hash, sizeof(hash)))
			continue;
		sto_fail(error, "%s/%s@%s: tensor %s: its hash is not that of the tensor table; verify the "
			 "adapter", h->model, h->adapter, h->semver, t[i].name);
		return -EBADMSG;
	}
	return 0;
}

static int open_part(struct merge *m, const struct sto_import *import,
		     const struct sto_merge_part *wanted, struct sto_error *error)
{
	struct merge_part *part = &m->parts[m->part_count];
	struct mhs_image_header *h = &part->header;
	const char *field = "";
	int err = sto_adapter_read(import->store, import->model, wanted->adapter, wanted->version, h,
				   &part->base, error);

	if (err)
		return err;
	m->part_count++;
	part->scale = wanted->scale;
	if (mhs_adapter_fits(&h->config, &m->base.header.config, &field)) {
		sto_fail(error, "%s/%s@%s: %s: differs from that of the base %s@%s; name a version that it "
			 "fits", h->model, h->adapter, h->semver, field, m->base.model, m->base.version);
		return -EINVAL;
	}
	return check_data(part, h, error);
}

/* Packs are opened when they are first read, which threads must not do at the same time. */
static int open_base(struct merge *m, const struct sto_import *import, struct sto_error *error)
{
	int err = sto_version_open(&m->base, import->store, import->model, import->merge->base, error);

	if (!err)
		err = sto_version_texts(&m->base, error);
	for (uint32_t i = 0; !err && m->base.base && i < m->base.header.pack_count; i++)
		err = sto_version_pack(&m->base, i, error) < 0 ? -EIO : 0;
	return err;
}

/* ---- what comes out -------------------------------------------------------------------------- */

static bool is_adapted(const struct merge *m, uint32_t role, uint32_t layer)
{
	struct mhs_adapter_target target;

	for (uint32_t i = 0; i < m->part_count; i++)
		if (mhs_adapter_find(&m->parts[i].header, m->parts[i].base, role, layer, &target) == 0)
			return true;
	return false;
}

/* The type of an adapted matrix. */
static uint32_t choose_type(const struct mhs_image_tensor *t, uint32_t wanted)
{
	if (wanted != STO_MERGE_TYPE_NONE)
		return wanted;
	if (t->type == ENG_F32)
		return ENG_SRC_F32;
	return t->type == ENG_BF16 ? ENG_SRC_BF16 : ENG_SRC_F16;
}

static int check_shape(const struct merge *m, const struct mhs_image_tensor *t, uint32_t to,
		       struct sto_error *error)
{
	uint32_t block = to == STO_MERGE_TYPE_NONE ? 1 : eng_source_block_values(to);

	if (!t->length_bytes || eng_packed_bytes(t->type, t->rows, t->cols) != t->length_bytes) {
		sto_fail(error, "%s@%s: tensor %s: its length does not fit its type and shape; verify the "
			 "version", m->base.model, m->base.version, t->name);
		return -EBADMSG;
	}
	if (t->cols % block) {
		sto_fail(error, "--type: %s wants rows of whole blocks, limit multiples of %u, and tensor %s "
			 "has %llu columns; choose f16", eng_source_name(to), block, t->name,
			 (unsigned long long)t->cols);
		return -EINVAL;
	}
	return 0;
}

/* Tensor @from of the base is tensor @role of the new version: the same role, but for an output. */
static int add_tensor(struct merge *m, struct sto_model *model, uint32_t from, uint32_t role,
		      const struct sto_merge *wanted, json_t *list, struct sto_error *error)
{
	const struct mhs_image_tensor *t = &m->base.tensors[from];
	struct merge_tensor *mine = &m->tensors[model->tensor_count];
	struct sto_tensor *new = &model->tensors[model->tensor_count];
	const char *name = role == t->role ? t->name : "output.weight";

	*mine = (struct merge_tensor){ .from = from, .to = STO_MERGE_TYPE_NONE };
	if (is_adapted(m, role, t->layer))
		mine->to = choose_type(t, wanted->type);
	*new = (struct sto_tensor){
		.role = role, .layer = t->layer, .rows = t->rows, .cols = t->cols,
		.row_bytes = t->cols * sizeof(float),
		.type = mine->to == STO_MERGE_TYPE_NONE ? t->type : eng_type_of_source(mine->to),
	};
	snprintf(new->name, sizeof(new->name), "%.*s", (int)sizeof(new->name) - 1, name);
	model->tensor_count++;
	if (mine->to != STO_MERGE_TYPE_NONE &&
	    json_array_append_new(list, json_pack("{s:o, s:i, s:i, s:s, s:s}", "name",
						  sto_manifest_text(new->name), "role", role, "layer",
						  new->layer, "from", eng_type_name(t->type), "to",
						  eng_type_name(new->type))))
		return no_memory(error);
	return check_shape(m, t, mine->to, error);
}

/* All of the base's table; the image writer adds the frequencies itself. */
static int add_tensors(struct merge *m, struct sto_model *model, const struct sto_merge *wanted,
		       json_t *list, struct sto_error *error)
{
	uint32_t count = m->base.header.tensor_count, embed = UINT32_MAX;
	int err = 0;

	m->tensors = calloc(count + 1, sizeof(*m->tensors));
	model->tensors = calloc(count + 1, sizeof(*model->tensors));
	if (!m->tensors || !model->tensors)
		return no_memory(error);
	for (uint32_t i = 0; i < count && !err; i++) {
		uint32_t role = m->base.tensors[i].role;

		if (role == MHS_ROLE_EMBED)
			embed = i;
		if (role != MHS_ROLE_INV_FREQ && role != MHS_ROLE_INV_FREQ_LOCAL)
			err = add_tensor(m, model, i, role, wanted, list, error);
	}
	if (err || !model->config.tied || embed == UINT32_MAX ||
	    (!is_adapted(m, MHS_ROLE_EMBED, 0) && !is_adapted(m, MHS_ROLE_OUTPUT, 0)))
		return err;
	model->config.tied = 0;
	return add_tensor(m, model, embed, MHS_ROLE_OUTPUT, wanted, list, error);
}

static json_t *adapters_array(const struct merge *m)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < m->part_count; i++) {
		const struct mhs_image_header *h = &m->parts[i].header;
		char hash[STO_HEX_BYTES];

		sto_hex(h->content_hash, MHS_HASH_BYTES, hash);
		json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:s}", "adapter", h->adapter,
						      "version", h->semver, "scale",
						      (double)m->parts[i].scale, "content_hash", hash));
	}
	return list;
}

static int tell(const struct merge *m, struct sto_model *model, json_t *tensors, struct sto_error *error)
{
	char hash[STO_HEX_BYTES];

	sto_hex(m->base.header.content_hash, MHS_HASH_BYTES, hash);
	model->merge = json_pack("{s:s, s:s, s:o, s:b, s:O}", "base", m->base.version, "base_hash", hash,
				 "adapters", adapters_array(m), "untied",
				 model->config.tied != m->base.header.config.tied, "tensors", tensors);
	return model->merge ? 0 : no_memory(error);
}

/* ---- what stays ------------------------------------------------------------------------------ */

static void *copy_of(const void *data, size_t bytes)
{
	void *copy = malloc(bytes + 1);

	if (copy) {
		memcpy(copy, data, bytes);
		((char *)copy)[bytes] = '\0';
	}
	return copy;
}

/* The table of @role behind those that are there. */
static int copy_table(struct merge *m, struct sto_model *model, uint32_t role, struct sto_error *error)
{
	uint32_t turns = sto_model_turns(model), i = 0;

	while (i < m->base.header.tensor_count && m->base.tensors[i].role != role)
		i++;
	if (i < m->base.header.tensor_count && m->base.tensors[i].length_bytes == turns * sizeof(float)) {
		model->inv_freq_count += turns;
		return sto_tensor_read(&m->base, i, 0, turns * sizeof(float),
				       model->inv_freq + model->inv_freq_count - turns, error);
	}
	sto_fail(error, "%s@%s: holds no rope frequencies; verify the version", m->base.model,
		 m->base.version);
	return -EBADMSG;
}

static int copy_frequencies(struct merge *m, struct sto_model *model, struct sto_error *error)
{
	uint32_t turns = sto_model_turns(model);
	int err;

	model->inv_freq = calloc(2 * turns + 1, sizeof(float));
	if (!model->inv_freq)
		return no_memory(error);
	if (!turns)
		return 0;
	err = copy_table(m, model, MHS_ROLE_INV_FREQ, error);
	if (err || !(model->shape.flags & MHS_SHAPE_LOCAL_ROPE))
		return err;
	return copy_table(m, model, MHS_ROLE_INV_FREQ_LOCAL, error);
}

/* The image does not hold it: it is for people alone. */
static float rope_base(const struct merge *m)
{
	struct sto_error ignored;
	json_t *manifest = NULL;
	double base = 0;

	if (sto_manifest_read(m->base.store, m->base.model, m->base.version, &manifest, &ignored) == 0)
		base = json_number_value(json_object_get(json_object_get(manifest, "config"), "rope_base"));
	json_decref(manifest);
	return (float)base;
}

static int copy_rest(struct merge *m, struct sto_model *model, struct sto_error *error)
{
	const struct mhs_image_header *h = &m->base.header;

	model->format = "merge";
	model->config = h->config;
	model->shape = h->shape;
	model->experts = h->experts;
	model->family = sto_family_of_arch(h->config.arch);
	model->bos_id = h->bos_id;
	model->eos_count = h->eos_count;
	memcpy(model->eos_ids, h->eos_ids, sizeof(model->eos_ids));
	model->words = h->words;
	model->rope_base = rope_base(m);
	model->tokenizer_bytes = h->tokenizer.length_bytes;
	model->tokenizer = copy_of(m->base.tokenizer, model->tokenizer_bytes);
	if (m->base.chat_template) {
		model->chat_template_bytes = h->chat_template.length_bytes;
		model->chat_template = copy_of(m->base.chat_template, model->chat_template_bytes);
	}
	if (!model->tokenizer || (m->base.chat_template && !model->chat_template))
		return no_memory(error);
	return copy_frequencies(m, model, error);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void merge_free(struct sto_origin *origin)
{
	struct merge *m = (struct merge *)origin;

	for (uint32_t i = 0; m->tensors && i < m->model->tensor_count; i++)
		XXH3_freeState(m->tensors[i].hash);
	for (uint32_t i = 0; i < m->part_count; i++)
		free(m->parts[i].base);
	sto_version_close(&m->base);
	free(m->tensors);
	free(m);
}

static int open_all(struct merge *m, const struct sto_import *import, struct sto_error *error)
{
	int err = open_base(m, import, error);

	for (uint32_t i = 0; !err && i < import->merge->part_count; i++)
		err = open_part(m, import, &import->merge->parts[i], error);
	return err;
}

int sto_merge_read(struct sto_model *model, const struct sto_import *import, struct sto_error *error)
{
	struct merge *m = calloc(1, sizeof(*m));
	json_t *tensors = json_array();
	int err = m && tensors ? 0 : no_memory(error);

	if (!err) {
		m->origin = (struct sto_origin){ merge_panels, merge_free };
		m->model = model;
		m->base.fd = -1;
		err = open_all(m, import, error);
	}
	if (!err)
		err = copy_rest(m, model, error);
	if (!err)
		err = add_tensors(m, model, import->merge, tensors, error);
	if (!err)
		err = tell(m, model, tensors, error);
	json_decref(tensors);
	model->origin = m ? &m->origin : NULL;
	return err;
}
