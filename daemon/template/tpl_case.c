/* SPDX-License-Identifier: MIT */
/* tpl_case.c: upper and lower case, as Python's str has them. */
#include "tpl_priv.h"

#include <utf8proc.h>

#include "tpl_case.h"

#define CASE_COUNT	(sizeof(tpl_cases) / sizeof(tpl_cases[0]))

static bool is_cased(uint32_t c)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);

	return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

/* Passed over when it is asked whether a sigma ends its word. */
static bool is_ignored(uint32_t c)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);

	return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME ||
	       k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_LM ||
	       k == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xb7 ||
	       c == 0x2019;
}

static void put_upper(struct tpl_run *r, uint32_t c, bool title)
{
	size_t low = 0, high = CASE_COUNT;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (tpl_cases[middle].c == c) {
			tpl_puts(r, title ? tpl_cases[middle].title : tpl_cases[middle].upper);
			return;
		}
		if (tpl_cases[middle].c < c)
			low = middle + 1;
		else
			high = middle;
	}
	tpl_put_char(r, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)c) :
				   utf8proc_toupper((utf8proc_int32_t)c)));
}

static bool cased_after(struct tpl_value s, size_t at)
{
	size_t used;

	for (; at < s.bytes; at += used) {
		uint32_t c = tpl_decode(s.text + at, s.bytes - at, &used);

		if (!is_ignored(c))
			return is_cased(c);
	}
	return false;
}

/* @word: whether letters came just before; @at: byte after @c. */
static void put_lower(struct tpl_run *r, uint32_t c, struct tpl_value s, size_t at, bool word)
{
	if (c == 0x130)
		tpl_puts(r, "i\xcc\x87");
	else if (c == 0x3a3 && word && !cased_after(s, at))
		tpl_puts(r, "\xcf\x82");
	else
		tpl_put_char(r, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
}

/* The filter `title` begins a word after these. */
static bool separates(uint32_t c)
{
	return tpl_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c));
}

struct casing {
	bool first, cased;	/* nothing came before; a cased character did */
	bool word;		/* the same, over what is passed over */
};

static void put_cased(struct tpl_run *r, uint32_t c, struct tpl_value s, size_t at,
		      enum tpl_case how, const struct casing *before)
{
	bool upper = utf8proc_toupper((utf8proc_int32_t)c) != (utf8proc_int32_t)c;

	if (how == TPL_UPPER || (how == TPL_SWAP && upper))
		put_upper(r, c, false);
	else if (how == TPL_WORDS && before->first)
		put_upper(r, c, false);
	else if ((how == TPL_CAPITALIZE && before->first) || (how == TPL_TITLE && !before->cased))
		put_upper(r, c, true);
	else
		put_lower(r, c, s, at, before->word);
}

struct tpl_value tpl_recase(struct tpl_run *r, struct tpl_value s, enum tpl_case how)
{
	struct tpl_buffer buffer, *outer = tpl_capture(r, &buffer);
	struct casing before = { .first = true };
	struct tpl_value result;
	size_t used;

	tpl_step(r, s.bytes * (uint64_t)4);
	for (size_t at = 0; at < s.bytes;) {
		uint32_t c = tpl_decode(s.text + at, s.bytes - at, &used);

		at += used;
		if (how == TPL_FOLD && c == 0xdf)
			tpl_puts(r, "ss");
		else
			put_cased(r, c, s, at, how, &before);
		before.first = how == TPL_WORDS && separates(c);
		before.cased = is_cased(c);
		before.word = is_ignored(c) ? before.word : before.cased;
	}
	result = tpl_capture_end(r, outer);
	result.flags = s.flags;
	return result;
}
