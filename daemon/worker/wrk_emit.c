/* SPDX-License-Identifier: MIT */
/* wrk_emit.c: from a row of logits to a token, its text, and the end of the request. */
#include <errno.h>
#include <string.h>

#include "probe.h"
#include "wrk.h"

bool wrk_emit_has_room(const struct wrk_request *r)
{
	uint32_t bytes = (uint32_t)sizeof(struct mhs_token) + r->text_cap +
			 r->rq.top_count * (uint32_t)sizeof(struct mhs_top);

	if (r->on_trial)
		return mhs_ring_has_room(&r->lane->event, bytes + wrk_trial_held_bytes(r));
	return r->begun && r->prompt_sent == r->prompt_count &&
	       mhs_ring_has_room(&r->lane->event, bytes);
}

/* Samples; fills @t's token, logprob and @top. Negative errno when the logits are no numbers. */
static int sample(struct wrk *w, struct wrk_request *r, float *logits, struct mhs_token *t,
		  struct eng_top *top)
{
	struct eng_sampling params = wrk_sampling_of(r);
	struct eng_sampler *sampler = r->version->sampler;
	uint32_t vocab = r->version->model.config.vocab_count;
	float *plain = w->logits + (size_t)WRK_LOGITS_ROWS * vocab;
	bool wanted = r->rq.flags & MHS_REQ_LOGPROBS;
	int64_t token;

	if (wanted)
		memcpy(plain, logits, vocab * sizeof(*plain));
	wrk_sampling_hold(r, logits);
	if (r->grammar)
		token = wrk_grammar_sample(r, &params, logits);
	else
		token = eng_sample(sampler, &params, logits, r->tokens, r->token_count, &r->rng);
	if (token < 0)
		return (int)token;
	t->token = (uint32_t)token;
	if (!wanted)
		return 0;
	t->top_count = r->rq.top_count < vocab ? r->rq.top_count : vocab;
	return eng_logprobs(sampler, plain, t->token, &t->logprob, top, t->top_count);
}

/* The token's text joins what is held back. @last: nothing comes after it. */
static void text_push(struct wrk_request *r, uint32_t token, bool eos, bool last)
{
	int64_t n = 0;

	if (!eos)
		n = eng_tok_stream_push(r->version->tok, &r->stream, token, r->text + r->text_bytes,
					r->text_cap - r->text_bytes);
	r->text_bytes += n > 0 ? (uint32_t)n : 0;
	if (!last)
		return;
	n = eng_tok_stream_finish(&r->stream, r->text + r->text_bytes, r->text_cap - r->text_bytes);
	r->text_bytes += n > 0 ? (uint32_t)n : 0;
}

static void token_send(struct wrk_request *r, const struct mhs_token *t, const struct eng_top *top)
{
	struct mhs_piece pieces[] = {
		{ t, sizeof(*t) },
		{ top, t->top_count * (uint32_t)sizeof(*top) },
		{ r->text, t->text_bytes },
	};

	_Static_assert(sizeof(struct eng_top) == sizeof(struct mhs_top), "the same two words");
	wrk_lane_put(r->lane, MHS_REC_TOKEN, pieces, 3);
	r->text_bytes -= t->text_bytes;
	memmove(r->text, r->text + t->text_bytes, r->text_bytes);
}

/* For each version that has a part in it. */
static void time_add(struct wrk *w, const struct wrk_request *r, enum mhs_hist hist, uint64_t ns)
{
	struct wrk_part parts[WRK_PARTS_MAX];
	uint32_t count = wrk_set_parts(r, parts);

	for (uint32_t i = 0; i < count; i++)
		mhs_hist_add(wrk_part_row(w, &parts[i])->hist[hist], ns);
}

