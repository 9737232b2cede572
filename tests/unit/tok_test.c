/* SPDX-License-Identifier: MIT */
/* tok_test: compiling, opening, encoding and decoding by hand-made tokenizers; damaged tables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "eng_tok.h"
#include "t.h"

#define LETTERS         "'s|'t|'re| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define MAX_TOKENS	300

/* A source and its arrays. */
struct made {
	struct eng_tok_source src;
	struct eng_tok_string tokens[MAX_TOKENS];
	uint32_t flags[MAX_TOKENS];
	uint32_t merges[16][2];
	uint32_t results[16];
	struct eng_tok_step steps[2];
	char bytes[256];
	void *blob;
	size_t blob_bytes;
	struct eng_tok *tok;
};

static char message[256];

static uint32_t add(struct made *m, const char *text, uint32_t flags)
{
	m->tokens[m->src.token_count] = (struct eng_tok_string){text, (uint32_t)strlen(text)};
	m->flags[m->src.token_count] = flags;
	return m->src.token_count++;
}

static void merge(struct made *m, uint32_t left, uint32_t right, uint32_t result)
{
	m->merges[m->src.merge_count][0] = left;
	m->merges[m->src.merge_count][1] = right;
	m->results[m->src.merge_count++] = result;
}

static struct made *made_new(uint32_t kind)
{
	struct made *m = calloc(1, sizeof(*m));

	m->src = (struct eng_tok_source){
		.kind = kind, .tokens = m->tokens, .token_flags = m->flags,
		.merges = (const uint32_t (*)[2])m->merges, .merge_result = m->results,
		.steps = m->steps, .unk_id = ENG_TOK_NONE};
	return m;
}

/* All 256 bytes are the first tokens. */
static struct made *made_bytes(void)
{
	struct made *m = made_new(ENG_TOK_BYTE_BPE);

	for (int i = 0; i < 256; i++) {
		m->bytes[i] = (char)i;
		m->tokens[i] = (struct eng_tok_string){&m->bytes[i], 1};
	}
	m->src.token_count = 256;
	return m;
}

static void split_by(struct made *m, const char *pattern)
{
	m->steps[m->src.step_count++] = (struct eng_tok_step){
		.op = ENG_OP_SPLIT, .split = ENG_SPLIT_ISOLATED,
		.pattern = {pattern, (uint32_t)strlen(pattern)}};
}

static bool made_open(struct made *m)
{
	message[0] = 0;
	if (!t_eq(eng_tok_compile(&m->src, &m->blob, &m->blob_bytes, message, sizeof(message)),
		  0)) {
		fprintf(stderr, "  %s\n", message);
		return false;
	}
	return t_eq(eng_tok_open(m->blob, m->blob_bytes, &m->tok), 0);
}

static void made_free(struct made *m)
{
	eng_tok_close(&m->tok);
	free(m->blob);
	free(m);
}

static void expect(struct made *m, const char *text, uint32_t flags, int64_t count,
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
	struct made *m = made_bytes();
	uint32_t bc = add(m, "bc", 0), ab = add(m, "ab", 0), abc = add(m, "abc", 0),
		 aa = add(m, "aa", 0);

	merge(m, 'b', 'c', bc);
	merge(m, 'a', 'b', ab);
	merge(m, ab, 'c', abc);
	merge(m, 'a', 'a', aa);
	t_need(made_open(m));
	EXPECT(m, "abc", 0, 'a', bc);
	EXPECT(m, "ab", 0, ab);
	EXPECT(m, "aaa", 0, aa, 'a');
	EXPECT(m, "aaab", 0, aa, ab);
	t_eq(eng_tok_encode(m->tok, "", 0, 0, NULL, 0), 0);
	t_eq(eng_tok_encode(m->tok, "xyzab", 5, 0, NULL, 0), 4);
	made_free(m);
	m = made_bytes();
	abc = add(m, "abc", 0);
	m->src.ignore_merges = true;
	t_need(made_open(m));
	EXPECT(m, "abc", 0, abc);
	EXPECT(m, "abcd", 0, 'a', 'b', 'c', 'd');
	made_free(m);
}

