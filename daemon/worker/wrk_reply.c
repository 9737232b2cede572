/* SPDX-License-Identifier: MIT */
/* wrk_reply.c: records of each request that ran, one for each of its versions: for release decisions. */
#include "wrk.h"

#define REPEAT_TOKENS	48u	/* this much of the same is no style any more */
#define REPEAT_PERIOD	12u	/* tokens, at most */

/* Whether the last REPEAT_TOKENS of the output are one short phrase again and again. */
static bool is_repeating(const struct wrk_request *r)
{
	const uint32_t *end = r->tokens + r->token_count;

	if (r->token_count - r->prompt_count < REPEAT_TOKENS + REPEAT_PERIOD)
		return false;
	for (uint32_t period = 1; period <= REPEAT_PERIOD; period++) {
		uint32_t same = 0;

		while (same < REPEAT_TOKENS && end[-1 - (int)same] == end[-1 - (int)(same + period)])
			same++;
		if (same == REPEAT_TOKENS)
			return true;
	}
	return false;
}

static uint32_t flags_of(const struct wrk_request *r)
{
	uint32_t flags = r->moved ? MHS_REPLY_MOVED : 0;

	if (r->kind != MHS_REC_GENERATE)
		return flags;
	/* the end-of-text token alone */
	if (r->reason == MHS_END_STOP && r->token_count - r->prompt_count <= 1)
		flags |= MHS_REPLY_EMPTY;
	if (is_repeating(r))
		flags |= MHS_REPLY_REPEATING;
	return flags;
}

/* Enough to tell sessions apart, too little to find the key. */
static uint32_t session_of(uint64_t key)
{
	return key ? (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) | 1 : 0;
}

static bool is_failure(const struct wrk_request *r)
{
	return r->error == MHS_ERR_NAN || r->error == MHS_ERR_INTERNAL;
}

void wrk_reply_note(struct wrk *w, const struct wrk_request *r, uint64_t now)
{
	struct wrk_part parts[WRK_PARTS_MAX];
	uint32_t count = wrk_set_parts(r, parts);
	struct mhs_reply reply = {
		.kind = MHS_REPLY_ENDED,
		.flags = (uint16_t)flags_of(r),
		.reason = (uint16_t)r->reason,
		.error = (uint16_t)r->error,
		.session = session_of(r->rq.session_key),
		.prompt_count = r->prompt_count,
		.output_count = r->token_count - r->prompt_count,
		.cached_count = r->cached_count,
		.ended_ns = now,
		.queue_ns = r->admitted_ns - r->arrived_ns,
		.first_token_ns = r->first_ns ? r->first_ns - r->arrived_ns : 0,
		.total_ns = now - r->arrived_ns,
		.own_ns = wrk_speed_own_ns(r),
		.stable_ns = r->usual_ns,
	};

	for (uint32_t i = 0; i < count; i++) {
		/* whoever failed, it was none of those that are not blamed */
		if (!parts[i].blamed && is_failure(r))
			continue;
		reply.version_serial = parts[i].serial << 12 | parts[i].index;
		mhs_reply_put(w->replies, &reply);
	}
}
