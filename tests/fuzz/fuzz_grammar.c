/* SPDX-License-Identifier: MIT */
/*
 * fuzz_grammar.c: the first byte says how the rest is written: GBNF, expression, pattern in a schema, or
 * schema. What is accepted must let a text grow to its end, and no further than it said; what is refused
 * must say why on one line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gra_regex.h"
#include "gra_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int write_out(struct gra_text *t, uint8_t kind, const char *text, size_t size, struct gra_error *error)
{
	int err;

	switch (kind % 4) {
	case 1:
	case 2:
		gra_text_put(t, "root ::= ");
		err = gra_regex(t, text, size, kind % 4 == 2, kind % 4 == 2, error);
		gra_text_put(t, "\n");
		return err;
	case 3:
		return gra_schema(t, text, size, error);
	default:
		return 0;
	}
}

static const void *one_byte(const void *of, uint32_t id, uint32_t *bytes)
{
	static uint8_t all[256];

	all[id] = (uint8_t)id;
	*bytes = 1;
	return &all[id];
}

/* Some byte is beyond what is kept. */
static bool ambiguous(struct gra_state *s)
{
	struct gra_vocab *vocab;
	uint64_t allowed[4];
	int64_t count;

	if (gra_vocab_new(&vocab, NULL, one_byte, 256))
		abort();
	count = gra_mask(s, vocab, UINT64_MAX, allowed);
	gra_vocab_free(&vocab);
	return count == -E2BIG;
}

/* Byte by byte, any that still fits, from @pick on. */
static void grow(const struct gra *g, uint8_t pick)
{
	uint64_t room = gra_least_bytes(g) + 20, used = 0;
	struct gra_state *s;

	if (room > 400)
		return;
	if (gra_state_new(&s, g))
		return;			/* no memory for it: a limit */
	while (used < room && !gra_is_over(s)) {
		uint32_t tried = 0;
		uint8_t byte = pick;

		while (tried < 256 && !gra_allows(s, &byte, 1, room - used - 1)) {
			byte = (uint8_t)(byte * 5 + 1);
			tried++;
		}
		if (tried == 256 && ambiguous(s))
			goto out;
		if (tried == 256)
			break;
		if (gra_push(s, &byte, 1) || gra_missing_bytes(s) > room - used - 1)
			abort();
		pick = (uint8_t)(pick * 13 + byte + 7);
		used++;
	}
	if (!gra_may_end(s))
		abort();
out:
	gra_state_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gra_error error = { "" };
	struct gra_text t = { 0 };
	struct gra *g = NULL;
	int err;

	if (size < 2)
		return 0;
	err = write_out(&t, data[0], (const char *)data + 2, size - 2, &error);
	if (!err)
		err = gra_compile(&g, t.data ? t.data : (const char *)data + 2, t.data ? t.bytes : size - 2, &error);
	if (err && (g || strchr(error.text, '\n') || (err != -ENOMEM && !error.text[0])))
		abort();
	if (!err)
		grow(g, data[1]);
	gra_free(&g);
	free(t.data);
	return 0;
}
