/* SPDX-License-Identifier: MIT */
/*
 * wrk_batch.c: continuous batching. A step runs one version: one row of each request that streams, and
 * pieces of the prompts that wait, short ones while others stream so that they do not stall.
 * Versions take turns.
 */
#include "wrk.h"

/* What a request still has to compute before it can be answered. */
static uint32_t prompt_rows_left(const struct wrk_request *r)
{
	uint32_t target = r->kind == MHS_REC_SCORE ? r->prompt_count - 1 : r->prompt_count;

	return target - r->computed;
}

static bool is_runnable(struct wrk_request *r)
{
	if (r->state != WRK_PREFILL && r->state != WRK_DECODE)
		return false;
	/* Prompts go on while the client is slow, all but their last row, which emits. */
	if (r->kind == MHS_REC_SCORE || (r->state == WRK_PREFILL && prompt_rows_left(r) > 1) ||
	    wrk_emit_has_room(r)) {
		r->stalled_ns = 0;
		return true;
	}
	if (!r->stalled_ns)
		r->stalled_ns = wrk_now_ns();
	return false;
}

/* The next version, in rotation, with something to run. */
static struct wrk_version *version_next(struct wrk *w)
{
	struct wrk_version *found = NULL;
	uint32_t best = UINT32_MAX;

	for (struct wrk_request *r = w->requests; r; r = r->next) {
		uint32_t distance;

		if (!is_runnable(r))
			continue;
		distance = (r->version->index - w->turn) % MHS_VERSION_MAX;
		if (distance < best) {
			best = distance;
			found = r->version;
		}
	}
	if (found)
		w->turn = found->index + 1;
	return found;
}

static void row_add(struct wrk *w, struct wrk_request *r, uint32_t position, bool wants_logits)
{
	w->row_owner[w->row_count] = r;
	w->rows[w->row_count++] = (struct eng_row){
		.token = r->tokens[position],
		.position = position,
		.pages = r->pages,
		.is_prompt = position < r->prompt_count,
		.logits = wants_logits ? (int32_t)w->logits_count++ : -1,
	};
}

static void decode_rows(struct wrk *w, const struct wrk_version *v)
{
	for (struct wrk_request *r = w->requests; r; r = r->next) {
		if (r->version != v || r->state != WRK_DECODE || r->stalled_ns)
			continue;
		row_add(w, r, r->computed++, true);
	}
}

/* Up to @budget rows of one prompt. A row at the end waits when the client has no room for its token. */
static uint32_t prompt_rows(struct wrk *w, struct wrk_request *r, uint32_t budget)
{
	uint32_t left = prompt_rows_left(r), added = 0;

	while (added < left && added < budget && w->row_count < ENG_ROWS_MAX) {
		bool last = added + 1 == left;
		bool logits = last || r->kind == MHS_REC_SCORE;

		if (logits && w->logits_count == WRK_LOGITS_ROWS)
			break;
		if (last && r->kind != MHS_REC_SCORE && !wrk_emit_has_room(r))
			break;
		row_add(w, r, r->computed++, logits);
		added++;
	}
	return added;
}

static void prefill_rows(struct wrk *w, const struct wrk_version *v)
{
	uint32_t budget = w->row_count ? WRK_PROMPT_ROWS_SHARED : WRK_PROMPT_ROWS;

	for (struct wrk_request *r = w->requests; r && budget; r = r->next)
		if (r->version == v && r->state == WRK_PREFILL)
			budget -= prompt_rows(w, r, budget);
}

static void rows_emit(struct wrk *w, const struct wrk_version *v)
{
	for (uint32_t i = 0; i < w->row_count; i++) {
		const struct eng_row *row = &w->rows[i];
		struct wrk_request *r = w->row_owner[i];
		float *logits = w->logits + (size_t)(row->logits < 0 ? 0 : row->logits) *
				v->model.config.vocab_count;

		if (row->logits < 0 || r->state == WRK_ENDED)
			continue;
		if (r->kind == MHS_REC_SCORE)
			wrk_emit_score(w, r, row->position, logits);
		else
			wrk_emit_token(w, r, logits);
	}
}

static void step_failed(struct wrk *w)
{
	for (uint32_t i = 0; i < w->row_count; i++)
		if (w->row_owner[i]->state != WRK_ENDED)
			wrk_request_end(w, w->row_owner[i], MHS_END_ERROR, MHS_ERR_INTERNAL,
					"the engine refused the step");
}

bool wrk_batch_step(struct wrk *w)
{
	struct wrk_version *v = version_next(w);

	if (!v)
		return false;
	w->row_count = w->logits_count = 0;
	decode_rows(w, v);
	prefill_rows(w, v);
	if (!w->row_count)
		return false;
	if (eng_step(w->eng, &v->model, w->rows, w->row_count, w->logits))
		step_failed(w);
	else
		rows_emit(w, v);
	/* Single writer: a relaxed store is enough for a counter that people read. */
	atomic_store_explicit(&w->slot->steps,
			      atomic_load_explicit(&w->slot->steps, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	return true;
}
