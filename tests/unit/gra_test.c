/* SPDX-License-Identifier: MIT */
/*
 * gra_test.c: grammars and states. Random expressions are judged by PCRE2 as well: what it matches, what
 * may still become a match, and what cannot.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_regex.h"
#include "t.h"

static struct gra *g;
static struct gra_state *s;
static struct gra_error error;

static int compile(const char *text)
{
	int err;

	gra_state_free(&s);
	gra_free(&g);
	err = gra_compile(&g, text, strlen(text), &error);
	if (!err)
		err = gra_state_new(&s, g);
	if (err)
		printf("# %s\n", error.text);
	return err;
}

static bool push(const char *text)
{
	return gra_push(s, text, strlen(text)) == 0;
}

static void words(void)
{
	t_need(compile("root ::= \"yes\" | \"no\" | \"nothing\"\n") == 0);
	t_eq(gra_least_bytes(g), 2);
	t_ok(!push("x"));
	t_ok(gra_allows(s, "n", 1, 1));
	t_ok(!gra_allows(s, "n", 1, 0));	/* no room for the rest */
	t_ok(push("no"));
	t_ok(gra_may_end(s) && !gra_is_over(s));
	t_ok(gra_allows(s, "thing", 5, 0) && !gra_allows(s, "thing", 4, 0) && !gra_allows(s, "things", 6, 9));
	t_ok(push("thi"));
	t_eq(gra_missing_bytes(s), 2);
	t_ok(push("ng") && gra_is_over(s));
}

static void notation(void)
{
	t_need(compile("# a remark\nroot ::= item{2,3} # another\n"
		       "item ::= (\"a\" |\n  \"b\"+)? [^a-c\\n] . tail\ntail ::= \"\\x41\\u00e9\\\"\\\\\"*\n") == 0);
	t_ok(push("ax\xe2\x82\xac") && !gra_may_end(s));
	t_ok(push("A\xc3\xa9\"\\"));
	t_ok(push("bbb-?") && gra_may_end(s));
	t_ok(push("d\xf0\x9f\x98\x80") && gra_may_end(s));
	t_ok(!push("e\n"));		/* a fourth */
	t_ok(push("A") && !gra_may_end(s) && push("\xc3\xa9\"\\") && gra_may_end(s));
}

static void nesting(void)
{
	t_need(compile("root ::= value\nvalue ::= \"(\" list \")\" | [0-9]+\nlist ::= value (\",\" list)?\n") == 0);
	for (int i = 0; i < 3000; i++)
		t_need(push("("));
	t_eq(gra_missing_bytes(s), 3001);
	t_ok(push("1,2"));
	for (int i = 0; i < 3000; i++)
		t_need(push(")"));
	t_ok(gra_is_over(s) && !push(")"));
}

/* A list that calls itself at its end needs no stack for it. */
static void long_lists(void)
{
	t_need(compile("root ::= \"a\" root | \"b\"\n") == 0);
	for (int i = 0; i < 200000; i++)
		t_need(push("a"));
	t_ok(push("b") && gra_is_over(s));
	t_need(compile("root ::= (\"ab\"){0,100000}\n") == 0);
	for (int i = 0; i < 100000; i++)
		t_need(push("ab"));
	t_ok(gra_is_over(s) && !push("a"));
}

#define REFUSED(grammar, why) do {							\
	t_ok(gra_compile(&g, grammar, strlen(grammar), &error) < 0);			\
	if (!t_ok(strstr(error.text, why) != NULL))					\
		printf("# %s\n", error.text);						\
} while (0)

