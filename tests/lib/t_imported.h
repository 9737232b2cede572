/* SPDX-License-Identifier: MIT */
/* t_imported.h: a GGUF file of t_gguf.h imported into a store of its own, and the image mapped. */
#ifndef T_IMPORTED_H
#define T_IMPORTED_H

#include "sto_import.h"
#include "t_gguf.h"

struct t_imported {
	int fd;
	size_t bytes;
	const uint8_t *base;
	struct mhs_image_header head;
};

/* Import and map; 0 when that worked. @quantize: enum eng_source, 0: keep. */
int t_imported_open(struct t_imported *image, const struct t_gguf *g, uint32_t quantize);
void t_imported_close(struct t_imported *image);
/* The tensor with @role of the first layer, and as a matrix. */
const struct mhs_image_tensor *t_imported_find(const struct t_imported *image, uint32_t role);
struct eng_matrix t_imported_matrix(const struct t_imported *image,
				    const struct mhs_image_tensor *t);
/* The import fails with @expect in its message and leaves no version. */
void t_imported_refused(const struct t_gguf *g, uint32_t quantize, const char *expect);

#endif
