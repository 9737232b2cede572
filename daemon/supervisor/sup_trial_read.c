/* SPDX-License-Identifier: MIT */
/* sup_trial_read.c: from the workers' reply rings, which may say anything, to the judge. */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "mhs_stat.h"
#include "sup_trial.h"

void sup_trial_clear(struct sup_trial *trial)
{
	memset(trial->cohorts, 0, sizeof(trial->cohorts));
	trial->compared = 0;
}

static const struct mhs_replies *replies_of(const struct sup_worker *worker)
{
	return sup_worker_lives(worker) ? worker->replies.addr : NULL;
}

void sup_trial_read_from_now(struct sup_trial *trial)
{
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		const struct sup_worker *worker = &trial->sup->workers[i];
		const struct mhs_replies *replies = replies_of(worker);

		trial->read[i].life = worker->life;
		trial->read[i].next = replies ? mhs_reply_count(replies) + 1 : 1;
	}
}

/* -1: neither. */
static int cohort_of(const struct sup_trial *trial, uint64_t version_serial)
{
	const struct sup_version *versions[] = { trial->model->active, trial->version };

	for (int i = 0; i < 2; i++)
		if (version_serial == (versions[i]->serial << 12 | versions[i]->index))
			return i;
	return -1;
}

/* Whether the version failed, and not its client or the host. */
static enum sup_judge_outcome outcome_of(const struct mhs_reply *reply)
{
	if (reply->reason == MHS_END_STOP || reply->reason == MHS_END_LENGTH)
		return SUP_JUDGE_OK;
	if (reply->reason == MHS_END_ERROR &&
	    (reply->error == MHS_ERR_NAN || reply->error == MHS_ERR_INTERNAL ||
	     reply->error == MHS_ERR_DEADLINE))
		return SUP_JUDGE_FAILED;
	return SUP_JUDGE_CANCELLED;
}

static void cohort_count(struct sup_cohort *cohort, const struct mhs_reply *reply,
			 enum sup_judge_outcome outcome)
{
	cohort->requests++;
	cohort->failed += outcome == SUP_JUDGE_FAILED;
	cohort->cancelled += outcome == SUP_JUDGE_CANCELLED;
	cohort->empty += (reply->flags & MHS_REPLY_EMPTY) != 0;
	cohort->repeating += (reply->flags & MHS_REPLY_REPEATING) != 0;
	if (!reply->first_token_ns || reply->total_ns < reply->first_token_ns)
		return;
	cohort->first_token[mhs_hist_bucket(reply->first_token_ns)]++;
	cohort->total[mhs_hist_bucket(reply->total_ns)]++;
	if (reply->output_count > 1) {
		cohort->output_tokens += reply->output_count - 1;
		cohort->decode_ns += reply->total_ns - reply->first_token_ns;
	}
}

static void ended(struct sup_trial *trial, const struct mhs_reply *reply)
{
	uint64_t now = sup_now_ns();
	int cohort = cohort_of(trial, reply->version_serial);
	struct sup_judge_sample sample = {
		.cohort = (enum sup_judge_cohort)cohort,
		.outcome = outcome_of(reply),
		.ended_ns = reply->ended_ns < now ? reply->ended_ns : now,	/* as it says, not later */
		.queue_ns = reply->queue_ns,
		.first_token_ns = reply->first_token_ns,
		.total_ns = reply->total_ns,
		.session = reply->session,
		.own_ns = reply->own_ns,
		.usual_ns = reply->stable_ns,
		.prompt_count = reply->prompt_count,
		.cached_count = reply->cached_count,
		.output_count = reply->output_count,
	};

	/* One that the candidate failed on first tells of two versions. */
	if (cohort < 0 || reply->flags & MHS_REPLY_MOVED)
		return;
	if (reply->flags & MHS_REPLY_EMPTY)
		sample.flags |= SUP_JUDGE_S_EMPTY;
	if (reply->flags & MHS_REPLY_REPEATING)
		sample.flags |= SUP_JUDGE_S_REPEATING;
	if (reply->error == MHS_ERR_NAN)
		sample.flags |= SUP_JUDGE_S_NAN;
	sup_judge_add(&trial->judge, &sample);
	cohort_count(&trial->cohorts[cohort], reply, sample.outcome);
}

