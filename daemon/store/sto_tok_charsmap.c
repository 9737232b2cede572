/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_charsmap.c: a precompiled character map of SentencePiece: u32 size of the trie, the trie
 * (a double array after Yata, in the packing of darts-clone), texts with a NUL behind each. A unit:
 * bits 0..7 label, 8 has a text, 9 and 10..30 place of the children; of a text: bit 31 and its place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sto_file.h"
#include "sto_tok.h"

#define NODES_MAX	(1u << 18)
#define DEPTH_MAX	32u	/* bytes of a key */
#define TEXT_MAX	255u

struct level {
	uint32_t base;		/* children are at base ^ label */
	uint32_t label;		/* of the child that is looked at */
};

struct map {
	struct sto_tok *t;
	const char *field;
	const uint8_t *units;
	uint32_t unit_count;
	const char *texts;
	size_t text_bytes;
	struct level levels[DEPTH_MAX];
	char key[DEPTH_MAX];
	uint32_t depth;		/* of the node that levels[] is at */
	uint32_t nodes;
	struct eng_tok_map_pair *pairs;
	uint32_t count, cap;
};

static int broken(struct map *m, const char *what)
{
	return sto_tok_fail(m->t, "%s.precompiled_charsmap: %s", m->field, what);
}

static uint32_t unit(const struct map *m, uint32_t at)
{
	uint32_t value;

	memcpy(&value, m->units + 4 * (size_t)at, 4);
	return value;
}

static uint32_t offset(uint32_t value)
{
	return (value >> 10) << ((value & 1u << 9) >> 6);
}

static int add_pair(struct map *m, uint32_t value)
{
	uint32_t at = value & 0x7fffffff, cap = m->cap ? 2 * m->cap : 1024;
	const char *end = at < m->text_bytes ? memchr(m->texts + at, 0, m->text_bytes - at) : NULL;
	struct eng_tok_map_pair *grown = m->pairs;
	struct eng_tok_string key, text = {m->texts + at, end ? (uint32_t)(end - m->texts) - at : 0};

	if (!end || text.bytes > TEXT_MAX || !sto_utf8_sound(text.data, text.bytes))
		return broken(m, "a text lies outside, is no UTF-8 or over 255 bytes");
	if (m->count == m->cap) {
		grown = realloc(m->pairs, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		m->pairs = grown;
		m->cap = cap;
	}
	key = sto_tok_copy(m->t, m->key, m->depth);
	if (!key.data)
		return -ENOMEM;
	m->pairs[m->count++] = (struct eng_tok_map_pair){key, text};
	return 0;
}

/* Down to the child at @at, which the label leads to. */
static int enter(struct map *m, uint32_t at, uint32_t value)
{
	uint32_t base = at ^ offset(value);
	int err = 0;

	if (m->depth == DEPTH_MAX - 1 || ++m->nodes > NODES_MAX)
		return broken(m, "its tree is too deep or too large");
	m->key[m->depth] = (char)m->levels[m->depth].label;
	m->levels[++m->depth] = (struct level){.base = base};
	if (value & 1u << 8)
		err = base < m->unit_count ? add_pair(m, unit(m, base))
					   : broken(m, "a text lies outside");
	return err;
}

static int walk(struct map *m)
{
	int err = 0;

	m->levels[0] = (struct level){.base = offset(unit(m, 0))};
	while (!err) {
		struct level *level = &m->levels[m->depth];
		uint32_t at = level->base ^ ++level->label;

		if (level->label > 255) {
			if (!m->depth--)
				break;
			continue;
		}
		if (at < m->unit_count && (unit(m, at) & 0x800000ff) == level->label)
			err = enter(m, at, unit(m, at));
	}
	return err;
}

/* The array lives as long as @t. */
static int add_step(struct map *m, uint32_t mode)
{
	struct sto_tok *t = m->t;
	struct eng_tok_step step = {.op = ENG_OP_CHARSMAP, .split = mode, .pairs = m->pairs,
				    .pair_count = m->count};

	if (t->map_count == STO_TOK_MAPS_MAX)
		return sto_tok_fail(t, "%s: over %u character maps", m->field, STO_TOK_MAPS_MAX);
	t->maps[t->map_count++] = m->pairs;
	m->pairs = NULL;
	return sto_tok_add_normal(t, m->field, step);
}

int sto_tok_add_charsmap(struct sto_tok *t, const char *field, const uint8_t *data, size_t bytes,
			 uint32_t mode)
{
	struct map m = {.t = t, .field = field};
	uint32_t trie_bytes = 0;
	int err;

	if (bytes >= 4)
		memcpy(&trie_bytes, data, 4);
	if (trie_bytes < 4 || trie_bytes % 4 || trie_bytes > bytes - 4)
		return broken(&m, "is cut short, or its first number is wrong");
	m.units = data + 4;
	m.unit_count = trie_bytes / 4;
	m.texts = (const char *)data + 4 + trie_bytes;
	m.text_bytes = bytes - 4 - trie_bytes;
	err = walk(&m);
	err = err ? err : add_step(&m, mode);
	free(m.pairs);
	return err;
}
