/* SPDX-License-Identifier: MIT */
/*
 * mhc_event.c: from a record to the event that the caller sees. The host is trusted less than it
 * could be: every length is checked, so a broken worker gives an error and not a crash.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mhc_priv.h"

static const struct {
	int code;
	int retriable;
} errors[] = {
	[MHS_ERR_NONE] = { 0, 0 },
	[MHS_ERR_INVALID] = { MHOST_E_INVALID, 0 },
	[MHS_ERR_NO_MODEL] = { MHOST_E_NO_MODEL, 0 },
	[MHS_ERR_NO_VERSION] = { MHOST_E_NO_VERSION, 0 },
	[MHS_ERR_TOO_LONG] = { MHOST_E_TOO_LONG, 0 },
	[MHS_ERR_BUSY] = { MHOST_E_BUSY, 1 },
	[MHS_ERR_DEADLINE] = { MHOST_E_DEADLINE, 0 },
	[MHS_ERR_NAN] = { MHOST_E_NAN, 0 },
	[MHS_ERR_STOPPING] = { MHOST_E_STOPPING, 1 },
	[MHS_ERR_WORKER_LOST] = { MHOST_E_WORKER_LOST, 1 },
	[MHS_ERR_SLOW_READER] = { MHOST_E_SLOW_READER, 0 },
	[MHS_ERR_BAD_MESSAGE] = { MHOST_E_PROTOCOL, 0 },
	[MHS_ERR_INTERNAL] = { MHOST_E_INTERNAL, 0 },
	[MHS_ERR_NO_ADAPTER] = { MHOST_E_NO_ADAPTER, 0 },
};

static void stamp_adapters(struct mhost *s, const struct mhc_request *r)
{
	for (uint32_t i = 0; i < r->begin.adapter_count; i++)
		s->adapters[i] = (struct mhost_adapter_used){
			.name = r->used[i].name,
			.version = r->used[i].semver,
			.content_hash = r->used[i].content_hash,
			.scale = r->used[i].scale,
		};
	s->event.adapters = r->begin.adapter_count ? s->adapters : NULL;
	s->event.adapter_count = r->begin.adapter_count;
}

static void event_start(struct mhost *s, struct mhc_request *r, uint32_t type)
{
	struct mhost_event *ev = &s->event;

	memset(ev, 0, sizeof(*ev));
	ev->id = r->id;
	ev->type = type;
	ev->message = "";
	r->told = true;
	if (!r->begun)
		return;
	ev->epoch = r->begin.epoch;
	ev->model = r->begin.model;
	ev->version = r->begin.semver;
	ev->content_hash = r->begin.content_hash;
	ev->prompt_count = r->begin.prompt_count;
	ev->form = r->begin.form;
	ev->form_flags = r->begin.form_flags;
	stamp_adapters(s, r);
}

static int take_begin(struct mhost *s, struct mhc_request *r, uint32_t bytes)
{
	struct mhs_begin begin;

	if (bytes < sizeof(begin))
		return -EPROTO;
	memcpy(&begin, s->record, sizeof(begin));
	if (begin.adapter_count > MHS_ADAPTERS_MAX ||
	    bytes != sizeof(begin) + begin.adapter_count * sizeof(r->used[0]))
		return -EPROTO;
	begin.model[MHS_NAME_BYTES - 1] = 0;
	begin.semver[MHS_SEMVER_BYTES - 1] = 0;
	memcpy(r->used, s->record + sizeof(begin), begin.adapter_count * sizeof(r->used[0]));
	for (uint32_t i = 0; i < begin.adapter_count; i++) {
		r->used[i].name[MHS_NAME_BYTES - 1] = 0;
		r->used[i].semver[MHS_SEMVER_BYTES - 1] = 0;
	}
	r->begin = begin;
	r->begun = true;
	event_start(s, r, MHOST_EVENT_BEGIN);
	return 0;
}

static int take_chunk(struct mhost *s, struct mhc_request *r, uint32_t type, uint32_t bytes)
{
	struct mhs_chunk chunk;
	uint32_t unit = type == MHS_REC_TEXT ? 1 : 4;
	const void *items = s->record + sizeof(chunk);

	if (bytes < sizeof(chunk))
		return -EPROTO;
	memcpy(&chunk, s->record, sizeof(chunk));
	if (bytes - sizeof(chunk) != (uint64_t)chunk.count * unit)
		return -EPROTO;
	event_start(s, r, type == MHS_REC_TEXT ? MHOST_EVENT_TEXT :
		    type == MHS_REC_PROMPT ? MHOST_EVENT_PROMPT :
		    type == MHS_REC_VECTOR ? MHOST_EVENT_VECTOR : MHOST_EVENT_SCORES);
	memcpy(s->scratch, items, bytes - sizeof(chunk));
	s->event.first = chunk.first;
	s->event.count = chunk.count;
	if (type == MHS_REC_PROMPT)
		s->event.tokens = (const uint32_t *)s->scratch;
	else if (type == MHS_REC_SCORES)
		s->event.logprobs = (const float *)s->scratch;
	else if (type == MHS_REC_VECTOR)
		s->event.values = (const float *)s->scratch;
	else
		s->event.text = (const char *)s->scratch;
	s->event.text_bytes = type == MHS_REC_TEXT ? chunk.count : 0;
	return 0;
}

static int take_token(struct mhost *s, struct mhc_request *r, uint32_t bytes)
{
	struct mhs_token t;
	uint32_t top_bytes;

	if (bytes < sizeof(t))
		return -EPROTO;
	memcpy(&t, s->record, sizeof(t));
	top_bytes = t.top_count * (uint32_t)sizeof(struct mhs_top);
	if (t.top_count > MHS_TOP_MAX || bytes - sizeof(t) != (uint64_t)top_bytes + t.text_bytes)
		return -EPROTO;
	event_start(s, r, MHOST_EVENT_TOKEN);
	memcpy(s->scratch, s->record + sizeof(t), bytes - sizeof(t));
	s->event.index = t.index;
	s->event.token = t.token;
	s->event.logprob = t.logprob;
	s->event.top = (const struct mhost_top *)s->scratch;
	s->event.top_count = t.top_count;
	s->event.text = (const char *)s->scratch + top_bytes;
	s->event.text_bytes = t.text_bytes;
	s->event.ahead = t.flags & MHS_TOKEN_AHEAD ? 1 : 0;
	s->event.drafted_count = t.drafted_count;
	_Static_assert(sizeof(struct mhost_top) == sizeof(struct mhs_top), "the same two words");
	return 0;
}

static int take_end(struct mhost *s, struct mhc_request *r, uint32_t bytes)
{
	struct mhs_end end;

	if (bytes < sizeof(end))
		return -EPROTO;
	memcpy(&end, s->record, sizeof(end));
	if (bytes - sizeof(end) != end.message_bytes || end.message_bytes > MHS_MESSAGE_BYTES ||
	    end.error >= sizeof(errors) / sizeof(errors[0]))
		return -EPROTO;
	event_start(s, r, MHOST_EVENT_END);
	memcpy(s->message, s->record + sizeof(end), end.message_bytes);
	s->message[end.message_bytes] = 0;
	s->event.finish = end.reason;
	s->event.error = errors[end.error].code;
	s->event.retriable = errors[end.error].retriable;
	s->event.message = s->message;
	s->event.output_count = end.output_count;
	s->event.queue_ns = end.queue_ns;
	s->event.prefill_ns = end.prefill_ns;
	s->event.decode_ns = end.decode_ns;
	s->event.cached_count = end.cached_count;
	mhc_request_close(s, r);
	return 0;
}

static int take_pong(struct mhost *s, struct mhc_request *r, uint32_t bytes)
{
	if (bytes != sizeof(struct mhs_ref))
		return -EPROTO;
	event_start(s, r, MHOST_EVENT_END);
	s->event.finish = MHOST_FINISH_STOP;
	mhc_request_close(s, r);
	return 0;
}

int mhc_event_take(struct mhost *s, uint32_t type, uint32_t bytes)
{
	struct mhc_request *r;
	uint64_t id;

	if (bytes < sizeof(id))
		return -EPROTO;
	memcpy(&id, s->record, sizeof(id));
	r = mhc_request_find(s, id);
	if (!r)
		return -EAGAIN;
	switch (type) {
	case MHS_REC_BEGIN:
		return take_begin(s, r, bytes);
	case MHS_REC_PROMPT:
	case MHS_REC_SCORES:
	case MHS_REC_TEXT:
	case MHS_REC_VECTOR:
		return take_chunk(s, r, type, bytes);
	case MHS_REC_TOKEN:
		return take_token(s, r, bytes);
	case MHS_REC_END:
		return take_end(s, r, bytes);
	case MHS_REC_PONG:
		return take_pong(s, r, bytes);
	default:
		return -EPROTO;
	}
}

void mhc_event_lost(struct mhost *s, struct mhc_request *r, int error, const char *message)
{
	event_start(s, r, MHOST_EVENT_END);
	snprintf(s->message, sizeof(s->message), "%s", message);
	s->event.finish = MHOST_FINISH_ERROR;
	s->event.error = error;
	s->event.retriable = 1;
	s->event.message = s->message;
	mhc_request_close(s, r);
}