/* Merges of one rank: the leftmost pair first, as sentences made by score want it. */
static void equal_ranks(void)
{
	struct made *m = made_bytes();
	uint32_t ab = add(m, "ab", 0), bc = add(m, "bc", 0);
	const uint32_t ranks[] = {7, 7};

	merge(m, 'b', 'c', bc);
	merge(m, 'a', 'b', ab);
	m->src.merge_rank = ranks;
	t_need(made_open(m));
	EXPECT(m, "abc", 0, ab, 'c');
	made_free(m);
}

static void added_tokens(void)
{
	struct made *m = made_bytes();
	uint32_t bos = add(m, "<s>", ENG_TOKEN_ADDED | ENG_TOKEN_SPECIAL | ENG_TOKEN_OUTSIDE);
	uint32_t longer = add(m, "<s>>", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE);
	uint32_t both =
		add(m, "<b>",
		    ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE | ENG_TOKEN_LSTRIP | ENG_TOKEN_RSTRIP);
	uint32_t word = add(m, "cat", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE | ENG_TOKEN_SINGLE_WORD);

	m->src.prefix_count = 1;
	m->src.prefix[0] = bos;
	m->src.suffix_count = 1;
	m->src.suffix[0] = longer;
	split_by(m, LETTERS);
	t_need(made_open(m));
	EXPECT(m, "a<s>b", 0, 'a', bos, 'b');
	EXPECT(m, "<s>><s", 0, longer, '<', 's');
	EXPECT(m, "a \n<b>\xc2\xa0 b", 0, 'a', both, 'b');
	EXPECT(m, "cat", 0, word);
	EXPECT(m, "-cat-cats", 0, '-', word, '-', 'c', 'a', 't', 's');
	EXPECT(m, "a", ENG_ENCODE_AFFIXES, bos, 'a', longer);
	EXPECT(m, "", ENG_ENCODE_AFFIXES, bos, longer);
	t_ok(eng_tok_is_special(m->tok, bos) && !eng_tok_is_special(m->tok, longer));
	t_ok(!eng_tok_is_special(m->tok, 100000));
	made_free(m);
}

static void unknown_bytes(void)
{
	struct made *m = made_new(ENG_TOK_BYTE_BPE);

	add(m, "<unk>", 0);
	add(m, "a", 0);
	t_need(made_open(m));
	EXPECT(m, "abba", 0, 1, 1);
	made_free(m);
	m = made_new(ENG_TOK_BYTE_BPE);
	add(m, "<unk>", 0);
	add(m, "a", 0);
	m->src.unk_id = 0;
	t_need(made_open(m));
	EXPECT(m, "abba", 0, 1, 0, 0, 1);
	made_free(m);
}

static void ill_formed_text(void)
{
	struct made *m = made_bytes();

	t_need(made_open(m));
	EXPECT(m, "a\xff", 0, 'a', 0xef, 0xbf, 0xbd);
	EXPECT(m, "\xf0\x9f\x98", 0, 0xef, 0xbf, 0xbd);
	EXPECT(m, "\xc0\xaf", 0, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd);
	EXPECT(m, "\xed\xa0\x80", 0, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd);
	made_free(m);
}

/* Pushes @count ids; @out gets what came out after each, with bars between, then the end. */
static void stream(struct made *m, const uint32_t *ids, size_t count, char *out)
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
	struct made *m = made_bytes();
	uint32_t special = add(m, "<s>", ENG_TOKEN_ADDED | ENG_TOKEN_SPECIAL | ENG_TOKEN_OUTSIDE);
	uint32_t two = add(m, "\x98\x80!", 0);
	struct eng_tok_stream s;
	char out[1024];

	t_need(made_open(m));
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
	made_free(m);
}

/* Characters with byte fallback: a run of byte tokens is text as a whole or not at all. */
static void streams_of_runs(void)
{
	static char names[256][8];
	struct made *m = made_new(ENG_TOK_SPM_BPE);
	uint32_t many[80], a;
	char out[2048];

	for (int i = 0; i < 256; i++) {
		snprintf(names[i], sizeof(names[i]), "<0x%02X>", i);
		add(m, names[i], ENG_TOKEN_BYTE);
	}
	a = add(m, " a", 0);
	m->src.byte_fallback = m->src.byte_runs = true;
	m->src.strip_spaces = 1;
	t_need(made_open(m));
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
	made_free(m);
}

