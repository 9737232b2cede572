/* SPDX-License-Identifier: MIT */
/*
 * shadow_test.c: a worker's turns over a board that the test writes: what is compared with a candidate,
 * against plain sums over single rows, and when it must not be.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "t.h"
#include "t_import.h"
#include "t_wrk.h"

#define ALL		MHS_ROUTE_WEIGHT_MAX
#define TOKENS_MAX	512u
#define DONE_MAX	128u

/* Index 0 is none. */
enum { STABLE = 1, OTHER, TWIN, FOREIGN, VERSIONS };

static const char *const refs[VERSIONS] = { "", "tiny@1.0.0", "tiny@1.1.0", "tiny@1.2.0", "tiny@2.0.0" };
static const char *const paths[VERSIONS] = {
	"", "tools/tiny/model", "tools/tiny/model-b", "tools/tiny/model",
	"tests/reference/data/models/tied_f32",
};

static struct t_wrk world;

/* What the client has seen of its requests. */
static struct seen {
	uint32_t tokens[TOKENS_MAX], prompt_count, count;
	uint32_t reason;
} seen[DONE_MAX];
static uint32_t ended[DONE_MAX], ended_count;	/* ids in the order of their ENDs */
static uint64_t last_id;

/* -- a worker --------------------------------------------------------------------------------- */

static void route_set(uint32_t mode, uint32_t active, uint32_t candidate, uint32_t weight)
{
	struct mhs_route route = { .active = active, .candidate = candidate, .weight = weight,
				   .mode = mode };

	mhs_flip(&world.board, 0, &route);
}

static bool world_make(uint64_t kv_bytes)
{
	bool good = t_wrk_open(&world, kv_bytes);

	memset(seen, 0, sizeof(seen));
	ended_count = last_id = 0;
	for (uint32_t i = 1; good && i < VERSIONS; i++)
		good = t_wrk_attach(&world, i, strchr(refs[i], '@') + 1, paths[i]);
	return good;
}

static void world_free(void)
{
	t_wrk_close(&world);
}

static void client_look(void)
{
	static union {
		uint8_t bytes[1 << 16];
		struct mhs_chunk chunk;
		struct mhs_token token;
		struct mhs_end end;
	} record;
	uint32_t type;

	while (mhs_ring_get(&world.event, &type, record.bytes, sizeof(record)) > 0) {
		struct seen *s = &seen[record.end.request_id % DONE_MAX];

		if (type == MHS_REC_PROMPT) {
			memcpy(s->tokens + s->count, record.bytes + sizeof(record.chunk),
			       record.chunk.count * sizeof(s->tokens[0]));
			s->count = s->prompt_count = s->count + record.chunk.count;
		} else if (type == MHS_REC_TOKEN) {
			s->tokens[s->count++] = record.token.token;
		} else if (type == MHS_REC_END) {
			s->reason = record.end.reason;
			ended[ended_count++] = (uint32_t)record.end.request_id;
		}
	}
}

/* A turn of wrk_loop.c but for the control socket and the comparison; then the client's look. */
static void live_turn(void)
{
	uint64_t now = wrk_now_ns();

	world.w.epoch = mhs_epoch_adopt(world.w.board, world.w.slot, now);
	wrk_shadow_look(&world.w);
	wrk_lanes_take(&world.w);
	wrk_requests_expire(&world.w, now);
	wrk_room_resume(&world.w);
	wrk_admit(&world.w);
	wrk_requests_flush(&world.w);
	wrk_batch_step(&world.w);
	wrk_requests_flush(&world.w);
	wrk_lanes_ring(&world.w);
	wrk_requests_reap(&world.w);
	client_look();
}

