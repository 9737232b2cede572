/* SPDX-License-Identifier: MIT */
/*
 * probe.c: prompts come in rounds. A round is one prompt to every version, in an order drawn anew:
 * whatever else the machine does meets all versions alike, and none always finds what another left
 * warm.
 */
#include "probe.h"

#include <errno.h>

#include "bench.h"

#define BUSY_WAIT_S		0.05
#define CANCEL_WAIT_S		3.0
#define DEATHS_MAX		2u	/* workers that died on a version: no more are risked */

/* ---- what to ask next ----------------------------------------------------------------------- */

static uint64_t draw(uint64_t *state)	/* splitmix64, Steele, Lea, Flood 2014 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void shuffle(struct probe *p)
{
	for (uint32_t i = p->side_count - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(draw(&p->seed) % (i + 1)), kept = p->order[i];

		p->order[i] = p->order[j];
		p->order[j] = kept;
	}
}

static bool is_more(const struct probe *p)
{
	return p->next < (uint64_t)p->count * p->side_count;
}

static void assign(struct probe *p, struct probe_slot *slot)
{
	uint32_t in_round = (uint32_t)(p->next % p->side_count);

	if (!in_round)
		shuffle(p);
	*slot = (struct probe_slot){ .state = PROBE_SLOT_WAITING, .side = &p->sides[p->order[in_round]],
			       .prompt = (uint32_t)(p->next / p->side_count % p->prompts.count) };
	slot->side->requests++;
	p->next++;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* The first reason stays. */
static int stop_with(struct probe *p, const char *ended, const char *message)
{
	if (p->ended)
		return CMD_FAILED;
	p->ended = ended;
	snprintf(p->message, sizeof(p->message), "%s", message);
	return CMD_FAILED;
}

static int submit(struct probe *p, struct probe_slot *slot)
{
	const struct prompt *prompt = &p->prompts.list[slot->prompt];
	struct mhost_request rq = MHOST_REQUEST_INIT;
	int err;

	rq.model = p->model;
	cmd_adapters_set(&p->adapters, &rq);
	if (p->adapter)
		p->adapters.list[p->adapters.count - 1].version = slot->side->version;
	else
		rq.version = slot->side->version;
	rq.flags = MHOST_NO_REPLAY;
	rq.text = prompt->prompt.text;
	rq.text_bytes = prompt->prompt.text_bytes;
	rq.tokens = prompt->prompt.ids;
	rq.token_count = prompt->prompt.id_count;
	rq.max_tokens = prompt->max_tokens ? prompt->max_tokens : p->max_tokens;
	slot->start_s = bench_now_s();
	err = mhost_submit(p->session, &rq, &slot->id);
	if (err == MHOST_E_BUSY) {
		slot->start_s += BUSY_WAIT_S;
		return CMD_OK;
	}
	if (err)
		return stop_with(p, "error", mhost_errmsg(p->session));
	slot->state = PROBE_SLOT_RUNNING;
	slot->tokens = 0;
	return CMD_OK;
}

/* Every slot that may ask, asks. */
static int fill(struct probe *p)
{
	int err = CMD_OK;

	for (uint32_t i = 0; !err && i < p->concurrency; i++) {
		struct probe_slot *slot = &p->slots[i];

		if (slot->state == PROBE_SLOT_FREE && is_more(p))
			assign(p, slot);
		if (slot->state == PROBE_SLOT_WAITING && bench_now_s() >= slot->start_s)
			err = submit(p, slot);
	}
	return err;
}

static void complete(struct probe_slot *slot, const struct mhost_event *ev)
{
	struct probe_side *side = slot->side;

	side->first_ms[side->completed] = slot->first_ms;
	side->total_ms[side->completed++] = (bench_now_s() - slot->start_s) * 1e3;
	side->tokens += slot->tokens;
	side->later_tokens += slot->tokens - 1;
	side->decode_s += (double)ev->decode_ns / 1e9;
}

/* One death loses all that ran: what was asked before it was seen belongs to it. */
static void note_death(const struct probe_slot *slot)
{
	struct probe_side *side = slot->side;

	if (slot->start_s <= side->death_s)
		return;
	side->deaths++;
	side->death_s = bench_now_s();
}

