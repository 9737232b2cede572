/* SPDX-License-Identifier: MIT */
/* tok_table_test: what is refused, damaged or too long; tables and patterns at their limits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t.h"
#include "t_tok.h"

#define LETTERS         "'s|'t|'re| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static char message[256];

static void refused(struct t_tok *m, const char *wanted)
{
	t_eq(eng_tok_compile(&m->src, &m->blob, &m->blob_bytes, message, sizeof(message)), -EINVAL);
	t_ok(!m->blob);
	if (!t_ok(strstr(message, wanted) != NULL))
		fprintf(stderr, "  message: %s\n  wanted: %s\n", message, wanted);
	t_tok_free(m);
}

static void refusals(void)
{
	static char lots[2000];
	struct t_tok *m = t_tok_new(ENG_TOK_BYTE_BPE);

	refused(m, "0 tokens");
	m = t_tok_bytes();
	m->src.kind = 9;
	refused(m, "unknown kind 9");
	m = t_tok_bytes();
	memset(lots, 'x', sizeof(lots) - 1);
	t_tok_add(m, lots, 0);
	refused(m, "token 256 has 1999 bytes");
	m = t_tok_bytes();
	t_tok_merge(m, 'a', 'b', 'c');
	refused(m, "merge 0: token 99 is not tokens 97 and 98 joined");
	m = t_tok_bytes();
	t_tok_merge(m, 'a', 256, 'c');
	refused(m, "merge 0: token id out of range");
	m = t_tok_bytes();
	t_tok_split(m, "[a");
	refused(m, "pre-tokenizer step 0: bad pattern: missing terminating ]");
	m = t_tok_bytes();
	t_tok_split(m, "a");
	m->steps[0].op = ENG_OP_NFC;
	refused(m, "pre-tokenizer step 0: operation 7");
	m = t_tok_bytes();
	m->src.prefix_count = 1;
	m->src.prefix[0] = 256;
	refused(m, "token 256 to be put around");
	m = t_tok_new(ENG_TOK_SPM_BPE);
	t_tok_add(m, "\xff", 0);
	refused(m, "token 0 is not UTF-8");
	m = t_tok_bytes();
	t_tok_add(m, "<x>", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE);
	t_tok_add(m, "<x>", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE);
	refused(m, "added tokens 256 and 257 have one text");
}

static struct t_tok *made_rich(void)
{
	struct t_tok *m = t_tok_bytes();
	uint32_t th = t_tok_add(m, "th", 0), the = t_tok_add(m, "the", 0);

	t_tok_merge(m, 't', 'h', th);
	t_tok_merge(m, th, 'e', the);
	t_tok_add(m, "<s>", ENG_TOKEN_ADDED | ENG_TOKEN_SPECIAL | ENG_TOKEN_OUTSIDE);
	t_tok_add(m, "cat", ENG_TOKEN_ADDED | ENG_TOKEN_OUTSIDE | ENG_TOKEN_SINGLE_WORD);
	t_tok_split(m, LETTERS);
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
	struct t_tok *m = made_rich();
	uint64_t state = 5;
	struct eng_tok *tok;
	uint8_t *copy;

	t_need(t_tok_open(m));
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
	t_tok_free(m);
}

/* A table may lie on pages that cannot be written. */
static void read_only_table(void)
{
	struct t_tok *m = made_rich();
	size_t room;
	void *map;

	t_need(t_tok_open(m));
	room = (m->blob_bytes + 4095) & ~(size_t)4095;
	map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t_need(map != MAP_FAILED);
	memcpy(map, m->blob, m->blob_bytes);
	mprotect(map, room, PROT_READ);
	use(map, m->blob_bytes);
	munmap(map, room);
	t_tok_free(m);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double time_of(struct t_tok *m, const char *unit, size_t bytes)
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
	struct t_tok *m = made_rich();
	const struct eng_tok_step nfc = {.op = ENG_OP_NFC};
	uint32_t aa = t_tok_add(m, "  ", 0);

	t_tok_merge(m, ' ', ' ', aa);
	m->src.normals = &nfc;
	m->src.normal_count = 1;
	t_need(t_tok_open(m));
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		t_ok(time_of(m, units[i], 1 << 20) < 20);
	t_tok_free(m);
}

static void pattern_limit(void)
{
	struct t_tok *m = t_tok_bytes();
	char text[64];

	t_tok_split(m, "(?:a+)+$");
	t_need(t_tok_open(m));
	memset(text, 'a', sizeof(text));
	text[63] = 'b';
	t_eq(eng_tok_encode(m->tok, text, sizeof(text), 0, NULL, 0), -EINVAL);
	t_eq(eng_tok_encode(m->tok, "aaa", 3, 0, NULL, 0), 3);
	t_tok_free(m);
}

/* Each start within its limit of steps, and half a million starts: the time of all of them ends it. */
static void work_limit(void)
{
	static const char *const patterns[] = { "a+[a-c]*[xy]", "(?:a|aa)+[xy]", "(a*)*[xy]", "a*a*a*[xy]" };
	const size_t bytes = 512 << 10;
	char *text = malloc(bytes);

	t_need(text != NULL);
	memset(text, 'a', bytes);
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		struct t_tok *m = t_tok_bytes();
		double start;

		t_tok_split(m, patterns[i]);
		t_need(t_tok_open(m));
		start = seconds();
		t_eq(eng_tok_encode(m->tok, text, bytes, 0, NULL, 0), -EINVAL);
		printf("# %s: given up after %.2f s\n", patterns[i], seconds() - start);
		t_ok(seconds() - start < 20);
		t_tok_free(m);
	}
	free(text);
}

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		65
#define PR_MDWE_REFUSE_EXEC_GAIN	1
#endif

static int child_without_jit(struct t_tok *m)
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
	struct t_tok *m = made_rich();
	int status;
	pid_t pid;

	t_need(t_tok_open(m));
	pid = fork();
	if (!pid)
		_exit(child_without_jit(m));
	t_need(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		t_skip("the kernel cannot refuse executable memory here");
	else
		t_eq(WEXITSTATUS(status), 0);
	t_tok_free(m);
}

int main(void)
{
	T_RUN(refusals);
	T_RUN(damaged_tables);
	T_RUN(read_only_table);
	T_RUN(long_texts);
	T_RUN(pattern_limit);
	T_RUN(work_limit);
	T_RUN(no_executable_memory);
	return t_done();
}
