/* SPDX-License-Identifier: MIT */
/*
 * wrk_want.c: adapters that are not in memory. The supervisor is asked once for all that wait for one;
 * they stand aside, so that nobody behind them waits too, and join the queue again at its answer.
 * Deadlines and cancels reach them as ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wrk.h"

#define TRIES_MAX	8u	/* loaded, and gone again before it was pinned */

static bool is_same(const struct hrt_want *a, const struct hrt_want *b)
{
	return !strncmp(a->model, b->model, MHS_NAME_BYTES) &&
	       !strncmp(a->adapter, b->adapter, MHS_NAME_BYTES) &&
	       !strncmp(a->semver, b->semver, MHS_SEMVER_BYTES);
}

static struct wrk_want *want_get(struct wrk *w, const struct hrt_want *wanted)
{
	struct wrk_want *want = w->wants;

	while (want && !is_same(&want->want, wanted))
		want = want->next;
	if (want)
		return want;
	want = calloc(1, sizeof(*want));
	if (!want)
		return NULL;
	want->want = *wanted;
	want->next = w->wants;
	w->wants = want;
	return want;
}

static void lost(struct wrk *w, struct wrk_request *r, const struct hrt_want *want)
{
	wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_NO_ADAPTER,
			"adapter \"%s\" is not in memory, and the supervisor that could load it is gone",
			want->adapter);
}

void wrk_want(struct wrk *w, struct wrk_request *r, const struct mhs_adapter_ref *ref)
{
	struct hrt_want wanted = { .model = "" };

	memcpy(wanted.model, r->rq.model, sizeof(wanted.model));
	memcpy(wanted.adapter, ref->name, sizeof(wanted.adapter));
	memcpy(wanted.semver, ref->semver, sizeof(wanted.semver));
	if (w->orphan) {
		lost(w, r, &wanted);
		return;
	}
	if (r->want_tries++ == TRIES_MAX) {
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_BUSY,
				"adapter \"%s\" was loaded %u times and pushed out before its turn: give "
				"adapters more memory, or try again later", ref->name, TRIES_MAX);
		return;
	}
	r->want = want_get(w, &wanted);
	if (!r->want) {
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INTERNAL, "out of memory for an adapter");
		return;
	}
	wrk_queue_park(r);
	wrk_wants_say(w);
}

void wrk_wants_say(struct wrk *w)
{
	struct hrt_msg msg = { .type = HRT_WANT };

	for (struct wrk_want *want = w->wants; want; want = want->next) {
		if (want->said)
			continue;
		msg.wanted.want = want->want;
		want->said = wrk_control_send(w, &msg) == 0;
	}
}

/* Everyone who waits for @want goes on: into the queue, or to an end. */
static void want_over(struct wrk *w, struct wrk_want *want, const char *text, int status)
{
	for (struct wrk_request *r = w->requests; r; r = r->next) {
		if (r->state != WRK_WAITING || r->want != want)
			continue;
		if (!status)
			wrk_queue_return(r);
		else if (w->orphan)
			lost(w, r, &want->want);
		else
			wrk_request_end(w, r, MHS_END_ERROR, status == -EBUSY || status == -EAGAIN ?
					MHS_ERR_BUSY : MHS_ERR_NO_ADAPTER, "%.255s", text);
		r->want = NULL;
	}
}

static void want_remove(struct wrk *w, struct wrk_want *want)
{
	struct wrk_want **at = &w->wants;

	while (*at != want)
		at = &(*at)->next;
	*at = want->next;
	free(want);
}

void wrk_want_answer(struct wrk *w, const struct hrt_wanted *wanted, int status)
{
	struct wrk_want *want = w->wants;

	while (want && !is_same(&want->want, &wanted->want))
		want = want->next;
	if (!want)
		return;
	want_over(w, want, wanted->text, status);
	want_remove(w, want);
}

void wrk_wants_lost(struct wrk *w)
{
	while (w->wants) {
		want_over(w, w->wants, "", -EPIPE);
		want_remove(w, w->wants);
	}
}

void wrk_wants_fini(struct wrk *w)
{
	while (w->wants)
		want_remove(w, w->wants);
}