static void refused(struct made *m, const char *wanted)
{
	t_eq(eng_tok_compile(&m->src, &m->blob, &m->blob_bytes, message, sizeof(message)), -EINVAL);
	t_ok(!m->blob);
	if (!t_ok(strstr(message, wanted) != NULL))
		fprintf(stderr, "  message: %s\n  wanted: %s\n", message, wanted);
	made_free(m);
}

static void refusals(void)
{
	static char lots[2000];
	struct made *m = made_new(ENG_TOK_BYTE_BPE);

	refused(m, "0 tokens");
	m = made_bytes();
	m->src.kind = 9;
	refused(m, "unknown kind 9");
	m = made_bytes();
	memset(lots, 'x', sizeof(lots) - 1);
	add(m, lots, 0);
	refused(m, "token 256 has 1999 bytes");
	m = made_bytes();
	merge(m, 'a', 'b', 'c');
	refused(m, "merge 0: token 99 is not tokens 97 and 98 joined");
	m = made_bytes();
	merge(m, 'a', 256, 'c');
	refused(m, "merge 0: token id out of range");
	m = made_bytes();
	split_by(m, "[a");
	refused(m, "pre-tokenizer step 0: bad pattern: missing terminating ]");
	m = made_bytes();
	split_by(m, "a");
	m->steps[0].op = ENG_OP_NFC;
	refused(m, "pre-tokenizer step 0: operation 7");
	m = made_bytes();
	m->src.prefix_count = 1;
	m->src.prefix[0] = 256;
	refused(m, "token 256 to be put around");
	m = made_new(ENG_TOK_SPM_BPE);
	add(m, "\xff", 0);
	refused(m, "token 0 is not UTF-8");
	m = made_bytes();
	add(m, "<x>", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE);
	add(m, "<x>", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE);
	refused(m, "added tokens 256 and 257 have one text");
}

static struct made *made_rich(void)
{
	struct made *m = made_bytes();
	uint32_t th = add(m, "th", 0), the = add(m, "the", 0);

	merge(m, 't', 'h', th);
	merge(m, th, 'e', the);
	add(m, "<s>", ENG_TOKEN_ADDED | ENG_TOKEN_SPECIAL | ENG_TOKEN_OUTSIDE);
	add(m, "cat", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE | ENG_TOKEN_SINGLE_WORD);
	split_by(m, LETTERS);
	return m;
}

/* Whatever is opened must be usable without a bad access. */
static void use(const void *blob, size_t bytes)
{
	static const char text[] = "the cat <s>3 the\xe4\xb8\xad \n \xff";
	struct eng_tok *tok;
	struct eng_tok_stream s;
	char out[ENG_TOK_TEXT_MAX];
	uint32_t ids[64];

	if (eng_tok_open(blob, bytes, &tok))
		return;
	(void)eng_tok_encode(tok, text, sizeof(text) - 1, ENG_ENCODE_AFFIXES, ids, 64);
	eng_tok_stream_init(&s, false);
	for (uint32_t i = 0; i < eng_tok_count(tok) && i < 300; i++)
		(void)eng_tok_stream_push(tok, &s, i, out, sizeof(out));
	(void)eng_tok_stream_finish(&s, out, sizeof(out));
	eng_tok_close(&tok);
}

