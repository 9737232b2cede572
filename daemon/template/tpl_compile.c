/* SPDX-License-Identifier: MIT */
/* tpl_compile.c: a template from its text. */
#include <errno.h>
#include <stdlib.h>

#include "tpl_priv.h"

#define COMPILE_BYTES	(256u << 20)	/* of memory, for 1 MiB of the densest text */

static uint32_t *slot_of(struct tpl *tpl, const char *text, uint32_t bytes)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	uint32_t at;

	for (uint32_t i = 0; i < bytes; i++)
		h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	for (at = (uint32_t)(h >> 32) & tpl->name_mask; tpl->name_slots[at];
	     at = (at + 1) & tpl->name_mask) {
		const struct tpl_name *name = &tpl->names[tpl->name_slots[at] - 1];

		if (name->bytes == bytes && !memcmp(name->text, text, bytes))
			break;
	}
	return &tpl->name_slots[at];
}

static void names_grow(struct tpl *tpl)
{
	struct tpl_name *old = tpl->names;

	tpl->name_cap = tpl->name_cap ? tpl->name_cap * 2 : 64;
	tpl->names = tpl_alloc(&tpl->heap, tpl->name_cap * sizeof(*old));
	if (tpl->name_count)
		memcpy(tpl->names, old, tpl->name_count * sizeof(*old));
	tpl->name_mask = tpl->name_cap * 2 - 1;
	tpl->name_slots = tpl_zalloc(&tpl->heap, tpl->name_cap * 2 * sizeof(*tpl->name_slots));
	for (uint32_t i = 0; i < tpl->name_count; i++)
		*slot_of(tpl, tpl->names[i].text, tpl->names[i].bytes) = i + 1;
}

uint32_t tpl_intern(struct tpl *tpl, const char *text, uint32_t bytes)
{
	uint32_t *slot;

	if (tpl->name_count == tpl->name_cap)
		names_grow(tpl);
	slot = slot_of(tpl, text, bytes);
	if (!*slot) {
		tpl->names[tpl->name_count++] = (struct tpl_name){ text, bytes };
		*slot = tpl->name_count;
	}
	return *slot - 1;
}

static void globals_set(struct tpl *tpl)
{
	tpl->globals = tpl_zalloc(&tpl->heap, tpl->name_count * sizeof(*tpl->globals));
	for (uint32_t i = 0; i < tpl->name_count; i++) {
		const struct tpl_method_row *row = tpl_global_find(tpl->names[i].text,
								   tpl->names[i].bytes);
		struct tpl_method *method;

		if (!row)
			continue;
		method = tpl_zalloc(&tpl->heap, sizeof(*method));
		method->row = row;
		tpl->globals[i] = (struct tpl_value){ .kind = TPL_METHOD, .method = method };
	}
}

static void compile(struct tpl *tpl)
{
	static const char *const own[] = { "loop", "caller", "varargs", "kwargs" };

	for (uint32_t i = 0; i < TPL_NAME_OWN; i++)
		tpl_intern(tpl, own[i], (uint32_t)strlen(own[i]));
	tpl->body = tpl_parse(tpl);
	globals_set(tpl);
}

int tpl_compile(struct tpl **out, const char *text, size_t bytes, struct tpl_error *error)
{
	struct tpl *tpl = calloc(1, sizeof(*tpl));

	*out = NULL;
	*error = (struct tpl_error){ .fault = TPL_MEMORY, .text = "out of memory" };
	if (!tpl)
		return -ENOMEM;
	tpl_heap_init(&tpl->heap, COMPILE_BYTES, error);
	tpl->source = text;
	tpl->source_bytes = bytes;
	if (setjmp(tpl->heap.jump)) {
		tpl_heap_fini(&tpl->heap);
		free(tpl);
		return error->fault == TPL_MEMORY ? -ENOMEM : -EINVAL;
	}
	compile(tpl);
	*out = tpl;
	return 0;
}

void tpl_free(struct tpl **tpl)
{
	if (!*tpl)
		return;
	tpl_heap_fini(&(*tpl)->heap);
	free(*tpl);
	*tpl = NULL;
}

const char *tpl_unsupported(const struct tpl *tpl)
{
	return tpl->unsupported;
}
