/* SPDX-License-Identifier: MIT */
/*
 * eng_lora_impl.h: both halves of a low-rank adapter; included once per ISA after its eng_lanes_*.h
 * and eng_float_impl.h. Order of one value of A x: column i goes to lane i % 16 in the order of i,
 * then lanes are added i + (i+8), then 4, 2, 1, and the sum is scaled. Order of one output: the sum
 * over ranks in their order, from zero, then added to what is there.
 */
#ifndef ENG_LORA_IMPL_H
#define ENG_LORA_IMPL_H

/* What shares one pass: so many rows, times so many rows of A or panels of B. */
#if LANES_ROWS >= 8
#define LORA_ROWS	4
#define LORA_WIDE	4
#else
#define LORA_ROWS	2
#define LORA_WIDE	2
#endif
#define LORA_ALONE	4	/* for a single row */
#ifndef LORA_LEAD
#define LORA_LEAD	6144	/* bytes of B */
#endif

/*
 * The first rows ask for what the tile after theirs reads, in one ascending line: the matrices are
 * too short, and read in too many places at once, for the CPU to see where they go. What follows the
 * last tile is mostly the next matrix.
 */
ENG_INLINE void lora_ask(const void *p, size_t at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch((const char *)p + at + i, 0, 2);
}

ENG_INLINE size_t element_bytes(uint32_t type)
{
	return type == ENG_F32 ? 4 : 2;
}

struct shrink_job {
	const void *a;
	uint32_t cols, rank;
	const float *const *x;
	const float *scale;
	float *const *z;
};

/* Element @at of a float array of @type, and the 15 after it. */
ENG_INLINE struct lanes elements_load(uint32_t type, const void *p, size_t at)
{
	if (type == ENG_F32)
		return lanes_load((const float *)p + at);
	if (type == ENG_F16)
		return lanes_load_f16((const uint16_t *)p + at);
	return lanes_load_bf16((const uint16_t *)p + at);
}

/* The first @n of them, zeros after. */
ENG_INLINE struct lanes elements_load_n(uint32_t type, const void *p, size_t at, size_t n)
{
	uint16_t full[16] = { 0 };

	if (type == ENG_F32)
		return lanes_load_n((const float *)p + at, n);
	memcpy(full, (const uint16_t *)p + at, n * sizeof(*full));
	return type == ENG_F16 ? lanes_load_f16(full) : lanes_load_bf16(full);
}

/* @n rows (constant) from @row on, times @wide (constant) rows of A from @r on. */
ENG_INLINE void shrink_tile(uint32_t type, uint32_t n, uint32_t wide, const struct shrink_job *job,
			    uint32_t row, uint32_t r)
{
	const uint32_t cols = job->cols;
	const size_t next = (size_t)(r + wide) * cols;
	struct lanes sum[16], w[4], x;
	uint32_t col;

	ENG_UNROLL
	for (uint32_t i = 0; i < n * wide; i++)
		sum[i] = lanes_set(0);
	for (col = 0; col + 16 <= cols; col += 16) {
		if (row == 0)
			lora_ask(job->a, (next + col * wide) * element_bytes(type),
				 16 * wide * element_bytes(type));
		ENG_UNROLL
		for (uint32_t k = 0; k < wide; k++)
			w[k] = elements_load(type, job->a, (size_t)(r + k) * cols + col);
		ENG_UNROLL
		for (uint32_t i = 0; i < n; i++) {
			x = lanes_load(job->x[row + i] + col);
			ENG_UNROLL
			for (uint32_t k = 0; k < wide; k++)
				sum[i * wide + k] = lanes_fma(x, w[k], sum[i * wide + k]);
		}
	}
	if (col < cols) {
		ENG_UNROLL
		for (uint32_t k = 0; k < wide; k++)
			w[k] = elements_load_n(type, job->a, (size_t)(r + k) * cols + col,
					       cols - col);
		ENG_UNROLL
		for (uint32_t i = 0; i < n; i++) {
			x = lanes_load_n(job->x[row + i] + col, cols - col);
			ENG_UNROLL
			for (uint32_t k = 0; k < wide; k++)
				sum[i * wide + k] = lanes_fma(x, w[k], sum[i * wide + k]);
		}
	}
	ENG_UNROLL
	for (uint32_t i = 0; i < n; i++) {
		ENG_UNROLL
		for (uint32_t k = 0; k < wide; k++)
			job->z[row + i][r + k] =
				lanes_sum(sum[i * wide + k]) * job->scale[row + i];
	}
}

ENG_INLINE void shrink_rows(uint32_t type, uint32_t n, uint32_t wide, const struct shrink_job *job,
			    uint32_t row)
{
	uint32_t r = 0;

	for (; r + wide <= job->rank; r += wide)
		shrink_tile(type, n, wide, job, row, r);
	for (; r < job->rank; r++)
		shrink_tile(type, n, 1, job, row, r);
}