/* The same with the comparison: never beside a request, never more than a piece. */
static void whole_turn(void)
{
	uint64_t before = world.w.shadow.steps;
	bool busy, done;

	live_turn();
	t_eq(world.w.shadow.steps, before);
	busy = world.w.running_count || world.w.queued_count || wrk_lanes_pending(&world.w);
	done = wrk_shadow_step(&world.w);
	t_ok(!(busy && done));
	t_ok(world.w.shadow.steps - before <= (busy ? 0 : 1));
	t_ok(world.w.shadow.piece <= WRK_SHADOW_ROWS);
}

static void serve_all(void (*turn)(void))
{
	for (uint32_t i = 0; i < 20000 && ended_count < last_id; i++)
		turn();
	t_eq(ended_count, last_id);
}

static void compare_all(void)
{
	for (uint32_t i = 0; i < 20000 && world.w.shadow.count; i++)
		whole_turn();
	t_eq(world.w.shadow.count, 0);
}

/* A prompt of @count ids and @output tokens. */
static struct mhs_request request(uint32_t count, uint32_t output)
{
	last_id++;
	return (struct mhs_request){
		.request_id = last_id, .max_tokens = output, .prompt_bytes = count * 4,
		.flags = MHS_REQ_TOKENS | MHS_REQ_IGNORE_EOS, .top_p = 1, .repeat_penalty = 1,
		.seed = last_id, .model = "tiny",
	};
}

static void ask_kind(uint32_t kind, const struct mhs_request *rq)
{
	uint32_t prompt[TOKENS_MAX];
	struct mhs_piece pieces[] = { { rq, sizeof(*rq) }, { prompt, rq->prompt_bytes } };
	uint64_t seed = rq->request_id;

	for (uint32_t i = 0; i < rq->prompt_bytes / 4; i++)
		prompt[i] = (uint32_t)(t_random(&seed) % 500);
	t_ok(mhs_ring_put(&world.submit, kind, pieces, 2) == 0);
}

static void ask(uint32_t count, uint32_t output)
{
	struct mhs_request rq = request(count, output);

	ask_kind(MHS_REC_GENERATE, &rq);
}

static uint64_t dropped(uint32_t candidate)
{
	return mhs_stats_get(&mhs_stats_row(&world.stats, candidate, 10 + candidate)->shadow_dropped);
}

static uint32_t pins(void)
{
	uint32_t sum = 0;

	for (uint32_t i = 1; i < VERSIONS; i++)
		sum += atomic_load(&world.slot.pins[i]);
	return sum;
}

/* The @n-th COMPARED record, from 0. */
static bool compared(uint32_t n, struct mhs_reply *reply)
{
	for (uint64_t i = 1; i <= mhs_reply_count(&world.replies); i++)
		if (mhs_reply_get(&world.replies, i, reply) == 0 && reply->kind == MHS_REPLY_COMPARED && n-- == 0)
			return true;
	return false;
}

static uint32_t compared_count(void)
{
	struct mhs_reply reply;
	uint32_t n = 0;

	while (compared(n, &reply))
		n++;
	return n;
}

/* -- the plain way ---------------------------------------------------------------------------- */

/* Log-softmax of each row of @s but the last, single rows, [count - 1][vocab]. */
static double *naive_rows(const struct seen *s, uint32_t index, uint32_t *vocab)
{
	struct wrk_version *v = wrk_version_by_index(&world.w, index);
	uint32_t n = v->model.config.vocab_count, pages = wrk_pages_for(s->count);
	double *out = malloc(s->count * (size_t)n * sizeof(*out));
	float *logits = aligned_alloc(64, (n + 15) / 16 * 64);
	void *table[TOKENS_MAX / ENG_PAGE_TOKENS];

	for (uint32_t i = 0; i < pages; i++)
		table[i] = aligned_alloc(64, (eng_kv_page_bytes(&v->model.config) + 63) & ~(size_t)63);
	for (uint32_t at = 0; at + 1 < s->count; at++) {
		struct eng_row row = { .token = s->tokens[at], .position = at, .pages = table,
				       .is_prompt = true };
		double most = -INFINITY, sum = 0;

		t_eq(eng_step(world.w.eng, &v->model, &row, 1, logits), 0);
		for (uint32_t i = 0; i < n; i++)
			most = fmax(most, (double)logits[i]);
		for (uint32_t i = 0; i < n; i++)
			sum += exp((double)logits[i] - most);
		for (uint32_t i = 0; i < n; i++)
			out[at * (size_t)n + i] = (double)logits[i] - most - log(sum);
	}
	for (uint32_t i = 0; i < pages; i++)
		free(table[i]);
	free(logits);
	*vocab = n;
	return out;
}

