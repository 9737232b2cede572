/* SPDX-License-Identifier: MIT */
/* tok_test: encoding and decoding by hand-made tokenizers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "t_tok.h"

#define LETTERS         "'s|'t|'re| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static void expect(struct t_tok *m, const char *text, uint32_t flags, int64_t count,
		   const uint32_t *ids)
{
	uint32_t got[64] = {0};

	t_eq(eng_tok_encode(m->tok, text, strlen(text), flags, got, 64), count);
	t_mem_eq(got, ids, (size_t)count * sizeof(*ids));
}
#define EXPECT(m, text, flags, ...) \
	expect(m, text, flags, sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__})

static void merges_by_rank(void)
{
	struct t_tok *m = t_tok_bytes();
	uint32_t bc = t_tok_add(m, "bc", 0), ab = t_tok_add(m, "ab", 0), abc = t_tok_add(m, "abc", 0),
		 aa = t_tok_add(m, "aa", 0);

	t_tok_merge(m, 'b', 'c', bc);
	t_tok_merge(m, 'a', 'b', ab);
	t_tok_merge(m, ab, 'c', abc);
	t_tok_merge(m, 'a', 'a', aa);
	t_need(t_tok_open(m));
	EXPECT(m, "abc", 0, 'a', bc);
	EXPECT(m, "ab", 0, ab);
	EXPECT(m, "aaa", 0, aa, 'a');
	EXPECT(m, "aaab", 0, aa, ab);
	t_eq(eng_tok_encode(m->tok, "", 0, 0, NULL, 0), 0);
	t_eq(eng_tok_encode(m->tok, "xyzab", 5, 0, NULL, 0), 4);
	t_tok_free(m);
	m = t_tok_bytes();
	abc = t_tok_add(m, "abc", 0);
	m->src.ignore_merges = true;
	t_need(t_tok_open(m));
	EXPECT(m, "abc", 0, abc);
	EXPECT(m, "abcd", 0, 'a', 'b', 'c', 'd');
	t_tok_free(m);
}

/* Merges of one rank: the leftmost pair first, as sentences made by score want it. */
static void equal_ranks(void)
{
	struct t_tok *m = t_tok_bytes();
	uint32_t ab = t_tok_add(m, "ab", 0), bc = t_tok_add(m, "bc", 0);
	const uint32_t ranks[] = {7, 7};

	t_tok_merge(m, 'b', 'c', bc);
	t_tok_merge(m, 'a', 'b', ab);
	m->src.merge_rank = ranks;
	t_need(t_tok_open(m));
	EXPECT(m, "abc", 0, ab, 'c');
	t_tok_free(m);
}

static void added_tokens(void)
{
	struct t_tok *m = t_tok_bytes();
	uint32_t bos = t_tok_add(m, "<s>", ENG_TOKEN_ADDED | ENG_TOKEN_SPECIAL | ENG_TOKEN_OUTSIDE);
	uint32_t longer = t_tok_add(m, "<s>>", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE);
	uint32_t both =
		t_tok_add(m, "<b>",
		    ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE | ENG_TOKEN_LSTRIP | ENG_TOKEN_RSTRIP);
	uint32_t word = t_tok_add(m, "cat", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE | ENG_TOKEN_SINGLE_WORD);

	m->src.prefix_count = 1;
	m->src.prefix[0] = bos;
	m->src.suffix_count = 1;
	m->src.suffix[0] = longer;
	t_tok_split(m, LETTERS);
	t_need(t_tok_open(m));
	EXPECT(m, "a<s>b", 0, 'a', bos, 'b');
	EXPECT(m, "<s>><s", 0, longer, '<', 's');
	EXPECT(m, "a \n<b>\xc2\xa0 b", 0, 'a', both, 'b');
	EXPECT(m, "cat", 0, word);
	EXPECT(m, "-cat-cats", 0, '-', word, '-', 'c', 'a', 't', 's');
	EXPECT(m, "a", ENG_ENCODE_AFFIXES, bos, 'a', longer);
	EXPECT(m, "", ENG_ENCODE_AFFIXES, bos, longer);
	t_ok(eng_tok_is_special(m->tok, bos) && !eng_tok_is_special(m->tok, longer));
	t_ok(!eng_tok_is_special(m->tok, 100000));
	t_tok_free(m);
}

static void unknown_bytes(void)
{
	struct t_tok *m = t_tok_new(ENG_TOK_BYTE_BPE);

	t_tok_add(m, "<unk>", 0);
	t_tok_add(m, "a", 0);
	t_need(t_tok_open(m));
	EXPECT(m, "abba", 0, 1, 1);
	t_tok_free(m);
	m = t_tok_new(ENG_TOK_BYTE_BPE);
	t_tok_add(m, "<unk>", 0);
	t_tok_add(m, "a", 0);
	m->src.unk_id = 0;
	t_need(t_tok_open(m));
	EXPECT(m, "abba", 0, 1, 0, 0, 1);
	t_tok_free(m);
}

