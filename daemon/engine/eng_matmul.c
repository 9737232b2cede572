/* SPDX-License-Identifier: MIT */
/*
 * eng_matmul.c: which product a row goes through. Quantised matrices have one path for all rows;
 * float matrices have two: BLAS for prompts where it is as fast, else the own kernel. What chooses is
 * the row's kind and the matrix's width, never its company.
 */
#include "eng_priv.h"

/*
 * Beyond so many columns a tile of OpenBLAS leaves the first-level cache, and the own vector kernels
 * are up to twice as fast (kernels/README.md).
 */
#define BLAS_COLS_MAX	768u

static bool is_for_blas(const struct eng *eng, const struct eng_matrix *m, bool prompt)
{
	return prompt && (m->cols <= BLAS_COLS_MAX || eng->kernels->isa == ENG_ISA_GENERIC);
}

static void apply_float(struct eng *eng, uint32_t thread, const struct eng_matrix *m,
			struct eng_range panels, const float *x, size_t stride, uint32_t rows,
			bool prompt, float *out, size_t out_stride)
{
	if (!rows)
		return;
	if (is_for_blas(eng, m, prompt))
		eng_blas_matmul(m, panels.first, panels.count, x, stride, rows, out, out_stride,
				eng->step.buf.own[thread].blas);
	else
		eng->kernels->matmul_f(m, panels.first, panels.count, x, stride, rows, out,
				       out_stride);
}

void eng_apply_rows(struct eng *eng, uint32_t thread, const struct eng_matrix *m, struct eng_range panels,
		    uint32_t rows, uint32_t prompts, const struct eng_operand *in, float *out,
		    size_t out_stride)
{
	if (!panels.count || !rows)
		return;
	if (eng_quantized(m)) {
		eng->kernels->matmul_q(m, panels.first, panels.count, &in->act, rows, out, out_stride);
		return;
	}
	apply_float(eng, thread, m, panels, in->x, in->stride, prompts, true, out, out_stride);
	apply_float(eng, thread, m, panels, in->x + prompts * in->stride, in->stride, rows - prompts, false,
		    out + prompts * out_stride, out_stride);
}

void eng_apply(struct eng *eng, uint32_t thread, const struct eng_matrix *m,
	       struct eng_range panels, struct eng_range rows, const struct eng_operand *in,
	       float *out, size_t out_stride)
{
	const struct eng_operand from = {
		.x = in->x + rows.first * in->stride,
		.stride = in->stride,
		.act = eng_act_from(&in->act, rows.first),
	};
	uint32_t prompts = eng->step.prompt_count;

	prompts = prompts > rows.first ? prompts - rows.first : 0;
	prompts = prompts < rows.count ? prompts : rows.count;
	eng_apply_rows(eng, thread, m, panels, rows.count, prompts, &from, out + rows.first * out_stride,
		       out_stride);
}

/* How many rows from @at on have consecutive indices and are of one kind. */
static uint32_t run_length(const struct eng_step *step, uint32_t at)
{
	const struct eng_row *first = &step->rows[step->logits_rows[at]];
	uint32_t n = 1;

	while (at + n < step->logits_count) {
		const struct eng_row *row = &step->rows[step->logits_rows[at + n]];

		if (row->logits != first->logits + (int32_t)n || row->is_prompt != first->is_prompt)
			break;
		n++;
	}
	return n;
}

void eng_apply_logits(struct eng *eng, uint32_t thread, const struct eng_operand *in)
{
	const struct eng_step *step = &eng->step;
	const struct eng_matrix *m = &step->model->output;
	size_t vocab = step->model->config.vocab_count;
	struct eng_range panels = eng_share(eng_panels(m), thread, eng->threads);
	uint32_t n;

	if (!panels.count)
		return;
	for (uint32_t at = 0; at < step->logits_count; at += n) {
		const struct eng_row *row = &step->rows[step->logits_rows[at]];
		float *out = step->logits + (size_t)row->logits * vocab;
		struct eng_act act = eng_act_from(&in->act, at);

		n = run_length(step, at);
		if (eng_quantized(m))
			eng->kernels->matmul_q(m, panels.first, panels.count, &act, n, out, vocab);
		else
			apply_float(eng, thread, m, panels, in->x + at * in->stride, in->stride, n,
				    row->is_prompt, out, vocab);
	}
}
