/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "ring_lib.h"
#include "t.h"

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
	return t_done();
}
