/* SPDX-License-Identifier: MIT */
/*
 * eng_tok.h: tokenizer. Compiled once at import into a position-independent table (blob) inside the
 * image; opened at attach without parsing (only the pre-tokenizer patterns are compiled, by PCRE2).
 * BPE after Sennrich et al. (2016), over bytes (GPT-2, Radford et al. 2019) or over characters with
 * byte fallback (SentencePiece style); merges by rank. Or unigram tokens with probabilities.
 *
 * A text goes through: added tokens cut out of the text as it is; the normal steps on each part
 * between them; added tokens that are looked for in normal text; the pre-tokenizer steps; BPE or
 * unigram.
 */
#ifndef ENG_TOK_H
#define ENG_TOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENG_TOK_NONE		UINT32_MAX
#define ENG_TOK_PATTERN_MAX	16u	/* steps of each list */
#define ENG_TOK_AFFIX_MAX	8u
#define ENG_TOK_TOKEN_BYTES_MAX	1024u	/* of one token */
#define ENG_TOK_COUNT_MAX	(1u << 21)
#define ENG_TOK_HELD_MAX	64u	/* bytes that a stream holds back */
#define ENG_TOK_FLUSH_MAX	(3u * ENG_TOK_HELD_MAX)
/* Room that is enough for any one push or finish of a stream. */
#define ENG_TOK_TEXT_MAX	(3u * ENG_TOK_TOKEN_BYTES_MAX + ENG_TOK_FLUSH_MAX)

enum eng_tok_kind {
	ENG_TOK_BYTE_BPE = 1,	/* byte-level BPE (GPT-2 alphabet undone at import) */
	ENG_TOK_SPM_BPE = 2,	/* BPE over characters, with byte fallback */
	ENG_TOK_UNIGRAM = 3,	/* best sum of scores, with byte fallback */
};

enum eng_tok_op {
	ENG_OP_SPLIT = 0,	/* steps: cut pieces by pattern, see split and invert */
	ENG_OP_REPLACE = 1,	/* both: each match of pattern becomes content */
	ENG_OP_PREFIX = 2,	/* steps: content before each piece that does not begin with it */
	ENG_OP_PREFIX_FIRST = 3,	/* steps: the same, only at the very start of the text */
	ENG_OP_PREPEND = 4,	/* normals: content before a text that is not empty */
	ENG_OP_STRIP_LEFT = 5,	/* normals: white space at the start goes */
	ENG_OP_STRIP_RIGHT = 6,
	ENG_OP_NFC = 7,		/* normals: Unicode normalization form C */
	ENG_OP_NFD = 8,
	ENG_OP_NFKC = 9,
	ENG_OP_NFKD = 10,
	ENG_OP_LOWERCASE = 11,	/* normals */
	ENG_OP_CHARSMAP = 12,	/* normals: keys become texts, see eng_tok_map */
	ENG_OP_ALPHABET = 13,	/* both: bytes become the letters of GPT-2's printable alphabet */
};

/* How an ENG_OP_CHARSMAP takes its keys; in split. */
enum eng_tok_map {
	ENG_MAP_LONGEST = 1,	/* the longest key at each place, as SentencePiece does */
	/*
	 * As Hugging Face tokenizers do: a grapheme of up to 5 bytes becomes the text of the
	 * shortest key that it begins with, other characters one by one.
	 */
	ENG_MAP_GRAPHEMES = 2,
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
	ENG_TOKEN_UNUSED = 1u << 6,	/* no text, never made */
	ENG_TOKEN_NORMALIZED = 1u << 7,	/* added token looked for after the normal steps */
	ENG_TOKEN_OUTSIDE = 1u << 8,	/* added token that the model itself does not know */
	ENG_TOKEN_WHOLE = 1u << 9,	/* a piece that is this token is not cut up */
};

/* Everything a compiled tokenizer is made from. Borrowed memory; strings are raw bytes. */
struct eng_tok_string {
	const char *data;
	uint32_t bytes;
};

struct eng_tok_map_pair {
	struct eng_tok_string key, text;
};

struct eng_tok_step {
	struct eng_tok_string pattern;	/* PCRE2 in its UTF and UCP modes, ^ and $ at lines */
	uint32_t split;			/* enum eng_tok_split, or eng_tok_map */
	bool invert;			/* pieces and gaps change places */
	uint32_t op;			/* enum eng_tok_op */
	struct eng_tok_string content;
	const struct eng_tok_map_pair *pairs;	/* ENG_OP_CHARSMAP: [pair_count] */
	uint32_t pair_count;
};

