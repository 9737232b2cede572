/* SPDX-License-Identifier: MIT */
/* sto_gguf_priv.h: reading a GGUF file from front to back, between the files that do it. */
#ifndef STO_GGUF_PRIV_H
#define STO_GGUF_PRIV_H

#include "sto_gguf.h"

#define STO_DAMAGED	"the file is damaged, fetch it again"

struct sto_cursor {
	const struct sto_file *file;
	struct sto_error *error;
	uint8_t *memory;	/* room for all metadata that the file may have */
	uint64_t limit;		/* bytes of that room */
	uint64_t loaded;
	uint64_t at;
	char field[192];	/* what is being read, for messages */
};

/* Take note of what is wrong with c->field. Returns -EINVAL. */
int sto_refuse(struct sto_cursor *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Bytes from here to the end of what may be metadata. */
uint64_t sto_left(const struct sto_cursor *c);
/* The next @bytes, which stay where they are. NULL with the error set. */
uint8_t *sto_take(struct sto_cursor *c, uint64_t bytes);
/* 0, or -EINVAL with the error set. */
int sto_take_u32(struct sto_cursor *c, uint32_t *value);
int sto_take_u64(struct sto_cursor *c, uint64_t *value);
/* A key or tensor name, NUL-terminated in place. */
int sto_take_name(struct sto_cursor *c, uint64_t limit_bytes, const char **name);

/* sto_gguf_tensors.c: the list; the tensors fill the rest of the file. 0 or negative errno. */
int sto_gguf_read_tensors(struct sto_cursor *c, struct sto_gguf *gguf);

#endif
