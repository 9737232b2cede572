/* SPDX-License-Identifier: MIT */
/*
 * eng_amx_impl.h: many rows on tiles of 16 rows x 16 outputs. Included after an eng_lanes_*.h,
 * unpack_weights (type, weights of a block, 512 signed bytes) and tmm_zero, _load, _dot, _store,
 * _start and _end: the instructions (eng_k_amx.c), or what they are defined to do in plain C
 * (tests/unit/amx_test.c), which holds the kernel to the bits on any CPU.
 *
 * A block of 32 columns (16 for Q3K, Q6K) is one multiplication: A is 16 rows of activations, B the
 * panel's block, whose groups of 16 rows x 4 columns are B's rows as they stand. A deeper B would
 * fill the unit better, but every block has a scale of its own, and the float steps must follow
 * block by block, in the one order that all ISAs keep. They set the pace: beside tiles in use only
 * one pipe is left for 512-bit multiplications (measured). So all that the inner loop reads lies
 * side by side: activations in amx_gathered, a panel in amx_panel, and sums are added two units after
 * they were stored, when they can be read without waiting.
 */
#ifndef ENG_AMX_IMPL_H
#define ENG_AMX_IMPL_H

#include <stdbool.h>
#include <string.h>

#include "eng_kernels.h"
#include "eng_panel.h"
#include "eng_unroll.h"

#define AMX_ROWS	16u
#define AMX_ROWS_MIN	12u	/* fewer are faster without tiles */
#define AMX_TILES	8u	/* of rows, gathered at a time */
#define AMX_BLOCKS	32u	/* of columns, gathered and unpacked at a time */

/* 16 rows of activations, block by block. */
struct amx_gathered {
	_Alignas(64) int8_t q[AMX_BLOCKS][AMX_ROWS][32];
	_Alignas(64) float scale[AMX_BLOCKS][AMX_ROWS];
	_Alignas(64) float scaled_sum[AMX_BLOCKS][AMX_ROWS];
};

/* Some blocks of one panel. */
struct amx_panel {
	const int8_t *q[AMX_BLOCKS];	/* in the matrix if it has bytes, else in @bytes */
	_Alignas(64) float scale[AMX_BLOCKS][2][16];	/* of 16 columns each, alike without halves */
	_Alignas(64) float min[AMX_BLOCKS][16];
	_Alignas(64) int8_t bytes[AMX_BLOCKS][512];
};

/* Memory of the thread, so that no call needs 150 KB of stack. */
static _Thread_local struct amx_gathered amx_gathered[AMX_TILES];
static _Thread_local struct amx_panel amx_panel;

static void unpack_scales(uint32_t type, const uint8_t *panel, uint32_t block, float scale[2][16],
			  float min[16])
{
	const uint8_t *head = panel + eng_panel_scales(type, block);
	const uint8_t *sub = panel + eng_panel_sub(type, block);	/* K types only */

	if (type == ENG_E4)
		for (uint32_t i = 0; i < 16; i++)
			scale[0][i] = eng_scale_float(type, head + 2 * i);
	else
		lanes_store(scale[0], lanes_load_f16((const uint16_t *)(const void *)head));
	if (eng_type_has_min(type))
		lanes_store(min, lanes_load_f16((const uint16_t *)(const void *)(head + 32)));
	for (uint32_t i = 0; i < 16 && eng_type_is_k(type); i++) {
		const float d = scale[0][i];

		if (eng_type_has_min(type)) {
			scale[0][i] = d * (float)sub[i];
			min[i] = -(min[i] * (float)sub[16 + i]);
			continue;
		}
		scale[0][i] = d * (float)(int8_t)sub[i];
		if (eng_type_has_halves(type))
			scale[1][i] = d * (float)(int8_t)sub[16 + i];
	}
}

/* Blocks [first, first + count) of @panel. */
static void unpack_panel(uint32_t type, const uint8_t *panel, uint32_t first, uint32_t count,
			 struct amx_panel *to)
{
	for (uint32_t b = 0; b < count; b++) {
		const uint8_t *weights = panel + eng_panel_weights(type, first + b);

		to->q[b] = (const int8_t *)weights;
		if (eng_type_bits(type) < 8) {
			to->q[b] = to->bytes[b];
			unpack_weights(type, weights, to->bytes[b]);
		}
		unpack_scales(type, panel, first + b, to->scale[b], to->min[b]);
	}
}

/* Blocks [first, first + count) of up to AMX_ROWS rows; zeros stand for those that are missing. */
static void gather(const struct eng_act *act, uint32_t rows, uint32_t first, uint32_t count,
		   struct amx_gathered *to)
{
	static const struct eng_act_block none;
	const uint32_t stride = eng_act_stride(act->cols);