struct eng_tok_source {
	uint32_t kind;
	uint32_t token_count;
	const struct eng_tok_string *tokens;	/* [token_count]; text as the file has it */
	const struct eng_tok_string *decoded;	/* [token_count], decoded; NULL: as tokens */
	const uint32_t *token_flags;		/* [token_count] enum eng_tok_token_flag */
	uint32_t merge_count;
	const uint32_t (*merges)[2];		/* token ids left, right */
	const uint32_t *merge_result;		/* token id of left+right */
	const uint32_t *merge_rank;		/* NULL: index. Equal: leftmost first */
	const double *scores;			/* unigram: [token_count] */
	double unk_score;			/* unigram: of a character that is no token */
	uint32_t normal_count;
	const struct eng_tok_step *normals;	/* normalizer, in order */
	uint32_t step_count;
	const struct eng_tok_step *steps;	/* pre-tokenizer, in order */
	uint32_t prefix_count, suffix_count;	/* ids put around a text (BOS, EOS) */
	uint32_t prefix[ENG_TOK_AFFIX_MAX], suffix[ENG_TOK_AFFIX_MAX];
	uint32_t unk_id;			/* ENG_TOK_NONE: none */
	uint32_t strip_spaces;			/* spaces cut off where decoded text begins */
	bool strip_first_token;			/* decoding drops the first token's spaces */
	bool fuse_unk;				/* neighbouring unknowns are one */
	bool byte_fallback;			/* unknown characters become <0xNN> tokens */
	bool byte_runs;				/* neighbouring <0xNN> decode together */
	bool ignore_merges;			/* a piece that is a token is that token */
	bool clean_byte_alphabet;		/* tokens are in GPT-2's printable byte alphabet */
	bool decoded_bytes;			/* decoded texts are bytes of characters */
};

/*
 * Compile. Allocates *@blob (caller frees with free()). Returns 0; -ENOMEM; -EINVAL with @error (a
 * buffer of @error_bytes) naming what is wrong: token, merge, pattern, and the limit.
 */
int eng_tok_compile(const struct eng_tok_source *src, void **blob, size_t *blob_bytes,
		    char *error, size_t error_bytes);

/*
 * Letters of GPT-2's printable alphabet to the bytes that they stand for, into @bytes
 * (ENG_TOK_TOKEN_BYTES_MAX). Their number; 0 when there are others, or too many.
 */
uint32_t eng_tok_letters_undo(struct eng_tok_string text, uint8_t *bytes);

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
 * -EINVAL (a pattern hit its limit of steps or time), -E2BIG (over 2^31 bytes). Not thread-safe per handle.
 */
int64_t eng_tok_encode(struct eng_tok *tok, const char *text, size_t bytes, uint32_t flags,
		       uint32_t *ids, size_t cap);

/* Well-formed text after the normal steps; borrowed from @tok until its next use. As encode fails. */
int eng_tok_normalize(struct eng_tok *tok, struct eng_tok_string text, struct eng_tok_string *normal);

/* Raw bytes of a token (not NUL-terminated), NULL when out of range. */
const char *eng_tok_bytes(const struct eng_tok *tok, uint32_t id, uint32_t *bytes);
bool eng_tok_is_special(const struct eng_tok *tok, uint32_t id);

/*
 * Streaming decode: bytes of an incomplete UTF-8 sequence are held back until it is whole; a
 * sequence that can never become whole comes out as U+FFFD. Concatenated output equals decoding at
 * once. A run of byte fallback tokens is held until it ends (its bytes are text only if all are),
 * or until ENG_TOK_HELD_MAX bytes.
 */
struct eng_tok_stream {
	uint8_t held[ENG_TOK_HELD_MAX];
	uint32_t held_bytes;
	uint32_t strip_left;	/* spaces still to be taken off */
	bool skip_special;	/* set by the caller: special tokens give no text */
	bool started;
	bool run;		/* what is held is a run of byte tokens */
};

void eng_tok_stream_init(struct eng_tok_stream *stream, bool skip_special);
/*
 * Feed one token; writes whole UTF-8 to @out. Returns its bytes; -ENOSPC when @cap is below three
 * times the token's bytes + ENG_TOK_FLUSH_MAX (ENG_TOK_TEXT_MAX always fits). Ids out of range and
 * unused ones give no text.
 */
int64_t eng_tok_stream_push(const struct eng_tok *tok, struct eng_tok_stream *stream, uint32_t id,
			    char *out, size_t cap);
/* The end: what is held comes out. At most ENG_TOK_FLUSH_MAX bytes, else -ENOSPC. */
int64_t eng_tok_stream_finish(struct eng_tok_stream *stream, char *out, size_t cap);

#endif
