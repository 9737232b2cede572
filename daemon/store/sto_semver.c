/* SPDX-License-Identifier: MIT */
/* sto_semver.c: names, semantic versions and MODEL@VERSION references. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sto_store.h"

void sto_fail(struct sto_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	/* One line, whatever a file or its name contains. */
	for (char *p = error->text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

/* A decimal number without sign or leading zero; NULL when there is none, or over 9 digits. */
static const char *number_parse(const char *text, uint32_t *value)
{
	const char *p = text;

	*value = 0;
	while (*p >= '0' && *p <= '9') {
		if (p - text == 9)
			return NULL;
		*value = *value * 10 + (uint32_t)(*p++ - '0');
	}
	if (p == text || (*text == '0' && p - text > 1))
		return NULL;
	return p;
}

static int is_identifier_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-';
}

static size_t identifier_length(const char *p, int *numeric)
{
	size_t n = 0;

	*numeric = 1;
	for (; is_identifier_char(p[n]); n++)
		if (p[n] < '0' || p[n] > '9')
			*numeric = 0;
	return n;
}

/* Dot-separated identifiers to the end of the text; numeric ones without leading zeros. */
static int prerelease_check(const char *p)
{
	for (;;) {
		int numeric;
		size_t n = identifier_length(p, &numeric);

		if (n == 0 || (numeric && n > 1 && *p == '0'))
			return -EINVAL;
		p += n;
		if (*p == '\0')
			return 0;
		if (*p++ != '.')
			return -EINVAL;
	}
}

int sto_semver_parse(const char *text, uint32_t parts[3], const char **prerelease)
{
	const char *p = text;

	if (strnlen(text, MHS_SEMVER_BYTES) == MHS_SEMVER_BYTES)
		return -EINVAL;
	for (int i = 0; i < 3; i++) {
		p = number_parse(p, &parts[i]);
		if (!p || (i < 2 && *p++ != '.'))
			return -EINVAL;
	}
	if (prerelease)
		*prerelease = *p == '-' ? p + 1 : NULL;
	if (*p == '\0')
		return 0;
	return *p == '-' ? prerelease_check(p + 1) : -EINVAL;
}

/* Precedence of two identifiers: numbers by value, below words; words by bytes. */
static int identifier_compare(const char *a, size_t a_len, int a_num, const char *b, size_t b_len,
			      int b_num)
{
	size_t shorter = a_len < b_len ? a_len : b_len;
	int order;

	if (a_num != b_num)
		return a_num ? -1 : 1;
	if (a_num && a_len != b_len)
		return a_len < b_len ? -1 : 1;
	order = memcmp(a, b, shorter);
	if (order)
		return order;
	return a_len < b_len ? -1 : a_len > b_len;
}

static int prerelease_compare(const char *a, const char *b)
{
	if (!a || !b)
		return a ? -1 : b ? 1 : 0;
	for (;;) {
		int a_num, b_num, order;
		size_t a_len = identifier_length(a, &a_num), b_len = identifier_length(b, &b_num);

		order = identifier_compare(a, a_len, a_num, b, b_len, b_num);
		if (order)
			return order;
		a += a_len;
		b += b_len;
		if (!*a || !*b)
			return *a ? 1 : *b ? -1 : 0;
		a++, b++;
	}
}

int sto_semver_compare(const char *a, const char *b)
{
	uint32_t x[3] = { 0 }, y[3] = { 0 };
	const char *pre_a = NULL, *pre_b = NULL;

	if (sto_semver_parse(a, x, &pre_a) || sto_semver_parse(b, y, &pre_b))
		return strcmp(a, b);
	for (int i = 0; i < 3; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return prerelease_compare(pre_a, pre_b);
}

int sto_semver_bump(const char *version, enum sto_bump part, char next[MHS_SEMVER_BYTES])
{
	uint32_t v[3] = { 0 };
	const char *pre = NULL;
	int at = part == STO_BUMP_MAJOR ? 0 : part == STO_BUMP_MINOR ? 1 : 2;

	if (!version[0] || sto_semver_parse(version, v, &pre)) {
		strcpy(next, "1.0.0");
		return 0;
	}
	/* A pre-release comes before its own number: that is still free. */
	if (!pre || (at < 2 && v[2]) || (at < 1 && v[1])) {
		v[at]++;
		for (int i = at + 1; i < 3; i++)
			v[i] = 0;
	}
	if (v[at] > 999999999u)
		return -ERANGE;
	snprintf(next, MHS_SEMVER_BYTES, "%u.%u.%u", v[0], v[1], v[2]);
	return 0;
}

int sto_name_check(const char *name, struct sto_error *error)
{
	size_t n = strnlen(name, MHS_NAME_BYTES);

	if (n == 0 || n >= MHS_NAME_BYTES) {
		sto_fail(error, "model name: %s, limit 1..%u characters; choose another name",
			 n ? "too long" : "empty", MHS_NAME_BYTES - 1);
		return -EINVAL;
	}
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (i && strchr("._-", c)))
			continue;
		sto_fail(error,
			 "model name: \"%s\" has a character that is not allowed, limit a-z 0-9, "
			 "and after the first also . _ -; choose another name",
			 name);
		return -EINVAL;
	}
	return 0;
}

int sto_ref_parse(const char *ref, int version_optional, char model[MHS_NAME_BYTES],
		  char version[MHS_SEMVER_BYTES], struct sto_error *error)
{
	const char *at = strchr(ref, '@');
	size_t n = at ? (size_t)(at - ref) : strlen(ref);
	uint32_t parts[3];
	int err;

	memset(model, 0, MHS_NAME_BYTES);
	memset(version, 0, MHS_SEMVER_BYTES);
	memcpy(model, ref, n < MHS_NAME_BYTES ? n : MHS_NAME_BYTES - 1);
	if (n >= MHS_NAME_BYTES) {
		sto_fail(error, "model name: too long, limit 1..%u characters; choose another name",
			 MHS_NAME_BYTES - 1);
		return -EINVAL;
	}
	err = sto_name_check(model, error);
	if (err || (!at && version_optional))
		return err;
	if (!at || sto_semver_parse(at + 1, parts, NULL)) {
		sto_fail(error,
			 "version: \"%.64s\" is not a version, limit "
			 "MAJOR.MINOR.PATCH[-PRERELEASE] in at most %u characters; write for "
			 "example %s@1.0.0",
			 at ? at + 1 : "", MHS_SEMVER_BYTES - 1, model);
		return -EINVAL;
	}
	strcpy(version, at + 1);
	return 0;
}
