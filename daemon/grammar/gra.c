/* SPDX-License-Identifier: MIT */
/* gra.c: from text to a compiled grammar. */
#include <errno.h>
#include <stdlib.h>

#include "gra_priv.h"

static int compile(struct gra *g, const char *text, size_t bytes)
{
	int err;

	if (bytes > GRA_TEXT_BYTES_MAX)
		return gra_fail(g, -E2BIG, "%zu bytes of grammar, at most %u", bytes, GRA_TEXT_BYTES_MAX);
	err = gra_parse(g, text, bytes);
	if (!err)
		err = gra_build(g);
	return err ? err : gra_check(g);
}

int gra_compile(struct gra **grammar, const char *text, size_t bytes, struct gra_error *error)
{
	struct gra *g = calloc(1, sizeof(*g));
	int err;

	*grammar = NULL;
	error->text[0] = 0;
	if (!g)
		return -ENOMEM;
	g->error = error;
	err = compile(g, text, bytes);
	gra_trees_free(g);
	g->error = NULL;
	if (err)
		gra_free(&g);
	*grammar = g;
	return err;
}

void gra_free(struct gra **grammar)
{
	struct gra *g = *grammar;

	*grammar = NULL;
	if (!g)
		return;
	free(g->nodes);
	free(g->sets);
	free(g->rules);
	free(g);
}

uint64_t gra_least_bytes(const struct gra *g)
{
	return g->nodes[g->rules[g->root].start].least;
}
