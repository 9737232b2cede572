/* SPDX-License-Identifier: MIT */
/* sup_arena_priv.h: between sup_arena.c, which fills memory at the disk's speed, and sup_arena_small.c. */
#ifndef SUP_ARENA_PRIV_H
#define SUP_ARENA_PRIV_H

#include "sup_arena.h"

typedef int (*sup_check_fn)(struct sup_load *load, const void *base);

/* [0, @bytes) of a file: small, through the page cache. */
int sup_head_read(struct sup_load *load, int fd, uint64_t bytes, uint8_t *base);
/* Check and keep a sealed arena. The descriptor is the callee's. */
int sup_arena_keep(struct sup_load *load, int fd, struct sup_arena arena, sup_check_fn check,
		   struct sup_arenas *arenas);
/* The same of a filled one, sealed first. */
int sup_arena_finish(struct sup_load *load, int fd, struct sup_arena arena, sup_check_fn check,
		     struct sup_arenas *arenas);

#endif
