/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_priv.h: the compiled tokenizer table and what the eng_tok_*.c files share.
 * Table: header, then sections at 8-byte offsets. Little-endian, no pointers. Both hash tables use
 * linear probing; no key lies further from its home than the stated number of probes.
 */
#ifndef ENG_TOK_PRIV_H
#define ENG_TOK_PRIV_H

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include "eng_tok.h"

#define TOK_MAGIC		0x314b4f54736d686dull
#define TOK_VERSION		1u
#define TOK_PROBE_MAX		64u
#define TOK_PATTERN_BYTES_MAX	(1u << 16)
#define TOK_MERGES_MAX		(1u << 23)
#define TOK_ADDED_MAX		(1u << 18)
#define TOK_STRINGS_MAX		(1u << 29)
#define TOK_CONTENT_BYTES_MAX	64u
#define TOK_STRIP_MAX		64u
#define TOK_NODES_MAX		(1u << 26)
#define TOK_KEY_BYTES_MAX	255u	/* of a charsmap, and of the text that a key becomes */
#define TOK_STEPS_MAX		(2u * ENG_TOK_PATTERN_MAX)

enum tok_header_flag {
	TOK_FUSE_UNK = 1u << 0,
	TOK_BYTE_FALLBACK = 1u << 1,
	TOK_BYTE_RUNS = 1u << 2,
	TOK_IGNORE_MERGES = 1u << 3,
	TOK_STRIP_FIRST = 1u << 4,
	TOK_FLAGS_ALL = (1u << 5) - 1,
};

/* Flags of a token besides those of eng_tok_token_flag. */
#define TOK_ENTRY_WHOLE (1u << 16) /* a piece with this text is this token alone */

struct tok_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes;
	uint64_t total_bytes;
	uint32_t kind;
	uint32_t flags;			/* tok_header_flag */
	uint32_t token_count;
	uint32_t token_slots;		/* power of two */
	uint32_t token_probes;
	uint32_t merge_slots;		/* power of two */
	uint32_t merge_probes;
	uint32_t added_raw;		/* added tokens looked for in the text as it is */
	uint32_t added_normal;		/* ... in normal text */
	uint32_t normal_count;
	uint32_t step_count;
	uint32_t prefix_count;
	uint32_t suffix_count;
	uint32_t unk_id;
	uint32_t strip_spaces;
	uint32_t extra_words;		/* offset / 8 of struct tok_extra; 0: none */
	uint32_t prefix[ENG_TOK_AFFIX_MAX];
	uint32_t suffix[ENG_TOK_AFFIX_MAX];
	uint32_t byte_ids[256];		/* byte BPE: token of a byte; else of its <0xNN> */
	uint64_t tokens_off;		/* struct tok_entry [token_count] */
	uint64_t slots_off;		/* uint32_t [token_slots], id + 1, 0: free */
	uint64_t merges_off;		/* struct tok_merge [merge_slots] */
	uint64_t added_off;		/* struct tok_added [added_raw + added_normal] */
	uint64_t steps_off;		/* struct tok_step [normal_count + step_count] */
	uint64_t strings_off;
	uint64_t strings_bytes;
};

/* What tables with a trie have besides: unigram, charsmaps. */
struct tok_extra {
	uint64_t nodes_off;		/* struct tok_node [node_count] */
	uint64_t scores_off;		/* unigram: double [token_count] */
	double unk_score;
	uint32_t node_count;
	uint32_t token_nodes;		/* unigram: the first are the tokens, by what is matched */
};

struct tok_node {
	uint32_t first;			/* of its children */
	uint32_t value;			/* token; charsmap: place of a length byte and a text */
	uint16_t count;			/* of its children */
	uint8_t byte;			/* that leads here */
	uint8_t reserved0;		/* zero */
};

struct tok_entry {
	uint32_t text_off;		/* what the token decodes to */
	uint32_t text_bytes;
	uint32_t match_off;		/* what BPE matches; no bytes: never by itself */
	uint32_t match_bytes;
	uint32_t flags;
};