	for (uint32_t b = 0; b < count; b++)
		for (uint32_t r = 0; r < AMX_ROWS; r++) {
			const struct eng_act_block *a =
				r < rows ? act->block + (size_t)r * stride + first + b : &none;

			memcpy(to->q[b][r], a->q, sizeof(a->q));
			to->scale[b][r] = a->scale;
			to->scaled_sum[b][r] = a->scaled_sum;
		}
}

/* The tiles. Sums 0 and 1; A and B of 32 columns, twice, and of 16. */
static const struct tmm_config tile_shapes = {
	.palette = 1,
	.row_bytes = { 64, 64, 32, 64, 32, 64, 16, 64 },
	.rows = { 16, 16, 16, 8, 16, 8, 16, 4 },
};

/* One tile of rows against some blocks of one panel. */
struct amx_job {
	const struct amx_gathered *a;
	const struct amx_panel *w;
	uint32_t blocks, rows;		/* rows of the tile that exist */
	uint32_t valid;			/* outputs of the panel that exist */
	bool first;			/* nothing in @out yet */
	float *out;
	size_t out_stride;
	const uint8_t *next;		/* to be fetched meanwhile: */
	uint32_t next_lines;		/* so many with each pair of units */
};

/* A block, or half of one: where its factors stand. */
struct amx_unit {
	const int8_t *left, *right;
	const float *scale, *min, *row_scale, *row_sum;
};

/* The first or second unit of pair @pair: two blocks, or the halves of one. */
ENG_INLINE struct amx_unit unit_at(bool halves, bool second, const struct amx_job *job,
				   uint32_t pair)
{
	const uint32_t block = halves ? pair : 2 * pair + second, half = halves && second;

	return (struct amx_unit){
		.left = job->a->q[block][0] + 16 * half,
		.right = job->w->q[block] + 256 * half,
		.scale = job->w->scale[block][half],
		.min = job->w->min[block],
		.row_scale = job->a->scale[block],
		.row_sum = job->a->scaled_sum[block],
	};
}

#define MULTIPLY(sum, a, b)			\
	do {					\
		tmm_zero(sum);			\
		tmm_load(a, u.left, 32);	\
		tmm_load(b, u.right, 64);	\
		tmm_dot(sum, a, b);		\
		tmm_store(sum, sums, 64);	\
	} while (0)

/* Units of a pair use different tiles: neither waits for the other. */
ENG_INLINE void multiply(bool halves, bool second, struct amx_unit u, int32_t sums[16][16])
{
	if (halves && second)
		MULTIPLY(1, 6, 7);
	else if (halves)
		MULTIPLY(0, 6, 7);
	else if (second)
		MULTIPLY(1, 4, 5);
	else
		MULTIPLY(0, 2, 3);
}

/* The float steps of one unit, as eng_k_generic.c has them. */
ENG_INLINE void add_unit(bool has_min, struct amx_unit u, int32_t sums[16][16],
			 struct lanes acc[AMX_ROWS])
{
	const struct lanes scale = lanes_load(u.scale);
	const struct lanes min = has_min ? lanes_load(u.min) : lanes_set(0);

	ENG_UNROLL
	for (uint32_t r = 0; r < AMX_ROWS; r++) {
		acc[r] = lanes_fma(lanes_mul(scale, lanes_set(u.row_scale[r])),
				   lanes_of_int(sums[r]), acc[r]);
		if (has_min)
			acc[r] = lanes_fma(min, lanes_set(u.row_sum[r]), acc[r]);
	}
}

ENG_INLINE void add_pair(bool halves, bool has_min, const struct amx_job *job, uint32_t pair,
			 int32_t sums[2][16][16], struct lanes acc[AMX_ROWS])
{
	add_unit(has_min, unit_at(halves, false, job, pair), sums[0], acc);
	add_unit(has_min, unit_at(halves, true, job, pair), sums[1], acc);
}

ENG_INLINE void multiply_pair(bool halves, const struct amx_job *job, uint32_t pair,
			      int32_t sums[2][16][16])
{
	multiply(halves, false, unit_at(halves, false, job, pair), sums[0]);
	multiply(halves, true, unit_at(halves, true, job, pair), sums[1]);
}

/* Some cache lines of what comes next. */
ENG_INLINE const uint8_t *fetch(const uint8_t *at, uint32_t lines)
{
	for (; lines; lines--, at += 64)
		__builtin_prefetch(at, 0, 2);
	return at;
}

/* Outputs of row @r that exist. */
ENG_INLINE uint32_t outputs_of(const struct amx_job *job, uint32_t r)
{
	return r < job->rows ? job->valid : 0;
}

