/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_trie.c: keys as a tree of bytes, built once at import. Nodes lie level by level, the
 * children of one node side by side in order of their byte.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok_build.h"

/* Keys that share a path: those of one node. */
struct range {
	uint32_t low, high, depth;
};

struct builder {
	struct tok_nodes *to;
	const struct tok_key *keys;
	struct range *ranges;		/* of the nodes from @base on, in their order */
	size_t cap;
	uint32_t base;
};

static int by_key(const void *x, const void *y)
{
	const struct tok_key *a = x, *b = y;
	uint32_t least = a->bytes < b->bytes ? a->bytes : b->bytes;
	int order = memcmp(a->text, b->text, least);

	if (!order)
		order = (a->bytes > b->bytes) - (a->bytes < b->bytes);
	return order ? order : (a->value > b->value) - (a->value < b->value);
}

static int add_node(struct builder *b, uint8_t byte, struct range range)
{
	struct tok_nodes *to = b->to;
	void *v = to->v, *ranges = b->ranges;
	int err = tok_array_room(&v, &to->cap, to->count + 1, sizeof(*to->v));

	to->v = v;
	err = err ? err : tok_array_room(&ranges, &b->cap, to->count - b->base + 1,
					 sizeof(*b->ranges));
	b->ranges = ranges;
	if (err)
		return err;
	if (to->count == TOK_NODES_MAX)
		return -E2BIG;
	b->ranges[to->count - b->base] = range;
	to->v[to->count++] = (struct tok_node){.value = ENG_TOK_NONE, .byte = byte};
	return 0;
}

/* Of keys that are equal the last one counts. */
static int add_children(struct builder *b, size_t node)
{
	struct range range = b->ranges[node - b->base];
	uint32_t at = range.low, end;
	int err = 0;

	for (; at < range.high && b->keys[at].bytes == range.depth; at++)
		b->to->v[node].value = b->keys[at].value;
	b->to->v[node].first = (uint32_t)b->to->count;
	for (; at < range.high && !err; at = end) {
		uint8_t byte = b->keys[at].text[range.depth];

		for (end = at + 1; end < range.high; end++)
			if (b->keys[end].text[range.depth] != byte)
				break;
		err = add_node(b, byte, (struct range){at, end, range.depth + 1});
		b->to->v[node].count++;
	}
	return err;
}

int tok_trie_build(struct tok_nodes *to, struct tok_key *keys, uint32_t count, uint32_t *root)
{
	struct builder b = {.to = to, .keys = keys, .base = (uint32_t)to->count};
	int err;

	*root = b.base;
	qsort(keys, count, sizeof(*keys), by_key);
	err = add_node(&b, 0, (struct range){0, count, 0});
	for (size_t node = b.base; node < to->count && !err; node++)
		err = add_children(&b, node);
	free(b.ranges);
	return err;
}

/* A child lies behind its parent, so that no walk turns in a circle; tokens have ids. */
bool tok_trie_fits(const struct eng_tok *tok)
{
	uint32_t tokens = tok->extra ? tok->extra->token_nodes : 0;
	uint32_t nodes = tok->extra ? tok->extra->node_count : 0;

	for (uint32_t i = 0; i < nodes; i++) {
		const struct tok_node *node = &tok->nodes[i];
		uint32_t limit = i < tokens ? tokens : nodes;

		if (i < tokens && node->value != ENG_TOK_NONE &&
		    node->value >= tok->head->token_count)
			return false;
		if (node->count && (node->first <= i || node->first > limit ||
				    node->count > limit - node->first))
			return false;
	}
	return true;
}

uint32_t tok_trie_step(const struct eng_tok *tok, uint32_t node, uint8_t byte)
{
	const struct tok_node *at = &tok->nodes[node];
	uint32_t low = at->first, high = low + at->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (tok->nodes[mid].byte < byte)
			low = mid + 1;
		else
			high = mid;
	}
	return low < at->first + at->count && tok->nodes[low].byte == byte ? low : ENG_TOK_NONE;
}
