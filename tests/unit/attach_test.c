/* SPDX-License-Identifier: MIT */
#include "mhs_attach.h"

#include <string.h>

#include "mhs_epoch.h"
#include "t.h"

static const struct { uint64_t magic, bytes; } kinds[] = {
	{ MHS_MAGIC_BOARD, sizeof(struct mhs_board) },
	{ MHS_MAGIC_SLOT, sizeof(struct mhs_slot) },
	{ MHS_MAGIC_STATS, sizeof(struct mhs_stats) },
	{ MHS_MAGIC_LANE, sizeof(struct mhs_lane) },
};

static struct mhs_header fresh(void)
{
	struct mhs_header head;

	memset(&head, 0, sizeof(head));
	mhs_header_init(&head, MHS_MAGIC_SLOT, sizeof(struct mhs_slot), 3);
	return head;
}

static enum mhs_attach_result check(const struct mhs_header *head)
{
	return mhs_header_check(head, MHS_MAGIC_SLOT, sizeof(struct mhs_slot), NULL, NULL);
}

static void life(void)
{
	struct mhs_header head = fresh();
	uint16_t major = 9, minor = 9;

	t_eq(check(&head), MHS_ATTACH_NOT_YET);
	mhs_header_publish(&head);
	t_eq(mhs_header_check(&head, MHS_MAGIC_SLOT, sizeof(struct mhs_slot), &major, &minor),
	     MHS_ATTACH_OK);
	t_eq(major, MHS_ABI_MAJOR);
	t_eq(minor, MHS_ABI_MINOR);
	t_eq(head.owner, 3);
}

static void zeroed_is_not_yet(void)
{
	struct mhs_header head;

	memset(&head, 0, sizeof(head));
	t_eq(check(&head), MHS_ATTACH_NOT_YET);
}

static void every_kind(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint64_t mapped = (kinds[i].bytes + 4095) & ~UINT64_C(4095);
		struct mhs_header head = fresh();

		mhs_header_init(&head, kinds[i].magic, kinds[i].bytes, 0);
		mhs_header_publish(&head);
		t_eq(mhs_header_check(&head, kinds[i].magic, mapped, NULL, NULL), MHS_ATTACH_OK);
		t_eq(mhs_header_check(&head, kinds[(i + 1) % 4].magic, mapped, NULL, NULL),
		     MHS_ATTACH_CORRUPT);
		t_eq(mhs_header_check(&head, kinds[i].magic, kinds[i].bytes - 1, NULL, NULL),
		     MHS_ATTACH_CORRUPT);
	}
}

static void incompatible_tells_both(void)
{
	struct mhs_header head = fresh();
	uint16_t major = 0, minor = 0;

	head.abi_major = 7;
	head.abi_minor = 2;
	mhs_header_publish(&head);
	t_eq(mhs_header_check(&head, MHS_MAGIC_SLOT, sizeof(struct mhs_slot), &major, &minor),
	     MHS_ATTACH_INCOMPATIBLE);
	t_eq(major, 7);
	t_eq(minor, 2);
	head = fresh();
	head.features = 1;
	mhs_header_publish(&head);
	t_eq(check(&head), MHS_ATTACH_INCOMPATIBLE);
}

static void corrupt_fields(void)
{
	struct mhs_header head = fresh();

	mhs_header_publish(&head);
	t_eq(mhs_header_check(&head, MHS_MAGIC_SLOT, sizeof(head) - 1, NULL, NULL),
	     MHS_ATTACH_CORRUPT);
	t_eq(mhs_header_check(&head, MHS_MAGIC_SLOT, 0, NULL, NULL), MHS_ATTACH_CORRUPT);
	head.magic ^= 1;
	t_eq(check(&head), MHS_ATTACH_CORRUPT);
	head.magic ^= 1;
	head.header_bytes = 65;
	t_eq(check(&head), MHS_ATTACH_CORRUPT);
	head.header_bytes = 64;
	head.segment_bytes++;
	t_eq(check(&head), MHS_ATTACH_CORRUPT);
	head.segment_bytes = UINT64_MAX;
	t_eq(check(&head), MHS_ATTACH_CORRUPT);
	head.segment_bytes = sizeof(struct mhs_slot);
	head.reserved0[23] = 1;
	t_eq(check(&head), MHS_ATTACH_CORRUPT);
	head.abi_minor++;	/* a later minor may use it */
	t_eq(check(&head), MHS_ATTACH_OK);
	head = fresh();
	atomic_store(&head.ready, 2);
	t_eq(check(&head), MHS_ATTACH_CORRUPT);
}

static void unknown_kind(void)
{
	struct mhs_header head = fresh();

	mhs_header_init(&head, 42, 4096, 0);
	mhs_header_publish(&head);
	t_eq(mhs_header_check(&head, 42, 4096, NULL, NULL), MHS_ATTACH_CORRUPT);
}

static void board_and_slot_init(void)
{
	static struct mhs_board board;
	static struct mhs_slot slot;

	mhs_board_init(&board);
	t_eq(atomic_load(&board.head.ready), 0);
	t_eq(atomic_load(&board.epoch), 1);
	mhs_header_publish(&board.head);
	t_eq(mhs_header_check(&board.head, MHS_MAGIC_BOARD, sizeof(board), NULL, NULL),
	     MHS_ATTACH_OK);
	mhs_slot_init(&slot, 5);
	t_eq(atomic_load(&slot.head.ready), 0);
	t_eq(slot.head.owner, 5);
	t_ok(atomic_load(&slot.seen_epoch) == MHS_EPOCH_OFFLINE);
	mhs_header_publish(&slot.head);
	t_eq(check(&slot.head), MHS_ATTACH_OK);
}

int main(void)
{
	T_RUN(life);
	T_RUN(zeroed_is_not_yet);
	T_RUN(every_kind);
	T_RUN(incompatible_tells_both);
	T_RUN(corrupt_fields);
	T_RUN(unknown_kind);
	T_RUN(board_and_slot_init);
	return t_done();
}
