/* SPDX-License-Identifier: MIT */
/*
 * wrk_batch.c: continuous batching. A step runs one version: one row of each request that
 * streams, with what is drafted for it, and pieces of the prompts that wait, short ones while
 * others stream so that they do not stall. Versions take turns. Of prompts that wait the shortest go
 * first, so that none waits for a long one, whose share keeps it going. Pages are given oldest request
 * first, if need be those of younger ones.
 */
#include "wrk.h"

#define OLDEST_PART	4u	/* of the rows for prompts; the oldest one always gets on */

/*
 * What a request still has to compute before it can be answered; after a preemption its answer too.
 */
static uint32_t prompt_rows_left(const struct wrk_request *r)
{
	uint32_t target = r->token_count;

	if (r->kind == MHS_REC_SCORE)
		target = r->prompt_count - 1;
	else if (r->kind == MHS_REC_EMBED)
		target = wrk_embed_rows(r);
	return target - r->computed;
}

static bool is_runnable(struct wrk_request *r)
{
	if (r->state != WRK_PREFILL && r->state != WRK_DECODE)
		return false;
	/* Prompts go on while the client is slow, all but their last row, which emits. */
	if (wrk_only_reads(r->kind) || (r->state == WRK_PREFILL && prompt_rows_left(r) > 1) ||
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

	for (uint32_t i = 0; i < w->running_count; i++) {
		struct wrk_request *r = w->running[i];
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

static void row_add(struct wrk *w, struct wrk_request *r, uint32_t position, uint32_t token,
		    bool wants_logits)
{
	w->row_owner[w->row_count] = r;
	w->row_ahead[w->row_count] = position >= r->token_count;
	w->rows[w->row_count] = (struct eng_row){
		.token = token,
		.position = position,
		.pages = r->pages,
		.is_prompt = position < r->prompt_count,
		.logits = wants_logits ? (int32_t)w->logits_count++ : -1,
		.hidden = wrk_embed_slot(w, r, position),
		.adapters = r->set ? r->set->list : NULL,
		.adapter_count = r->set ? r->set->count : 0,
	};
	w->row_count++;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Rows that @r could use now. */
static uint32_t rows_wanted(struct wrk *w, struct wrk_request *r)
{
	uint32_t left;

	if (r->state == WRK_DECODE)
		return r->stalled_ns ? 0 : 1;
	if (r->state != WRK_PREFILL)
		return 0;
	wrk_prefix_follow(w, r);
	if (wrk_prefix_awaits(w, r))
		return 0;
	left = prompt_rows_left(r);
	/* The last row emits; it waits when the client has no room for its token. */
	if (left && !wrk_only_reads(r->kind) && !wrk_emit_has_room(r))
		left--;
	return left;
}

/* Move rows of @budget to @r, of those that it wants. */
static void rows_grant(struct wrk_request *r, uint32_t *wanted, uint32_t rows, uint32_t *budget)
{
	uint32_t n = min_u32(min_u32(*wanted, rows), *budget);

	r->row_count += n;
	*wanted -= n;
	*budget -= n;
}

/* Of @budget rows the oldest prompt gets a part, then the shortest ones get what they want. */
static void share_rows(struct wrk *w, uint32_t budget)
{
	struct wrk_request *prompts[WRK_BATCH_MAX];
	uint32_t wanted[WRK_BATCH_MAX], count = 0;

	for (uint32_t i = 0; i < w->running_count; i++) {
		struct wrk_request *r = w->running[i];

		if (r->state != WRK_PREFILL || !r->row_count)
			continue;
		wanted[count] = r->row_count;
		r->row_count = 0;
		prompts[count++] = r;
	}
	if (count)
		rows_grant(prompts[0], &wanted[0], budget / OLDEST_PART + 1, &budget);
	while (budget) {
		uint32_t best = count;

		for (uint32_t i = 0; i < count; i++)
			if (wanted[i] && (best == count || wanted[i] < wanted[best]))
				best = i;
		if (best == count)
			return;
		rows_grant(prompts[best], &wanted[best], budget, &budget);
	}
}

/* Give rows, and the pages that they need, to the requests of @v. */
static void plan(struct wrk *w, struct wrk_version *v)
{
	uint32_t streams = 0, prompts = 0, others = 0;

	for (uint32_t i = 0; i < w->running_count; i++) {
		const struct wrk_request *r = w->running[i];

		if (r->state == WRK_DECODE && !r->stalled_ns)
			++*(r->version == v ? &streams : &others);
		prompts += r->version == v && r->state == WRK_PREFILL;
	}
	for (uint32_t i = 0; i < w->running_count; i++) {
		struct wrk_request *r = w->running[i];

		r->row_count = r->version == v ? rows_wanted(w, r) : 0;
	}
	share_rows(w, wrk_pace_rows(&v->pace, streams, prompts, others));
	for (uint32_t i = 0; i < w->running_count; i++) {
		struct wrk_request *r = w->running[i];

		if (r->row_count && !wrk_room_cover(w, r, r->computed + r->row_count))
			r->row_count = 0;
	}
}

/* Drafted rows that are of use: none beyond the last token of the reply. */
static uint32_t draft_room(const struct wrk_request *r)
{
	return min_u32(r->prompt_count + r->max_tokens - r->token_count - 1, WRK_DRAFT_MAX);
}

/* Of @count rows as many as free pages hold: nobody gives way to a guess. */
static void draft_rows(struct wrk *w, struct wrk_request *r, uint32_t count)
{
	r->draft.rows = count;
	if (count && !wrk_room_try(w, r, r->token_count + count))
		r->draft.rows = min_u32(count, r->page_count * ENG_PAGE_TOKENS - r->token_count);
	for (uint32_t i = 0; i < r->draft.rows; i++)
		row_add(w, r, r->token_count + i,
			wrk_draft_token(&r->draft, r->tokens, r->token_count, i), true);
	r->draft.drafted += r->draft.rows;
}

static void decode_rows(struct wrk *w, const struct wrk_version *v)
{
	const struct wrk_costs *costs =
		w->limits.speculate == HRT_SPECULATE_ALWAYS ? NULL : &v->costs;
	struct wrk_request *streams[WRK_BATCH_MAX];
	struct wrk_bid bids[WRK_BATCH_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < w->running_count; i++) {
		struct wrk_request *r = w->running[i];

		if (r->version != v || r->state != WRK_DECODE || !r->row_count)
			continue;
		bids[count] = (struct wrk_bid){ .draft = &r->draft, .most = draft_room(r) };
		streams[count++] = r;
	}
	if (count)
		wrk_draft_plan(costs, bids, count, (WRK_LOGITS_ROWS - count) / 2);
	for (uint32_t i = 0; i < count; i++) {
		struct wrk_request *r = streams[i];

		row_add(w, r, r->computed, r->tokens[r->computed], true);
		r->computed++;
		draft_rows(w, r, bids[i].rows);
	}
}

/* Scores that are known stay: after a preemption their rows only fill the pages. */
static bool wants_logits(const struct wrk_request *r)
{
	if (r->kind == MHS_REC_SCORE)
		return r->computed + 1 >= r->scores_done;
	return r->kind != MHS_REC_EMBED && prompt_rows_left(r) == 1;
}

static void prompt_rows(struct wrk *w, struct wrk_request *r)
{
	for (; r->row_count && w->row_count < ENG_ROWS_MAX; r->row_count--) {
		bool logits = wants_logits(r);

		if (logits && w->logits_count == WRK_LOGITS_ROWS)
			return;
		row_add(w, r, r->computed, r->tokens[r->computed], logits);
		r->computed++;
	}
}

static void prefill_rows(struct wrk *w, const struct wrk_version *v)
{
	for (uint32_t i = 0; i < w->running_count; i++)
		if (w->running[i]->version == v && w->running[i]->state == WRK_PREFILL)
			prompt_rows(w, w->running[i]);
}

/*
 * Whether the reply has the tokens that a row was computed from. Of drafted rows those after the
 * first wrong guess have not; their keys and values are written over before anyone looks at them.
 */
static bool row_holds(const struct wrk_request *r, const struct eng_row *row)
{
	return row->position + 1 == r->token_count && row->token == r->tokens[row->position];
}

static void row_emit(struct wrk *w, struct wrk_request *r, const struct eng_row *row, bool ahead,
		     float *logits)
{
	if (!row_holds(r, row) || (ahead && !wrk_emit_has_room(r)))
		return;
	r->computed = row->position + 1;
	wrk_emit_token(w, r, logits, ahead);
}

static void rows_emit(struct wrk *w, const struct wrk_version *v)
{
	for (uint32_t i = 0; i < w->row_count; i++) {
		const struct eng_row *row = &w->rows[i];
		struct wrk_request *r = w->row_owner[i];
		float *logits = w->logits + (size_t)(row->logits < 0 ? 0 : row->logits) *
				v->model.config.vocab_count;

		if (r->version != v)
			continue;	/* it has ended */
		if (r->kind == MHS_REC_EMBED)
			wrk_embed_row(w, r, row);
		if (row->logits < 0)
			continue;
		if (r->kind == MHS_REC_SCORE)
			wrk_emit_score(w, r, row->position, logits);
		else
			row_emit(w, r, row, w->row_ahead[i], logits);
	}
}

static void step_failed(struct wrk *w)
{
	for (uint32_t i = 0; i < w->row_count; i++) {
		struct wrk_request *r = w->row_owner[i];

		r->computed = 0;	/* nothing of it may be published */
		if (r->version)
			wrk_request_fail(w, r, MHS_ERR_INTERNAL, "the engine refused the step");
	}
}

static void publish(struct wrk *w, const struct wrk_version *v)
{
	for (uint32_t i = 0; i < w->running_count; i++)
		if (w->running[i]->version == v)
			wrk_prefix_publish(w, w->running[i]);
}

void wrk_step_mark(struct wrk *w, uint32_t version)
{
	/* relaxed: its partner, sup_version_worker_died(), reads it once the kernel says we are dead */
	atomic_store_explicit(&w->slot->step_version, version, memory_order_relaxed);
}

/* Whom a death in this step is laid to: @v, unless it is an adapter that is new to it. */
static uint32_t suspect(const struct wrk *w, const struct wrk_version *v)
{
	uint32_t found = v->index;

	for (uint32_t i = 0; i < w->row_count; i++) {
		const struct wrk_request *r = w->row_owner[i];

		if (r->place.candidate)
			return v->index;
		for (uint32_t k = 0; r->set && k < r->set->count; k++)
			if (r->set->places[k].candidate)
				found = r->set->adapters[k]->index;
	}
	return found;
}

/* Runs the rows; steps without prompts teach what rows cost. */
static int step_run(struct wrk *w, struct wrk_version *v, bool prompts)
{
	uint64_t start = wrk_now_ns(), ns;
	int err;

	wrk_step_mark(w, suspect(w, v));
	err = eng_step(w->eng, &v->model, w->rows, w->row_count, w->logits);
	wrk_rehearse_step(&v->rehearsal, wrk_now_ns() - start);
	ns = wrk_now_ns() - start;
	if (!err && !prompts) {
		wrk_costs_add(&v->costs, w->row_count, ns);
		wrk_speed_note(w, v, ns);
	} else {
		w->stepped = v->serial;
	}
	return err;
}

bool wrk_batch_step(struct wrk *w)
{
	struct wrk_version *v = version_next(w);
	uint64_t begin = wrk_now_ns();
	uint32_t streaming;

	if (!v)
		return false;
	w->row_count = w->logits_count = 0;
	plan(w, v);
	decode_rows(w, v);
	streaming = w->row_count;
	prefill_rows(w, v);
	if (!w->row_count)
		return false;
	if (step_run(w, v, w->row_count > streaming))
		step_failed(w);
	else
		rows_emit(w, v);
	wrk_step_mark(w, 0);
	publish(w, v);
	wrk_pace_note(&v->pace, streaming, w->row_count - streaming, wrk_now_ns() - begin);
	/* Single writer: a relaxed store is enough for a counter that people read. */
	atomic_store_explicit(&w->slot->steps,
			      atomic_load_explicit(&w->slot->steps, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	return true;
}
