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
	return cmd_fail(cmd, CMD_USAGE, "wrong arguments; usage: mhost %s %s", cmd->verb, synopsis);
}

int cmd_getopt(const struct cmd *cmd, int argc, char **argv, const char *shorts,
	       const struct option *longs)
{
	char letter[] = "-?";
	const char *word;
	int opt;

	opterr = 0;
	opt = getopt_long(argc, argv, shorts, longs, NULL);
	if (opt != '?' && opt != ':')
		return opt;
	letter[1] = (char)optopt;
	word = argv[optind - 1];
	if (strncmp(word, "--", 2) && optopt)
		word = letter;
	cmd_fail(cmd, CMD_USAGE, "%s: %s; see mhost(1)", word,
		 opt == ':' ? "needs a value" : "no such option, or one without a value");
	return '?';
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

int cmd_take_u32(const struct cmd *cmd, const char *option, uint32_t low, uint32_t high, uint32_t *to)
{
	uint64_t value;

	if (!cmd_parse_u64(optarg, low, high, &value))
		return cmd_fail(cmd, CMD_USAGE, "%s %.40s: limit %u..%u; correct it", option, optarg, low,
				high);
	*to = (uint32_t)value;
	return CMD_OK;
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
	char *copy = strdup(text), *rest = copy, *word;
	bool good = copy && *copy;
	uint64_t id = 0;

	*count = 0;
	free(*ids);	/* of the same option given before */
	*ids = good ? malloc((strlen(text) / 2 + 1) * sizeof(**ids)) : NULL;
	while (*ids && good && (word = strsep(&rest, ","))) {
		word += strspn(word, " ");
		good = cmd_parse_u64(word, 0, UINT32_MAX - 1, &id);
		(*ids)[*count] = (uint32_t)id;
		*count += good;
	}
	free(copy);
	return good && *ids;
}

int cmd_split_ref(const struct cmd *cmd, char *ref, const char **model, const char **version)
{
	char *at = strchr(ref, '@');

	if (!ref[0] || at == ref || (at && !at[1]))
		return cmd_fail(cmd, CMD_USAGE, "\"%s\": not MODEL or MODEL@VERSION; write for example "
				"smol@1.0.0", ref);
	*model = ref;
	*version = NULL;
	if (at) {
		*at = 0;
		*version = at + 1;
	}
	return CMD_OK;
}

const char *cmd_subject(const json_t *about, char out[CMD_SUBJECT_BYTES])
{
	const char *model = json_string_value(json_object_get(about, "model"));
	const char *adapter = json_string_value(json_object_get(about, "adapter"));
	const char *version = json_string_value(json_object_get(about, "version"));

	snprintf(out, CMD_SUBJECT_BYTES, "%.80s%s%.64s%s%.48s", model ? model : "", adapter ? "/" : "",
		 adapter ? adapter : "", version && *version ? "@" : "", version ? version : "");
	return out;
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

char *cmd_text(const struct cmd *cmd, int argc, char **argv, size_t *bytes)
{
	char *text = argc < 1 ? read_all(stdin, bytes) : strdup(argv[0]);
	json_t *checked;

	if (text && argc > 0)
		*bytes = strlen(text);
	checked = text ? json_stringn(text, *bytes) : NULL;
	if (!text)
		cmd_fail(cmd, CMD_FAILED, "text: cannot be read, or has more than 64 MiB; shorten it");
	else if (!checked)
		cmd_fail(cmd, CMD_FAILED, "text: is not UTF-8; convert it, for example with iconv");
	json_decref(checked);
	if (checked)
		return text;
	free(text);
	return NULL;
}

char *cmd_read_file(const struct cmd *cmd, const char *path, size_t limit, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	char *text = file ? malloc(limit + 1) : NULL;

	*bytes = text ? fread(text, 1, limit + 1, file) : 0;
	if (!file || (text && ferror(file)))
		cmd_fail(cmd, CMD_FAILED, "%s: cannot be read: %s; check the path", path, strerror(errno));
	else if (!text)
		cmd_fail(cmd, CMD_FAILED, "%s: out of memory; free some", path);
	if (file && text && !ferror(file) && *bytes > limit)
		cmd_fail(cmd, CMD_FAILED, "%s: has over %zu bytes; shorten it", path, limit);
	if (text && (ferror(file) || *bytes > limit)) {
		free(text);
		text = NULL;
	}
	if (file)
		fclose(file);
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
