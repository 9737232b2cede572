/* SPDX-License-Identifier: MIT */
/* ring_peer_test.c: a ring between two processes, the other one honest or hostile. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring_lib.h"
#include "t.h"

#define BODY_MAX	4096u
#define RECORDS		200000u

/* @bytes that end where an unreadable page begins. */
static uint8_t *guarded(size_t bytes)
{
	uint8_t *at = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at, 3 * 4096, PROT_READ | PROT_WRITE)) {
		perror("guarded");
		exit(1);
	}
	return at + 3 * 4096 - bytes;
}

static uint64_t sum(const uint8_t *p, uint32_t bytes)
{
	uint64_t h = 1469598103934665603u;

	for (uint32_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

/* Sleep until the bell rings; a lost wake-up shows as the time-out. */
static int bell_wait(int bell)
{
	struct pollfd p = { .fd = bell, .events = POLLIN };
	eventfd_t n;

	if (poll(&p, 1, 20000) != 1)
		return -1;
	return eventfd_read(bell, &n);
}

struct link {
	struct mhs_lane *lane;
	int to_worker, to_client;	/* bells */
};

static void wait_for_room(struct mhs_ring_end *end, uint32_t bytes, int bell)
{
	mhs_ring_starve(end);
	if (!mhs_ring_has_room(end, bytes) && bell_wait(bell)) {
		printf("# producer slept for ever\n");
		fflush(stdout);
		_exit(3);
	}
}

/* Record i: [sum of the rest][rest], random length and content. */
static int producer(const struct link *link)
{
	struct mhs_ring_end end = mhs_lane_submit_end(link->lane);
	static uint8_t rest[BODY_MAX];
	uint64_t seed = 5, check;

	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t bytes = (uint32_t)(t_random(&seed) % (i % 64 ? 200 : BODY_MAX - 8));
		struct mhs_piece two[2] = { { &check, 8 }, { rest, bytes } };
		int err;

		for (uint32_t k = 0; k < bytes; k += 8)
			memcpy(rest + k, &(uint64_t){ t_random(&seed) }, 8);
		check = sum(rest, bytes) + i;
		while ((err = mhs_ring_put(&end, i, two, 2)) == -EAGAIN)
			wait_for_room(&end, bytes + 8, link->to_client);
		if (err)
			return 1;
		if (mhs_ring_should_wake(&end))
			eventfd_write(link->to_worker, 1);
	}
	return 0;
}

static int64_t get_or_sleep(struct mhs_ring_end *end, uint32_t *type, uint8_t *body, int bell)
{
	int64_t bytes;

	while ((bytes = mhs_ring_get(end, type, body, BODY_MAX)) == -EAGAIN) {
		mhs_ring_arm(end);
		if (mhs_ring_is_empty(end) && bell_wait(bell))
			return -ETIMEDOUT;
		mhs_ring_disarm(end);
	}
	return bytes;
}

static void stream(void)
{
	struct link link = { lane_new(), eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	struct mhs_ring_end end = mhs_lane_submit_end(link.lane);
	uint8_t *body = guarded(BODY_MAX);
	uint32_t type = 0, i = 0;
	pid_t child = fork();
	uint64_t check;
	int status;

	if (child == 0)
		_exit(producer(&link));
	for (; i < RECORDS; i++) {
		int64_t bytes = get_or_sleep(&end, &type, body, link.to_worker);

		if (bytes < 8 || type != i)
			break;
		memcpy(&check, body, 8);
		if (check != sum(body + 8, (uint32_t)bytes - 8) + i)
			break;
		if (mhs_ring_should_feed(&end))
			eventfd_write(link.to_client, 1);
	}
	t_eq(i, RECORDS);
	if (i != RECORDS)
		kill(child, SIGKILL);
	waitpid(child, &status, 0);
	t_eq(status, 0);
	t_ok(mhs_ring_is_empty(&end));
	close(link.to_worker);
	close(link.to_client);
	lane_free(link.lane);
}

/* Random stores over words and bytes of both rings, for ever; records that look sound as well. */
static void scribble(struct mhs_lane *lane)
{
	uint64_t seed = (uint64_t)getpid();
	_Atomic uint64_t *words[] = { &lane->submit.head, &lane->submit.tail, &lane->event.head,
				      &lane->event.tail };

	for (;;) {
		uint64_t r = t_random(&seed);
		uint64_t value = t_random(&seed);
		uint8_t *at = lane->submit_data + (r >> 8) % (MHS_SUBMIT_BYTES / 8) * 8;
		uint32_t record[2] = { 8 + (uint32_t)(value % 300), (uint32_t)value };

		if (r % 8 == 0)
			value >>= value % 64;
		else
			value = (value & 0x1fffff) & ~UINT64_C(7);
		if (r % 16 == 1)
			atomic_fetch_add(words[r >> 8 & 3], value & 0x1f8);
		else if (r % 64 == 2)
			atomic_store(words[r >> 8 & 3], value);
		else if (r % 4 == 3)
			memcpy(at, &value, 8);
		else
			memcpy(at, record, 8);
	}
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

struct tally {
	uint64_t records, empty, refused, other;
};

static void get_from_hostile(struct mhs_ring_end *end, uint8_t *body, struct tally *tally)
{
	uint32_t type = 0;
	int64_t got = mhs_ring_get(end, &type, body, 256);

	if (got == -EAGAIN)
		tally->empty++;
	else if (got == -EPROTO)
		tally->refused++;
	else if (got >= 0 && got <= 256)
		tally->records++;
	else
		tally->other++;
	if (got == -EPROTO || got == -EAGAIN)	/* a new lane, as it were */
		end->position = atomic_load(&end->ring->head) - 64 * (tally->refused % 9);
	end->position &= ~UINT64_C(7);
}

static void put_to_hostile(struct mhs_ring_end *end, const uint8_t *body, struct tally *tally)
{
	int err = put(end, 1, body, 100);

	if (err == -EAGAIN)
		tally->empty++;
	else if (err == -EPROTO)
		tally->refused++;
	else if (err == 0)
		tally->records++;
	else
		tally->other++;
	if (err)
		end->position = atomic_load(&end->ring->tail) & ~UINT64_C(7);
}

static void hostile_peer(void)
{
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end in = mhs_lane_submit_end(lane), out = mhs_lane_event_end(lane);
	struct tally gets = { 0 }, puts = { 0 };
	uint8_t *body = guarded(256);
	double end = now_s() + 1.5;
	pid_t child = fork();
	int status;

	if (child == 0)
		scribble(lane);
	while (now_s() < end)
		for (int i = 0; i < 1000; i++) {
			get_from_hostile(&in, body, &gets);
			put_to_hostile(&out, body, &puts);
		}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	t_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	printf("# gets: %llu, %llu empty, %llu refused; puts: %llu, %llu full, %llu refused\n",
	       (unsigned long long)gets.records, (unsigned long long)gets.empty,
	       (unsigned long long)gets.refused, (unsigned long long)puts.records,
	       (unsigned long long)puts.empty, (unsigned long long)puts.refused);
	t_ok(gets.records > 0 && gets.refused > 0 && gets.other == 0);
	t_ok(puts.records > 0 && puts.refused > 0 && puts.other == 0);
	lane_free(lane);
}

int main(void)
{
	T_RUN(stream);
	T_RUN(hostile_peer);
	return t_done();
}