/* A request that got an error. Busy is the host's trouble, not the version's: ask again. */
static int take_error(struct probe *p, struct probe_slot *slot, const struct mhost_event *ev)
{
	const char *said = ev->message[0] ? ev->message : mhost_strerror(ev->error);
	struct probe_side *side = slot->side;
	char message[400];

	if (ev->error == MHOST_E_BUSY) {
		slot->state = PROBE_SLOT_WAITING;
		slot->start_s = bench_now_s() + BUSY_WAIT_S;
		return CMD_OK;
	}
	snprintf(message, sizeof(message), "%s@%s: %s", p->model, side->version, said);
	if (ev->error == MHOST_E_NO_MODEL || ev->error == MHOST_E_NO_VERSION ||
	    ev->error == MHOST_E_STOPPING || ev->error == MHOST_E_REFUSED)
		return stop_with(p, "error", message);
	side->errors++;
	snprintf(side->error, sizeof(side->error), "%s", said);
	if (ev->error == MHOST_E_WORKER_LOST)
		note_death(slot);
	if (side->deaths < DEATHS_MAX)
		return CMD_OK;
	snprintf(message, sizeof(message), "%s@%s: %u workers ended while they ran it; unload it",
		 p->model, side->version, DEATHS_MAX);
	return stop_with(p, "error", message);
}

static int take_end(struct probe *p, struct probe_slot *slot, const struct mhost_event *ev)
{
	slot->state = PROBE_SLOT_FREE;
	if (ev->error)
		return take_error(p, slot, ev);
	if (ev->finish == MHOST_FINISH_CANCELLED || !slot->tokens)
		slot->side->requests--;	/* by us, at the end: not measured */
	else
		complete(slot, ev);
	return CMD_OK;
}

static int take(struct probe *p, const struct mhost_event *ev)
{
	for (uint32_t i = 0; i < p->concurrency; i++) {
		struct probe_slot *slot = &p->slots[i];

		if (slot->state != PROBE_SLOT_RUNNING || slot->id != ev->id)
			continue;
		if (ev->type == MHOST_EVENT_TOKEN && !slot->tokens++)
			slot->first_ms = (bench_now_s() - slot->start_s) * 1e3;
		return ev->type == MHOST_EVENT_END ? take_end(p, slot, ev) : CMD_OK;
	}
	return CMD_OK;
}

static bool is_idle(const struct probe *p)
{
	for (uint32_t i = 0; i < p->concurrency; i++)
		if (p->slots[i].state != PROBE_SLOT_FREE)
			return false;
	return true;
}

static int step(struct probe *p)
{
	const struct mhost_event *ev;
	int err = mhost_next(p->session, 50, &ev);

	if (!err)
		return take(p, ev);
	if (err == -EAGAIN || err == -ENODATA)
		return CMD_OK;
	return stop_with(p, "error", mhost_errmsg(p->session));
}

/* What still runs is not measured; it is given moments to end. */
static void cancel_all(struct probe *p)
{
	double until_s = bench_now_s() + CANCEL_WAIT_S;

	for (uint32_t i = 0; i < p->concurrency; i++) {
		struct probe_slot *slot = &p->slots[i];

		if (slot->state == PROBE_SLOT_RUNNING)
			mhost_cancel(p->session, slot->id);
		else if (slot->state == PROBE_SLOT_WAITING)
			slot->side->requests--;
		if (slot->state != PROBE_SLOT_RUNNING)
			slot->state = PROBE_SLOT_FREE;
	}
	while (!is_idle(p) && bench_now_s() < until_s)
		if (step(p))
			break;
	for (uint32_t i = 0; i < p->concurrency; i++)
		if (p->slots[i].state != PROBE_SLOT_FREE)
			p->slots[i].side->requests--;
}

void probe_run(struct probe *p)
{
	int err = mhost_connect(&p->session, p->cmd->socket);

	if (err)
		stop_with(p, "error", mhost_errmsg(p->session));
	while (!err && !stop_is_over() && (is_more(p) || !is_idle(p))) {
		err = fill(p);
		/* A session without open requests waits for nothing. */
		if (!err && !mhost_open_count(p->session) && !is_idle(p))
			bench_sleep(BUSY_WAIT_S / 10);
		else if (!err)
			err = step(p);
	}
	if (!err && stop_is_over())
		stop_with(p, stop_is_signalled() ? "signal" : "limit",
			  "not all prompts were asked");
	if (p->session && p->ended)
		cancel_all(p);
	if (!p->ended)
		p->ended = "done";
	mhost_close(&p->session);
}
