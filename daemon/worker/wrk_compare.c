/* SPDX-License-Identifier: MIT */
/*
 * wrk_compare.c: two passes over the oldest job, side by side: a piece of the stable version, whose
 * logits are kept, the same piece of the candidate in another turn, then their rows are compared.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "eng_diverge.h"
#include "wrk.h"

#define PIECE_NS	1e7f	/* a request that comes meanwhile waits about so long at most, */
#define PIECE_STEPS	2.0f	/* or as long as so many steps of a lone stream */
#define ROWS_MIN	8u	/* fewer take hardly less time: all weights are read */
#define ROWS_MORE	2u	/* after a piece that was short enough; else a quarter less */
#define KV_SHARE	2u	/* of kv_bytes a job may need 1 / KV_SHARE */

/* A piece of @rows took @ns: what the next one may have. */
static void learn(struct wrk_shadow *s, const struct wrk_pace *pace, uint32_t rows, uint64_t ns)
{
	float most = PIECE_STEPS * pace->alone_ns[1];

	if ((float)ns > (most > PIECE_NS ? most : PIECE_NS))
		rows -= rows / 4;
	else if (rows == s->rows)
		rows += ROWS_MORE;
	else
		return;		/* the last of a job: it proves nothing */
	s->rows = rows > WRK_SHADOW_ROWS ? WRK_SHADOW_ROWS : rows;
}

/* Rows of the next piece: the last token's row says nothing about the reply. */
static uint32_t piece_rows(struct wrk_shadow *s, const struct wrk_job *job)
{
	uint32_t left = job->token_count - 1 - s->computed;

	if (s->rows < ROWS_MIN)
		s->rows = ROWS_MIN;
	return s->rows < left ? s->rows : left;
}

/* -- memory ------------------------------------------------------------------------------------ */

/* Tables for all of the job, and the logits. 0 or -ENOMEM. */
static int pass_tables(struct wrk_pass *pass, uint32_t count)
{
	if (count <= pass->page_cap)
		return 0;
	free(pass->held);
	free(pass->pages);
	pass->held = calloc(count, sizeof(struct wrk_page *));
	pass->pages = calloc(count, sizeof(*pass->pages));
	pass->page_cap = pass->held && pass->pages ? count : 0;
	return pass->page_cap ? 0 : -ENOMEM;
}

static int logits_room(struct wrk_shadow *s, uint32_t vocab)
{
	size_t row = (vocab + 15) & ~15u;

	if (vocab <= s->logits_vocab)
		return 0;
	free(s->logits);
	s->logits = aligned_alloc(64, WRK_SHADOW_ROWS * row * sizeof(*s->logits));
	s->logits_vocab = s->logits ? vocab : 0;
	return s->logits ? 0 : -ENOMEM;
}

static bool job_fits(const struct wrk *w, const struct wrk_job *job, uint64_t pages)
{
	uint64_t bytes = eng_kv_page_bytes(&job->stable.version->model.config) +
			 eng_kv_page_bytes(&job->candidate.version->model.config);

	return pages * bytes <= w->limits.kv_bytes / KV_SHARE;
}

static int job_begin(struct wrk *w, const struct wrk_job *job)
{
	struct wrk_shadow *s = &w->shadow;
	uint32_t pages = wrk_pages_for(job->token_count - 1);

	if (!job_fits(w, job, pages) || pass_tables(&s->stable, pages) ||
	    pass_tables(&s->candidate, pages))
		return -ENOMEM;
	return logits_room(s, job->stable.version->model.config.vocab_count);
}

static bool pass_cover(struct wrk *w, struct wrk_pass *pass, struct wrk_pool *pool, uint32_t tokens)
{
	while (pass->page_count < wrk_pages_for(tokens)) {
		struct wrk_page *page = wrk_page_take(w, pool, false);

		if (!page)
			return false;
		pass->held[pass->page_count] = page;
		pass->pages[pass->page_count++] = page->memory;
	}
	return true;
}

/* -- a piece ----------------------------------------------------------------------------------- */

/* The row after which the reply's first token comes. */
static uint32_t first_output(const struct wrk_job *job)
{
	return job->prompt_count - 1;
}

static uint32_t rows_build(struct wrk *w, const struct wrk_job *job, const struct wrk_pass *pass,
			   const struct wrk_side *side, uint32_t rows)
{
	uint32_t logits = 0;

	for (uint32_t i = 0; i < rows; i++) {
		uint32_t at = w->shadow.computed + i;

		w->rows[i] = (struct eng_row){
			.token = job->tokens[at], .position = at, .pages = pass->pages,
			.is_prompt = true,
			.logits = at >= first_output(job) ? (int32_t)logits++ : -1,
			.adapters = side->list, .adapter_count = side->adapter_count,
		};
	}
	return logits;
}

/* 0, -ENOMEM: no pages, or what the engine says. The mark stays: what came out is looked at next. */
static int pass_run(struct wrk *w, const struct wrk_job *job, struct wrk_pass *pass,
		    const struct wrk_side *side, uint32_t rows, float *logits)
{
	struct wrk_version *v = side->version;
	uint64_t start, ns;
	int err;

	if (!pass_cover(w, pass, v->pool, w->shadow.computed + rows))
		return -ENOMEM;
	rows_build(w, job, pass, side, rows);
	start = wrk_now_ns();
	wrk_step_mark(w, side->parts[job->part].index);
	err = eng_step(w->eng, &v->model, w->rows, rows, logits);
	wrk_rehearse_step(&v->rehearsal, wrk_now_ns() - start);
	ns = wrk_now_ns() - start;
	pass->ns += ns;
	w->shadow.steps++;
	return err;
}