static void ill_formed_text(void)
{
	struct t_tok *m = t_tok_bytes();

	t_need(t_tok_open(m));
	EXPECT(m, "a\xff", 0, 'a', 0xef, 0xbf, 0xbd);
	EXPECT(m, "\xf0\x9f\x98", 0, 0xef, 0xbf, 0xbd);
	EXPECT(m, "\xc0\xaf", 0, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd);
	EXPECT(m, "\xed\xa0\x80", 0, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd);
	t_tok_free(m);
}

/* Pushes @count ids; @out gets what came out after each, with bars between, then the end. */
static void stream(struct t_tok *m, const uint32_t *ids, size_t count, char *out)
{
	struct eng_tok_stream s;
	char text[ENG_TOK_TEXT_MAX];
	int64_t bytes;

	eng_tok_stream_init(&s, true);
	*out = 0;
	for (size_t i = 0; i <= count; i++) {
		bytes = i < count ? eng_tok_stream_push(m->tok, &s, ids[i], text, sizeof(text))
				  : eng_tok_stream_finish(&s, text, sizeof(text));
		t_ok(bytes >= 0);
		strncat(out, text, (size_t)(bytes > 0 ? bytes : 0));
		strcat(out, i < count ? "|" : "");
	}
}

static void streams_of_bytes(void)
{
	struct t_tok *m = t_tok_bytes();
	uint32_t special = t_tok_add(m, "<s>", ENG_TOKEN_ADDED | ENG_TOKEN_SPECIAL | ENG_TOKEN_OUTSIDE);
	uint32_t two = t_tok_add(m, "\x98\x80!", 0);
	struct eng_tok_stream s;
	char out[1024];

	t_need(t_tok_open(m));
	stream(m, (uint32_t[]){0xf0, 0x9f, two, 'a'}, 4, out);
	t_str_eq(out, "||\xf0\x9f\x98\x80!|a|");
	stream(m, (uint32_t[]){0xf0, special, 0x9f, 'a', 0x80}, 5, out);
	t_str_eq(out, "|||\xef\xbf\xbd" "a|\xef\xbf\xbd|");
	stream(m, (uint32_t[]){0xe4, 0xb8}, 2, out);
	t_str_eq(out, "||\xef\xbf\xbd");
	stream(m, (uint32_t[]){'a', 99999, 'b'}, 3, out);
	t_str_eq(out, "a||b|");
	eng_tok_stream_init(&s, false);
	t_eq(eng_tok_stream_push(m->tok, &s, 'a', out, 10), -ENOSPC);
	t_eq(eng_tok_stream_push(m->tok, &s, special, out, sizeof(out)), 3);
	t_eq(eng_tok_stream_finish(&s, out, 1), -ENOSPC);
	t_tok_free(m);
}

/* Characters with byte fallback: a run of byte tokens is text as a whole or not at all. */
static void streams_of_runs(void)
{
	static char names[256][8];
	struct t_tok *m = t_tok_new(ENG_TOK_SPM_BPE);
	uint32_t many[80], a;
	char out[2048];

	for (int i = 0; i < 256; i++) {
		snprintf(names[i], sizeof(names[i]), "<0x%02X>", i);
		t_tok_add(m, names[i], ENG_TOKEN_BYTE);
	}
	a = t_tok_add(m, " a", 0);
	m->src.byte_fallback = m->src.byte_runs = true;
	m->src.strip_spaces = 1;
	t_need(t_tok_open(m));
	EXPECT(m, "\xc3\xa9", 0, 0xc3, 0xa9);
	stream(m, (uint32_t[]){a, 0xc3, 0xa9, a}, 4, out);
	t_str_eq(out, "a|||\xc3\xa9 a|");
	stream(m, (uint32_t[]){0xc3, 0xa9, 0xff, a}, 4, out);
	t_str_eq(out, "|||\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd a|");
	stream(m, (uint32_t[]){' ', 'x'}, 2, out);
	t_str_eq(out, "||x");
	for (int i = 0; i < 80; i++)
		many[i] = i % 2 ? 0xa9 : 0xc3;
	stream(m, many, 80, out);
	t_eq(strlen(out), 160);
	t_ok(!strstr(out, "\xef\xbf\xbd"));
	t_tok_free(m);
}

int main(void)
{
	T_RUN(merges_by_rank);
	T_RUN(equal_ranks);
	T_RUN(added_tokens);
	T_RUN(unknown_bytes);
	T_RUN(ill_formed_text);
	T_RUN(streams_of_bytes);
	T_RUN(streams_of_runs);
	return t_done();
}
