/* SPDX-License-Identifier: MIT */
#include "mhs_ring.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t.h"

#define BODY_MAX	4096u
#define RECORDS		200000u

/* A lane between two guard pages: a byte outside of it, either way, ends the test by SIGSEGV. */
static struct mhs_lane *lane_new(void)
{
	size_t bytes = sizeof(struct mhs_lane);
	uint8_t *at = mmap(NULL, bytes + 8192, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + 4096, bytes, PROT_READ | PROT_WRITE)) {
		perror("lane_new");
		exit(1);
	}
	return (void *)(at + 4096);
}

static void lane_free(struct mhs_lane *lane)
{
	munmap((uint8_t *)lane - 4096, sizeof(struct mhs_lane) + 8192);
}

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

static int put(struct mhs_ring_end *end, uint32_t type, const void *data, uint32_t bytes)
{
	struct mhs_piece piece = { data, bytes };

	return mhs_ring_put(end, type, &piece, 1);
}

static void geometry(void)
{
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end submit = mhs_lane_submit_end(lane), event = mhs_lane_event_end(lane);

	t_ok(submit.ring == &lane->submit && submit.data == lane->submit_data);
	t_ok(event.ring == &lane->event && event.data == lane->event_data);
	t_eq(submit.capacity_bytes, MHS_SUBMIT_BYTES);
	t_eq(event.capacity_bytes, MHS_EVENT_BYTES);
	t_eq(submit.position, 0);
	lane_free(lane);
}

static void empty_and_one(void)
{
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end in = mhs_lane_event_end(lane), out = in;
	char body[16] = "";
	uint32_t type = 0;

	t_ok(mhs_ring_is_empty(&out));
	t_eq(mhs_ring_get(&out, &type, body, sizeof(body)), -EAGAIN);
	t_eq(put(&in, 64, "hello", 5), 0);
	t_ok(!mhs_ring_is_empty(&out));
	t_eq(mhs_ring_get(&out, &type, body, sizeof(body)), 5);
	t_eq(type, 64);
	t_mem_eq(body, "hello", 5);
	t_eq(put(&in, 65, NULL, 0), 0);
	t_eq(mhs_ring_get(&out, &type, NULL, 0), 0);
	t_eq(type, 65);
	t_ok(mhs_ring_is_empty(&out));
	lane_free(lane);
}

static void pieces(void)
{
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end in = mhs_lane_event_end(lane), out = in;
	struct mhs_piece four[] = { { "ab", 2 }, { "", 0 }, { "cde", 3 }, { "f", 1 } };
	char body[8] = "";
	uint32_t type;

	memset(lane->event_data, 0xff, 64);
	t_eq(mhs_ring_put(&in, 7, four, 4), 0);
	t_eq(lane->event_data[8 + 6], 0);	/* padding is zero */
	t_eq(lane->event_data[8 + 7], 0);
	t_eq(mhs_ring_get(&out, &type, body, sizeof(body)), 6);
	t_mem_eq(body, "abcdef", 6);
	t_eq(in.position, 16);
	lane_free(lane);
}

static void full(void)
{
	static uint8_t big[MHS_EVENT_BYTES];
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end in = mhs_lane_event_end(lane), out = in;
	uint32_t type, count = 0;

	t_eq(put(&in, 1, big, MHS_EVENT_BYTES - 7), -EMSGSIZE);
	t_eq(put(&in, 1, big, UINT32_MAX), -EMSGSIZE);
	t_eq(in.position, 0);
	t_eq(put(&in, 1, big, MHS_EVENT_BYTES - 8), 0);	/* exactly full */
	t_ok(!mhs_ring_has_room(&in, 0));
	t_eq(put(&in, 1, NULL, 0), -EAGAIN);
	t_eq(mhs_ring_get(&out, &type, big, sizeof(big)), MHS_EVENT_BYTES - 8);
	while (put(&in, 1, big, 24) == 0)
		count++;
	t_eq(count, MHS_EVENT_BYTES / 32);
	t_eq(mhs_ring_get(&out, &type, big, sizeof(big)), 24);
	t_ok(mhs_ring_has_room(&in, 24));
	t_ok(!mhs_ring_has_room(&in, 25));
	t_ok(!mhs_ring_has_room(&in, UINT32_MAX));
	t_eq(put(&in, 1, big, 25), -EAGAIN);
	t_eq(put(&in, 1, big, 24), 0);
	lane_free(lane);
}