static void tally_add(struct wrk_tally *t, const struct eng_diverge *d)
{
	t->kl += d->kl;
	t->kl_max = d->kl > t->kl_max ? d->kl : t->kl_max;
	t->stable_logprob += d->logprob[0];
	t->logprob += d->logprob[1];
	if (d->top1[0] == d->top1[1])
		t->top1_count++;
	else if (t->first_divergence == UINT32_MAX)
		t->first_divergence = t->count;
	t->count++;
}

/* The rows of a piece. 0; -EDOM: the candidate's are no numbers; -EINVAL: the stable version's. */
static int piece_compare(struct wrk *w, const struct wrk_job *job)
{
	struct wrk_shadow *s = &w->shadow;
	uint32_t vocab = job->stable.version->model.config.vocab_count, bad, row = 0;
	struct eng_diverge d;

	for (uint32_t at = s->computed; at < s->computed + s->piece; at++) {
		float *logits = w->logits + (size_t)row * vocab;

		if (at < first_output(job))
			continue;
		/* rehearsed failures other than of numbers show in live traffic alone */
		if (at == first_output(job) && job->part == 0)
			(void)wrk_rehearse_token(&job->candidate.version->rehearsal, logits);
		if (eng_diverge(s->logits + (size_t)row * vocab, logits, vocab, job->tokens[at + 1],
				&d, &bad))
			return bad & 1 ? -EINVAL : -EDOM;
		tally_add(&s->tally, &d);
		row++;
	}
	return 0;
}

static void job_note(struct wrk *w, const struct wrk_job *job, uint32_t error)
{
	const struct wrk_shadow *s = &w->shadow;
	const struct wrk_tally *t = &s->tally;
	const struct wrk_part *stable = &job->stable.parts[job->part];
	const struct wrk_part *candidate = &job->candidate.parts[job->part];
	double n = t->count ? t->count : 1;
	struct mhs_reply reply = {
		.version_serial = candidate->serial << 12 | candidate->index,
		.stable_serial = stable->serial << 12 | stable->index,
		.kind = MHS_REPLY_COMPARED,
		.error = error,
		.prompt_count = job->prompt_count,
		.output_count = job->token_count - job->prompt_count,
		.ended_ns = wrk_now_ns(),
		.first_divergence = t->first_divergence,
		.kl_mean = (float)(t->kl / n),
		.kl_max = (float)t->kl_max,
		.compared_count = t->count,
		.top1_count = t->top1_count,
		.logprob = (float)(t->logprob / n),
		.stable_logprob = (float)(t->stable_logprob / n),
		.own_ns = s->candidate.ns,
		.stable_ns = s->stable.ns,
	};

	mhs_reply_put(w->replies, &reply);
}

static void candidate_failed(struct wrk *w, const struct wrk_job *job)
{
	const struct wrk_part *candidate = &job->candidate.parts[job->part];
	char text[MHS_MESSAGE_BYTES];

	snprintf(text, sizeof(text), "logits are not finite in a comparison, after %u tokens",
		 w->shadow.computed);
	wrk_control_say(w, HRT_EVIDENCE, candidate->index, candidate->serial, (int)MHS_ERR_NAN, text);
	job_note(w, job, MHS_ERR_NAN);
	wrk_shadow_end(w, false);
}

/* The stable version's part of a piece. */
static void stable_step(struct wrk *w, const struct wrk_job *job)
{
	struct wrk_shadow *s = &w->shadow;
	uint32_t rows = piece_rows(s, job);
	int err = s->computed ? 0 : job_begin(w, job);

	if (!err)
		err = pass_run(w, job, &s->stable, &job->stable, rows, s->logits);
	if (err)
		wrk_shadow_end(w, true);
	else
		s->piece = rows;
}

static void candidate_step(struct wrk *w, const struct wrk_job *job)
{
	struct wrk_shadow *s = &w->shadow;
	int err = pass_run(w, job, &s->candidate, &job->candidate, s->piece, w->logits);

	if (!err)
		err = piece_compare(w, job);
	if (err == -EDOM)
		candidate_failed(w, job);
	else if (err)
		wrk_shadow_end(w, true);
	if (err)
		return;
	s->computed += s->piece;
	s->piece = 0;
	if (s->computed < job->token_count - 1)
		return;
	job_note(w, job, MHS_ERR_NONE);
	wrk_shadow_end(w, false);
}

bool wrk_shadow_step(struct wrk *w)
{
	struct wrk_shadow *s = &w->shadow;
	const struct wrk_pace *pace;
	uint32_t rows = s->piece;
	uint64_t start;

	if (!s->count || w->running_count || w->queued_count || w->stopping ||
	    wrk_lanes_pending(w))
		return false;
	pace = &s->jobs[0].stable.version->pace;
	start = wrk_now_ns();
	if (s->piece)
		candidate_step(w, &s->jobs[0]);
	else
		stable_step(w, &s->jobs[0]);
	wrk_step_mark(w, 0);
	rows = rows ? rows : s->piece;
	if (rows)
		learn(s, pace, rows, wrk_now_ns() - start);
	return true;
}
