/* SPDX-License-Identifier: MIT */
/*
 * cmd_traffic.c: `mhost traffic`: clients that ask again and again as users do, through the route,
 * until told to end. Replies are greedy, so all that one version gives to one prompt have the same
 * bits: the first is remembered, and every later one compared. A reply of two versions shows as wrong.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "prompts.h"

#define SYNOPSIS "MODEL [--file FILE] [--clients 8] [--max-tokens 16] [--keys 1000] [--think MS]\n" \
	"                   [--adapter NAME[@V][:SCALE]]... [--until FILE] [--limit SECONDS] [--json]"

#define CLIENTS_MAX	64u
#define VERSIONS_MAX	64u
#define PARTS_MAX	(1 + MHOST_ADAPTERS_MAX)
#define WAIT_MS		200
#define RETRIES		3u
#define KEYS_PER_CLIENT	1000000u

/* What a reply was made with: a version, and its adapters if any, "1.0.0 style@1.2.0". */
struct stamp {
	char name[48 + MHOST_ADAPTERS_MAX * 114];
	uint8_t hashes[PARTS_MAX][32];
};

struct version {
	struct stamp stamp;
	uint64_t replies;
	uint64_t *bits;		/* [prompts] hash of the reply, 0: none yet */
};

struct traffic {
	const struct cmd *cmd;
	const char *model, *until;
	uint32_t clients, max_tokens, keys, think_ms;
	struct cmd_adapters adapters;
	struct prompts prompts;
	pthread_mutex_t lock;
	/* under lock */
	struct version versions[VERSIONS_MAX];
	uint32_t version_count;
	uint64_t replies, failed, wrong, tokens, retried;
	char first[1280];	/* what went wrong first */
};

struct client {
	struct traffic *traffic;
	struct mhost *session;
	pthread_t thread;
	uint32_t index;
	uint64_t asked;
};

/* ---- one reply ------------------------------------------------------------------------------ */

struct answer {
	struct stamp stamp;
	uint64_t bits;		/* FNV-1a of its tokens, never 0 */
	uint32_t tokens;
	bool begun, ended;
	int error, retriable;
	char message[256];
};

static void bits_add(uint64_t *bits, uint32_t token)
{
	for (int i = 0; i < 4; i++, token >>= 8)
		*bits = (*bits ^ (token & 0xff)) * UINT64_C(0x100000001b3);
}

static void stamp_fill(struct stamp *stamp, const struct mhost_event *ev)
{
	size_t n;

	memset(stamp, 0, sizeof(*stamp));	/* compared as bytes */
	n = (size_t)snprintf(stamp->name, 48, "%s", ev->version);
	memcpy(stamp->hashes[0], ev->content_hash, 32);
	for (uint32_t i = 0; i < ev->adapter_count; i++) {
		const struct mhost_adapter_used *used = &ev->adapters[i];

		n += (size_t)snprintf(stamp->name + n, 114, " %.63s@%.47s", used->name, used->version);
		memcpy(stamp->hashes[1 + i], used->content_hash, 32);
	}
}

static void take(struct answer *a, const struct mhost_event *ev)
{
	if (ev->type == MHOST_EVENT_BEGIN) {
		a->begun = true;
		a->tokens = 0;
		a->bits = UINT64_C(0xcbf29ce484222325);
		stamp_fill(&a->stamp, ev);
	} else if (ev->type == MHOST_EVENT_TOKEN) {
		bits_add(&a->bits, ev->token);
		a->tokens++;
	} else if (ev->type == MHOST_EVENT_END) {
		a->ended = true;
		a->error = ev->finish == MHOST_FINISH_ERROR ? ev->error : 0;
		a->retriable = a->error && ev->retriable;
		snprintf(a->message, sizeof(a->message), "%s", ev->message);
	}
}

static bool is_over(const struct traffic *t)
{
	return stop_is_over() || (t->until && access(t->until, F_OK) == 0);
}

