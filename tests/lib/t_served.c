/* SPDX-License-Identifier: MIT */
#include "t_served.h"

#include <string.h>

#include "t.h"

static void see_begin(struct t_seen *s, const uint8_t *record, uint32_t bytes)
{
	memcpy(&s->begin, record, sizeof(s->begin));
	s->begins++;
	s->version = s->begin.version_index;
	t_eq(bytes, sizeof(s->begin) + s->begin.adapter_count * sizeof(s->used[0]));
	memcpy(s->used, record + sizeof(s->begin), s->begin.adapter_count * sizeof(s->used[0]));
}

static void see_end(struct t_served *served, struct t_seen *s, const uint8_t *record)
{
	const struct mhs_end *end = (const void *)record;

	s->ends++;
	s->reason = end->reason;
	s->error = end->error;
	s->end_count = end->output_count;
	s->cached_count = end->cached_count;
	memcpy(s->message, end + 1, end->message_bytes);
	s->message[end->message_bytes] = '\0';
	served->ended_count++;
}

static void see(struct t_served *served, uint32_t type, const uint8_t *record, uint32_t bytes)
{
	const struct mhs_chunk *chunk = (const void *)record;
	const struct mhs_token *token = (const void *)record;
	struct t_seen *s = &served->seen[chunk->request_id % T_SERVED_IDS];	/* first in all of them */

	s->disordered |= s->ends || (!s->begins && type != MHS_REC_BEGIN && type != MHS_REC_END);
	if (type == MHS_REC_BEGIN) {
		see_begin(s, record, bytes);
	} else if (type == MHS_REC_PROMPT) {
		memcpy(s->prompt + s->prompt_count, chunk + 1, chunk->count * sizeof(uint32_t));
		s->prompt_count += chunk->count;
	} else if (type == MHS_REC_SCORES) {
		memcpy(s->scores + s->score_count, chunk + 1, chunk->count * sizeof(float));
		s->score_count += chunk->count;
	} else if (type == MHS_REC_VECTOR) {
		memcpy(s->vector + s->vector_count, chunk + 1, chunk->count * sizeof(float));
		s->vector_count += chunk->count;
	} else if (type == MHS_REC_TOKEN) {
		s->disordered |= token->index != s->count;
		s->tokens[s->count++] = token->token;
	} else if (type == MHS_REC_END) {
		see_end(served, s, record);
	}
}

void t_client_look(struct t_served *s)
{
	static _Alignas(8) uint8_t record[1 << 16];
	uint32_t type;
	int64_t bytes;

	while ((bytes = mhs_ring_get(&s->world.event, &type, record, sizeof(record))) > 0)
		see(s, type, record, (uint32_t)bytes);
}

void t_turn_begin(struct t_served *s)
{
	struct wrk *w = &s->world.w;
	uint64_t now = wrk_now_ns();

	w->epoch = mhs_epoch_adopt(w->board, w->slot, now);
	wrk_shadow_look(w);
	wrk_lanes_take(w);
	wrk_requests_expire(w, now);
	wrk_room_resume(w);
	wrk_admit(w);
	wrk_requests_flush(w);
}

void t_turn_end(struct t_served *s)
{
	struct wrk *w = &s->world.w;

	wrk_requests_flush(w);
	wrk_lanes_ring(w);
	wrk_requests_reap(w);
	t_client_look(s);
}

void t_turn(struct t_served *s)
{
	t_turn_begin(s);
	wrk_batch_step(&s->world.w);
	t_turn_end(s);
}

void t_serve_all(struct t_served *s)
{
	for (uint32_t i = 0; i < 20000 && s->ended_count < s->last_id; i++)
		t_turn(s);
	t_eq(s->ended_count, s->last_id);
}

struct t_seen *t_submit(struct t_served *s, uint32_t kind, const struct mhs_request *given,
			const uint32_t *prompt, uint32_t count, const struct mhs_adapter_ref *refs)
{
	struct mhs_request rq = *given;
	struct mhs_piece pieces[] = {
		{ &rq, sizeof(rq) },
		{ prompt, count * (uint32_t)sizeof(*prompt) },
		{ refs, rq.adapter_count * (uint32_t)sizeof(*refs) },
	};
	struct t_seen *seen;

	rq.request_id = ++s->last_id;
	rq.prompt_bytes = pieces[1].bytes;
	rq.flags |= MHS_REQ_TOKENS | MHS_REQ_IGNORE_EOS;
	rq.top_p = rq.repeat_penalty = 1;
	strcpy(rq.model, "tiny");
	seen = &s->seen[rq.request_id % T_SERVED_IDS];
	memset(seen, 0, sizeof(*seen));
	t_ok(mhs_ring_put(&s->world.submit, kind, pieces, 3) == 0);
	return seen;
}

void t_cancel(struct t_served *s, uint64_t id)
{
	struct mhs_ref cancel = { .request_id = id };
	struct mhs_piece piece = { &cancel, sizeof(cancel) };

	t_ok(mhs_ring_put(&s->world.submit, MHS_REC_CANCEL, &piece, 1) == 0);
}