struct tok_merge {
	uint32_t left;			/* ENG_TOK_NONE: free slot */
	uint32_t right;
	uint32_t rank;
	uint32_t result;
};

/* Each of the two groups is sorted by content. */
struct tok_added {
	uint32_t text_off;
	uint32_t text_bytes;
	uint32_t id;
	uint32_t flags;
};

struct tok_step {
	uint32_t op;
	uint32_t split;
	uint32_t invert;
	uint32_t pattern_off;		/* charsmap: root of its keys */
	uint32_t pattern_bytes;
	uint32_t content_off;
	uint32_t content_bytes;
};

_Static_assert(sizeof(struct tok_header) == 1232, "table version 1");
_Static_assert(sizeof(struct tok_extra) == 32, "table version 1");
_Static_assert(sizeof(struct tok_node) == 12, "table version 1");
_Static_assert(sizeof(struct tok_entry) == 20, "table version 1");
_Static_assert(sizeof(struct tok_merge) == 16, "table version 1");
_Static_assert(sizeof(struct tok_added) == 16, "table version 1");
_Static_assert(sizeof(struct tok_step) == 28, "table version 1");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tables are little-endian");

struct tok_buf {
	uint8_t *data;
	size_t bytes, cap;
};

struct tok_piece {
	uint32_t off, bytes;
};

struct tok_pieces {
	struct tok_piece *v;
	size_t count, cap;
};

struct tok_symbol {
	uint32_t id;			/* ENG_TOK_NONE: merged into its left neighbour */
	int32_t prev, next;
};

struct tok_heap_entry {
	uint64_t key;			/* rank, then position */
	uint32_t result;
};

/* The best way to a place in a piece. */
struct tok_path {
	double score;
	uint32_t from;			/* where its last token begins */
	uint32_t id;			/* its last token; TOK_PATH_NONE: not reached */
	uint32_t next;			/* on the best path: where the token behind ends */
};
#define TOK_PATH_NONE	ENG_TOK_NONE

struct eng_tok {
	const struct tok_header *head;
	const struct tok_entry *tokens;
	const uint32_t *slots;
	const struct tok_merge *merges;
	const struct tok_added *added;
	const struct tok_step *steps;	/* normals, then steps */
	const struct tok_extra *extra;	/* NULL: none */
	const struct tok_node *nodes;
	const double *scores;
	const char *strings;
	uint8_t first[2][32];		/* first bytes of the added tokens of each group */
	pcre2_code *code[TOK_STEPS_MAX];
	pcre2_code *word;		/* one word character; NULL: no token asks for it */
	pcre2_match_data *match_data;
	pcre2_match_context *match_context;
	pcre2_jit_stack *jit_stack;
	/* Scratch of one call; kept between calls while small. */
	struct tok_buf repaired, normal, work[2];
	struct tok_pieces pieces, spare_pieces;
	struct tok_symbol *symbols;
	size_t symbol_cap;
	struct tok_heap_entry *heap;
	size_t heap_count, heap_cap;
	struct tok_path *path;
	size_t path_cap;
	uint64_t work_end_ns;		/* CPU time at which patterns give up in this call */
	uint64_t looked_ns;		/* when that was last looked at, by the monotonic clock */
	size_t window_bytes;		/* places where a match may begin, till the next look */
	bool track_lead;	/* a step asks whether a piece begins where the text begins */
	size_t lead;		/* bytes of normal text that come from the text's first character */
};

/* Where ids go: counts all, stores what fits. */
struct tok_out {
	uint32_t *ids;
	size_t cap;
	int64_t count;
};

static inline void tok_emit(struct tok_out *out, uint32_t id)
{
	if ((size_t)out->count < out->cap)
		out->ids[out->count] = id;
	out->count++;
}

/* eng_tok_util.c: memory and UTF-8 */
int tok_buf_room(struct tok_buf *buf, size_t more);
int tok_buf_add(struct tok_buf *buf, const void *data, size_t bytes);
int tok_pieces_add(struct tok_pieces *pieces, uint32_t off, uint32_t bytes);
int tok_array_room(void **array, size_t *cap, size_t count, size_t item_bytes);
/*
 * First character of @bytes (at least 1) bytes: its length; 0 when it is cut short by the end;
 * minus the length of a maximal ill-formed part (Unicode 3.9, best practice).
 */
