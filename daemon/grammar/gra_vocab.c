/* SPDX-License-Identifier: MIT */
/*
 * gra_vocab.c: which tokens a state allows, all at once. Tokens stand in the order of their bytes, so
 * what two neighbours begin with alike is walked once, and all that begin with a dead end are skipped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gra_state_priv.h"

#define WORK_MAX	UINT64_C(8000000)	/* places followed in one look: some tenths of a second */

struct token {
	const uint8_t *bytes;
	uint32_t count, id;
	uint32_t alike;			/* first bytes that the one before has too */
};

struct gra_vocab {
	struct token *tokens;
	uint32_t token_count, id_count, bytes_max;
};

static int by_bytes(const void *a, const void *b)
{
	const struct token *x = a, *y = b;
	int order = memcmp(x->bytes, y->bytes, x->count < y->count ? x->count : y->count);

	return order ? order : (x->count > y->count) - (x->count < y->count);
}

static uint32_t alike(const struct token *a, const struct token *b)
{
	uint32_t n = 0;

	while (n < a->count && n < b->count && a->bytes[n] == b->bytes[n])
		n++;
	return n;
}

int gra_vocab_new(struct gra_vocab **vocab, const void *of, gra_bytes_fn *bytes_of, uint32_t count)
{
	struct gra_vocab *v = calloc(1, sizeof(*v));
	struct token *t = malloc((count + 1) * sizeof(*t));

	*vocab = v;
	if (!v || !t) {
		free(t);
		gra_vocab_free(vocab);
		return -ENOMEM;
	}
	v->tokens = t;
	v->id_count = count;
	for (uint32_t id = 0; id < count; id++) {
		t->bytes = bytes_of(of, id, &t->count);
		t->id = id;
		if (!t->bytes || !t->count)
			continue;
		if (t->count > v->bytes_max)
			v->bytes_max = t->count;
		t++;
	}
	v->token_count = (uint32_t)(t - v->tokens);
	qsort(v->tokens, v->token_count, sizeof(*t), by_bytes);
	for (uint32_t i = 0; i < v->token_count; i++)
		v->tokens[i].alike = i ? alike(&v->tokens[i - 1], &v->tokens[i]) : 0;
	return 0;
}

void gra_vocab_free(struct gra_vocab **vocab)
{
	if (*vocab)
		free((*vocab)->tokens);
	free(*vocab);
	*vocab = NULL;
}

static int depth_reserve(struct gra_state *s, uint32_t count)
{
	struct places *depth;

	if (count <= s->depth_cap)
		return 0;
	depth = realloc(s->depth, count * sizeof(*depth));
	if (!depth)
		return -ENOMEM;
	memset(depth + s->depth_cap, 0, (count - s->depth_cap) * sizeof(*depth));
	s->depth = depth;
	s->depth_cap = count;
	return 0;
}

/*
 * Walks @t on from its first *@known bytes, whose places stand in s->depth. Returns whether it lives to
 * its end; *@known is then its length, else the bytes that lead nowhere.
 */
static int token_walk(struct gra_state *s, const struct token *t, uint32_t *known)
{
	uint32_t n = *known;
	int err;

	for (; n < t->count; n++) {
		err = gra_places_step(s, n ? &s->depth[n - 1] : &s->now, t->bytes[n], &s->depth[n]);
		if (err)
			return err;
		if (!s->depth[n].count && !s->depth[n].done)
			break;
	}
	*known = n < t->count ? n + 1 : n;
	return n == t->count;
}

int64_t gra_mask(struct gra_state *s, const struct gra_vocab *v, uint64_t room, uint64_t *allowed)
{
	uint32_t known = 0;		/* bytes of the token before that were walked */
	bool dead = false;		/* the last of them leads nowhere */
	const uint64_t work = s->work;
	int64_t count = 0;

	memset(allowed, 0, (v->id_count + 63) / 64 * sizeof(*allowed));
	if (depth_reserve(s, v->bytes_max))
		return -ENOMEM;
	for (uint32_t i = 0; i < v->token_count; i++) {
		const struct token *t = &v->tokens[i];
		int lives;

		if (dead && t->alike >= known)
			continue;
		if (t->alike < known)
			known = t->alike;
		lives = token_walk(s, t, &known);
		if (lives < 0)
			return lives;
		if (s->work - work > WORK_MAX)
			return -E2BIG;
		dead = !lives;
		if (dead || s->depth[t->count - 1].least > room)
			continue;
		allowed[t->id / 64] |= UINT64_C(1) << (t->id % 64);
		count++;
	}
	return count;
}
