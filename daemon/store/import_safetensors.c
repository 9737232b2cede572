/* SPDX-License-Identifier: MIT */
/*
 * import_safetensors.c: where each tensor of a Hugging Face directory lies: in model.safetensors,
 * or in the shards that model.safetensors.index.json lists.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_shards_priv.h"

#define SINGLE_NAME	"model.safetensors"
#define INDEX_NAME	"model.safetensors.index.json"
#define INDEX_MAX	(UINT64_C(16) << 20)
#define COMPARE_BYTES	(1u << 20)

/* ---- the index --------------------------------------------------------------------------- */

/* A plain file name of the directory, nothing that leads out of it or to another kind of file. */
static bool shard_name_good(const char *name)
{
	static const char tail[] = ".safetensors";
	size_t n = strlen(name);

	return n > sizeof(tail) - 1 && n < 256 && name[0] != '.' && !strchr(name, '/') &&
	       strcmp(name + n - (sizeof(tail) - 1), tail) == 0 && sto_utf8_valid(name, n, false);
}

static int find_shard(const struct shards *s, const char *name)
{
	for (uint32_t i = s->count; i-- > 0;)
		if (strcmp(s->names[i], name) == 0)
			return (int)i;
	return -1;
}

static int note_shard(struct shards *s, const char *tensor, const json_t *value)
{
	const char *name = json_string_value(value);

	if (!name || !shard_name_good(name)) {
		sto_fail(s->error,
			 "%s: weight_map.%.80s: \"%.80s\" is not a file of this directory, limit a "
			 "plain name that ends in .safetensors; correct the index",
			 s->index_path, tensor, name ? name : "(not text)");
		return -EINVAL;
	}
	if (find_shard(s, name) >= 0)
		return 0;
	if (s->count == STO_FILE_MAX) {
		sto_fail(s->error, "%s: weight_map: too many files, limit %u; merge the shards",
			 s->index_path, STO_FILE_MAX);
		return -EINVAL;
	}
	s->names[s->count++] = name;
	return 0;
}

static int read_index(struct shards *s, const struct sto_file *file)
{
	const char *tensor;
	json_t *map, *value;
	int err = sto_json_load(file, INDEX_MAX, &s->index, s->error);

	if (err)
		return err;
	map = json_object_get(s->index, "weight_map");
	if (!json_is_object(map) || json_object_size(map) == 0) {
		sto_fail(s->error,
			 "%s: weight_map: is not an object of tensors, limit at least 1; the file "
			 "is damaged, fetch it again",
			 s->index_path);
		return -EINVAL;
	}
	json_object_foreach(map, tensor, value) {
		err = note_shard(s, tensor, value);
		if (err)
			return err;
	}
	return 0;
}

/* Index and shards say the same: each listed tensor is where it should be, and no other exists. */
static int check_index(const struct shards *s)
{
	json_t *map = json_object_get(s->index, "weight_map"), *value;
	const char *tensor;
	uint64_t stored = 0;

	json_object_foreach(map, tensor, value) {
		int shard = find_shard(s, json_string_value(value));

		if (sto_st_find(&s->st[shard], tensor))
			continue;
		sto_fail(s->error,
			 "%s: weight_map.%.80s: is not in %s; fetch index and shards again",
			 s->index_path, tensor, json_string_value(value));
		return -EINVAL;
	}
	for (uint32_t i = 0; i < s->count; i++)
		stored += s->st[i].tensor_count;
	if (stored == json_object_size(map))
		return 0;
	sto_fail(s->error,
		 "%s: weight_map: lists %zu tensors, limit the %llu of its shards; fetch index and "
		 "shards again",
		 s->index_path, json_object_size(map), (unsigned long long)stored);
	return -EINVAL;
}

/* ---- opening ----------------------------------------------------------------------------- */

static int open_headers(struct shards *s, const struct sto_model *model)
{
	for (uint32_t i = 0; i < s->count; i++) {
		int err = sto_st_open(&s->st[i], &model->files[s->first_file + i], s->error);

		if (err)
			return err;
		s->used[i] = calloc(s->st[i].tensor_count, 1);
		if (!s->used[i]) {
			sto_fail(s->error, "%s: out of memory; free some", s->dir->path);
			return -ENOMEM;
		}
	}
	return 0;
}

static int open_index(struct shards *s, struct sto_model *model)
{
	char *shown = NULL;
	uint32_t index;
	int err = hf_add_file(model, s->dir, INDEX_NAME, &index, s->error);

	if (err == -ENOENT)
		sto_fail(s->error,
			 "%s: " SINGLE_NAME ": is absent, and so is " INDEX_NAME
			 ", limit one of them; fetch the weights",
			 s->dir->path);
	if (err)
		return err;
	shown = model->files[index].path;	/* the string stays when files[] moves */
	s->index_path = shown;
	err = read_index(s, &model->files[index]);
	s->first_file = model->file_count;
	for (uint32_t i = 0; i < s->count && !err; i++)
		err = hf_add_file(model, s->dir, s->names[i], &index, s->error);
	return err;
}

