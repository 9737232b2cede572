/* SPDX-License-Identifier: MIT */
/*
 * eng_tiles.h: the walk over panels and rows that the vector ISAs share. A tile is one panel
 * times 1..TILE_FEW or TILE_ROWS rows; these and tile(type, rows, ...) come from the including file.
 * Type and rows are constants in each copy of tile(), so its loops unroll.
 */
#ifndef ENG_TILES_H
#define ENG_TILES_H

#include "eng_kernels.h"
#include "eng_panel.h"
#include "eng_unroll.h"

/*
 * Weights that stay in the second-level cache while all rows pass over them, and those after them,
 * which are fetched meanwhile.
 */
#define CHUNK_BYTES	(128u << 10)

struct tile_job {
	const uint8_t *panel;
	const uint8_t *next;			/* what to fetch: the same panel of the next chunk */
	uint32_t part, parts;			/* which of its cache lines: every @parts-th */
	uint32_t lead_bytes;			/* else: how far ahead to fetch */
	const struct eng_act_block *act;	/* of the tile's first row */
	uint32_t blocks;			/* per row */
	uint32_t act_stride;			/* blocks from row to row */
	uint32_t valid;				/* outputs of this panel, 1..16 */
	float *out;				/* of the first row and the panel's first output */
	size_t out_stride;
};

ENG_INLINE void tile(uint32_t type, uint32_t rows, const struct tile_job *job);

/* Bytes of one block with its share of scales. */
ENG_INLINE size_t tile_block_bytes(uint32_t type)
{
	const size_t scales = eng_type_is_k(type) ? eng_super_head(type) / 8 :
			      eng_type_has_min(type) ? ENG_SCALE_BYTES : ENG_SCALE_BYTES / 2;

	return scales + eng_block_bytes(type);
}

/*
 * Measured: one or two rows need 2 to 4 KB on a Xeon (a larger lead serves weights in the third
 * level, and costs where they are not). On a Zen 4 just that keeps one core at 19 GB/s of 30: there
 * one row needs 512 bytes, two need 6 KB; on a Zen 3 one row does best with 1.5 KB. More rows need a long one.
 */
static uint32_t tile_lead_bytes(uint32_t rows)
{
	if (rows > 2)
		return 12288;
	if (__builtin_cpu_is("znver3"))
		return rows == 1 ? 1536 : 6144;
	if (__builtin_cpu_is("amd"))
		return rows == 1 ? 512 : 6144;
	return 3072;
}

/*
 * The weights of a thread lie in one sequence: ask for what will be needed some blocks on, into the
 * second level, as the activations of several rows need the first. When several tiles pass over
 * a chunk, each fetches its part of the next one: the memory has all their time.
 */
ENG_INLINE void tile_prefetch(uint32_t type, uint32_t rows, const struct tile_job *job,
			      uint32_t block)
{
	const size_t bytes = tile_block_bytes(type);
	const uint8_t *p = job->panel + block * bytes + job->lead_bytes;

	if (rows == TILE_ROWS && job->parts > 1) {
		p = job->next + block * bytes;
		for (size_t i = job->part * 64; i < bytes; i += job->parts * 64)
			__builtin_prefetch(p + i, 0, 2);
		return;
	}
	ENG_UNROLL
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch(p + i, 0, 2);
}

/* One function per type, one copy of tile() per row count. */
#define TILE_CASE(type, n)	case n: tile(type, n, job); break;
#define TILE_FUNCTION(type)						\
static void tile_##type(const struct tile_job *job, uint32_t rows)	\
{									\
	switch (rows) {							\
	TILE_CASES(type)						\
	}								\
}

TILE_FUNCTION(ENG_Q8)
TILE_FUNCTION(ENG_Q5)
TILE_FUNCTION(ENG_Q5M)
TILE_FUNCTION(ENG_Q4)
TILE_FUNCTION(ENG_Q4M)
TILE_FUNCTION(ENG_Q4K)
TILE_FUNCTION(ENG_Q5K)
TILE_FUNCTION(ENG_Q6K)
TILE_FUNCTION(ENG_Q2K)
TILE_FUNCTION(ENG_Q3K)
TILE_FUNCTION(ENG_N4)
TILE_FUNCTION(ENG_N4K)
TILE_FUNCTION(ENG_E4)

typedef void tile_function(const struct tile_job *job, uint32_t rows);

static tile_function *const tile_functions[ENG_TYPE_COUNT] = {
	[ENG_Q8] = tile_ENG_Q8, [ENG_Q5M] = tile_ENG_Q5M, [ENG_Q4] = tile_ENG_Q4,
	[ENG_Q4M] = tile_ENG_Q4M, [ENG_Q4K] = tile_ENG_Q4K, [ENG_Q5K] = tile_ENG_Q5K,
	[ENG_Q6K] = tile_ENG_Q6K, [ENG_Q5] = tile_ENG_Q5, [ENG_Q2K] = tile_ENG_Q2K,
	[ENG_Q3K] = tile_ENG_Q3K, [ENG_N4] = tile_ENG_N4, [ENG_N4K] = tile_ENG_N4K,
	[ENG_E4] = tile_ENG_E4,
};

/* Rows of the next tile: as many as there is a copy of tile() for. */
static uint32_t tile_rows(uint32_t left)
{
	if (left >= TILE_ROWS)
		return TILE_ROWS;
	return left > TILE_FEW ? TILE_FEW : left;
}

/* All rows over the panels [first, first + count). */
static void chunk(const struct eng_matrix *m, uint32_t first, uint32_t count, uint64_t panel_bytes,
		  const struct eng_act *act, uint32_t row_count, float *out, size_t out_stride)
{
	struct tile_job job = {
		.blocks = m->cols / ENG_BLOCK_COLS, .act_stride = eng_act_stride(m->cols),
		.out_stride = out_stride,
	};

	job.parts = row_count / TILE_ROWS;
	for (uint32_t row = 0, rows; row < row_count; row += rows, job.part++) {
		rows = tile_rows(row_count - row);
		job.lead_bytes = tile_lead_bytes(rows);
		job.act = eng_act_from(act, row).block;
		job.panel = (const uint8_t *)m->data + first * panel_bytes;
		for (uint32_t p = first; p < first + count; p++, job.panel += panel_bytes) {
			const uint32_t left = m->rows - p * ENG_PANEL_ROWS;

			job.next = job.panel + count * panel_bytes;
			job.valid = left < ENG_PANEL_ROWS ? left : ENG_PANEL_ROWS;
			job.out = out + row * out_stride + p * ENG_PANEL_ROWS;
			tile_functions[m->type](&job, rows);
		}
	}
}

static void matmul_q(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const struct eng_act *act, uint32_t row_count, float *out, size_t out_stride)
{
	const uint64_t panel_bytes = eng_panel_bytes(m->type, m->cols);
	const uint64_t fitting = CHUNK_BYTES / panel_bytes;
	const uint32_t step = fitting ? (uint32_t)fitting : 1;

	while (panel_count) {
		const uint32_t count = panel_count < step ? panel_count : step;

		chunk(m, first_panel, count, panel_bytes, act, row_count, out, out_stride);
		first_panel += count;
		panel_count -= count;
	}
}

#endif
