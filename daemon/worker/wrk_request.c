/* SPDX-License-Identifier: MIT */
/*
 * wrk_request.c: the life of a request from its record to its END. Every request that was taken
 * ends exactly once; what it held is given back at once, only the END itself may wait for room in
 * the ring.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"
#include "wrk.h"

static void request_free(struct wrk_request *r)
{
	free(r->payload);
	free(r->set);
	wrk_grammar_free(&r->grammar);
	free(r->tokens);
	free(r->scores);
	free(r->vector);
	free(r->pages);
	free(r->held);
	free(r->text);
	free(r->bias);
	free(r->stop_tokens);
	wrk_draft_fini(&r->draft);
	free(r);
}

static bool id_is_open(struct wrk *w, const struct wrk_lane *lane, uint64_t id)
{
	for (struct wrk_request *r = w->requests; r; r = r->next)
		if (r->lane == lane && r->rq.request_id == id)
			return true;
	return false;
}

static struct wrk_request *request_new(struct wrk *w, struct wrk_lane *lane, uint32_t kind,
				       uint32_t bytes)
{
	struct wrk_request *r = calloc(1, sizeof(*r));
	uint32_t payload_bytes = bytes - (uint32_t)sizeof(r->rq);

	if (!r)
		return NULL;
	r->payload = malloc(payload_bytes + 1);
	if (!r->payload) {
		free(r);
		return NULL;
	}
	memcpy(&r->rq, w->record, sizeof(r->rq));
	memcpy(r->payload, w->record + sizeof(r->rq), payload_bytes);
	r->kind = kind;
	r->lane = lane;
	r->state = WRK_QUEUED;
	r->arrived_ns = wrk_now_ns();
	return r;
}

static void request_list(struct wrk *w, struct wrk_request *r)
{
	*w->requests_end = r;
	w->requests_end = &r->next;
	r->lane->request_count++;
	wrk_queue_add(w, r);
}

static void set_deadline(const struct wrk *w, struct wrk_request *r)
{
	uint32_t ms = r->rq.deadline_ms;

	if (w->limits.deadline_ms && (!ms || ms > w->limits.deadline_ms))
		ms = w->limits.deadline_ms;
	r->deadline_ns = ms ? r->arrived_ns + ms * WRK_NS_PER_MS : UINT64_MAX;
}

void wrk_request_take(struct wrk *w, struct wrk_lane *lane, uint32_t type, uint32_t bytes)
{
	char text[MHS_MESSAGE_BYTES];
	struct wrk_request *r;
	const char *wrong;

	if (bytes < sizeof(r->rq)) {
		wrk_lane_reject(w, lane, "request record is too short");
		return;
	}
	r = request_new(w, lane, type, bytes);
	if (!r) {
		wrk_lane_reject(w, lane, "out of memory for a request");
		return;
	}
	wrong = wrk_request_check(&r->rq, type, bytes - (uint32_t)sizeof(r->rq), r->payload, text);
	if ((wrong && !wrong[0]) || id_is_open(w, lane, r->rq.request_id)) {
		request_free(r);
		wrk_lane_reject(w, lane, "request record is malformed or its id is in use");
		return;
	}
	if (!wrong && (wrk_set_init(r) || wrk_sampling_init(r))) {
		request_free(r);
		wrk_lane_reject(w, lane, "out of memory for a request");
		return;
	}
	if (!wrong && r->rq.grammar)
		wrong = wrk_grammar_read(r, text);
	set_deadline(w, r);
	request_list(w, r);
	if (wrong)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INVALID, "%s", wrong);
	else if (w->stopping)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_STOPPING, "the host is shutting down");
	else if (wrk_queue_is_full(w, lane) || lane->request_count > WRK_LANE_REQUESTS)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_BUSY,
				"%u requests wait already, %u of them yours; the limit is %u: "
				"try again later", w->queued_count - 1, lane->queued_count - 1,
				w->limits.queue);
}

void wrk_request_cancel(struct wrk *w, struct wrk_lane *lane, uint64_t id)
{
	for (struct wrk_request *r = w->requests; r; r = r->next) {
		if (r->lane != lane || r->rq.request_id != id)
			continue;
		if (r->state != WRK_ENDED)
			wrk_request_end(w, r, MHS_END_CANCELLED, MHS_ERR_NONE, "%s", "");
		return;
	}
}

static void count_row(struct mhs_stats_row *row, const struct wrk_request *r, uint64_t now)
{
	mhs_stats_add(r->reason == MHS_END_ERROR ? &row->failed :
		      r->reason == MHS_END_CANCELLED ? &row->cancelled : &row->completed, 1);
	if (r->error == MHS_ERR_NAN)
		mhs_stats_add(&row->nan_logits, 1);
	mhs_stats_add(&row->cached_tokens, r->cached_count);
	mhs_stats_add(&row->preemptions, r->preempted);
	mhs_stats_add(&row->output_tokens, r->token_count - r->prompt_count);
	mhs_stats_add(&row->drafted_tokens, r->draft.drafted);
	mhs_stats_add(&row->accepted_tokens, r->draft.accepted);
	if (r->first_ns) {
		mhs_stats_add(&row->prefill_ns, r->first_ns - r->admitted_ns);
		mhs_stats_add(&row->decode_ns, now - r->first_ns);
	}
	mhs_hist_add(row->hist[MHS_HIST_TOTAL], now - r->arrived_ns);
}

static void count_end(struct wrk *w, const struct wrk_request *r, uint64_t now)
{
	struct wrk_part parts[WRK_PARTS_MAX];
	uint32_t count = wrk_set_parts(r, parts);

	for (uint32_t i = 0; i < count; i++) {
		count_row(wrk_part_row(w, &parts[i]), r, now);
		mhs_slot_use(w->slot, parts[i].index, now);
	}
	wrk_reply_note(w, r, now);
}

static void running_remove(struct wrk *w, const struct wrk_request *r)
{
	uint32_t i = 0;

	while (w->running[i] != r)
		i++;
	w->running_count--;
	memmove(&w->running[i], &w->running[i + 1],
		(w->running_count - i) * sizeof(w->running[0]));
}

/* Give back pages and pins; the version and the adapters may be reclaimed from here on. */
static void release(struct wrk *w, struct wrk_request *r, uint64_t now)
{
	if (r->state == WRK_QUEUED || r->state == WRK_WAITING)
		wrk_queue_remove(w, r);
	if (r->state == WRK_QUEUED || r->state == WRK_WAITING || r->state == WRK_ENDED)
		return;
	running_remove(w, r);
	count_end(w, r, now);
	wrk_prefix_publish(w, r);
	wrk_room_drop(r);
	wrk_space_put(&r->space);
	wrk_set_unpin(w, r);
	mhs_unpin(w->slot, r->version->index);
	r->version = NULL;
}

