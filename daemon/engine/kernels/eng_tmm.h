/* SPDX-License-Identifier: MIT */
/* eng_tmm.h: the shapes of the tile registers, as LDTILECFG reads them. */
#ifndef ENG_TMM_H
#define ENG_TMM_H

#include <stdint.h>

struct tmm_config {
	uint8_t palette;
	uint8_t start_row;
	uint8_t reserved0[14];		/* zero */
	uint16_t row_bytes[16];
	uint8_t rows[16];
};
_Static_assert(sizeof(struct tmm_config) == 64, "as LDTILECFG reads it");

#endif
