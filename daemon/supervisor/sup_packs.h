/* SPDX-License-Identifier: MIT */
/*
 * sup_packs.h: packs in memory, each once whatever versions need it. Called from loader threads and
 * from the supervisor's own: all of it is under one lock.
 */
#ifndef SUP_PACKS_H
#define SUP_PACKS_H

#include "sup_arena.h"

struct sup_pack {
	struct sup_pack *next;
	uint8_t content_hash[MHS_HASH_BYTES];
	uint64_t pack_bytes;		/* of the file */
	uint32_t version_count;		/* that use it, loads included */
	bool ready;			/* arenas are there, and constant */
	struct sup_arenas arenas;
};

/*
 * The pack @want of the version that @load brings: found in memory, waited for while another load
 * reads it, or read. One more version uses it. 0, or negative errno with load->error.
 */
int sup_pack_get(struct sup_load *load, const struct mhs_image_pack *want, struct sup_pack **pack);
/* One version fewer; the last one frees it. Returns the bytes freed, clears *@pack. */
uint64_t sup_pack_put(struct sup_pack **pack);
/* Whether @want is in memory, or on its way. */
bool sup_pack_has(const struct mhs_image_pack *want);
uint32_t sup_pack_versions(const struct sup_pack *pack);
/* Memory of all packs. */
uint64_t sup_packs_bytes(void);

#endif
