/* SPDX-License-Identifier: MIT */
/*
 * sup_want.c: a request names an adapter that is not in memory. Its worker asks, one operation loads
 * it however many ask, and all that asked are told. Workers are hostile input: names are checked,
 * what was refused just now is refused again without a look at the disk, and few wait at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sup_op_priv.h"

#define WANTS_MAX	256u			/* operations that wait at a time */
#define REFUSED_MAX	64u			/* refusals remembered */
#define REFUSED_NS	(300 * SUP_NS_PER_MS)	/* for so long */

/* One worker that waits. */
struct sup_want {
	struct sup_want *next;
	uint32_t worker;
	uint64_t life;
	struct hrt_want want;			/* as it asked */
};

static struct {
	struct hrt_want want;
	uint64_t until_ns;
	char text[HERITAGE_TEXT_BYTES];
} refused[REFUSED_MAX];
static uint32_t refused_next;

static void answer(struct sup_worker *worker, const struct hrt_want *want, int status, const char *text)
{
	struct hrt_msg msg = { .type = HRT_WANTED, .status = status };

	msg.wanted.want = *want;
	snprintf(msg.wanted.text, sizeof(msg.wanted.text), "%.255s", text);
	sup_worker_send(worker, &msg, NULL, 0);
}

static void refused_add(const struct hrt_want *want, const char *text)
{
	refused[refused_next].want = *want;
	refused[refused_next].until_ns = sup_now_ns() + REFUSED_NS;
	snprintf(refused[refused_next].text, sizeof(refused[0].text), "%.255s", text);
	refused_next = (refused_next + 1) % REFUSED_MAX;
}

void sup_want_over(struct sup_op *op, int status, const char *text)
{
	struct sup_want *want;

	if (op->wants && status)
		refused_add(&op->wants->want, text);
	while ((want = op->wants)) {
		struct sup_worker *worker = &op->sup->workers[want->worker];

		op->wants = want->next;
		if (worker->life == want->life && sup_worker_lives(worker))
			answer(worker, &want->want, status, text);
		free(want);
	}
}

/* What was refused just now; NULL: nothing of the kind. */
static const char *refused_text(const struct hrt_want *want)
{
	uint64_t now = sup_now_ns();

	for (uint32_t i = 0; i < REFUSED_MAX; i++)
		if (refused[i].until_ns > now && memcmp(&refused[i].want, want, sizeof(*want)) == 0)
			return refused[i].text;
	return NULL;
}

/* The bytes behind each text are cleared, so that equal wants are equal bytes. False: no text at all. */
static bool text_normal(char *text, size_t bytes)
{
	size_t n = strnlen(text, bytes);

	if (n == bytes)
		return false;
	memset(text + n, 0, bytes - n);
	return true;
}

/* 0, or -EINVAL with text. */
static int want_check(const struct hrt_want *want, struct sto_error *error)
{
	const char *prerelease;
	uint32_t parts[3];

	if (sto_name_check(want->model, error) || sto_name_check(want->adapter, error))
		return -EINVAL;
	if (!want->semver[0] || sto_semver_parse(want->semver, parts, &prerelease) == 0)
		return 0;
	sto_fail(error, "\"%.40s\" is no version; give MAJOR.MINOR.PATCH", want->semver);
	return -EINVAL;
}

/* The operation that does it already. */
static struct sup_op *op_of(struct sup *sup, const struct hrt_want *want, uint32_t *count)
{
	struct sup_op *found = NULL;

	*count = 0;
	for (struct sup_op *op = sup->ops; op; op = op->next) {
		*count += op->kind == OP_WANT;
		if (op->kind == OP_WANT && op->wants && memcmp(&op->wants->want, want, sizeof(*want)) == 0)
			found = op;
	}
	return found;
}

static bool op_add(struct sup_op *op, const struct sup_worker *worker, const struct hrt_want *want)
{
	struct sup_want *waits = calloc(1, sizeof(*waits));

	if (!waits)
		return false;
	*waits = (struct sup_want){ op->wants, worker->index, worker->life, *want };
	op->wants = waits;
	return true;
}

/* NULL, with text: why not. */
static struct sup_op *op_make(struct sup *sup, const struct hrt_want *want, struct sto_error *error)
{
	char target[SUP_NAME_BYTES], semver[MHS_SEMVER_BYTES];

	snprintf(target, sizeof(target), "%.63s/%.63s", want->model, want->adapter);
	memcpy(semver, want->semver, sizeof(semver));
	if (!semver[0] && sup_adapter_resolve(sup, target, true, semver, error))
		return NULL;
	return sup_op_want(sup, target, semver, want->semver[0] != '\0', error);
}

int sup_want_heard(struct sup_worker *worker, struct hrt_msg *msg)
{
	struct hrt_want *want = &msg->wanted.want;
	struct sup *sup = worker->sup;
	struct sto_error error = { "out of memory" };
	const char *before;
	struct sup_op *op;
	uint32_t count;

	if (!text_normal(want->model, sizeof(want->model)) ||
	    !text_normal(want->adapter, sizeof(want->adapter)) ||
	    !text_normal(want->semver, sizeof(want->semver)))
		return -EPROTO;
	op = op_of(sup, want, &count);
	before = refused_text(want);
	if (before) {
		answer(worker, want, -ENOENT, before);
	} else if (sup->state == SUP_STOPPING) {
		answer(worker, want, -ESHUTDOWN, "the host is shutting down");
	} else if (want_check(want, &error)) {
		answer(worker, want, -EINVAL, error.text);
	} else if (!op && count >= WANTS_MAX) {
		answer(worker, want, -EBUSY, "too many adapters are being loaded; try again");
	} else if (op) {
		if (!op_add(op, worker, want))
			answer(worker, want, -ENOMEM, error.text);
	} else if (!(op = op_make(sup, want, &error))) {
		refused_add(want, error.text);
		answer(worker, want, -ENOENT, error.text);
	} else if (op_add(op, worker, want)) {
		sup_op_kick(op);
	} else {
		sup_op_fail(op, "out of memory");
		sup_op_kick(op);
		answer(worker, want, -ENOMEM, error.text);
	}
	return 0;
}