static void count_token(struct wrk *w, struct wrk_request *r)
{
	uint64_t now = wrk_now_ns();

	if (r->first_ns) {
		time_add(w, r, MHS_HIST_INTER_TOKEN, now - r->last_ns);
		probe_token(r->rq.request_id, r->version->index,
			    r->token_count - r->prompt_count - 1, now - r->last_ns);
	} else {
		time_add(w, r, MHS_HIST_FIRST_TOKEN, now - r->arrived_ns);
		probe_first_token(r->rq.request_id, r->version->index, now - r->arrived_ns);
		r->first_ns = now;
	}
	r->last_ns = now;
}

/* False: it failed, as was asked for. */
static bool rehearse(struct wrk *w, struct wrk_request *r, float *logits)
{
	const char *why = NULL;

	if (r->token_count == r->prompt_count)
		why = wrk_rehearse_token(&r->version->rehearsal, logits);
	if (why)
		wrk_request_fail(w, r, MHS_ERR_INTERNAL, "%s", why);
	return !why;
}

static void sample_failed(struct wrk *w, struct wrk_request *r, int err)
{
	if (err == -EDOM)
		wrk_request_fail(w, r, MHS_ERR_NAN, "logits are not finite after %u tokens", r->token_count);
	else
		wrk_request_fail(w, r, MHS_ERR_INTERNAL, err == -ENOMEM ? "out of memory for the grammar" :
				 err == -E2BIG ? "the reply can be read in too many ways: make the grammar less ambiguous" :
				 "no token of the model goes on as the grammar wants");
}

/* Called only when wrk_emit_has_room(). */
void wrk_emit_token(struct wrk *w, struct wrk_request *r, float *logits, bool ahead)
{
	struct eng_top top[MHS_TOP_MAX];
	struct mhs_token t = {
		.request_id = r->rq.request_id,
		.index = r->token_count - r->prompt_count,
		.logprob = __builtin_nanf(""),
		.flags = ahead ? MHS_TOKEN_AHEAD : 0,
		.drafted_count = ahead ? 0 : (uint16_t)r->draft.rows,
	};
	bool eos, full, over, stopped;
	int err;

	if (!rehearse(w, r, logits))
		return;
	err = sample(w, r, logits, &t, top);
	if (err) {
		sample_failed(w, r, err);
		return;
	}
	wrk_trial_show(w, r);
	r->tokens[r->token_count++] = t.token;
	r->state = WRK_DECODE;
	r->draft.accepted += ahead;
	wrk_draft_push(&r->draft, r->tokens, r->token_count);
	count_token(w, r);
	eos = wrk_sampling_ends(r, t.token);
	full = t.index + 1 >= r->max_tokens;
	over = r->grammar && !eos && wrk_grammar_is_over(r->grammar, full);
	text_push(r, t.token, eos, eos || full || over);
	t.text_bytes = wrk_stop_scan(&r->rq, r->payload, r->text, r->text_bytes, &stopped);
	if ((eos || full || over) && !stopped)
		t.text_bytes = r->text_bytes;
	token_send(r, &t, top);
	if (eos || stopped || over)
		wrk_request_end(w, r, MHS_END_STOP, MHS_ERR_NONE, "%s", "");
	else if (full)
		wrk_request_end(w, r, MHS_END_LENGTH, MHS_ERR_NONE, "%s", "");
}

/* The logits at @position judge the prompt's next token. */
void wrk_emit_score(struct wrk *w, struct wrk_request *r, uint32_t position, const float *logits)
{
	uint32_t next = position + 1;

	if (eng_logprobs(r->version->sampler, logits, r->tokens[next], &r->scores[next], NULL, 0)) {
		wrk_request_fail(w, r, MHS_ERR_NAN, "logits are not finite at prompt token %u",
				 position);
		return;
	}
	r->scores_done = next + 1;
	if (r->scores_done < r->prompt_count)
		return;
	wrk_trial_show(w, r);
	r->first_ns = wrk_now_ns();
	wrk_request_end(w, r, MHS_END_STOP, MHS_ERR_NONE, "%s", "");
}
