/* SPDX-License-Identifier: MIT */
/*
 * eng_amx_impl.h: prompts on tiles of 16 rows x 16 outputs. Included after an eng_lanes_*.h and
 * tmm_zero, _load, _dot, _store, _start and _end: the instructions (eng_k_amx.c), or what they are
 * defined to do in plain C (tests/unit/amx_test.c), which holds the kernel to the bits on any CPU.
 *
 * A block of 32 columns (16 for Q6K) is one multiplication: A is 16 rows of activations, taken from
 * where they lie; B is the panel's block, whose groups of 16 rows x 4 columns are B's rows as they
 * stand. A deeper B would fill the unit better, but every block has a scale of its own, and the
 * float steps must follow block by block, in the one order that all ISAs keep. They cost more than
 * the multiplication, so half a tile's depth loses little. Two tiles of sums take turns, so that
 * the unit works on one block while the floats of the block before are added.
 *
 * Weights become signed bytes once for all rows, and scales floats, in @unpacked: 64 rows or more
 * share that work. Rows that do not fill a tile go the AVX-512 way, which gives the same bits.
 */
#ifndef ENG_AMX_IMPL_H
#define ENG_AMX_IMPL_H

#include <stdbool.h>
#include <string.h>

#include "eng_kernels.h"
#include "eng_panel.h"
#include "eng_unroll.h"

#define AMX_ROWS	16u
#define AMX_BLOCKS	64u	/* of a panel, unpacked at a time: 32 KiB of weights */

/* Blocks of one panel, ready for the tiles. */
struct unpacked {
	_Alignas(64) int8_t q[AMX_BLOCKS][512];
	_Alignas(64) float scale[AMX_BLOCKS][2][16];	/* of 16 columns each, alike unless Q6K */
	_Alignas(64) float min[AMX_BLOCKS][16];
};

static void unpack_weights(uint32_t type, const uint8_t *weights, int8_t *q)
{
	const int offset = type == ENG_Q4 ? 8 : 0;

	if (!eng_type_is_4bit(type)) {
		memcpy(q, weights, 512);
		return;
	}
	for (uint32_t i = 0; i < 256; i++) {
		q[i] = (int8_t)((weights[i] & 15) - offset);
		q[256 + i] = (int8_t)((weights[i] >> 4) - offset);
	}
}

static void unpack_scales(uint32_t type, const uint8_t *panel, uint32_t block, float scale[2][16],
			  float min[16])
{
	const uint8_t *head = panel + eng_panel_scales(type, block);
	const uint8_t *sub = head + ENG_SCALE_BYTES + block % 8 * 32;	/* K types only */

	lanes_store(scale[0], lanes_load_f16((const uint16_t *)(const void *)head));
	if (eng_type_has_min(type))
		lanes_store(min, lanes_load_f16((const uint16_t *)(const void *)(head + 32)));
	for (uint32_t i = 0; i < 16; i++) {
		const float d = scale[0][i];

		if (type == ENG_Q4K || type == ENG_Q5K) {
			scale[0][i] = d * (float)sub[i];
			min[i] = -(min[i] * (float)sub[16 + i]);
		} else if (type == ENG_Q6K) {
			scale[0][i] = d * (float)(int8_t)sub[i];
			scale[1][i] = d * (float)(int8_t)sub[16 + i];
		}
	}
}

/* Blocks [first, first + count) of @panel. */
static void unpack_panel(uint32_t type, const uint8_t *panel, uint32_t first, uint32_t count,
			 struct unpacked *to)
{
	for (uint32_t b = 0; b < count; b++) {
		unpack_weights(type, panel + eng_panel_weights(type, first + b), to->q[b]);
		unpack_scales(type, panel, first + b, to->scale[b], to->min[b]);
	}
}

/* The tiles. Sums 0 and 1; A and B of 32 columns, and of 16. */
static const struct tmm_config tile_shapes = {
	.palette = 1,
	.row_bytes = { 64, 64, 32, 64, 16, 64 },
	.rows = { 16, 16, 16, 8, 16, 4 },
};

/* Rows that fill a tile, and the blocks of one panel that stand in @w. */
struct amx_job {
	const struct unpacked *w;
	const struct eng_act_block *act;	/* of the first row and block */
	size_t act_blocks;			/* from row to row */
	uint32_t blocks;
	uint32_t valid;				/* outputs */
	bool first;				/* nothing in @out yet */
	float *out;
	size_t out_stride;
};

