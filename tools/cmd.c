/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_fail(const struct cmd *cmd, int status, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "mhost: %s: ", cmd->verb);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int cmd_usage(const struct cmd *cmd, const char *synopsis)
{
	fprintf(stderr, "usage: mhost %s %s\n", cmd->verb, synopsis);
	return CMD_USAGE;
}

bool cmd_parse_u64(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && !*end && *value >= low && *value <= high;
}

bool cmd_parse_float(const char *text, double low, double high, float *value)
{
	char *end;
	double v = strtod(text, &end);

	*value = (float)v;
	return end != text && !*end && isfinite(v) && v >= low && v <= high;
}

bool cmd_parse_ids(const char *text, uint32_t **ids, uint32_t *count)
{
	char *copy = strdup(text), *save = NULL, *word;
	uint64_t id;

	*count = 0;
	*ids = copy ? malloc((strlen(text) / 2 + 1) * sizeof(**ids)) : NULL;
	if (!*ids) {
		free(copy);
		return false;
	}
	for (word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		while (*word == ' ')
			word++;
		if (!cmd_parse_u64(word, 0, UINT32_MAX - 1, &id))
			break;
		(*ids)[(*count)++] = (uint32_t)id;
	}
	free(copy);
	if (!word && *count)
		return true;
	free(*ids);
	*ids = NULL;
	return false;
}

void cmd_split_ref(char *ref, const char **model, const char **version)
{
	char *at = strchr(ref, '@');

	*model = ref;
	*version = NULL;
	if (at) {
		*at = 0;
		*version = at + 1;
	}
}

static char *read_all(FILE *from, size_t *bytes)
{
	size_t cap = 1 << 16, have = 0, n;
	char *text = malloc(cap);

	while (text && (n = fread(text + have, 1, cap - have - 1, from)) > 0) {
		have += n;
		if (cap - have > 1)
			continue;
		cap *= 2;
		text = cap > (64u << 20) ? NULL : realloc(text, cap);
	}
	if (text)
		text[have] = 0;
	*bytes = have;
	return text;
}

char *cmd_text(int argc, char **argv, size_t *bytes)
{
	char *text;

	if (argc < 1)
		return read_all(stdin, bytes);
	text = strdup(argv[0]);
	*bytes = text ? strlen(text) : 0;
	return text;
}

json_t *cmd_json_ids(const uint32_t *ids, uint32_t count)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(list, json_integer(ids[i]));
	return list;
}

json_t *cmd_json_text(const char *text, size_t bytes)
{
	json_t *value = json_stringn(text, bytes);

	/* The host sends whole UTF-8; anything else is a fault that must not hide the rest. */
	return value ? value : json_string("\xef\xbf\xbd");
}

void cmd_json_print(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(object);
}

void cmd_hex(const uint8_t *bytes, size_t count, char *out)
{
	for (size_t i = 0; i < count; i++)
		sprintf(out + 2 * i, "%02x", bytes[i]);
}