static int open_shards(struct shards *s, struct sto_model *model)
{
	int err = hf_add_file(model, s->dir, SINGLE_NAME, &s->first_file, s->error);

	s->count = 0;
	if (err == -ENOENT)
		err = open_index(s, model);
	else
		s->count = 1;
	if (!err)
		err = open_headers(s, model);
	return err || !s->index ? err : check_index(s);
}

static void close_shards(struct shards *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		sto_st_close(&s->st[i]);
		free(s->used[i]);
	}
	json_decref(s->index);
	free(s);
}

/* ---- placing ----------------------------------------------------------------------------- */

static const struct sto_st_tensor *find_exact(const struct shards *s, const char *name, uint32_t *shard)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct sto_st_tensor *t = sto_st_find(&s->st[i], name);

		*shard = i;
		if (t)
			return t;
	}
	return NULL;
}

const struct sto_st_tensor *shards_find(const struct shards *s, const struct sto_family *family,
					const char *name, uint32_t *shard)
{
	const struct sto_st_tensor *t = find_exact(s, name, shard);
	size_t n = family->hf_prefix ? strlen(family->hf_prefix) : 0;

	if (t || !n || strncmp(name, family->hf_prefix, n))
		return t;
	return find_exact(s, name + n, shard);
}

int shards_check_type(const struct shards *s, uint32_t shard, const struct sto_st_tensor *t)
{
	if (t->source != STO_ST_NOT_FLOAT)
		return 0;
	sto_fail(s->error, "%s: tensor %s: dtype is %s, limit F32, F16, BF16; convert the weights",
		 s->st[shard].file->path, t->name, t->dtype);
	return -EINVAL;
}

int shards_check(const struct shards *s, uint32_t shard, const struct sto_st_tensor *t,
		 const struct shard_part *part)
{
	const char *path = s->st[shard].file->path;
	bool vector = part->slot->vector, turned = part->name.how & STO_TRANSPOSED;
	uint64_t rows = turned ? part->cols : part->total, cols = turned ? part->total : part->cols;

	if (shards_check_type(s, shard, t))
		return -EINVAL;
	if (vector ? t->dim_count == 1 && t->dims[0] == part->total :
		     t->dim_count == 2 && t->dims[0] == rows && t->dims[1] == cols)
		return 0;
	sto_fail(s->error,
		 "%s: tensor %s: shape has %u dimensions, %llu x %llu, limit %u, %llu x %llu (from "
		 "config.json); correct config.json or the weights",
		 path, t->name, t->dim_count, (unsigned long long)(t->dim_count ? t->dims[0] : 0),
		 (unsigned long long)(t->dim_count > 1 ? t->dims[1] : 1), vector ? 1u : 2u,
		 (unsigned long long)(vector ? part->total : rows),
		 (unsigned long long)(vector ? 1 : cols));
	return -EINVAL;
}

struct sto_tensor *shards_place(struct sto_model *model, const struct shards *s, uint32_t shard,
				const struct sto_st_tensor *t, const struct shard_part *part)
{
	struct sto_tensor *to = &model->tensors[model->tensor_count++];
	uint64_t value = eng_source_block_bytes(t->source);

	snprintf(to->name, sizeof(to->name), "%.*s", (int)sizeof(to->name) - 1, t->name);
	to->role = part->slot->role;
	to->layer = part->layer;
	to->source = t->source;
	to->file = s->first_file + shard;
	to->vector = part->slot->vector;
	to->rows = part->rows;
	to->cols = part->cols;
	to->row_bytes = part->cols * value;
	to->offset_bytes = t->offset_bytes;
	to->plus_one = part->name.how & STO_PLUS_ONE;
	if (part->name.how & STO_TRANSPOSED)
		to->column_bytes = part->total * value;
	to->offset_bytes += part->first * (to->vector || to->column_bytes ? value : to->row_bytes);
	s->used[shard][t - s->st[shard].tensors] = 1;
	return to;
}

int shards_absent(const struct shards *s, const char *name, const struct sto_slot *slot)
{
	sto_fail(s->error, "%s: tensor %s: is absent; %s", s->dir->path, name,
		 slot->role == MHS_ROLE_OUTPUT ? "set tie_word_embeddings if it is tied, or fetch it" :
		 "fetch all weights");
	return -EINVAL;
}

static int add_tensor(struct sto_model *model, struct shards *s, const struct sto_slot *slot,
		      uint32_t layer)
{
	struct shard_part part = { .slot = slot, .name = sto_slot_name(slot, model->family), .layer = layer };
	const struct sto_st_tensor *t;
	char name[128];
	uint32_t shard;

	if ((slot->role == MHS_ROLE_OUTPUT && model->config.tied) ||
	    !sto_slot_in_layer(slot, &model->experts, layer))
		return 0;
	if (sto_slot_is_stacked(slot))
		return shards_add_experts(model, s, slot, layer);
	snprintf(name, sizeof(name), part.name.hf, layer);
	t = shards_find(s, model->family, name, &shard);
	if (!t && slot->in == STO_EXPERT_LAYER) {	/* newer names are the same for all families */
		snprintf(name, sizeof(name), slot->hf, layer);
		t = shards_find(s, model->family, name, &shard);
	}
	if (!t)
		return shards_absent(s, name, slot);
	sto_slot_shape(slot, model, &part.rows, &part.cols);
	part.total = slot->vector ? part.cols : part.rows;
	if (part.name.how & STO_FUSED)
		sto_slot_fused(slot, &model->config, &part.first, &part.total);
	if (shards_check(s, shard, t, &part))
		return -EINVAL;
	shards_place(model, s, shard, t, &part);
	return 0;
}