/* False: the host is gone, or it is time to end. */
static bool ask(struct client *c, uint32_t prompt, struct answer *a)
{
	const struct traffic *t = c->traffic;
	const struct prompt *p = &t->prompts.list[prompt];
	struct mhost_request rq = MHOST_REQUEST_INIT;
	const struct mhost_event *ev;
	uint64_t id;
	int err;

	rq.model = t->model;
	rq.text = p->prompt.text;
	rq.text_bytes = p->prompt.text_bytes;
	rq.tokens = p->prompt.ids;
	rq.token_count = p->prompt.id_count;
	rq.max_tokens = p->max_tokens ? p->max_tokens : t->max_tokens;
	cmd_adapters_set(&t->adapters, &rq);
	if (t->keys)	/* every second one has a session */
		rq.session_key = c->asked % 2 ? 1 + c->index * KEYS_PER_CLIENT + c->asked / 2 % t->keys : 0;
	err = mhost_submit(c->session, &rq, &id);
	while (!err && !a->ended) {
		err = mhost_next(c->session, WAIT_MS, &ev);
		if (!err)
			take(a, ev);
		else if (err == -EAGAIN && !is_over(t))
			err = 0;
	}
	if (err && !is_over(t)) {
		a->error = err;
		snprintf(a->message, sizeof(a->message), "%s", mhost_errmsg(c->session));
	}
	return !err;
}

/* ---- together ------------------------------------------------------------------------------- */

static struct version *version_of(struct traffic *t, const struct answer *a)
{
	struct version *v = t->versions;

	while (v < t->versions + t->version_count &&
	       memcmp(&v->stamp, &a->stamp, sizeof(v->stamp)))
		v++;
	if (v < t->versions + t->version_count || t->version_count == VERSIONS_MAX)
		return v < t->versions + t->version_count ? v : NULL;
	t->version_count++;
	v->stamp = a->stamp;
	v->bits = calloc(t->prompts.count, sizeof(*v->bits));
	return v;
}

static void note(struct traffic *t, uint64_t *count, const char *what, const struct answer *a)
{
	if (!t->first[0])
		snprintf(t->first, sizeof(t->first), "%s: %s%s%s", what, a->begun ? a->stamp.name : "",
			 a->begun ? ": " : "", a->message);
	++*count;
}

static void count(struct traffic *t, uint32_t prompt, const struct answer *a, uint32_t tries)
{
	struct version *v;

	pthread_mutex_lock(&t->lock);
	t->replies++;
	t->retried += tries;
	t->tokens += a->tokens;
	v = a->error || !a->begun ? NULL : version_of(t, a);
	if (a->error || !a->begun) {
		note(t, &t->failed, "failed", a);
	} else if (v && v->bits) {
		v->replies++;
		if (!v->bits[prompt])
			v->bits[prompt] = a->bits | 1;
		else if (v->bits[prompt] != (a->bits | 1))
			note(t, &t->wrong, "not the version's reply", a);
	}
	pthread_mutex_unlock(&t->lock);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	struct traffic *t = c->traffic;
	const struct timespec think = { t->think_ms / 1000, t->think_ms % 1000 * 1000000L };

	for (; !is_over(t); c->asked++) {
		uint32_t prompt = (uint32_t)((c->asked * CLIENTS_MAX + c->index) % t->prompts.count);
		struct answer a = { .error = 0 };
		uint32_t tries = 0;
		bool whole = ask(c, prompt, &a);

		/* as a client should: nothing is wrong with the request */
		for (; whole && a.retriable && tries < RETRIES; tries++) {
			a = (struct answer){ .error = 0 };
			whole = ask(c, prompt, &a);
		}
		if (whole || a.error)
			count(t, prompt, &a, tries);
		if (!whole)
			break;
		nanosleep(&think, NULL);
	}
	return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int run(struct traffic *t)
{
	struct client clients[CLIENTS_MAX];
	uint32_t started = 0;
	int err, status = CMD_OK;

	for (; status == CMD_OK && started < t->clients; started++) {
		struct client *c = &clients[started];

		*c = (struct client){ .traffic = t, .index = started };
		err = mhost_connect(&c->session, t->cmd->socket);
		if (!err)
			err = -pthread_create(&c->thread, NULL, client_main, c);
		if (!err)
			continue;
		status = cmd_fail(t->cmd, CMD_FAILED, "%s", c->session ? mhost_errmsg(c->session) :
				  mhost_strerror(err));
		mhost_close(&c->session);
		break;
	}
	for (uint32_t i = 0; i < started; i++) {
		pthread_join(clients[i].thread, NULL);
		mhost_close(&clients[i].session);
	}
	return status;
}

static void print(const struct traffic *t)
{
	json_t *versions = json_object();

	for (uint32_t i = 0; i < t->version_count; i++)
		json_object_set_new(versions, t->versions[i].stamp.name,
				    json_integer((json_int_t)t->versions[i].replies));
	if (t->cmd->json) {
		cmd_json_print(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "model", t->model,
			"replies", (json_int_t)t->replies, "retried", (json_int_t)t->retried, "failed", (json_int_t)t->failed,
			"wrong", (json_int_t)t->wrong, "tokens", (json_int_t)t->tokens,
			"first", t->first, "versions", versions));
		return;
	}
	printf("%llu replies, %llu tokens, %llu retried, %llu failed, %llu wrong\n",
	       (unsigned long long)t->replies, (unsigned long long)t->tokens,
	       (unsigned long long)t->retried, (unsigned long long)t->failed,
	       (unsigned long long)t->wrong);
	for (uint32_t i = 0; i < t->version_count; i++)
		printf("  %-16s %10llu\n", t->versions[i].stamp.name, (unsigned long long)t->versions[i].replies);
	if (t->first[0])
		printf("  first: %s\n", t->first);
	json_decref(versions);
}

