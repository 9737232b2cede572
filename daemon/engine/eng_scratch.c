/* SPDX-License-Identifier: MIT */
/* eng_scratch.c: an engine's life, and the memory that its steps work in. */
#include "eng_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_ALIGN	((size_t)2 << 20)	/* so that huge pages can back it */

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

struct carver {
	unsigned char *base;
	size_t used;
};

static void *carve(struct carver *c, size_t bytes)
{
	size_t at = c->used;

	c->used += round_up(bytes, 64);
	return c->base ? c->base + at : NULL;
}

static float *carve_rows(struct carver *c, uint32_t rows, size_t stride)
{
	return carve(c, rows * stride * sizeof(float));
}

static struct eng_act_block *carve_act(struct carver *c, uint32_t rows, uint32_t cols)
{
	return carve(c, eng_act_bytes(rows, (uint32_t)round_up(cols, ENG_BLOCK_COLS)));
}

static void *carve_list(struct carver *c, uint32_t count, size_t bytes)
{
	return carve(c, count * bytes);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void set_strides(struct eng_buffers *buf, const struct eng_config *c)
{
	size_t kv = round_up((size_t)c->kv_head_count * c->head_dim, 16);

	buf->hidden_stride = round_up(c->hidden, 16);
	buf->heads_stride = round_up((size_t)c->head_count * c->head_dim, 16);
	buf->k_offset = buf->heads_stride;
	buf->v_offset = buf->k_offset + kv;
	buf->qkv_stride = buf->v_offset + kv;
	buf->ffn_stride = round_up(c->intermediate, 16);
	buf->half_stride = round_up(c->head_dim / 2, 16);
	buf->part_stride = round_up(c->head_dim + 2, 16);
	buf->parts_stride = buf->part_stride *
			    (round_up(c->context_max, ENG_PART_TOKENS) / ENG_PART_TOKENS);
}

/* gate, up and their rounding serve one feed-forward and the mixtures. */
static void place_inner(struct eng_buffers *buf, const struct eng_config *c, struct carver *carver)
{
	uint32_t passes = ENG_ROWS_MAX * c->expert_used;
	size_t stride = buf->experts.stride = round_up(c->expert_intermediate, 16);
	size_t floats = ENG_ROWS_MAX * buf->ffn_stride, mixed = passes * stride;
	uint32_t cols = (uint32_t)round_up(c->intermediate, ENG_BLOCK_COLS);
	uint32_t mixed_cols = (uint32_t)round_up(c->expert_intermediate, ENG_BLOCK_COLS);
	size_t act = eng_act_bytes(ENG_ROWS_MAX, cols), mixed_act = eng_act_bytes(passes, mixed_cols);

	floats = floats > mixed ? floats : mixed;
	buf->gate = carve(carver, floats * sizeof(float));
	buf->up = carve(carver, floats * sizeof(float));
	buf->ffn_act = carve(carver, act > mixed_act ? act : mixed_act);
}

static void place_experts(struct eng_buffers *buf, const struct eng_config *c, struct carver *carver)
{
	struct eng_experts *e = &buf->experts;

	e->score_stride = round_up(c->expert_count, 16);
	e->scores = carve_rows(carver, ENG_ROWS_MAX, e->score_stride);
	e->picks = carve_list(carver, ENG_ROWS_MAX * c->expert_used, sizeof(*e->picks));
	e->out = carve_rows(carver, ENG_EXPERT_ROWS, buf->hidden_stride);
}

static void place_own_experts(struct eng_own_experts *own, const struct eng_buffers *buf,
			      const struct eng_config *c, struct carver *carver)
{
	own->shares = carve_rows(carver, 1, buf->experts.score_stride);
	own->picks = carve_list(carver, ENG_FEW_ROWS * c->expert_used, sizeof(*own->picks));
	own->passes = carve_list(carver, ENG_ROWS_MAX * c->expert_used, sizeof(*own->passes));
	own->begin = carve_list(carver, c->expert_count, sizeof(*own->begin));
	own->end = carve_list(carver, c->expert_count, sizeof(*own->end));
	own->x = carve_rows(carver, ENG_EXPERT_ROWS, buf->hidden_stride);
	own->act = carve_act(carver, ENG_EXPERT_ROWS, c->hidden);
}

size_t eng_buffers_place(struct eng_buffers *buf, const struct eng_config *c, uint32_t threads,
			 unsigned char *base)
{
	uint32_t heads = c->head_count * c->head_dim, wide = larger(c->hidden, heads);
	uint32_t inner = larger(c->intermediate, c->expert_intermediate);
	struct carver carver = { .base = base };

	set_strides(buf, c);
	buf->x = carve_rows(&carver, ENG_ROWS_MAX, buf->hidden_stride);
	buf->norm = carve_rows(&carver, ENG_ROWS_MAX, buf->hidden_stride);
	buf->delta = carve_rows(&carver, ENG_ROWS_MAX, buf->hidden_stride);
	buf->qkv = carve_rows(&carver, ENG_ROWS_MAX, buf->qkv_stride);
	buf->heads = carve_rows(&carver, ENG_ROWS_MAX, buf->heads_stride);
	buf->parts = carve_rows(&carver, ENG_FEW_ROWS * c->head_count, buf->parts_stride);
	buf->cosine = carve_rows(&carver, 2 * ENG_ROWS_MAX, buf->half_stride);
	buf->sine = carve_rows(&carver, 2 * ENG_ROWS_MAX, buf->half_stride);
	buf->act = carve_act(&carver, ENG_ROWS_MAX, c->hidden);
	buf->heads_act = carve_act(&carver, ENG_ROWS_MAX, heads);
	place_inner(buf, c, &carver);
	if (c->expert_count)
		place_experts(buf, c, &carver);
	for (uint32_t i = 0; i < threads; i++) {
		struct eng_own *own = &buf->own[i];

		own->norm = carve_rows(&carver, ENG_FEW_ROWS, buf->hidden_stride);
		own->act = carve_act(&carver, ENG_FEW_ROWS, wide);
		own->heads = carve_rows(&carver, ENG_FEW_ROWS, buf->heads_stride);
		own->scores = carve_rows(&carver, ENG_QUERIES, ENG_SCORE_STRIDE);
		own->parts = carve_rows(&carver, ENG_QUERIES, buf->parts_stride);
		own->blas = carve(&carver, eng_blas_scratch_bytes(larger(wide, inner)));
		if (c->expert_count)
			place_own_experts(&own->experts, buf, c, &carver);
	}
	return carver.used;
}

int eng_prepare(struct eng *eng, const struct eng_model *model)
{
	struct eng_buffers measured;
	size_t bytes = eng_buffers_place(&measured, &model->config, eng->threads, NULL);
	unsigned char *arena;

	if (bytes <= eng->arena_bytes)
		return 0;
	bytes = round_up(bytes, ARENA_ALIGN);
	arena = aligned_alloc(ARENA_ALIGN, bytes);
	if (!arena)
		return -ENOMEM;
	(void)madvise(arena, bytes, MADV_HUGEPAGE);	/* a refusal costs speed only */
	memset(arena, 0, bytes);			/* no page fault in a step */
	free(eng->arena);
	eng->arena = arena;
	eng->arena_bytes = bytes;
	return 0;
}

int eng_new(struct eng **out, uint32_t isa, uint32_t threads)
{
	const struct eng_kernels *kernels;
	struct eng *eng;
	int ret;

	*out = NULL;
	kernels = eng_kernels_get(isa == ENG_ISA_AUTO ? eng_isa_best() : isa);
	if (!kernels)
		return -EINVAL;
	eng = calloc(1, sizeof(*eng));
	if (!eng)
		return -ENOMEM;
	eng->kernels = kernels;
	eng->threads = threads;
	ret = eng_pool_new(&eng->pool, threads);
	if (ret) {
		free(eng);
		return ret;
	}
	eng_blas_init();
	*out = eng;
	return 0;
}

void eng_free(struct eng **out)
{
	struct eng *eng = *out;

	*out = NULL;
	if (!eng)
		return;
	eng_pool_free(&eng->pool);
	free(eng->arena);
	free(eng->lora.z);
	free(eng);
}

uint32_t eng_isa(const struct eng *eng)
{
	return eng->kernels->isa;
}

uint32_t eng_threads(const struct eng *eng)
{
	return eng->threads;
}

void eng_rest(struct eng *eng)
{
	eng_pool_rest(eng->pool);
}
