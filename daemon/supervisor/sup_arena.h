/* SPDX-License-Identifier: MIT */
/*
 * sup_arena.h: one file of the store (an image that holds its data itself, a pack, or the tables of
 * a packed image) as sealed, checked, read-only memory, once or once a NUMA node.
 */
#ifndef SUP_ARENA_H
#define SUP_ARENA_H

#include "sup_pages.h"
#include "sup_read.h"

struct sup_load;

/* One sealed copy. */
struct sup_arena {
	int fd;				/* read-only */
	uint32_t node;			/* NUMA node it was bound to, UINT32_MAX: none */
	uint64_t seg_bytes;
};

/* All copies of one file, and how they came to be. */
struct sup_arenas {
	uint32_t count;			/* 0: none */
	struct sup_arena each[MHS_EXTENT_MAX];
	uint64_t file_bytes;
	enum mhs_pages rung;
	enum sup_method method;
	char pages_note[256], method_note[160];
};

/* What is read: header page, chunk table, chunks. */
struct sup_file {
	int fd;
	char name[192];			/* of the memory, for people */
	const char *what;		/* "image", or the name of the pack, in messages */
	const void *header;		/* its first page, checked */
	uint64_t file_bytes, data_offset_bytes;
	struct mhs_image_span chunk_table;
	uint32_t chunk_count;
	const uint8_t *chunk_table_hash;
	/* Judge the sealed memory once more; NULL: hashes were enough. */
	int (*check)(struct sup_load *load, const void *base);
};

/*
 * Read and check @file into one arena, or one for each node as @load wishes. Adds to the figures
 * of @load. 0, or negative errno with load->error; then there is none.
 */
int sup_arenas_read(struct sup_load *load, const struct sup_file *file, struct sup_arenas *arenas);
/* The first file_bytes of @fd, all of them, on pages of 4 KiB: small parts, not worth more. */
int sup_arenas_small(struct sup_load *load, int fd, uint64_t file_bytes,
		     int (*check)(struct sup_load *load, const void *base), struct sup_arenas *arenas);
/* Memory that is sealed already, and filled: @fd is taken in every case. */
int sup_arenas_take(struct sup_load *load, int fd, uint64_t seg_bytes,
		    int (*check)(struct sup_load *load, const void *base), struct sup_arenas *arenas);
/* The copy for a worker on @node. */
const struct sup_arena *sup_arenas_on(const struct sup_arenas *arenas, uint32_t node);
uint64_t sup_arenas_bytes(const struct sup_arenas *arenas);
/* Close all. Returns the bytes that they had. */
uint64_t sup_arenas_close(struct sup_arenas *arenas);

#endif