static void damaged_tables(void)
{
	struct made *m = made_rich();
	uint64_t state = 5;
	struct eng_tok *tok;
	uint8_t *copy;

	t_need(made_open(m));
	copy = malloc(m->blob_bytes);
	t_need(copy);
	for (size_t n = 0; n < m->blob_bytes; n += 61) {
		uint8_t *cut = malloc(n + 1);

		memcpy(cut, m->blob, n);
		t_eq(eng_tok_open(cut, n, &tok), -EINVAL);
		free(cut);
	}
	for (int i = 0; i < 3000; i++) {
		size_t range = i % 2 ? 1232 : m->blob_bytes;

		memcpy(copy, m->blob, m->blob_bytes);
		for (int k = 0; k < 1 + i % 3; k++)
			copy[t_random(&state) % range] = (uint8_t)t_random(&state);
		use(copy, m->blob_bytes);
	}
	memcpy(copy, m->blob, m->blob_bytes);
	copy[0] ^= 1;
	t_eq(eng_tok_open(copy, m->blob_bytes, &tok), -EINVAL);
	free(copy);
	made_free(m);
}

/* A table may lie on pages that cannot be written. */
static void read_only_table(void)
{
	struct made *m = made_rich();
	size_t room;
	void *map;

	t_need(made_open(m));
	room = (m->blob_bytes + 4095) & ~(size_t)4095;
	map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t_need(map != MAP_FAILED);
	memcpy(map, m->blob, m->blob_bytes);
	mprotect(map, room, PROT_READ);
	use(map, m->blob_bytes);
	munmap(map, room);
	made_free(m);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double time_of(struct made *m, const char *unit, size_t bytes)
{
	char *text = malloc(bytes);
	double start;

	for (size_t i = 0; i < bytes; i++)
		text[i] = unit[i % strlen(unit)];
	start = seconds();
	t_ok(eng_tok_encode(m->tok, text, bytes, 0, NULL, 0) > 0);
	free(text);
	return seconds() - start;
}

/* A quadratic step would take minutes. */
static void long_texts(void)
{
	static const char *const units[] = {" ",    "a",    "th",           "1",
					    "\n",   "  \n", " the",         "'s",
					    "\xff", "<s",   "\xe4\xb8\xad", "\xcc\x95\xcc\x96"};
	struct made *m = made_rich();
	const struct eng_tok_step nfc = {.op = ENG_OP_NFC};
	uint32_t aa = add(m, "  ", 0);

	merge(m, ' ', ' ', aa);
	m->src.normals = &nfc;
	m->src.normal_count = 1;
	t_need(made_open(m));
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		t_ok(time_of(m, units[i], 1 << 20) < 20);
	made_free(m);
}

static void pattern_limit(void)
{
	struct made *m = made_bytes();
	char text[64];

	split_by(m, "(?:a+)+$");
	t_need(made_open(m));
	memset(text, 'a', sizeof(text));
	text[63] = 'b';
	t_eq(eng_tok_encode(m->tok, text, sizeof(text), 0, NULL, 0), -EINVAL);
	t_eq(eng_tok_encode(m->tok, "aaa", 3, 0, NULL, 0), 3);
	made_free(m);
}

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		65
#define PR_MDWE_REFUSE_EXEC_GAIN	1
#endif

static int child_without_jit(struct made *m)
{
	static const char text[] = "the cat sat <s> on 12 mats,\n\n  it's \xe4\xb8\xad.";
	uint32_t with[64], without[64];
	struct eng_tok *tok;
	int64_t count;

	count = eng_tok_encode(m->tok, text, sizeof(text) - 1, 0, with, 64);
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0L, 0L, 0L))
		return 77;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) != MAP_FAILED)
		return 77;
	if (eng_tok_open(m->blob, m->blob_bytes, &tok))
		return 1;
	if (count != eng_tok_encode(tok, text, sizeof(text) - 1, 0, without, 64))
		return 2;
	return memcmp(with, without, (size_t)count * sizeof(*with)) ? 3 : 0;
}

static void no_executable_memory(void)
{
	struct made *m = made_rich();
	int status;
	pid_t pid;

	t_need(made_open(m));
	pid = fork();
	if (!pid)
		_exit(child_without_jit(m));
	t_need(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		t_skip("the kernel cannot refuse executable memory here");
	else
		t_eq(WEXITSTATUS(status), 0);
	made_free(m);
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
	T_RUN(refusals);
	T_RUN(damaged_tables);
	T_RUN(read_only_table);
	T_RUN(long_texts);
	T_RUN(pattern_limit);
	T_RUN(no_executable_memory);
	return t_done();
}