ENG_INLINE void shrink_type(uint32_t type, const struct shrink_job *job, uint32_t row_count)
{
	uint32_t row = 0;

	for (; row + LORA_ROWS <= row_count; row += LORA_ROWS)
		shrink_rows(type, LORA_ROWS, LORA_WIDE, job, row);
	for (; row < row_count; row++)
		shrink_rows(type, 1, LORA_ALONE, job, row);
}

static void lora_shrink(uint32_t type, const void *a, uint32_t rank, uint32_t cols,
			const float *const *x, const float *scale, uint32_t row_count,
			float *const *z)
{
	const struct shrink_job job = { a, cols, rank, x, scale, z };

	if (type == ENG_F32)
		shrink_type(ENG_F32, &job, row_count);
	else if (type == ENG_F16)
		shrink_type(ENG_F16, &job, row_count);
	else
		shrink_type(ENG_BF16, &job, row_count);
}

struct expand_job {
	const struct eng_matrix *b;
	const float *const *z;
	float *const *out;
};

ENG_INLINE uint32_t expand_valid(const struct eng_matrix *b, uint32_t panel)
{
	const uint32_t left = b->rows - panel * ENG_PANEL_ROWS;

	return left < ENG_PANEL_ROWS ? left : ENG_PANEL_ROWS;
}

/* @n rows (constant) times @wide (constant) panels from @panel on. */
ENG_INLINE void expand_tile(uint32_t type, uint32_t n, uint32_t wide, const struct expand_job *job,
			    uint32_t row, uint32_t panel)
{
	const size_t rank = job->b->cols, first = panel * rank * ENG_PANEL_ROWS;
	const size_t next = first + LORA_LEAD / element_bytes(type);
	struct lanes sum[16], w[4], z;

	ENG_UNROLL
	for (uint32_t i = 0; i < n * wide; i++)
		sum[i] = lanes_set(0);
	for (size_t r = 0; r < rank; r++) {
		if (row == 0)
			lora_ask(job->b->data, (next + r * wide * 16) * element_bytes(type),
				 16 * wide * element_bytes(type));
		ENG_UNROLL
		for (uint32_t k = 0; k < wide; k++)
			w[k] = elements_load(type, job->b->data,
					     first + (k * rank + r) * ENG_PANEL_ROWS);
		ENG_UNROLL
		for (uint32_t i = 0; i < n; i++) {
			z = lanes_set(job->z[row + i][r]);
			ENG_UNROLL
			for (uint32_t k = 0; k < wide; k++)
				sum[i * wide + k] = lanes_fma(z, w[k], sum[i * wide + k]);
		}
	}
	ENG_UNROLL
	for (uint32_t i = 0; i < n; i++) {
		ENG_UNROLL
		for (uint32_t k = 0; k < wide; k++) {
			float *out = job->out[row + i] + (panel + k) * ENG_PANEL_ROWS;
			const uint32_t valid = expand_valid(job->b, panel + k);

			lanes_store_n(out, lanes_add(lanes_load_n(out, valid), sum[i * wide + k]),
				      valid);
		}
	}
}

ENG_INLINE void expand_panels(uint32_t type, uint32_t wide, const struct expand_job *job,
			      uint32_t row_count, uint32_t panel)
{
	uint32_t row = 0;

	for (; row + LORA_ROWS <= row_count; row += LORA_ROWS)
		expand_tile(type, LORA_ROWS, wide, job, row, panel);
	for (; row < row_count; row++)
		expand_tile(type, 1, wide, job, row, panel);
}

ENG_INLINE void expand_type(uint32_t type, const struct expand_job *job, uint32_t first,
			    uint32_t panel_count, uint32_t row_count)
{
	const uint32_t end = first + panel_count;
	uint32_t panel = first;

	for (; panel + LORA_WIDE <= end; panel += LORA_WIDE)
		expand_panels(type, LORA_WIDE, job, row_count, panel);
	for (; panel < end; panel++)
		expand_panels(type, 1, job, row_count, panel);
}

static void lora_expand(const struct eng_matrix *b, uint32_t first_panel, uint32_t panel_count,
			const float *const *z, uint32_t row_count, float *const *out)
{
	const struct expand_job job = { b, z, out };

	if (b->type == ENG_F32)
		expand_type(ENG_F32, &job, first_panel, panel_count, row_count);
	else if (b->type == ENG_F16)
		expand_type(ENG_F16, &job, first_panel, panel_count, row_count);
	else
		expand_type(ENG_BF16, &job, first_panel, panel_count, row_count);
}

#endif