static uint32_t naive_top(const double *row, uint32_t n)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < n; i++)
		if (row[i] > row[best])
			best = i;
	return best;
}

#define NEAR(a, b)	t_near(a, b, fabs((double)(b)) * 1e-5 + 1e-9)

static void check_record(const struct mhs_reply *reply, const struct seen *s, uint32_t candidate)
{
	uint32_t n, first = UINT32_MAX, top1 = 0, count = s->count - s->prompt_count;
	double *p = naive_rows(s, STABLE, &n), *q = naive_rows(s, candidate, &n);
	double kl_sum = 0, kl_max = 0, a = 0, b = 0;

	for (uint32_t i = 0; i < count; i++) {
		const size_t at = s->prompt_count - 1 + i;
		const double *x = p + at * n, *y = q + at * n;
		double kl = 0;

		for (uint32_t t = 0; t < n; t++)
			kl += exp(x[t]) * (x[t] - y[t]);
		kl_sum += kl;
		kl_max = fmax(kl_max, kl);
		a += x[s->tokens[at + 1]];
		b += y[s->tokens[at + 1]];
		if (naive_top(x, n) == naive_top(y, n))
			top1++;
		else if (first == UINT32_MAX)
			first = i;
	}
	NEAR(reply->kl_mean, kl_sum / count);
	NEAR(reply->kl_max, kl_max);
	NEAR(reply->stable_logprob, a / count);
	NEAR(reply->logprob, b / count);
	t_eq(reply->top1_count, top1);
	t_eq(reply->first_divergence, first);
	t_eq(reply->compared_count, count);
	t_eq(reply->output_count, count);
	t_eq(reply->prompt_count, s->prompt_count);
	t_eq(reply->version_serial, (uint64_t)(10 + candidate) << 12 | candidate);
	t_eq(reply->stable_serial, (uint64_t)(10 + STABLE) << 12 | STABLE);
	t_ok(reply->stable_ns && reply->own_ns && reply->ended_ns && !reply->error);
	free(p);
	free(q);
}

/* -- cases ------------------------------------------------------------------------------------- */

#define WORLD(kv_bytes)							\
	do {								\
		T_NEED_REFERENCE("tools/tiny/model");			\
		t_need(world_make(kv_bytes));				\
	} while (0)

static void agrees_with_plain_sums(void)
{
	static const uint32_t prompts[] = { 1, 2, 31, 32, 33, 70, 200, 5 };
	static const uint32_t outputs[] = { 1, 40, 33, 1, 64, 7, 90, 120 };
	struct mhs_reply reply;

	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, OTHER, ALL);
	for (uint32_t i = 0; i < 8; i++) {
		struct mhs_request rq = request(prompts[i], outputs[i]);

		rq.temperature = i % 2 ? 0.9f : 0;
		ask_kind(MHS_REC_GENERATE, &rq);
	}
	serve_all(whole_turn);
	compare_all();
	t_eq(compared_count(), 8);
	for (uint32_t i = 0; i < 8 && compared(i, &reply); i++)
		check_record(&reply, &seen[ended[i]], OTHER);
	t_eq(pins(), 0);
	t_eq(dropped(OTHER), 0);
	world_free();
}