int tok_utf8_next(const uint8_t *text, size_t bytes, uint32_t *code);
uint32_t tok_utf8_put(uint32_t code, uint8_t *out);
/* Length of the character that begins here, in well-formed text. */
static inline uint32_t tok_utf8_step(uint8_t lead)
{
	return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}
/* @text made well-formed: itself, or a copy in @buf. */
int tok_utf8_repair(struct tok_buf *buf, const uint8_t **text, size_t *bytes);
bool tok_is_space(uint32_t code);
/* Bytes of white space at the start or end of well-formed text. */
size_t tok_space_prefix(const uint8_t *text, size_t bytes);
size_t tok_space_suffix(const uint8_t *text, size_t bytes);

/* eng_tok_nfc.c: append @text in the form of @op to @out */
int tok_normal_form(uint32_t op, const uint8_t *text, size_t bytes, struct tok_buf *out);

/* eng_tok_map.c: append @text, changed, to @out */
int tok_lowercase(const uint8_t *text, size_t bytes, struct tok_buf *out);
int tok_alphabet(const uint8_t *text, size_t bytes, struct tok_buf *out);
int tok_charsmap(const struct eng_tok *tok, const struct tok_step *step, const uint8_t *text,
		 size_t bytes, struct tok_buf *out);
bool tok_charsmaps_fit(const struct eng_tok *tok);
bool tok_is_text(const uint8_t *text, size_t bytes);

/* eng_tok_trie.c */
bool tok_trie_fits(const struct eng_tok *tok);
/* ENG_TOK_NONE: no key goes on that way. */
uint32_t tok_trie_step(const struct eng_tok *tok, uint32_t node, uint8_t byte);

/* eng_tok_unigram.c */
int tok_unigram(struct eng_tok *tok, const uint8_t *piece, size_t bytes, struct tok_out *out);

/* eng_tok_regex.c */
pcre2_code *tok_pattern_compile(const char *pattern, size_t bytes, int *code, size_t *at);
int tok_regex_open(struct eng_tok *tok);
void tok_regex_close(struct eng_tok *tok);
/* Before the matches of one text. */
void tok_regex_start(struct eng_tok *tok, size_t bytes);
/* 1 and the match at or after @start; 0: none; -EINVAL: a limit was hit; -ENOMEM. */
int tok_regex_match(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text, size_t bytes,
		    size_t start, size_t *from, size_t *to);

/* eng_tok_step.c. What comes out borrows the input or a buffer of the handle. */
struct tok_span {
	const uint8_t *text;
	size_t bytes;
};
int tok_normalize(struct eng_tok *tok, struct tok_span *span);
/* Pieces go to tok->pieces, relative to span->text. @first: @span begins where the text begins. */
int tok_pretokenize(struct eng_tok *tok, struct tok_span *span, bool first);

/* eng_tok_open.c: may this op stand in the list of normals, or of steps? */
bool tok_op_fits(uint32_t op, bool normal);

/* eng_tok_added.c: the next added token of @group at or after @from */
struct tok_hit {
	size_t from, to;
	const struct tok_added *token;
};
void tok_added_open(struct eng_tok *tok);
bool tok_added_find(struct eng_tok *tok, uint32_t group, const uint8_t *text, size_t bytes,
		    size_t from, struct tok_hit *hit);

/* eng_tok_merge.c */
uint64_t tok_hash_bytes(const void *data, size_t bytes);
uint64_t tok_hash_pair(uint32_t left, uint32_t right);
uint32_t tok_lookup(const struct eng_tok *tok, const void *text, size_t bytes);
int tok_bpe(struct eng_tok *tok, const uint8_t *piece, size_t bytes, struct tok_out *out);
/* BPE without the shortcut for whole tokens: tells what the shortcut may be. */
int tok_bpe_merge(struct eng_tok *tok, const uint8_t *piece, size_t bytes, struct tok_out *out);

#endif