/* Every offset of the wrap, with bodies of every length around it. */
static void wrap(void)
{
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end in = mhs_lane_event_end(lane), out = in;
	uint8_t sent[257], body[257];
	uint32_t type;

	for (uint32_t i = 0; i < 257; i++)
		sent[i] = (uint8_t)(i * 7);
	for (uint32_t i = 0; i < 300000; i++) {
		uint32_t bytes = i * 31 % 257;

		t_need(put(&in, i, sent, bytes) == 0);
		t_need(mhs_ring_get(&out, &type, body, sizeof(body)) == bytes);
		t_need(type == i && memcmp(sent, body, bytes) == 0);
	}
	t_ok(in.position > 64 * MHS_EVENT_BYTES);
	lane_free(lane);
}

static void bad_words(void)
{
	static const uint64_t wrong[] = { 1, 4, 7, 9, MHS_EVENT_BYTES + 8, MHS_EVENT_BYTES + 1,
		UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX, UINT64_MAX - 7 };
	struct mhs_lane *lane = lane_new();
	uint8_t body[8];
	uint32_t type;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct mhs_ring_end in = mhs_lane_event_end(lane), out = in;

		atomic_store(&lane->event.head, wrong[i]);
		t_eq(mhs_ring_get(&out, &type, body, 8), -EPROTO);
		t_ok(!mhs_ring_is_empty(&out));
		t_eq(out.position, 0);
		atomic_store(&lane->event.tail, 0 - wrong[i]);
		t_eq(put(&in, 1, body, 0), -EPROTO);
		t_ok(mhs_ring_has_room(&in, 0));
		t_eq(in.position, 0);
	}
	lane_free(lane);
}

static void bad_records(void)
{
	static const uint32_t wrong[] = { 0, 1, 7, 17, 24, 65, MHS_EVENT_BYTES, 0x80000000u,
					  UINT32_MAX - 7, UINT32_MAX };
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end out = mhs_lane_event_end(lane);
	uint8_t body[64];
	uint32_t type;

	atomic_store(&lane->event.head, 16);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(lane->event_data, &wrong[i], 4);
		t_eq(mhs_ring_get(&out, &type, body, 64), -EPROTO);
		t_eq(out.position, 0);
	}
	memcpy(lane->event_data, &(uint32_t){ 16 }, 4);
	t_eq(mhs_ring_get(&out, &type, body, 7), -EPROTO);	/* longer than the buffer */
	t_eq(mhs_ring_get(&out, &type, body, 8), 8);
	lane_free(lane);
}

static void one_bell_per_sleep(void)
{
	struct mhs_lane *lane = lane_new();
	struct mhs_ring_end in = mhs_lane_event_end(lane), out = in;

	t_ok(!mhs_ring_should_wake(&in));
	mhs_ring_arm(&out);
	t_ok(mhs_ring_should_wake(&in));
	t_ok(!mhs_ring_should_wake(&in));
	mhs_ring_arm(&out);
	mhs_ring_disarm(&out);
	t_ok(!mhs_ring_should_wake(&in));
	t_ok(!mhs_ring_should_feed(&out));
	mhs_ring_starve(&in);
	t_ok(mhs_ring_should_feed(&out));
	t_ok(!mhs_ring_should_feed(&out));
	lane_free(lane);
}

/* ---- two processes -------------------------------------------------------------------------- */

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
	T_RUN(geometry);
	T_RUN(empty_and_one);
	T_RUN(pieces);
	T_RUN(full);
	T_RUN(wrap);
	T_RUN(bad_words);
	T_RUN(bad_records);
	T_RUN(one_bell_per_sleep);
	T_RUN(stream);
	T_RUN(hostile_peer);
	return t_done();
}