static void identical_versions_agree(void)
{
	struct mhs_reply reply;

	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, TWIN, ALL);
	for (uint32_t i = 0; i < 3; i++)
		ask(20 + i, 50);
	serve_all(whole_turn);
	compare_all();
	t_eq(compared_count(), 3);
	for (uint32_t i = 0; i < 3 && compared(i, &reply); i++) {
		t_ok(reply.kl_mean == 0 && reply.kl_max == 0);
		t_eq(reply.top1_count, 50);
		t_eq(reply.first_divergence, UINT32_MAX);
		t_ok(reply.logprob == reply.stable_logprob && reply.logprob < 0);
	}
	world_free();
}

/* Those below the weight on the scale, to the request; nothing that was not routed, or no reply. */
static void the_share_and_nothing_else(void)
{
	uint32_t wanted = 0;

	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, TWIN, 0);
	ask(4, 1);					/* the first is at point 0 */
	serve_all(whole_turn);
	t_eq(world.w.shadow.count, 0);
	route_set(MHS_MODE_SHADOW, STABLE, TWIN, 2500);
	for (uint32_t i = 0; i < 40; i++) {
		ask(4, 1);
		wanted += mhs_route_turn(i + 1) < 2500;
	}
	for (uint32_t i = 0; i < 40; i++) {
		struct mhs_request rq = request(4, 1);

		rq.session_key = 1 + i % 8;
		wanted += mhs_route_point(rq.session_key) < 2500;
		ask_kind(MHS_REC_GENERATE, &rq);
	}
	serve_all(whole_turn);
	compare_all();
	t_eq(compared_count(), wanted);
	t_ok(wanted > 10 && wanted < 60);

	route_set(MHS_MODE_SHADOW, STABLE, TWIN, ALL);
	for (uint32_t i = 0; i < 4; i++) {
		struct mhs_request rq = request(4, 1);

		if (i < 2)
			strcpy(rq.semver, i ? "1.0.0" : "1.2.0");
		rq.max_tokens = i == 3 ? 5000 : i == 2 ? 0 : 1;		/* too long: an error */
		ask_kind(i == 2 ? MHS_REC_SCORE : MHS_REC_GENERATE, &rq);
	}
	serve_all(whole_turn);
	t_eq(world.w.shadow.count, 0);
	route_set(MHS_MODE_CANARY, STABLE, TWIN, 0);
	ask(4, 1);
	serve_all(whole_turn);
	t_eq(compared_count(), wanted);
	t_eq(dropped(TWIN), 0);
	world_free();
}

static void queue_is_bounded(void)
{
	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, TWIN, ALL);
	for (uint32_t i = 0; i < WRK_SHADOW_JOBS + 6; i++)
		ask(4, 2);
	serve_all(live_turn);
	t_eq(world.w.shadow.count, WRK_SHADOW_JOBS);
	for (uint32_t i = 0; i < WRK_SHADOW_JOBS; i++)		/* the newest were dropped */
		t_mem_eq(world.w.shadow.jobs[i].tokens, seen[ended[i]].tokens, 6 * sizeof(uint32_t));
	t_eq(world.w.shadow.token_count, WRK_SHADOW_JOBS * 6);
	t_eq(dropped(TWIN), 6);
	t_eq(pins(), 2 * WRK_SHADOW_JOBS);
	compare_all();
	t_eq(compared_count(), WRK_SHADOW_JOBS);
	t_eq(world.w.shadow.token_count, 0);
	world.w.shadow.token_count = WRK_SHADOW_TOKENS - 9;		/* as if others held them */
	ask(4, 6);
	ask(4, 5);
	serve_all(live_turn);
	t_eq(world.w.shadow.count, 1);
	t_eq(dropped(TWIN), 7);
	t_eq(world.w.shadow.token_count, WRK_SHADOW_TOKENS);
	world_free();
}

