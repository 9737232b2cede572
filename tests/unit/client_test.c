/* SPDX-License-Identifier: MIT */
/*
 * client_test.c: the client library over the lane of a worker in this process: adapters of a request go out
 * and what was used comes back; what the library refuses; a worker that answers nonsense.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../client/mhc_priv.h"
#include "log.h"
#include "t.h"
#include "t_bad.h"
#include "t_import.h"
#include "t_served.h"

#define PEFT	T_REFERENCE "/peft"

static struct t_served served;
static struct t_wrk *const world = &served.world;
static struct mhost *client;
static int far_end;

static bool world_make(void)
{
	const struct mhs_route base = { .active = 1 }, one = { .active = 10 };

	memset(&served, 0, sizeof(served));
	if (!t_wrk_open(world, 64 << 20) || !t_wrk_attach(world, 1, "1.0.0", "tools/tiny/model") ||
	    !t_wrk_attach_adapter(world, 10, "r1_all@1.0.0", PEFT "/r1_all") ||
	    !t_wrk_attach_adapter(world, 11, "patterns@1.2.0", PEFT "/patterns"))
		return false;
	mhs_flip(&world->board, 0, &base);
	mhs_flip(&world->board, (uint32_t)mhs_board_add(&world->board, "tiny", "r1_all"), &one);
	return true;
}

/* A session as mhost_connect() makes it, with one lane. */
static bool client_make(void)
{
	struct mhc_lane *lane = calloc(1, sizeof(*lane));
	int pair[2];

	client = calloc(1, sizeof(*client));
	if (!lane || !client || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
		return false;
	client->sock = pair[0];
	far_end = pair[1];
	client->bell.fd = client->sleeper = client->epoll = -1;
	client->next_id = 1;
	client->record = malloc(MHS_EVENT_BYTES);
	client->scratch = malloc(MHS_EVENT_BYTES);
	client->lanes = lane;
	lane->submit_bell = eventfd(0, EFD_NONBLOCK);
	lane->submit = mhs_lane_submit_end(world->lane);
	lane->event = mhs_lane_event_end(world->lane);
	return client->record && client->scratch;
}

static void both_free(void)
{
	mhost_close(&client);
	close(far_end);
	t_wrk_close(world);
}

#define BOTH()	t_need(world_make() && client_make())

/* The next event, the worker's turns included; NULL: none comes. */
static const struct mhost_event *next(void)
{
	const struct mhost_event *ev;

	for (uint32_t i = 0; i < 1000; i++) {
		if (mhost_next(client, 0, &ev) == 0)
			return ev;
		t_turn_begin(&served);
		wrk_batch_step(&world->w);
		wrk_requests_flush(&world->w);
		wrk_requests_reap(&world->w);
	}
	return NULL;
}

static void check_used(const struct mhost_event *ev)
{
	t_need(ev->adapter_count == 2 && ev->adapters);
	t_str_eq(ev->adapters[0].name, "patterns");
	t_str_eq(ev->adapters[0].version, "1.2.0");
	t_ok(ev->adapters[0].scale == -0.5f);
	t_mem_eq(ev->adapters[0].content_hash, world->w.adapters.by_index[11]->image->content_hash, 32);
	t_str_eq(ev->adapters[1].name, "r1_all");
	t_str_eq(ev->adapters[1].version, "1.0.0");
	t_ok(ev->adapters[1].scale == 2);
	t_mem_eq(ev->adapters[1].content_hash, world->w.adapters.by_index[10]->image->content_hash, 32);
}

/* With all else that stands around them in the record. */
static void adapters_go_out_and_come_back(void)
{
	static const struct mhost_adapter adapters[] = { { "patterns", "1.2.0", -0.5f }, { "r1_all", NULL, 2 } };
	static const char *const stops[] = { "no such text", "nor this" };
	struct mhost_request rq = MHOST_REQUEST_INIT;
	const struct mhost_event *ev;
	uint32_t tokens = 0;
	uint64_t id;

	T_NEED_REFERENCE(PEFT "/peft.json");
	BOTH();
	rq.model = "tiny";
	rq.text = "Once upon";
	rq.stops = stops;
	rq.stop_count = 2;
	rq.max_tokens = 6;
	rq.flags = MHOST_IGNORE_EOS;
	rq.adapters = adapters;
	rq.adapter_count = 2;
	t_eq(mhost_submit(client, &rq, &id), 0);
	do {
		ev = next();
		t_need(ev != NULL);
		t_eq(ev->id, id);
		check_used(ev);		/* with each event */
		tokens += ev->type == MHOST_EVENT_TOKEN;
	} while (ev->type != MHOST_EVENT_END);
	t_eq(ev->error, 0);
	t_eq(tokens, 6);
	rq.adapter_count = 0;
	t_eq(mhost_submit(client, &rq, &id), 0);
	ev = next();
	t_need(ev && ev->type == MHOST_EVENT_BEGIN);
	t_ok(ev->adapter_count == 0 && !ev->adapters);
	both_free();
}

static void errors_have_their_code(void)
{
	static const struct mhost_adapter unknown = { "nobody", NULL, 1 };
	struct mhost_request rq = MHOST_REQUEST_INIT;
	const struct mhost_event *ev;
	uint64_t id;

	T_NEED_REFERENCE(PEFT "/peft.json");
	BOTH();
	world->w.orphan = true;
	rq.model = "tiny";
	rq.text = "Once";
	rq.adapters = &unknown;
	rq.adapter_count = 1;
	t_eq(mhost_submit(client, &rq, &id), 0);
	ev = next();
	t_need(ev && ev->type == MHOST_EVENT_END);
	t_eq(ev->error, MHOST_E_NO_ADAPTER);
	t_eq(ev->retriable, 0);
	t_ok(strstr(ev->message, "nobody") && strlen(mhost_strerror(ev->error)) > 5);
	both_free();
}

/* -- refused before anything is sent ----------------------------------------------------------- */

static void refused(const struct mhost_adapter *adapters, uint32_t count, const char *part)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;
	uint64_t id;

	rq.model = "tiny";
	rq.text = "Once";
	rq.adapters = adapters;
	rq.adapter_count = count;
	t_eq(mhost_submit(client, &rq, &id), MHOST_E_INVALID);
	t_ok(strstr(mhost_errmsg(client), part) != NULL);
	t_eq(mhost_open_count(client), 0);
}

