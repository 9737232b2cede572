/* SPDX-License-Identifier: MIT */
/* gra_priv.h: the compiled form, and the tree that the parser makes of the text. */
#ifndef GRA_PRIV_H
#define GRA_PRIV_H

#include "gra.h"

#define GRA_NONE	UINT32_MAX
#define GRA_CODE_MAX	0x10ffffu	/* code points */
#define GRA_NODES_MAX	(1u << 20)
#define GRA_RULES_MAX	(1u << 16)
#define GRA_DEPTH_MAX	200u		/* brackets in brackets */
#define GRA_REPEAT_MAX	100000u		/* of a counted repetition */
#define GRA_NEVER	UINT64_MAX	/* no text leads to the end */

/* ---- the tree ------------------------------------------------------------------------------- */

enum gra_kind { GRA_LITERAL, GRA_CLASS, GRA_SEQUENCE, GRA_CHOICE, GRA_REPEAT, GRA_RULE };

struct gra_range {
	uint32_t first, last;		/* code points */
};

struct gra_tree {
	enum gra_kind kind;
	uint32_t rule;			/* RULE */
	uint32_t min, max;		/* REPEAT; GRA_NONE: no limit */
	uint32_t count;			/* LITERAL: bytes; CLASS: ranges */
	union {
		uint8_t *bytes;
		struct gra_range *ranges;	/* ascending, apart */
	};
	struct gra_tree *child, *last;	/* SEQUENCE, CHOICE, REPEAT: first and last */
	struct gra_tree *next;		/* sibling */
};

/* ---- the automaton --------------------------------------------------------------------------- */

enum gra_op {
	GRA_OP_SET,	/* one byte of set, then next */
	GRA_OP_SPLIT,	/* next or other */
	GRA_OP_CALL,	/* rule, which begins at other, then next */
	GRA_OP_LOOP,	/* other (the body, up to its END) min to max times, then next */
	GRA_OP_END,	/* of a rule or a body: on with the frame */
};

struct gra_node {
	enum gra_op op;
	uint32_t set;
	uint32_t next, other;
	uint32_t rule;
	uint32_t min, max;
	uint64_t least;			/* bytes from here to the END of its rule or body */
};

struct gra_set {
	uint64_t bits[4];
};

struct gra_rule {
	char *name;
	uint32_t line;			/* of its definition; 0: none yet */
	struct gra_tree *tree;
	uint32_t start;			/* node */
};

struct gra_block;			/* memory of trees */

struct gra {
	struct gra_node *nodes;
	uint32_t node_count, node_cap;
	struct gra_set *sets;
	uint32_t set_count, set_cap;
	struct gra_rule *rules;
	uint32_t rule_count, rule_cap;
	uint32_t *names;		/* hash table of rules, by name */
	uint32_t name_slots;		/* a power of two */
	uint32_t root;
	struct gra_block *blocks;	/* until compiled */
	struct gra_error *error;
};

int gra_fail(struct gra *g, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* One line, whatever a text that it quotes contains. */
void gra_error_tidy(struct gra_error *error);

/* gra_tree.c: zeroed memory that goes with the trees; NULL with g->error */
void *gra_alloc(struct gra *g, size_t bytes);
struct gra_tree *gra_tree_new(struct gra *g, enum gra_kind kind);
void gra_tree_add(struct gra_tree *parent, struct gra_tree *child);
void gra_trees_free(struct gra *g);
/* The rule of that name, made when new; GRA_NONE with g->error. */
uint32_t gra_rule_get(struct gra *g, const char *name, size_t bytes);

/* gra_parse.c: text to trees, one a rule */
int gra_parse(struct gra *g, const char *text, size_t bytes);

/* gra_build.c: trees to nodes */
int gra_build(struct gra *g);

/* gra_utf8.c: what a class of code points is in bytes */
#define GRA_UTF8_BYTES	4u
struct gra_utf8 {
	uint32_t count;			/* bytes */
	uint8_t first[GRA_UTF8_BYTES], last[GRA_UTF8_BYTES];
};
/*
 * The next piece of [@first, @last] whose encodings are all combinations of byte ranges; returns the
 * first code point behind it.
 */
uint32_t gra_utf8_piece(uint32_t first, uint32_t last, struct gra_utf8 *piece);
uint32_t gra_utf8_put(uint32_t code, uint8_t bytes[GRA_UTF8_BYTES]);	/* bytes written */
/* The code point at @at; its bytes, or 0: not well-formed. */
uint32_t gra_utf8_get(const char *at, const char *end, uint32_t *code);

/* gra_check.c: fewest bytes of all nodes; left recursion and rules without end refused */
int gra_check(struct gra *g);

#endif
