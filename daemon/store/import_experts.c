/* SPDX-License-Identifier: MIT */
/*
 * import_experts.c: the experts of a layer of a Hugging Face directory: each in tensors of its own, or
 * all in one of three dimensions, as transformers keeps them in memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_shards_priv.h"

#define NAME_BYTES	128u

static int make_pieces(const struct shards *s, struct sto_tensor *to, uint32_t count)
{
	to->pieces = calloc(count, sizeof(*to->pieces));
	if (to->pieces)
		return 0;
	sto_fail(s->error, "%s: out of memory; free some", s->dir->path);
	return -ENOMEM;
}

/* ---- one tensor each ------------------------------------------------------------------------- */

/* The name of what holds them all, for people. */
static void name_all(struct sto_tensor *to)
{
	static const char first[] = ".experts.0.";
	char *at = strstr(to->name, first);

	if (at)
		at[strlen(first) - 2] = '*';
}

/* @to: what holds those before; NULL: it is the first. */
static int add_one(struct sto_model *model, struct shards *s, const struct shard_part *part, uint32_t expert,
		   struct sto_tensor **to)
{
	const struct sto_st_tensor *t;
	char name[NAME_BYTES];
	uint32_t shard;

	snprintf(name, sizeof(name), part->name.hf, part->layer, expert);
	t = shards_find(s, model->family, name, &shard);
	if (!t)
		return shards_absent(s, name, part->slot);
	if (shards_check(s, shard, t, part))
		return -EINVAL;
	if (*to && (*to)->source != t->source) {
		sto_fail(s->error, "%s: tensor %s: is %s, limit %s as expert 0; convert the weights",
			 s->st[shard].file->path, t->name, eng_source_name(t->source),
			 eng_source_name((*to)->source));
		return -EINVAL;
	}
	if (!*to)
		*to = shards_place(model, s, shard, t, part);
	s->used[shard][t - s->st[shard].tensors] = 1;
	if (!(*to)->pieces && make_pieces(s, *to, model->experts.count))
		return -ENOMEM;
	(*to)->pieces[expert] = (struct sto_piece){ s->first_file + shard, t->offset_bytes };
	return 0;
}

static int add_each(struct sto_model *model, struct shards *s, struct shard_part part)
{
	struct sto_tensor *to = NULL;
	int err = 0;

	part.rows /= model->experts.count;
	part.total = part.rows;
	for (uint32_t e = 0; e < model->experts.count && !err; e++)
		err = add_one(model, s, &part, e, &to);
	if (err)
		return err;
	name_all(to);
	to->piece_rows = part.rows;
	to->rows = part.rows * model->experts.count;
	return 0;
}

/* ---- all in one ------------------------------------------------------------------------------ */

static int check_stack(const struct shards *s, uint32_t shard, const struct sto_st_tensor *t,
		       const struct shard_part *part, uint32_t count)
{
	if (shards_check_type(s, shard, t))
		return -EINVAL;
	if (t->dim_count == 3 && t->dims[0] == count && t->dims[1] == part->total && t->dims[2] == part->cols)
		return 0;
	sto_fail(s->error,
		 "%s: tensor %s: has %u dimensions, %llu x %llu x %llu, limit 3, %u x %llu x %llu (from "
		 "config.json); correct config.json or the weights",
		 s->st[shard].file->path, t->name, t->dim_count, (unsigned long long)t->dims[0],
		 (unsigned long long)(t->dim_count > 1 ? t->dims[1] : 1),
		 (unsigned long long)(t->dim_count > 2 ? t->dims[2] : 1), count,
		 (unsigned long long)part->total, (unsigned long long)part->cols);
	return -EINVAL;
}

/* Rows of gate stand before those of up. */
static int add_stack(struct sto_model *model, struct shards *s, struct shard_part part, uint32_t shard,
		     const struct sto_st_tensor *t)
{
	uint32_t count = model->experts.count;
	uint64_t rows = part.rows / count;
	struct sto_tensor *to;

	part.total = part.slot->role == MHS_ROLE_EXPERT_DOWN ? rows : 2 * rows;
	part.first = part.slot->role == MHS_ROLE_EXPERT_UP ? rows : 0;
	if (check_stack(s, shard, t, &part, count))
		return -EINVAL;
	to = shards_place(model, s, shard, t, &part);
	if (make_pieces(s, to, count))
		return -ENOMEM;
	to->piece_rows = rows;
	for (uint32_t e = 0; e < count; e++)
		to->pieces[e] = (struct sto_piece){
			to->file, to->offset_bytes + e * part.total * to->row_bytes,
		};
	return 0;
}

int shards_add_experts(struct sto_model *model, struct shards *s, const struct sto_slot *slot, uint32_t layer)
{
	struct shard_part part = { .slot = slot, .name = sto_slot_name(slot, model->family), .layer = layer };
	const struct sto_st_tensor *t;
	char name[NAME_BYTES];
	uint32_t shard;

	sto_slot_shape(slot, model, &part.rows, &part.cols);
	snprintf(name, sizeof(name), slot->hf_stacked, layer);
	t = shards_find(s, model->family, name, &shard);
	return t ? add_stack(model, s, part, shard, t) : add_each(model, s, part);
}