static void bad_adapters_are_refused(void)
{
	struct mhost_adapter nine[9] = { { "a", NULL, 1 } };
	char name[65], semver[49];

	T_NEED_REFERENCE(PEFT "/peft.json");
	BOTH();
	memset(name, 'x', 64);
	memset(semver, '1', 48);
	name[64] = semver[48] = '\0';
	refused(nine, 9, "9 adapters, at most 8");
	refused(NULL, 1, "1 adapters, but no list");
	refused(&(struct mhost_adapter){ "", NULL, 1 }, 1, "adapter 1: its name must have 1..63");
	refused(&(struct mhost_adapter){ NULL, NULL, 1 }, 1, "adapter 1: its name must have 1..63");
	refused(&(struct mhost_adapter){ name, NULL, 1 }, 1, "adapter 1: its name must have 1..63");
	refused(&(struct mhost_adapter){ "a", semver, 1 }, 1, "adapter \"a\": version is longer than 47");
	both_free();
}

/* -- a worker that cannot be believed ---------------------------------------------------------- */

static int given(struct mhs_begin *begin, uint32_t bytes)
{
	static uint8_t body[sizeof(*begin) + 9 * sizeof(struct mhs_adapter_used)];

	memset(body, 'x', sizeof(body));	/* names without an end */
	memcpy(body, begin, sizeof(*begin));
	memcpy(client->record, body, bytes);
	return mhc_event_take(client, MHS_REC_BEGIN, bytes);
}

static void begins_that_are_none(void)
{
	const uint32_t head = sizeof(struct mhs_begin), one = sizeof(struct mhs_adapter_used);
	struct mhs_begin begin = { .adapter_count = 1 };
	struct mhost_request rq = MHOST_REQUEST_INIT;

	T_NEED_REFERENCE(PEFT "/peft.json");
	BOTH();
	rq.model = "tiny";
	rq.text = "Once";
	t_eq(mhost_submit(client, &rq, &begin.request_id), 0);
	t_eq(given(&begin, head), -EPROTO);
	t_eq(given(&begin, head + one - 1), -EPROTO);
	t_eq(given(&begin, head + 2 * one), -EPROTO);
	begin.adapter_count = 9;
	t_eq(given(&begin, head + 9 * one), -EPROTO);
	begin.adapter_count = UINT32_MAX;
	t_eq(given(&begin, head), -EPROTO);
	begin.adapter_count = 8;
	t_eq(given(&begin, head + 8 * one), 0);
	t_eq(client->event.adapter_count, 8);
	t_eq(strlen(client->event.adapters[7].name), MHS_NAME_BYTES - 1);
	t_eq(strlen(client->event.adapters[7].version), MHS_SEMVER_BYTES - 1);
	both_free();
}

int main(void)
{
	log_init("client", LOG_LVL_ERROR);
	T_RUN(adapters_go_out_and_come_back);
	T_RUN(errors_have_their_code);
	T_RUN(bad_adapters_are_refused);
	T_RUN(begins_that_are_none);
	return t_done();
}
