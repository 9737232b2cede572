/* SPDX-License-Identifier: MIT */
/* tpl_heap.c: the arena of a template or of a rendering, and the way out of both. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tpl_priv.h"

#define BLOCK_BYTES	(32u << 10)
#define ALIGN		16u

struct tpl_block {
	struct tpl_block *next;
	uint64_t reserved;	/* keeps what follows aligned */
};

void tpl_heap_init(struct tpl_heap *heap, size_t limit_bytes, struct tpl_error *error)
{
	memset(heap, 0, sizeof(*heap));
	heap->left_bytes = limit_bytes;
	heap->error = error;
	*error = (struct tpl_error){ 0 };
}

void tpl_heap_fini(struct tpl_heap *heap)
{
	struct tpl_block *next;

	for (struct tpl_block *block = heap->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	heap->blocks = NULL;
	heap->at = heap->end = NULL;
}

void tpl_throw(struct tpl_heap *heap, enum tpl_fault fault, const char *format, ...)
{
	struct tpl_error *error = heap->error;
	int used = 0;
	va_list args;

	error->fault = fault;
	error->line = heap->line;
	if (heap->line)
		used = snprintf(error->text, sizeof(error->text), "line %u: ", heap->line);
	va_start(args, format);
	vsnprintf(error->text + used, sizeof(error->text) - (size_t)used, format, args);
	va_end(args);
	for (char *at = error->text; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
	longjmp(heap->jump, 1);
}

/* A block of its own for what is large, put behind the one that is being filled. */
static void *block_add(struct tpl_heap *heap, size_t bytes)
{
	bool own = bytes > BLOCK_BYTES / 4;
	size_t room = own ? bytes : BLOCK_BYTES;
	struct tpl_block *block;

	if (room > heap->left_bytes)
		tpl_throw(heap, TPL_LIMIT, "the template needs more memory than its limit; shorten the request");
	heap->left_bytes -= room;
	block = malloc(sizeof(*block) + room);
	if (!block)
		tpl_throw(heap, TPL_MEMORY, "out of memory");
	if (own && heap->blocks) {
		block->next = heap->blocks->next;
		heap->blocks->next = block;
		return block + 1;
	}
	block->next = heap->blocks;
	heap->blocks = block;
	heap->at = (char *)(block + 1) + (own ? room : bytes);
	heap->end = (char *)(block + 1) + room;
	return block + 1;
}

void *tpl_alloc(struct tpl_heap *heap, size_t bytes)
{
	void *at = heap->at;

	if (bytes > SIZE_MAX / 2)
		tpl_throw(heap, TPL_LIMIT, "the template needs more memory than its limit; shorten the request");
	bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!at || bytes > (size_t)(heap->end - heap->at))
		return block_add(heap, bytes);
	heap->at += bytes;
	return at;
}

void *tpl_zalloc(struct tpl_heap *heap, size_t bytes)
{
	return memset(tpl_alloc(heap, bytes), 0, bytes);
}

void tpl_enter(struct tpl_heap *heap)
{
	if (++heap->depth > TPL_DEPTH_MAX)
		tpl_throw(heap, TPL_LIMIT, "nested deeper than %u levels", TPL_DEPTH_MAX);
}
