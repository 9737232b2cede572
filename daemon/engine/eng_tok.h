/* SPDX-License-Identifier: MIT */
/*
 * eng_tok.h: tokenizer. Compiled once at import into a position-independent table (blob) inside the
 * image; opened at attach without parsing (only the pre-tokenizer patterns are compiled, by PCRE2).
 * Byte-level BPE after Sennrich et al. (2016) and GPT-2 (Radford et al. 2019); merges by rank.
 */
#ifndef ENG_TOK_H
#define ENG_TOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENG_TOK_NONE		UINT32_MAX
#define ENG_TOK_PATTERN_MAX	8u
#define ENG_TOK_AFFIX_MAX	8u

enum eng_tok_kind {
	ENG_TOK_BYTE_BPE = 1,	/* byte-level BPE (GPT-2 alphabet undone at import) */
	ENG_TOK_SPM_BPE = 2,	/* SentencePiece-style BPE with byte fallback; optional */
};

/* What one step of the pre-tokenizer does with a match of its pattern. */
enum eng_tok_split {
	ENG_SPLIT_ISOLATED = 1,	/* matches and the text between them are pieces */
	ENG_SPLIT_REMOVED = 2,
	ENG_SPLIT_MERGED_PREVIOUS = 3,
	ENG_SPLIT_MERGED_NEXT = 4,
	ENG_SPLIT_CONTIGUOUS = 5,
};

enum eng_tok_token_flag {
	ENG_TOKEN_SPECIAL = 1u << 0,	/* added token, skipped in decoded replies */
	ENG_TOKEN_ADDED = 1u << 1,	/* matched whole in the text before BPE */
	ENG_TOKEN_LSTRIP = 1u << 2,
	ENG_TOKEN_RSTRIP = 1u << 3,
	ENG_TOKEN_SINGLE_WORD = 1u << 4,
	ENG_TOKEN_BYTE = 1u << 5,	/* <0xNN> of byte fallback */
	ENG_TOKEN_UNUSED = 1u << 6,
};

/* Everything a compiled tokenizer is made from. Borrowed memory; strings are raw bytes. */
struct eng_tok_string {
	const char *data;
	uint32_t bytes;
};

struct eng_tok_step {
	struct eng_tok_string pattern;	/* PCRE2, UTF and UCP on */
	uint32_t split;			/* enum eng_tok_split */
	bool invert;			/* pieces and gaps change places */
};

struct eng_tok_source {
	uint32_t kind;
	uint32_t token_count;
	const struct eng_tok_string *tokens;	/* [token_count]; text as the file has it */
	const uint32_t *token_flags;		/* [token_count] enum eng_tok_token_flag */
	uint32_t merge_count;
	const uint32_t (*merges)[2];		/* token ids left, right; rank = index */
	const uint32_t *merge_result;		/* token id of left+right */
	uint32_t step_count;
	const struct eng_tok_step *steps;	/* pre-tokenizer, in order */
	uint32_t prefix_count, suffix_count;	/* ids put around a text (BOS, EOS) */
	uint32_t prefix[ENG_TOK_AFFIX_MAX], suffix[ENG_TOK_AFFIX_MAX];
	uint32_t unk_id;			/* ENG_TOK_NONE: none */
	bool add_prefix_space;
	bool ignore_merges;			/* a piece that is a token is that token */
	bool nfc;				/* reserved; must be false for now */
	bool clean_byte_alphabet;		/* tokens are in GPT-2's printable byte alphabet */
};

/*
 * Compile. Allocates *@blob (caller frees with free()). Returns 0; -ENOMEM; -EINVAL with @error (a
 * buffer of @error_bytes) naming what is wrong: token, merge, pattern, and the limit.
 */
int eng_tok_compile(const struct eng_tok_source *src, void **blob, size_t *blob_bytes,
		    char *error, size_t error_bytes);

struct eng_tok;

/*
 * Open a compiled table in place (@blob stays mapped and unchanged while open; not copied). Every
 * offset and id in it is checked. Returns 0; -EINVAL when the table is damaged; -ENOMEM.
 */
int eng_tok_open(const void *blob, size_t blob_bytes, struct eng_tok **tok);
void eng_tok_close(struct eng_tok **tok);
uint32_t eng_tok_count(const struct eng_tok *tok);

enum eng_tok_flag {
	ENG_ENCODE_AFFIXES = 1u << 0,	/* put prefix and suffix ids around the text */
};

/*
 * Encode UTF-8 @text (ill-formed parts count as U+FFFD). Special tokens in the text are recognised.
 * Writes at most @cap ids, returns the number that the text needs (may exceed @cap), or -ENOMEM,
 * -EINVAL (a pattern hit its match limit), -E2BIG (over 2^31 bytes). Not thread-safe per handle.
 */
int64_t eng_tok_encode(struct eng_tok *tok, const char *text, size_t bytes, uint32_t flags,
		       uint32_t *ids, size_t cap);

/* Raw bytes of a token (not NUL-terminated), NULL when out of range. */
const char *eng_tok_bytes(const struct eng_tok *tok, uint32_t id, uint32_t *bytes);
bool eng_tok_is_special(const struct eng_tok *tok, uint32_t id);

/*
 * Streaming decode: bytes of an incomplete UTF-8 sequence are held back until it is whole; a sequence
 * that can never become whole comes out as U+FFFD. Concatenated output equals decoding at once.
 */
struct eng_tok_stream {
	uint8_t held[4];
	uint32_t held_bytes;
	bool skip_special;	/* set by the caller: special tokens give no text */
	bool started;
};

void eng_tok_stream_init(struct eng_tok_stream *stream, bool skip_special);
/* Feed one token; writes whole UTF-8 to @out (at least token bytes + 16 must fit, else -ENOSPC). */
int64_t eng_tok_stream_push(const struct eng_tok *tok, struct eng_tok_stream *stream, uint32_t id,
			    char *out, size_t cap);
/* The end: what is held comes out as U+FFFD. At most 12 bytes. */
int64_t eng_tok_stream_finish(struct eng_tok_stream *stream, char *out, size_t cap);

#endif
