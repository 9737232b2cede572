/* SPDX-License-Identifier: MIT */
/* sto_gguf_cursor.c: numbers and names of a GGUF file's metadata, checked against what is left. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sto_gguf_priv.h"

#define READ_AHEAD_BYTES	(1u << 20)

int sto_refuse(struct sto_cursor *c, const char *format, ...)
{
	char what[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	sto_fail(c->error, "%s: %s: %s", c->file->path, c->field, what);
	return -EINVAL;
}

uint64_t sto_left(const struct sto_cursor *c)
{
	return c->limit - c->at;
}

static int load_more(struct sto_cursor *c, uint64_t bytes)
{
	uint64_t missing = c->at + bytes - c->loaded;
	uint64_t part = missing < READ_AHEAD_BYTES ? READ_AHEAD_BYTES : missing;
	int err;

	if (part > c->limit - c->loaded)
		part = c->limit - c->loaded;
	err = sto_file_read(c->file, c->memory + c->loaded, part, c->loaded, c->error);
	if (!err)
		c->loaded += part;
	return err;
}

/* The next @bytes, which stay where they are. NULL with the error set. */
uint8_t *sto_take(struct sto_cursor *c, uint64_t bytes)
{
	uint8_t *p = c->memory + c->at;

	if (bytes > sto_left(c)) {
		if (c->limit < c->file->bytes)
			sto_refuse(c, "metadata is too long, limit %llu bytes; %s",
				   (unsigned long long)STO_GGUF_METADATA_MAX, STO_DAMAGED);
		else
			sto_refuse(c, "ends past the end of the file, limit %llu bytes; %s",
				   (unsigned long long)c->file->bytes, STO_DAMAGED);
		return NULL;
	}
	if (c->at + bytes > c->loaded && load_more(c, bytes))
		return NULL;
	c->at += bytes;
	return p;
}

int sto_take_u32(struct sto_cursor *c, uint32_t *value)
{
	const uint8_t *p = sto_take(c, 4);

	if (!p)
		return -EINVAL;
	*value = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return 0;
}

int sto_take_u64(struct sto_cursor *c, uint64_t *value)
{
	uint32_t low, high;

	if (sto_take_u32(c, &low) || sto_take_u32(c, &high))
		return -EINVAL;
	*value = (uint64_t)high << 32 | low;
	return 0;
}

/*
 * A key or tensor name, NUL-terminated in place: moved one byte to the left, over the last byte of
 * its length.
 */
int sto_take_name(struct sto_cursor *c, uint64_t limit_bytes, const char **name)
{
	uint64_t bytes;
	uint8_t *p;

	if (sto_take_u64(c, &bytes))
		return -EINVAL;
	if (bytes == 0 || bytes > limit_bytes)
		return sto_refuse(c, "name has %llu bytes, limit 1..%llu; %s",
				  (unsigned long long)bytes, (unsigned long long)limit_bytes,
				  STO_DAMAGED);
	p = sto_take(c, bytes);
	if (!p)
		return -EINVAL;
	if (!sto_utf8_valid((const char *)p, bytes, false))
		return sto_refuse(c, "name is not clean text, limit UTF-8 without control "
				  "characters; %s", STO_DAMAGED);
	memmove(p - 1, p, bytes);
	p[bytes - 1] = '\0';
	*name = (const char *)p - 1;
	return 0;
}
