/* SPDX-License-Identifier: MIT */
/*
 * sup_pages.h: an arena on the best rung of the page ladder, and the large pages that it needs.
 */
#ifndef SUP_PAGES_H
#define SUP_PAGES_H

#include "mhs_seg.h"
#include "sto_store.h"
#include "sup_conf.h"
#include "sup_fill.h"

struct sup_pages {
	int fd;			/* writable, not sealed */
	size_t seg_bytes;
	struct mhs_map map;	/* writable */
	struct sup_fill fill;	/* makes its pages */
	bool whole;		/* all pages first */
	enum mhs_pages rung;	/* asked for; THP may turn out as 4K in sup_pages_finish() */
	char note[256];		/* why not a better rung, and what to do; empty: it is the best */
};

/*
 * Create and map an arena of @bytes; its pages are reserved, and made by pages->fill. @hugepages:
 * enum sup_hugepages. @whole: make them all first, so that a node without enough still leads to a
 * lower rung. Allows the kernel to make the 2 MiB pages that are missing where we may. 0, or
 * negative errno with text in numbers.
 */
int sup_pages_create(const char *name, uint64_t bytes, uint32_t hugepages, bool whole,
		     struct sup_pages *pages, struct sto_error *error);
/*
 * The same for one of many small things: 2 MiB pages where they are to be had and the last one is not
 * mostly empty. 0, or negative errno: on small pages then.
 */
int sup_pages_small(const char *name, uint64_t bytes, uint32_t hugepages, struct sup_pages *pages);
/* Whether about @bytes are to lie on 2 MiB pages for which there is room now; others make them. */
bool sup_pages_small_large(uint64_t bytes, uint32_t hugepages);
/*
 * Filled: end the fill, call THP what the kernel really gave, unmap. Returns the ns that making
 * pages took.
 */
uint64_t sup_pages_finish(struct sup_pages *pages);

/* Free pages on a rung now: of the pool, and what the kernel may add to it. */
uint64_t sup_pages_free(enum mhs_pages rung);

/* At the end: put the system's setting back to what it was before sup_pages_create(). */
void sup_pages_restore(void);

#endif