ENG_INLINE void rows_of_tile(bool halves, bool has_min, const struct amx_job *job)
{
	const uint32_t pairs = halves ? job->blocks : job->blocks / 2;
	const uint8_t *next = job->next;
	_Alignas(64) int32_t sums[2][2][16][16];
	struct lanes acc[AMX_ROWS];

	ENG_UNROLL
	for (uint32_t r = 0; r < AMX_ROWS; r++)
		acc[r] = job->first ? lanes_set(0) :
				      lanes_load_n(job->out + r * job->out_stride,
						   outputs_of(job, r));
	if (pairs)
		multiply_pair(halves, job, 0, sums[0]);
	for (uint32_t p = 0; p < pairs; p++) {
		if (p + 1 < pairs)
			multiply_pair(halves, job, p + 1, sums[(p + 1) % 2]);
		add_pair(halves, has_min, job, p, sums[p % 2], acc);
		next = fetch(next, job->next_lines);
	}
	if (!halves && job->blocks % 2) {
		multiply(halves, false, unit_at(halves, false, job, pairs), sums[0][0]);
		add_unit(has_min, unit_at(halves, false, job, pairs), sums[0][0], acc);
	}
	ENG_UNROLL
	for (uint32_t r = 0; r < AMX_ROWS; r++)
		lanes_store_n(job->out + r * job->out_stride, acc[r], outputs_of(job, r));
}

static void run_tile(uint32_t type, const struct amx_job *job)
{
	if (eng_type_has_halves(type))
		rows_of_tile(true, false, job);
	else if (eng_type_has_min(type))
		rows_of_tile(false, true, job);
	else
		rows_of_tile(false, false, job);
}

/* Lines of the next panel for each pair, so that all tiles together fetch its blocks. */
static uint32_t lines_per_pair(uint32_t type, uint32_t blocks, uint32_t row_tiles)
{
	const size_t bytes = eng_panel_weights(type, blocks) - eng_panel_weights(type, 0);
	const uint32_t pairs = row_tiles * (eng_type_has_halves(type) ? blocks : (blocks + 1) / 2);

	return (uint32_t)((bytes / 64 + pairs - 1) / pairs);
}

/* Blocks [first, first + count) of one panel against the rows gathered. */
static void run_panel(const struct eng_matrix *m, uint32_t panel, uint32_t first, uint32_t count,
		      uint32_t row_count, float *out, size_t out_stride)
{
	const size_t panel_bytes = eng_panel_bytes(m->type, m->cols);
	const uint32_t left = m->rows - panel * ENG_PANEL_ROWS;
	const uint32_t row_tiles = (row_count + AMX_ROWS - 1) / AMX_ROWS;
	const uint32_t lines = lines_per_pair(m->type, count, row_tiles);
	const uint8_t *data = (const uint8_t *)m->data + panel * panel_bytes;
	const uint8_t *next = data + panel_bytes + eng_panel_scales(m->type, first);
	struct amx_job job = {
		.w = &amx_panel, .blocks = count, .first = !first, .next_lines = lines,
		.valid = left < ENG_PANEL_ROWS ? left : ENG_PANEL_ROWS, .out_stride = out_stride,
	};

	unpack_panel(m->type, data, first, count, &amx_panel);
	for (uint32_t t = 0; t < row_tiles; t++) {
		job.a = &amx_gathered[t];
		job.rows = row_count - t * AMX_ROWS;
		job.out = out + t * AMX_ROWS * out_stride + panel * ENG_PANEL_ROWS;
		job.next = next + (size_t)t * lines * 64 * (count / 2);
		run_tile(m->type, &job);
	}
}

/* Up to AMX_TILES tiles of rows. */
static void run_rows(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const struct eng_act *act, uint32_t row_count, float *out, size_t out_stride)
{
	const uint32_t blocks = m->cols / ENG_BLOCK_COLS;
	const uint32_t parts = (blocks + AMX_BLOCKS - 1) / AMX_BLOCKS;

	for (uint32_t part = 0; part < parts; part++) {
		const uint32_t first = blocks * part / parts;
		const uint32_t count = blocks * (part + 1) / parts - first;

		for (uint32_t row = 0; row < row_count; row += AMX_ROWS) {
			const struct eng_act rows = eng_act_from(act, row);

			gather(&rows, row_count - row, first, count, &amx_gathered[row / AMX_ROWS]);
		}
		for (uint32_t p = first_panel; p < first_panel + panel_count; p++)
			run_panel(m, p, first, count, row_count, out, out_stride);
	}
}

/* As many rows as are worth it; their number. Q2K's minima for each 16 columns have no place here. */
static uint32_t amx_rows(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
			 const struct eng_act *act, uint32_t row_count, float *out,
			 size_t out_stride)
{
	const uint32_t rest = row_count % AMX_ROWS;
	const uint32_t rows = rest < AMX_ROWS_MIN ? row_count - rest : row_count;

	if (!rows || m->type == ENG_Q2K)
		return 0;
	tmm_start(&tile_shapes);
	for (uint32_t row = 0; row < rows; row += AMX_TILES * AMX_ROWS) {
		const struct eng_act some = eng_act_from(act, row);
		const uint32_t left = rows - row, most = AMX_TILES * AMX_ROWS;

		run_rows(m, first_panel, panel_count, &some, left < most ? left : most,
			 out + row * out_stride, out_stride);
	}
	tmm_end();
	return rows;
}

#endif
