/* SPDX-License-Identifier: MIT */
/* mhc_json.c: a walk over JSON (RFC 8259) that keeps nothing. */
#include "mhc_json.h"

#include <string.h>

#define DEPTH_MAX	64u

static bool value_skip(const char **at, const char *end, unsigned int depth);

static void blanks_skip(const char **at, const char *end)
{
	while (*at < end && strchr(" \t\r\n", **at) && **at)
		(*at)++;
}

static bool take(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	(*at)++;
	return true;
}

static bool string_skip(const char **at, const char *end)
{
	if (!take(at, end, '"'))
		return false;
	while (*at < end && **at != '"') {
		if ((unsigned char)**at < 0x20)
			return false;
		if (**at == '\\' && ++*at == end)
			return false;
		(*at)++;
	}
	return take(at, end, '"');
}

static bool digits_skip(const char **at, const char *end)
{
	const char *from = *at;

	while (*at < end && **at >= '0' && **at <= '9')
		(*at)++;
	return *at > from;
}

static bool number_skip(const char **at, const char *end)
{
	take(at, end, '-');
	if (!digits_skip(at, end))
		return false;
	if (take(at, end, '.') && !digits_skip(at, end))
		return false;
	if (take(at, end, 'e') || take(at, end, 'E')) {
		if (!take(at, end, '+'))
			take(at, end, '-');
		return digits_skip(at, end);
	}
	return true;
}

static bool word_skip(const char **at, const char *end)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(end - *at) >= n && !memcmp(*at, words[i], n)) {
			*at += n;
			return true;
		}
	}
	return false;
}

/* The members of an object, or the items of a list. */
static bool items_skip(const char **at, const char *end, char close, unsigned int depth)
{
	(*at)++;
	blanks_skip(at, end);
	if (take(at, end, close))
		return true;
	do {
		blanks_skip(at, end);
		if (close == '}') {
			if (!string_skip(at, end))
				return false;
			blanks_skip(at, end);
			if (!take(at, end, ':'))
				return false;
		}
		if (!value_skip(at, end, depth + 1))
			return false;
		blanks_skip(at, end);
	} while (take(at, end, ','));
	return take(at, end, close);
}

static bool value_skip(const char **at, const char *end, unsigned int depth)
{
	blanks_skip(at, end);
	if (*at == end || depth > DEPTH_MAX)
		return false;
	switch (**at) {
	case '{':
		return items_skip(at, end, '}', depth);
	case '[':
		return items_skip(at, end, ']', depth);
	case '"':
		return string_skip(at, end);
	default:
		return word_skip(at, end) || number_skip(at, end);
	}
}

struct mhc_span mhc_trim(struct mhc_span text)
{
	const char *end = text.at + text.bytes;

	blanks_skip(&text.at, end);
	while (end > text.at && strchr(" \t\r\n", end[-1]) && end[-1])
		end--;
	text.bytes = (size_t)(end - text.at);
	return text;
}

bool mhc_json_value(struct mhc_span *text, struct mhc_span *value)
{
	const char *at = text->at, *end = text->at + text->bytes;

	blanks_skip(&at, end);
	value->at = at;
	if (!value_skip(&at, end, 0))
		return false;
	value->bytes = (size_t)(at - value->at);
	*text = (struct mhc_span){ at, (size_t)(end - at) };
	return true;
}

bool mhc_json_get(struct mhc_span object, const char *key, struct mhc_span *value)
{
	const char *at = object.at + 1, *end = object.at + object.bytes;
	size_t n = strlen(key);

	if (!object.bytes || object.at[0] != '{')
		return false;
	do {
		const char *name;
		bool same;

		blanks_skip(&at, end);
		name = at;
		if (!string_skip(&at, end))
			return false;
		same = (size_t)(at - name) == n + 2 && !memcmp(name + 1, key, n);
		blanks_skip(&at, end);
		take(&at, end, ':');
		blanks_skip(&at, end);
		value->at = at;
		if (!value_skip(&at, end, 0))
			return false;
		value->bytes = (size_t)(at - value->at);
		if (same)
			return true;
		blanks_skip(&at, end);
	} while (take(&at, end, ','));
	return false;
}

bool mhc_json_plain(struct mhc_span value, struct mhc_span *text)
{
	if (value.bytes < 2 || value.at[0] != '"' || memchr(value.at, '\\', value.bytes))
		return false;
	*text = (struct mhc_span){ value.at + 1, value.bytes - 2 };
	return true;
}
