/* SPDX-License-Identifier: MIT */
/*
 * sup_push.h: an adapter that comes over the control socket: the bytes of PEFT's weights file in a
 * memfd that nobody can change any longer, and its configuration as text. A loader thread makes an
 * image of them; where it is to be kept, it goes through the store.
 */
#ifndef SUP_PUSH_H
#define SUP_PUSH_H

#include <stdbool.h>
#include <stddef.h>

#include "mhs_layout.h"
#include "sto_store.h"

struct sup_load;

#define SUP_PUSH_CONFIG_BYTES	(60u << 10)	/* it stands in a line of the socket */

struct sup_push {
	int weights_fd, config_fd;
	char base[MHS_SEMVER_BYTES];	/* version of the model whose shapes count */
	bool keep;			/* in the store too */
};

/*
 * @weights (taken in every case) and @config; checked as far as that needs no look into them:
 * seals, length up to @max_bytes. NULL with text.
 */
struct sup_push *sup_push_new(int weights, const char *config, uint64_t max_bytes, bool keep,
			      struct sto_error *error);
uint64_t sup_push_bytes(const struct sup_push *push);	/* of the weights */
void sup_push_free(struct sup_push **push);

/* In a loader thread: load->push into the store. 0 or negative errno with load->error. */
int sup_push_import(struct sup_load *load);
/* Into a sealed segment of its own: its descriptor, or negative errno with load->error. */
int sup_push_pack(struct sup_load *load, size_t *seg_bytes);

#endif