static void refusals(void)
{
	gra_state_free(&s);
	gra_free(&g);
	REFUSED("", "rule \"root\" is not defined");
	REFUSED("root ::= a", "rule \"a\" is not defined");
	REFUSED("root = a", "line 1: a rule begins with NAME ::=");
	REFUSED("root ::= \"a\"\nroot ::= \"b\"\n", "line 2: rule \"root\" is in line 1 already");
	REFUSED("root ::= \"a", "a literal does not end");
	REFUSED("root ::= \"a\nb\"", "a literal does not end");
	REFUSED("root ::= [a", "a class does not end");
	REFUSED("root ::= [z-a]", "must rise");
	REFUSED("root ::= (\"a\"", "a bracket is not closed");
	REFUSED("root ::= \"a\")", "followed by something else");
	REFUSED("root ::= \"\\q\"", "wrong escape");
	REFUSED("root ::= \"\xff\"", "no UTF-8");
	REFUSED("root ::= \"\xc0\x80\"", "no UTF-8");
	REFUSED("root ::= \"a\"{3,2}", "n <= m");
	REFUSED("root ::= \"a\"{100001}", "n <= m");
	REFUSED("root ::= root \"a\" | \"b\"", "begins with itself");
	REFUSED("root ::= a\na ::= b? a \"x\" | \"y\"\nb ::= \"c\"?", "begins with itself");
	REFUSED("root ::= \"a\" root", "never ends");
	REFUSED("root ::= \"a\" [\\uD800-\\uDFFF]", "surrogates alone");
	REFUSED("root ::= (\"a\"?){5000}", "may be empty");
	t_need(compile("root ::= (\"a\"? \"b\"?)* \"c\"\n") == 0);
	t_ok(push("abbaac") && gra_is_over(s));
}

static void deep_brackets(void)
{
	char text[4096] = "root ::= ";

	gra_state_free(&s);
	gra_free(&g);
	memset(text + 9, '(', 1000);
	t_ok(gra_compile(&g, text, 1009, &error) < 0);
	t_ok(strstr(error.text, "nested too deeply") != NULL);
	gra_free(&g);
}

/* ---- random expressions ---------------------------------------------------------------------------- */

static uint64_t seed = 7;

static uint32_t pick(uint32_t n)
{
	return (uint32_t)(t_random(&seed) % n);
}

static void expression(char *to, size_t cap, uint32_t depth)
{
	static const char *const atoms[] = {
		"a", "b", "c", "[ab]", "[^ab]", ".", "\\d", "[b-d]", "\xc3\xa9", "[\xc3\xa0-\xe2\x82\xac]", "\\w", "x",
	};
	static const char *const repeats[] = { "", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?" };
	uint32_t parts = 1 + pick(3);

	for (uint32_t i = 0; i < parts && strlen(to) + 64 < cap; i++) {
		if (depth && pick(3) == 0) {
			strcat(to, pick(2) ? "(" : "(?:");
			expression(to, cap - 8, depth - 1);
			if (pick(2)) {
				strcat(to, "|");
				expression(to, cap - 8, depth - 1);
			}
			strcat(to, ")");
		} else {
			strcat(to, atoms[pick(sizeof(atoms) / sizeof(atoms[0]))]);
		}
		strcat(to, repeats[pick(sizeof(repeats) / sizeof(repeats[0]))]);
	}
}

static void random_text(char *to, uint32_t *bytes)
{
	static const char *const letters[] = { "a", "b", "c", "d", "x", "0", "\xc3\xa9", "\xe2\x82\xac", " ", "\n" };
	uint32_t n = pick(9);

	*to = 0;
	while (n--)
		strcat(to, letters[pick(sizeof(letters) / sizeof(letters[0]))]);
	*bytes = (uint32_t)strlen(to);
}

/* 2: it matches, 1: it may with more behind it, 0: never. */
static int by_pcre(pcre2_code *code, pcre2_match_data *data, const char *text, uint32_t bytes)
{
	int rc = pcre2_match(code, (PCRE2_SPTR)text, bytes, 0, PCRE2_ANCHORED | PCRE2_ENDANCHORED, data, NULL);

	if (rc >= 0)
		return 2;
	rc = pcre2_match(code, (PCRE2_SPTR)text, bytes, 0, PCRE2_ANCHORED | PCRE2_PARTIAL_HARD, data, NULL);
	return rc == PCRE2_ERROR_PARTIAL;
}

static bool agrees(const char *pattern, pcre2_code *code, pcre2_match_data *data)
{
	for (uint32_t i = 0; i < 40; i++) {
		char text[64];
		uint32_t bytes;
		struct gra_state *one;
		int theirs, mine;

		random_text(text, &bytes);
		if (!t_ok(gra_state_new(&one, g) == 0))
			return false;
		theirs = by_pcre(code, data, text, bytes);
		mine = gra_push(one, text, bytes) ? 0 : gra_may_end(one) ? 2 : 1;
		gra_state_free(&one);
		/* PCRE2 tells of a partial match only where it stopped for want of text */
		if (theirs == 2 ? mine != 2 : theirs == 1 ? mine != 1 : mine == 2) {
			printf("# /%s/ and \"%s\": %d, PCRE2 says %d\n", pattern, text, mine, theirs);
			return false;
		}
	}
	return true;
}

static void against_pcre(void)
{
	uint32_t tried = 0;

	for (uint32_t i = 0; i < 400; i++) {
		struct gra_text t = { 0 };
		char pattern[400] = "";
		PCRE2_SIZE at;
		int wrong;
		pcre2_code *code;
		pcre2_match_data *data;

		expression(pattern, sizeof(pattern), 3);
		code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &wrong, &at, NULL);
		gra_text_put(&t, "root ::= ");
		if (!code || gra_regex(&t, pattern, strlen(pattern), false, false, &error)) {
			pcre2_code_free(code);
			free(t.data);
			continue;
		}
		gra_text_put(&t, "\n");
		data = pcre2_match_data_create_from_pattern(code, NULL);
		if (t_ok(gra_compile(&g, t.data, t.bytes, &error) == 0))
			tried += t_ok(agrees(pattern, code, data));
		else
			printf("# /%s/: %s\n", pattern, error.text);
		gra_free(&g);
		free(t.data);
		pcre2_match_data_free(data);
		pcre2_code_free(code);
	}
	printf("# %u expressions\n", tried);
	t_ok(tried > 300);
}

