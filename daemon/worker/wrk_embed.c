/* SPDX-License-Identifier: MIT */
/*
 * wrk_embed.c: the vector of a prompt, out of hidden states after the final norm: their mean, the last or
 * the first. Sums are taken in the order of positions and in double, so that the vector has the same bits
 * whatever pieces the prompt was computed in.
 */
#include <math.h>
#include <stdlib.h>

#include "wrk.h"

int wrk_embed_begin(struct wrk *w, struct wrk_request *r, const struct wrk_version *v)
{
	uint32_t hidden = v->model.config.hidden;

	if (r->kind != MHS_REC_EMBED)
		return 0;
	if (w->hidden_cap < hidden) {
		float *rows = malloc(ENG_ROWS_MAX * (size_t)hidden * sizeof(*rows));

		if (!rows)
			return -1;
		free(w->hidden);
		w->hidden = rows;
		w->hidden_cap = hidden;
	}
	r->vector = calloc(1, sizeof(*r->vector) + hidden * sizeof(r->vector->sum[0]));
	return r->vector ? 0 : -1;
}

uint32_t wrk_embed_rows(const struct wrk_request *r)
{
	/* No token sees one behind it. */
	return r->rq.pooling == MHS_POOL_FIRST ? 1 : r->prompt_count;
}

float *wrk_embed_slot(const struct wrk *w, const struct wrk_request *r, uint32_t position)
{
	bool wanted = r->rq.pooling == MHS_POOL_LAST ? position + 1 == r->prompt_count :
		      r->rq.pooling == MHS_POOL_FIRST ? position == 0 : true;

	/* Those that were summed before a preemption only fill the pages again. */
	if (r->kind != MHS_REC_EMBED || position < r->vector->pooled || !wanted)
		return NULL;
	return w->hidden + (size_t)w->row_count * w->hidden_cap;
}

/* From sums to the values that are sent, in their place. False: they are no numbers. */
static bool finish(struct wrk_vector *vector, uint32_t hidden, bool raw)
{
	double square = 0, scale = 1.0 / vector->rows;

	for (uint32_t i = 0; i < hidden; i++)
		square += vector->sum[i] * vector->sum[i];
	if (!isfinite(square))
		return false;
	if (!raw && square > 0)
		scale = 1.0 / sqrt(square);
	for (uint32_t i = 0; i < hidden; i++)
		((float *)vector->sum)[i] = (float)(vector->sum[i] * scale);
	vector->count = hidden;
	return true;
}

void wrk_embed_row(struct wrk *w, struct wrk_request *r, const struct eng_row *row)
{
	uint32_t hidden = r->version->model.config.hidden;
	struct wrk_vector *vector = r->vector;

	for (uint32_t i = 0; row->hidden && i < hidden; i++)
		vector->sum[i] += (double)row->hidden[i];
	vector->rows += row->hidden != NULL;
	if (row->position >= vector->pooled)
		vector->pooled = row->position + 1;
	if (vector->pooled < wrk_embed_rows(r))
		return;
	if (!finish(vector, hidden, r->rq.flags & MHS_REQ_RAW)) {
		wrk_request_fail(w, r, MHS_ERR_NAN, "the hidden state is not finite");
		return;
	}
	wrk_trial_show(w, r);
	r->first_ns = wrk_now_ns();
	wrk_request_end(w, r, MHS_END_STOP, MHS_ERR_NONE, "%s", "");
}