/* Whatever the new route is, the turn that sees it gives pins and pages back. */
static void route_change_drops_jobs(void)
{
	static const struct mhs_route next[] = {
		{ .active = STABLE },
		{ .active = TWIN },
		{ .active = STABLE, .candidate = OTHER, .weight = ALL, .mode = MHS_MODE_SHADOW },
		{ .active = STABLE, .candidate = TWIN, .weight = ALL, .mode = MHS_MODE_CANARY },
		{ .active = OTHER, .candidate = TWIN, .weight = ALL, .mode = MHS_MODE_SHADOW },
	};

	WORLD(64 << 20);
	for (uint32_t i = 0; i < 5; i++) {
		struct wrk_pool *pool = wrk_version_by_index(&world.w, STABLE)->pool;
		uint64_t room = wrk_pool_room(&world.w, pool);

		route_set(MHS_MODE_SHADOW, STABLE, TWIN, ALL);
		for (uint32_t k = 0; k < 3; k++)
			ask(100, 40);
		serve_all(live_turn);
		for (uint32_t k = 0; k < 2 + i; k++)	/* within a piece, or between two */
			t_ok(wrk_shadow_step(&world.w));
		route_set(MHS_MODE_SHADOW, STABLE, TWIN, 1);	/* only the weight: they stay */
		live_turn();
		t_eq(world.w.shadow.count, 3);
		t_eq(pins(), 6);
		mhs_flip(&world.board, 0, &next[i]);
		live_turn();
		t_eq(world.w.shadow.count, 0);
		t_eq(pins(), 0);
		t_eq(dropped(TWIN), 3 * (i + 1));
		t_ok(wrk_pool_room(&world.w, pool) >= room);
		t_ok(!wrk_shadow_step(&world.w));
	}
	t_eq(compared_count(), 0);
	world_free();
}

/* Requests come all the time; what is compared in between is right all the same. */
static void live_requests_go_first(void)
{
	struct mhs_reply reply;
	uint64_t steps;

	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, OTHER, ALL);
	ask(100, 50);
	serve_all(live_turn);
	for (uint32_t i = 0; i < 12; i++) {
		t_ok(wrk_shadow_step(&world.w));
		ask(30, 3);
		steps = world.w.shadow.steps;
		t_ok(!wrk_shadow_step(&world.w));		/* it is in the ring, not even taken */
		t_eq(world.w.shadow.steps, steps);
		while (ended_count < last_id) {
			live_turn();
			t_ok(!wrk_shadow_step(&world.w) || ended_count == last_id);
		}
	}
	compare_all();
	t_eq(compared_count(), 13);
	for (uint32_t i = 0; i < 13 && compared(i, &reply); i++)
		check_record(&reply, &seen[ended[i]], OTHER);
	world_free();
}

/* KV pages for 8 pages of tokens in all: a job of 3 on each side, then a request of 6. */
static void requests_take_the_pages_back(void)
{
	struct mhs_reply reply;

	WORLD(64 << 20);
	world.w.limits.kv_bytes = 8 * eng_kv_page_bytes(&wrk_version_by_index(&world.w, STABLE)->model.config);
	route_set(MHS_MODE_SHADOW, STABLE, OTHER, ALL);
	ask(50, 10);
	serve_all(live_turn);
	while (world.w.shadow.computed < 40)
		t_ok(wrk_shadow_step(&world.w));
	t_ok(world.w.shadow.stable.page_count == 2 && world.w.shadow.candidate.page_count == 2);
	ask(160, 20);
	serve_all(live_turn);
	t_eq(world.w.shadow.stable.page_count + world.w.shadow.candidate.page_count, 0);
	t_eq(world.w.shadow.computed, 0);
	t_eq(world.w.shadow.count, 2);
	t_ok(world.w.kv_bytes_used <= world.w.limits.kv_bytes);
	compare_all();
	t_eq(compared_count(), 1);			/* the second is larger than its share */
	t_ok(compared(0, &reply));
	check_record(&reply, &seen[ended[0]], OTHER);
	t_eq(dropped(OTHER), 1);
	world_free();
}