void wrk_request_end(struct wrk *w, struct wrk_request *r, uint32_t reason, uint32_t error,
		     const char *format, ...)
{
	uint64_t now = wrk_now_ns();
	va_list args;

	va_start(args, format);
	vsnprintf(r->message, sizeof(r->message), format, args);
	va_end(args);
	/* One line, whatever a request or a template wrote into it. */
	for (char *p = r->message; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	r->reason = reason;
	r->error = error;
	release(w, r, now);
	r->last_ns = now;
	r->state = WRK_ENDED;
	probe_end(r->rq.request_id, reason, error, r->token_count - r->prompt_count,
		  now - r->arrived_ns);
}

static void say_evidence(struct wrk *w, const struct wrk_request *r, uint32_t error)
{
	struct wrk_part parts[WRK_PARTS_MAX];
	uint32_t count = wrk_set_parts(r, parts);

	for (uint32_t i = 0; i < count; i++)
		if (parts[i].blamed)
			wrk_control_say(w, HRT_EVIDENCE, parts[i].index, parts[i].serial, (int)error,
					r->message);
}

void wrk_request_fail(struct wrk *w, struct wrk_request *r, uint32_t error, const char *format, ...)
{
	uint64_t now = wrk_now_ns();
	va_list args;

	va_start(args, format);
	vsnprintf(r->message, sizeof(r->message), format, args);
	va_end(args);
	if (error == MHS_ERR_NAN)
		say_evidence(w, r, error);
	if (!r->on_trial) {
		wrk_request_end(w, r, MHS_END_ERROR, error, "%s", r->message);
		return;
	}
	r->reason = MHS_END_ERROR;
	r->error = error;
	release(w, r, now);
	wrk_trial_move(r);
	wrk_queue_add(w, r);
}

static uint64_t span_ns(uint64_t from, uint64_t to)
{
	return from && to > from ? to - from : 0;
}

static bool end_send(struct wrk *w, struct wrk_request *r)
{
	uint32_t message_bytes = (uint32_t)strlen(r->message);
	struct mhs_end end = {
		.request_id = r->rq.request_id,
		.reason = r->reason,
		.error = r->error,
		.output_count = r->token_count - r->prompt_count,
		.message_bytes = message_bytes,
		.queue_ns = span_ns(r->arrived_ns, r->admitted_ns ? r->admitted_ns : r->last_ns),
		.prefill_ns = span_ns(r->admitted_ns, r->first_ns ? r->first_ns : r->last_ns),
		.decode_ns = span_ns(r->first_ns, r->last_ns),
		.epoch = w->epoch,
		.stop_text_bytes = r->kind == MHS_REC_DETOKENIZE ? 0 : r->text_bytes,
		.cached_count = r->cached_count,
	};
	struct mhs_piece pieces[] = { { &end, sizeof(end) }, { r->message, message_bytes } };

	return wrk_lane_put(r->lane, MHS_REC_END, pieces, 2);
}

/* Send items [*sent, count) of @unit bytes, as far as the ring has room. True: all sent. */
static bool chunks_send(struct wrk_request *r, uint32_t type, const void *items, uint32_t unit,
			uint32_t *sent, uint32_t count)
{
	while (*sent < count) {
		uint32_t n = count - *sent, most = MHS_CHUNK_BYTES / unit;
		struct mhs_chunk chunk = { .request_id = r->rq.request_id, .first = *sent };
		struct mhs_piece pieces[] = { { &chunk, sizeof(chunk) }, { NULL, 0 } };

		chunk.count = n < most ? n : most;
		pieces[1].data = (const uint8_t *)items + (size_t)*sent * unit;
		pieces[1].bytes = chunk.count * unit;
		if (!wrk_lane_put(r->lane, type, pieces, 2))
			return false;
		*sent += chunk.count;
	}
	return true;
}

static void begin_send(struct wrk_request *r)
{
	struct mhs_piece pieces[] = {
		{ &r->begin, sizeof(r->begin) },
		{ r->set ? r->set->used : NULL,
		  r->begin.adapter_count * (uint32_t)sizeof(struct mhs_adapter_used) },
	};

	if (!r->begun && !r->on_trial && r->begin.request_id)
		r->begun = wrk_lane_put(r->lane, MHS_REC_BEGIN, pieces, 2);
}

void wrk_request_flush(struct wrk *w, struct wrk_request *r)
{
	begin_send(r);
	if (!r->begun && r->state != WRK_ENDED)
		return;
	if (r->begun && !chunks_send(r, MHS_REC_PROMPT, r->tokens, sizeof(*r->tokens),
				     &r->prompt_sent, r->prompt_count))
		return;
	if (!chunks_send(r, MHS_REC_SCORES, r->scores, sizeof(*r->scores), &r->scores_sent,
			 r->scores_done))
		return;
	if (r->vector && !chunks_send(r, MHS_REC_VECTOR, r->vector->sum, sizeof(float), &r->vector->sent,
				      r->vector->count))
		return;
	if (r->kind == MHS_REC_DETOKENIZE &&
	    !chunks_send(r, MHS_REC_TEXT, r->text, 1, &r->text_sent, r->text_bytes))
		return;
	if (r->state == WRK_ENDED && end_send(w, r)) {
		r->lane->request_count--;
		r->lane = NULL;
		r->served = true;
	}
}

void wrk_requests_flush(struct wrk *w)
{
	for (struct wrk_request *r = w->requests; r; r = r->next)
		if (r->lane)
			wrk_request_flush(w, r);
}

void wrk_requests_expire(struct wrk *w, uint64_t now)
{
	for (struct wrk_request *r = w->requests; r; r = r->next) {
		if (r->state == WRK_ENDED)
			continue;
		if (now >= r->deadline_ns)
			wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_DEADLINE,
					"not done %llu ms after it arrived, its deadline",
					(unsigned long long)((now - r->arrived_ns) / WRK_NS_PER_MS));
		else if (r->stalled_ns && now - r->stalled_ns > WRK_SLOW_READER_NS)
			wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_SLOW_READER,
					"events were not read for 10 s");
	}
}

/* The client is gone or cut: its requests end without anyone to tell. */
void wrk_requests_drop_lane(struct wrk *w, struct wrk_lane *lane)
{
	for (struct wrk_request *r = w->requests; r; r = r->next) {
		if (r->lane != lane)
			continue;
		if (r->state != WRK_ENDED)
			wrk_request_end(w, r, MHS_END_CANCELLED, MHS_ERR_NONE, "%s", "");
		r->lane = NULL;
	}
	lane->request_count = 0;
}

/* Free what has ended and was told; some of it is compared later. */
void wrk_requests_reap(struct wrk *w)
{
	struct wrk_request **at = &w->requests;

	while (*at) {
		struct wrk_request *r = *at;

		if (r->lane) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		if (r->served)
			wrk_shadow_offer(w, r);
		request_free(r);
	}
	w->requests_end = at;
}