/* Enough to stay for a while, short enough for a small host. */
static const char usual[] =
	"Once upon a time\nThe capital of France is\nWater boils at\nMy favourite colour is\n"
	"A good captain\nThe sea was\nYesterday I went\nIn the morning\nShe opened the door and\n"
	"The best way to learn\nOn the table there\nFar away in the hills\n";

static int prompts_take(struct traffic *t, const char *file)
{
	char error[PROMPTS_ERROR_BYTES];
	int err = file ? prompts_read(file, PROMPTS_ANY, &t->prompts, error) :
		  prompts_parse("prompts", usual, sizeof(usual) - 1, PROMPTS_ANY, &t->prompts, error);

	return err ? cmd_fail(t->cmd, CMD_FAILED, "%s", error) : CMD_OK;
}

static int parse(struct traffic *t, const char **file, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "adapter", required_argument, NULL, 'a' },
		{ "file", required_argument, NULL, 'f' }, { "clients", required_argument, NULL, 'c' },
		{ "max-tokens", required_argument, NULL, 'n' }, { "keys", required_argument, NULL, 'k' },
		{ "think", required_argument, NULL, 't' }, { "until", required_argument, NULL, 'u' },
		{ "limit", required_argument, NULL, 'l' }, { 0 },
	};
	uint32_t limit_s = 0;
	int opt, status = CMD_OK;

	while (!status && (opt = cmd_getopt(t->cmd, argc, argv, ":", longs)) != -1) {
		if (opt == 'a')
			status = cmd_take_adapter(t->cmd, optarg, &t->adapters);
		else if (opt == 'f')
			*file = optarg;
		else if (opt == 'u')
			t->until = optarg;
		else if (opt == 'l')
			status = stop_parse_limit(t->cmd, optarg, &limit_s);
		else if (opt == 'c')
			status = cmd_take_u32(t->cmd, "--clients", 1, CLIENTS_MAX, &t->clients);
		else if (opt == 'n')
			status = cmd_take_u32(t->cmd, "--max-tokens", 1, 1u << 20, &t->max_tokens);
		else if (opt == 'k')
			status = cmd_take_u32(t->cmd, "--keys", 0, KEYS_PER_CLIENT, &t->keys);
		else if (opt == 't')
			status = cmd_take_u32(t->cmd, "--think", 0, 3600000, &t->think_ms);
		else
			status = CMD_USAGE;
	}
	if (!status && argc - optind != 1)
		status = cmd_usage(t->cmd, SYNOPSIS);
	if (!status)
		stop_begin(limit_s);
	return status;
}

int cmd_traffic(struct cmd *cmd, int argc, char **argv)
{
	struct traffic t = { .cmd = cmd, .clients = 8, .max_tokens = 16, .keys = 1000,
			     .lock = PTHREAD_MUTEX_INITIALIZER };
	const char *file = NULL;
	int status = parse(&t, &file, argc, argv);

	if (status)
		return status;
	t.model = argv[optind];
	status = prompts_take(&t, file);
	if (status == CMD_OK)
		status = run(&t);
	if (status == CMD_OK) {
		print(&t);
		status = t.failed || t.wrong ? CMD_FAILED : CMD_OK;
	}
	for (uint32_t i = 0; i < t.version_count; i++)
		free(t.versions[i].bits);
	prompts_free(&t.prompts);
	return status;
}