static void other_tokens_are_refused(void)
{
	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, FOREIGN, ALL);
	for (uint32_t i = 0; i < 3; i++)
		ask(10, 3);
	serve_all(whole_turn);
	t_eq(world.w.shadow.count, 0);
	t_eq(compared_count(), 0);
	t_eq(dropped(FOREIGN), 3);
	t_eq(pins(), 0);
	world_free();
}

/* Candidates by turns, as with several models: each pair is looked at once, and told once. */
static void candidates_by_turns(void)
{
	int log = open(t_path("log"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), to = dup(STDERR_FILENO);
	static const uint32_t candidates[] = { FOREIGN, TWIN };
	char told[4096] = "";
	uint32_t lines = 0;

	WORLD(64 << 20);
	log_init("shadow", LOG_LVL_WARNING);
	dup2(log, STDERR_FILENO);
	for (uint32_t i = 0; i < 6; i++) {
		route_set(MHS_MODE_SHADOW, STABLE, candidates[i % 2], ALL);
		ask(10, 3);
		serve_all(whole_turn);
		compare_all();
	}
	dup2(to, STDERR_FILENO);
	log_init("shadow", LOG_LVL_ERROR);
	t_ok(pread(log, told, sizeof(told) - 1, 0) >= 0);
	for (const char *at = told; (at = strstr(at, "cannot be compared")); at++)
		lines++;
	t_eq(lines, 1);
	t_eq(compared_count(), 3);
	t_eq(dropped(FOREIGN), 3);
	close(log);
	close(to);
	world_free();
}

static void numbers_that_are_none(void)
{
	int fds[HERITAGE_FD_MAX];
	struct mhs_reply reply;
	struct hrt_msg msg;
	uint32_t fd_count;

	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, OTHER, ALL);
	wrk_version_by_index(&world.w, OTHER)->rehearsal.nan = 100;
	ask(10, 3);
	serve_all(whole_turn);
	t_eq(seen[1].reason, MHS_END_LENGTH);		/* the user never knows */
	compare_all();
	t_need(compared(0, &reply));
	t_eq(reply.error, MHS_ERR_NAN);
	t_eq(reply.compared_count, 0);
	t_need(hrt_recv(world.supervisor, &msg, fds, &fd_count) == 0);
	t_eq(msg.type, HRT_EVIDENCE);
	t_eq(msg.index, OTHER);
	t_eq(msg.serial, 10 + OTHER);
	t_eq(msg.status, MHS_ERR_NAN);
	t_eq(pins(), 0);
	world_free();
}

static void goes_with_the_version(void)
{
	WORLD(64 << 20);
	route_set(MHS_MODE_SHADOW, STABLE, TWIN, ALL);
	ask(40, 10);
	ask(40, 10);
	serve_all(live_turn);
	t_ok(wrk_shadow_step(&world.w));
	wrk_version_detach(&world.w, TWIN, 10 + TWIN);
	t_eq(world.w.shadow.count, 0);
	t_eq(pins(), 0);
	t_ok(!wrk_shadow_step(&world.w));
	ask(10, 3);			/* the worker has not attached the candidate */
	serve_all(whole_turn);
	t_eq(world.w.shadow.count, 0);
	t_eq(pins(), 0);
	world_free();
}

int main(void)
{
	log_init("shadow", LOG_LVL_ERROR);
	T_RUN(agrees_with_plain_sums);
	T_RUN(identical_versions_agree);
	T_RUN(the_share_and_nothing_else);
	T_RUN(queue_is_bounded);
	T_RUN(route_change_drops_jobs);
	T_RUN(live_requests_go_first);
	T_RUN(requests_take_the_pages_back);
	T_RUN(other_tokens_are_refused);
	T_RUN(candidates_by_turns);
	T_RUN(numbers_that_are_none);
	T_RUN(goes_with_the_version);
	return t_done();
}