/* Unit @unit, a block or half of one, into @sums, through tile @tile (0 or 1). */
ENG_INLINE void multiply(bool halves, int tile, const struct amx_job *job, uint32_t unit,
			 int32_t sums[16][16])
{
	const uint32_t block = halves ? unit / 2 : unit, half = halves ? unit % 2 : 0;
	const int8_t *a = job->act[block].q + half * 16;
	const int8_t *b = job->w->q[block] + half * 256;
	const size_t stride = job->act_blocks * sizeof(struct eng_act_block);

	if (tile)
		tmm_zero(1);
	else
		tmm_zero(0);
	if (halves) {
		tmm_load(4, a, stride);
		tmm_load(5, b, 64);
	} else {
		tmm_load(2, a, stride);
		tmm_load(3, b, 64);
	}
	if (halves && tile)
		tmm_dot(1, 4, 5);
	else if (halves)
		tmm_dot(0, 4, 5);
	else if (tile)
		tmm_dot(1, 2, 3);
	else
		tmm_dot(0, 2, 3);
	if (tile)
		tmm_store(1, sums, 64);
	else
		tmm_store(0, sums, 64);
}

/* The float steps of one unit, as eng_k_generic.c has them. */
ENG_INLINE void add_unit(bool halves, bool has_min, const struct amx_job *job, uint32_t unit,
			 int32_t sums[16][16], struct lanes acc[AMX_ROWS])
{
	const uint32_t block = halves ? unit / 2 : unit, half = halves ? unit % 2 : 0;
	const struct lanes scale = lanes_load(job->w->scale[block][half]);
	const struct lanes min = has_min ? lanes_load(job->w->min[block]) : lanes_set(0);

	ENG_UNROLL
	for (uint32_t r = 0; r < AMX_ROWS; r++) {
		const struct eng_act_block *a = job->act + r * job->act_blocks + block;

		acc[r] = lanes_fma(lanes_mul(scale, lanes_set(a->scale)), lanes_of_int(sums[r]),
				   acc[r]);
		if (has_min)
			acc[r] = lanes_fma(min, lanes_set(a->scaled_sum), acc[r]);
	}
}

ENG_INLINE void rows_of_tile(bool halves, bool has_min, const struct amx_job *job)
{
	const uint32_t units = halves ? job->blocks * 2 : job->blocks;
	_Alignas(64) int32_t even[16][16], odd[16][16];
	struct lanes acc[AMX_ROWS];

	ENG_UNROLL
	for (uint32_t r = 0; r < AMX_ROWS; r++)
		acc[r] = job->first ? lanes_set(0) :
				      lanes_load_n(job->out + r * job->out_stride, job->valid);
	multiply(halves, 0, job, 0, even);
	for (uint32_t u = 0; u < units; u += 2) {
		if (u + 1 < units)
			multiply(halves, 1, job, u + 1, odd);
		add_unit(halves, has_min, job, u, even, acc);
		if (u + 2 < units)
			multiply(halves, 0, job, u + 2, even);
		if (u + 1 < units)
			add_unit(halves, has_min, job, u + 1, odd, acc);
	}
	ENG_UNROLL
	for (uint32_t r = 0; r < AMX_ROWS; r++)
		lanes_store_n(job->out + r * job->out_stride, acc[r], job->valid);
}

static void run_rows(uint32_t type, const struct amx_job *job)
{
	if (type == ENG_Q6K)
		rows_of_tile(true, false, job);
	else if (eng_type_has_min(type))
		rows_of_tile(false, true, job);
	else
		rows_of_tile(false, false, job);
}

/* One panel against @row_count rows, a multiple of AMX_ROWS. */
static void amx_panel(const struct eng_matrix *m, uint32_t panel, const struct eng_act *act,
		      uint32_t row_count, float *out, size_t out_stride, struct unpacked *w)
{
	const uint32_t blocks = m->cols / ENG_BLOCK_COLS, left = m->rows - panel * ENG_PANEL_ROWS;
	const uint8_t *data = (const uint8_t *)m->data + panel * eng_panel_bytes(m->type, m->cols);
	struct amx_job job = {
		.w = w, .act_blocks = blocks, .valid = left < ENG_PANEL_ROWS ? left : ENG_PANEL_ROWS,
		.out_stride = out_stride,
	};

	for (uint32_t b = 0; b < blocks; b += AMX_BLOCKS) {
		job.blocks = blocks - b < AMX_BLOCKS ? blocks - b : AMX_BLOCKS;
		job.first = !b;
		unpack_panel(m->type, data, b, job.blocks, w);
		for (uint32_t row = 0; row < row_count; row += AMX_ROWS) {
			job.act = eng_act_from(act, row).block + b;
			job.out = out + row * out_stride + panel * ENG_PANEL_ROWS;
			run_rows(m->type, &job);
		}
	}
}

/* All whole tiles of rows; the number of rows done. */
static uint32_t amx_rows(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
			 const struct eng_act *act, uint32_t row_count, float *out,
			 size_t out_stride)
{
	const uint32_t rows = row_count / AMX_ROWS * AMX_ROWS;
	struct unpacked w;

	if (!rows)
		return 0;
	tmm_start(&tile_shapes);
	for (uint32_t p = first_panel; p < first_panel + panel_count; p++)
		amx_panel(m, p, act, rows, out, out_stride, &w);
	tmm_end();
	return rows;
}

#endif