static void compared(struct sup_trial *trial, const struct mhs_reply *reply)
{
	double count = reply->compared_count;
	struct sup_judge_comparison comparison = {
		.tokens = reply->compared_count,
		.top1_agree = reply->top1_count,
		.first_divergence = reply->first_divergence,
		.kl_sum = (double)reply->kl_mean * count,
		.kl_max = (double)reply->kl_max,
		.stable_logprob_sum = (double)reply->stable_logprob * count,
		.candidate_logprob_sum = (double)reply->logprob * count,
		.stable_ns = reply->stable_ns,
		.candidate_ns = reply->own_ns,
	};

	if (cohort_of(trial, reply->version_serial) != SUP_JUDGE_CANDIDATE ||
	    cohort_of(trial, reply->stable_serial) != SUP_JUDGE_STABLE)
		return;
	sup_judge_compare_add(&trial->judge, &comparison);
	trial->compared++;
}

/* At most a ring's worth; a writer that outran us costs what it wrote over. */
static void worker_read(struct sup_trial *trial, const struct sup_worker *worker)
{
	const struct mhs_replies *replies = replies_of(worker);
	uint64_t *next = &trial->read[worker->index].next, count, fresh;
	struct mhs_reply reply;

	if (!replies)
		return;
	if (trial->read[worker->index].life != worker->life) {
		trial->read[worker->index].life = worker->life;
		*next = 1;
	}
	count = mhs_reply_count(replies);
	fresh = count >= *next ? count - *next + 1 : 0;
	if (fresh > MHS_REPLY_COUNT) {
		trial->missed += fresh - MHS_REPLY_COUNT;
		*next += fresh - MHS_REPLY_COUNT;
		fresh = MHS_REPLY_COUNT;
	}
	for (; fresh; fresh--, ++*next) {	/* counted down: any count may stand there, the last too */
		if (mhs_reply_get(replies, *next, &reply))
			trial->missed++;
		else if (reply.kind == MHS_REPLY_ENDED)
			ended(trial, &reply);
		else if (reply.kind == MHS_REPLY_COMPARED)
			compared(trial, &reply);
	}
}

void sup_trial_read(struct sup_trial *trial)
{
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		worker_read(trial, &trial->sup->workers[i]);
}

/* ---- what cannot wait for a weighing ----------------------------------------------------------- */

/* @version did what no version may. */
void sup_version_hard(struct sup_version *version, const char *why)
{
	struct sup_model *model = version->model;

	if (model->trial && model->trial->version == version)
		sup_trial_fail(model->trial, why);
	else if (model->active == version && sup_now_ns() < model->guard_ns && model->history_count)
		sup_op_rollback_self(version->sup, model, why);
}

void sup_version_evidence(struct sup_version *version, const char *text)
{
	char why[200];

	snprintf(why, sizeof(why), "not finite: %.150s", text);
	sup_version_hard(version, why);
}

void sup_version_worker_died(struct sup_worker *worker)
{
	const struct mhs_slot *slot = sup_worker_slot(worker);
	uint32_t index;
	char why[80];

	if (!slot)
		return;
	/* relaxed: the last store of wrk_step_mark(), its writer is dead */
	index = atomic_load_explicit(&slot->step_version, memory_order_relaxed);
	snprintf(why, sizeof(why), "worker %u died in a step of it", worker->index);
	for (struct sup_version *v = worker->sup->versions; v && index; v = v->next) {
		if (v->index != index)
			continue;
		sup_version_hard(v, why);
		return;
	}
}