/* ---- whole vocabularies ---------------------------------------------------------------------------- */

struct words {
	char text[600][8];
	uint32_t bytes[600];
};

static const void *word_bytes(const void *of, uint32_t id, uint32_t *bytes)
{
	const struct words *w = of;

	*bytes = w->bytes[id];
	return w->text[id];
}

/* The mask is what each token alone would say. */
static void masks(void)
{
	static struct words w;
	struct gra_vocab *vocab;
	uint64_t allowed[10];

	t_need(compile("root ::= (\"ab\" [a-d]{2,4} | \"c\" root \"d\" | \"a\\u00e9\")+\n") == 0);
	for (uint32_t i = 0; i < 600; i++) {
		uint32_t n = pick(6);

		w.bytes[i] = n;
		for (uint32_t k = 0; k < n; k++)
			w.text[i][k] = "aabbccdd\xc3\xa9"[pick(10)];
	}
	t_need(gra_vocab_new(&vocab, &w, word_bytes, 600) == 0);
	for (uint32_t turn = 0; turn < 300; turn++) {
		uint64_t room = pick(12);
		int64_t count = gra_mask(s, vocab, room, allowed), one_by_one = 0, chosen = -1;

		for (uint32_t i = 0; i < 600; i++) {
			bool may = gra_allows(s, w.text[i], w.bytes[i], room);

			if (!t_ok(may == (allowed[i / 64] >> (i % 64) & 1)))
				break;
			one_by_one += may;
			if (may && pick((uint32_t)one_by_one) == 0)
				chosen = i;
		}
		t_eq(count, one_by_one);
		if (chosen >= 0)
			t_ok(gra_push(s, w.text[chosen], w.bytes[chosen]) == 0 && gra_missing_bytes(s) <= room);
	}
	gra_vocab_free(&vocab);
}

int main(void)
{
	T_RUN(words);
	T_RUN(notation);
	T_RUN(nesting);
	T_RUN(long_lists);
	T_RUN(refusals);
	T_RUN(deep_brackets);
	T_RUN(against_pcre);
	T_RUN(masks);
	gra_state_free(&s);
	gra_free(&g);
	return t_done();
}
