/* SPDX-License-Identifier: MIT */
/*
 * eng_decoder_priv.h: what a thread of a step knows, and the pieces that blocks (eng_block.c) and the
 * walk over the layers (eng_decoder.c) share. The threads of a step share
 *  - few rows by panels: each norms and rounds all rows for itself. Barriers after q/k/v, after
 *    storing k and v (unless each owns its KV heads), after attention, o, gate/up and down;
 *  - more rows by panels too, but norms and rounding are shared as well: three barriers more;
 *  - many rows by rows: one barrier, after storing k and v.
 * Adapters: the first half of each goes with norms and rounding, by rows, the second half with the
 * product, by panels; where more rows than few are shared, down (and o, unless rounded) meets once
 * more. A norm of what a block adds needs whole rows: one barrier more after o and after down.
 * Experts: all threads share all rows, however many (those of one expert are few), so own rows meet too.
 */
#ifndef ENG_DECODER_PRIV_H
#define ENG_DECODER_PRIV_H

#include "eng_priv.h"

struct worker {
	struct eng *eng;
	const struct eng_model *model;
	const struct eng_kernels *kernels;
	uint32_t thread;
	struct eng_range rows;	/* that this thread multiplies */
	bool few;		/* it norms and rounds them into memory of its own */
	bool own_rows;		/* no other thread has a part in them */
	/* What differs between families, chosen once a step. */
	void (*feed_forward)(const struct worker *w, uint32_t layer);
	void (*activate)(float *out, const float *gate, const float *up, size_t n);
};

/* Between phases: own rows need nobody. */
static inline void meet(const struct worker *w)
{
	if (!w->own_rows)
		eng_pool_barrier(w->eng->pool, w->thread);
}

/* The panels, or pairs of them, that this thread multiplies. */
static inline struct eng_range share_of_panels(const struct worker *w, uint32_t panels)
{
	if (w->own_rows)
		return (struct eng_range){ 0, panels };
	return eng_share(panels, w->thread, w->eng->threads);
}

/* Rows that are this thread's alone, for what needs whole ones. */
static inline struct eng_range share_of_whole_rows(const struct worker *w)
{
	return w->own_rows ? w->rows : eng_share(w->rows.count, w->thread, w->eng->threads);
}

/* The rows that this thread norms and rounds. */
static inline struct eng_range share_of_rows(const struct worker *w)
{
	return w->few ? w->rows : share_of_whole_rows(w);
}

/* Columns that @panels cover; the last panel of a matrix may be short. */
static inline struct eng_range columns_of(const struct eng_matrix *m, struct eng_range panels)
{
	uint32_t first = panels.first * ENG_PANEL_ROWS;
	uint32_t end = first + panels.count * ENG_PANEL_ROWS;

	end = end < m->rows ? end : m->rows;
	return (struct eng_range){ first, panels.count ? end - first : 0 };
}

/* @bias: LayerNorm, without: RMSNorm. */
struct norm {
	const float *weight, *bias;
};

/* eng_block.c */

/* One row of x into @out. */
void eng_norm_row(const struct worker *w, struct norm norm, const float *x, float *out);
struct eng_lora_pass eng_worker_pass(const struct worker *w, uint32_t layer, struct eng_range rows);
/* Rows of x, or those listed in @list, normed and, if @round, rounded, for the @targets. */
struct eng_operand eng_normed(const struct worker *w, struct norm norm, const uint32_t *list, bool round,
			      uint32_t layer, struct eng_range targets);
void eng_project_qkv(const struct worker *w, uint32_t layer);
void eng_project_o(const struct worker *w, uint32_t layer);
/*
 * act(gate) * up of whole blocks of columns into gate, and their rounding for @down; rows stand
 * @row_stride apart.
 */
void eng_activate(const struct worker *w, const struct eng_matrix *down, struct eng_range rows,
		  size_t row_stride, struct eng_range columns);
/* down(act(gate) * up), and down(act(up)). */
void eng_feed_gated(const struct worker *w, uint32_t layer);
void eng_feed_plain(const struct worker *w, uint32_t layer);

/* eng_experts.c: the same through the experts that each row's router picks. */
void eng_feed_experts(const struct worker *w, uint32_t layer);

#endif
