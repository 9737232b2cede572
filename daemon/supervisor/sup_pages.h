/* SPDX-License-Identifier: MIT */
/*
 * sup_pages.h: an arena on the best rung of the page ladder, and the large pages that it needs.
 */
#ifndef SUP_PAGES_H
#define SUP_PAGES_H

#include "mhs_seg.h"
#include "sto_store.h"
#include "sup_conf.h"

struct sup_pages {
	int fd;			/* writable, not sealed */
	size_t seg_bytes;
	enum mhs_pages rung;	/* asked for; see sup_pages_settle() */
	char note[256];		/* why not a better rung, and what to do; empty: it is the best */
};

/*
 * Create a fully allocated arena of @bytes. @hugepages: enum sup_hugepages. Allows the kernel to make the
 * 2 MiB pages that are missing where we may. 0, or negative errno with text in numbers.
 */
int sup_pages_create(const char *name, uint64_t bytes, uint32_t hugepages, struct sup_pages *pages,
		     struct sto_error *error);
/* Once @map has touched all of it: call THP what the kernel really gave. */
void sup_pages_settle(struct sup_pages *pages, const struct mhs_map *map);

/* Free pages on a rung now: of the pool, and what the kernel may add to it. */
uint64_t sup_pages_free(enum mhs_pages rung);

/* At the end: put the system's setting back to what it was before sup_pages_create(). */
void sup_pages_restore(void);

#endif