/* ---- what is left over ------------------------------------------------------------------- */

static int compare_bytes(const struct sto_file *fa, const struct sto_st_tensor *a,
			 const struct sto_file *fb, const struct sto_st_tensor *b, uint8_t *block,
			 struct sto_error *error)
{
	for (uint64_t at = 0; at < a->bytes;) {
		uint64_t part = a->bytes - at < COMPARE_BYTES ? a->bytes - at : COMPARE_BYTES;
		int err = sto_file_read(fa, block, part, a->offset_bytes + at, error);

		if (!err)
			err = sto_file_read(fb, block + COMPARE_BYTES, part, b->offset_bytes + at,
					    error);
		if (err)
			return err;
		if (memcmp(block, block + COMPARE_BYTES, part))
			return 1;
		at += part;
	}
	return 0;
}

/* A stored copy of tied embeddings is fine as long as it is a copy. */
static int check_tied_copy(const struct sto_model *model, const struct shards *s, uint32_t shard,
			   const struct sto_st_tensor *t)
{
	struct sto_name name = sto_slot_name(&sto_slots[0], model->family);	/* EMBED */
	uint32_t at = 0;
	const struct sto_st_tensor *embed = shards_find(s, model->family, name.hf, &at);
	uint8_t *block = malloc(2 * COMPARE_BYTES);
	int differs = -ENOMEM;

	if (!block)
		sto_fail(s->error, "%s: out of memory; free some", s->dir->path);
	else if (t->source != embed->source || t->bytes != embed->bytes)
		differs = 1;
	else
		differs = compare_bytes(s->st[shard].file, t, s->st[at].file, embed, block,
					s->error);
	free(block);
	if (differs > 0)
		sto_fail(s->error,
			 "%s: tensor %s: differs from the embedding, limit a copy of it as "
			 "tie_word_embeddings is true; correct config.json or the weights",
			 s->st[shard].file->path, t->name);
	return differs > 0 ? -EINVAL : differs;
}

static bool ends_in(const char *name, const char *tail)
{
	size_t n = strlen(name), bytes = strlen(tail);

	return n >= bytes && strcmp(name + n - bytes, tail) == 0;
}

/* Buffers that old checkpoints carry; computed from the configuration here. */
static bool is_buffer(const struct sto_family *family, const char *name)
{
	if (ends_in(name, "rotary_emb.inv_freq"))
		return true;
	for (const char *tail = family->hf_buffers; tail && *tail; tail += strlen(tail) + 1)
		if (ends_in(name, tail))
			return true;
	return false;
}

static int check_unused(const struct sto_model *model, const struct shards *s, uint32_t shard)
{
	const struct sto_safetensors *st = &s->st[shard];

	for (uint32_t i = 0; i < st->tensor_count; i++) {
		const char *name = st->tensors[i].name;

		if (s->used[shard][i] || is_buffer(model->family, name))
			continue;
		if (strcmp(name, "lm_head.weight") == 0) {	/* placed unless tied */
			int err = check_tied_copy(model, s, shard, &st->tensors[i]);

			if (err)
				return err;
			continue;
		}
		sto_fail(s->error,
			 "%s: tensor %s: has no place in a %s of this configuration; this kind "
			 "of model is not supported",
			 st->file->path, name, model->family->hf_class);
		return -ENOTSUP;
	}
	return 0;
}

static int place_all(struct sto_model *model, struct shards *s)
{
	int err = sto_model_reserve(model, s->dir->path, s->error);

	for (uint32_t i = 0; i < sto_slot_count && !err; i++) {
		uint32_t layers = sto_slots[i].per_layer ? model->config.layer_count : 1;

		if (!sto_slot_present(&sto_slots[i], &model->shape))
			continue;
		for (uint32_t layer = 0; layer < layers && !err; layer++)
			err = add_tensor(model, s, &sto_slots[i], layer);
	}
	for (uint32_t i = 0; i < s->count && !err; i++)
		err = check_unused(model, s, i);
	return err;
}

int hf_add_tensors(struct sto_model *model, const struct hf_dir *dir, struct sto_error *error)
{
	struct shards *s = calloc(1, sizeof(*s));
	int err;

	if (!s) {
		sto_fail(error, "%s: out of memory; free some", dir->path);
		return -ENOMEM;
	}
	s->dir = dir;
	s->error = error;
	err = open_shards(s, model);
	if (!err)
		err = place_all(model, s);
	close_shards(s);
	return err;
}
