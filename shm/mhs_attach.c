/* SPDX-License-Identifier: MIT */
/* mhs_attach.c: headers of control segments. Image headers: mhs_image.c. */
#include "mhs_attach.h"

#include <stdbool.h>
#include <string.h>

/* Length of each kind in this ABI major; 0: no such kind. */
static uint64_t kind_bytes(uint64_t magic)
{
	switch (magic) {
	case MHS_MAGIC_BOARD:
		return sizeof(struct mhs_board);
	case MHS_MAGIC_SLOT:
		return sizeof(struct mhs_slot);
	case MHS_MAGIC_STATS:
		return sizeof(struct mhs_stats);
	case MHS_MAGIC_REPLIES:
		return sizeof(struct mhs_replies);
	case MHS_MAGIC_LANE:
		return sizeof(struct mhs_lane);
	default:
		return 0;
	}
}

void mhs_header_init(struct mhs_header *head, uint64_t magic, uint64_t segment_bytes,
		     uint32_t owner)
{
	head->magic = magic;
	head->abi_major = MHS_ABI_MAJOR;
	head->abi_minor = MHS_ABI_MINOR;
	head->header_bytes = sizeof(*head);
	head->segment_bytes = segment_bytes;
	head->features = 0;
	head->owner = owner;
	memset(head->reserved0, 0, sizeof(head->reserved0));
}

void mhs_header_publish(struct mhs_header *head)
{
	/* H1 after every field; pairs with H2 */
	atomic_store_explicit(&head->ready, 1, memory_order_release);
}

/* Of our own minor or an older one: later minors may give reserved bytes a meaning. */
static bool reserved_is_clean(const struct mhs_header *head)
{
	static const uint8_t zeros[sizeof(head->reserved0)];

	return head->abi_minor > MHS_ABI_MINOR ||
	       memcmp(head->reserved0, zeros, sizeof(zeros)) == 0;
}

enum mhs_attach_result mhs_header_check(const struct mhs_header *head, uint64_t magic,
					uint64_t mapped_bytes, uint16_t *abi_major,
					uint16_t *abi_minor)
{
	uint32_t ready;

	if (mapped_bytes < sizeof(*head))
		return MHS_ATTACH_CORRUPT;
	/* H2 before every other field; pairs with H1 */
	ready = atomic_load_explicit(&head->ready, memory_order_acquire);
	if (ready == 0)
		return MHS_ATTACH_NOT_YET;
	if (ready != 1 || head->magic != magic)
		return MHS_ATTACH_CORRUPT;
	if (abi_major)
		*abi_major = head->abi_major;
	if (abi_minor)
		*abi_minor = head->abi_minor;
	if (head->abi_major != MHS_ABI_MAJOR || head->features != 0)
		return MHS_ATTACH_INCOMPATIBLE;
	if (head->header_bytes != sizeof(*head) || head->segment_bytes != kind_bytes(magic) ||
	    head->segment_bytes > mapped_bytes || !reserved_is_clean(head))
		return MHS_ATTACH_CORRUPT;
	return MHS_ATTACH_OK;
}
