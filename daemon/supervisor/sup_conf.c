/* SPDX-License-Identifier: MIT */
/*
 * sup_conf.c: the INI file. inih splits lines into keys and values; lines and sections are counted
 * and judged here, since inih cuts long ones in silence and tells no line to its handler.
 */
#include "sup_conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SEEN_MAX	(SUP_CONF_MODELS_MAX + 64u)

struct parse {
	const char *path;
	const char *at, *end;		/* text not yet handed to inih */
	int line;			/* of the line handed out last, from 1 */
	int error_line;			/* 0: none found by us */
	char section[MHS_NAME_BYTES + 16];
	uint32_t seen_count;		/* sections, and keys of the present one */
	uint32_t section_count;
	char seen[SEEN_MAX][MHS_NAME_BYTES + 16];
	struct sup_conf *conf;
	struct sto_error *error;
};

__attribute__((format(printf, 2, 3)))
static void refuse(struct parse *parse, const char *format, ...)
{
	char text[400];
	va_list args;

	if (parse->error_line)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	parse->error_line = parse->line;
	sto_fail(parse->error, "%s:%d: %s", parse->path, parse->line, text);
}

/* Whether @name was there before, among seen[from..]; noted if not. */
static bool seen_before(struct parse *parse, uint32_t from, const char *name)
{
	for (uint32_t i = from; i < parse->seen_count; i++)
		if (strcmp(parse->seen[i], name) == 0)
			return true;
	if (parse->seen_count < SEEN_MAX)
		snprintf(parse->seen[parse->seen_count++], sizeof(parse->seen[0]), "%.79s", name);
	return false;
}

static void section_check(struct parse *parse)
{
	struct sto_error error;

	if (strncmp(parse->section, "model ", 6) != 0) {
		if (!sup_conf_has_section(parse->section))
			refuse(parse, "[%s]: unknown section; there are mhostd, limits, release, "
			       "access and model NAME", parse->section);
		return;
	}
	if (sto_name_check(parse->section + 6, &error))
		refuse(parse, "[%s]: %s", parse->section, error.text);
	else if (!sup_conf_model(parse->conf, parse->section + 6))
		refuse(parse, "[%s]: more than %u models", parse->section, SUP_CONF_MODELS_MAX);
}

/* A line that begins with '['. */
static void section_begin(struct parse *parse, const char *line)
{
	const char *close = strchr(line, ']');
	const char *rest = close ? close + 1 : "";

	rest += strspn(rest, " \t");
	if (!close || close - line - 1 >= (int)sizeof(parse->section) || (*rest && *rest != ';')) {
		refuse(parse, "\"%.40s\": not a [section]", line);
		return;
	}
	snprintf(parse->section, sizeof(parse->section), "%.*s", (int)(close - line - 1), line + 1);
	parse->seen_count = parse->section_count;	/* forget the keys of the last one */
	if (seen_before(parse, 0, parse->section))
		refuse(parse, "[%s]: there already is such a section", parse->section);
	parse->section_count = parse->seen_count;
	section_check(parse);
}

/* inih's reader, like fgets(): one whole line, checked, without indentation (no continuations). */
static char *line_next(char *out, int cap, void *arg)
{
	struct parse *parse = arg;
	const char *end;
	size_t bytes;

	if (parse->error_line || parse->at >= parse->end)
		return NULL;
	parse->line++;
	end = memchr(parse->at, '\n', (size_t)(parse->end - parse->at));
	if (!end)
		end = parse->end;
	bytes = (size_t)(end - parse->at);
	if (bytes && end[-1] == '\r')
		bytes--;
	if (bytes + 3 > (size_t)cap)
		refuse(parse, "a line of %zu bytes; at most %d are allowed", bytes, cap - 3);
	for (size_t i = 0; i < bytes; i++)
		if (iscntrl((unsigned char)parse->at[i]) && parse->at[i] != '\t')
			refuse(parse, "control character 0x%02x in column %zu", parse->at[i] & 0xff, i + 1);
	if (parse->error_line)
		return NULL;
	while (bytes && (*parse->at == ' ' || *parse->at == '\t'))
		parse->at++, bytes--;
	memcpy(out, parse->at, bytes);
	out[bytes] = '\0';
	if (*out == '[')
		section_begin(parse, out);
	parse->at = end < parse->end ? end + 1 : end;
	return out;
}

/* inih's handler. Its section is cut at 50 bytes, so ours is used. Returns 0 for an error. */
static int key_found(void *arg, const char *section, const char *key, const char *value)
{
	struct parse *parse = arg;
	struct sto_error error = { "" };
	int err;

	(void)section;
	if (parse->error_line)
		return 0;
	if (!parse->section[0])
		refuse(parse, "\"%.40s\" stands before any [section]", key);
	else if (seen_before(parse, parse->section_count, key))
		refuse(parse, "[%s] %.40s: given twice", parse->section, key);
	if (parse->error_line)
		return 0;
	if (strncmp(parse->section, "model ", 6) == 0)
		err = sup_conf_set_model(sup_conf_model(parse->conf, parse->section + 6), key, value,
					 &error);
	else
		err = sup_conf_set(parse->conf, parse->section, key, value, &error);
	if (err)
		refuse(parse, "[%s] %.40s: %.300s", parse->section, key, error.text);
	return !err;
}

static int text_parse(const char *path, const char *text, size_t bytes, struct sup_conf *conf,
		      struct sto_error *error)
{
	struct parse *parse = calloc(1, sizeof(*parse));
	int line, err;

	if (!parse) {
		sto_fail(error, "%s: out of memory", path);
		return -ENOMEM;
	}
	parse->path = path;
	parse->at = text;
	parse->end = text + bytes;
	parse->conf = conf;
	parse->error = error;
	if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		parse->at += 3;
	line = ini_parse_stream(line_next, parse, key_found, parse);
	if (line && (!parse->error_line || line < parse->error_line))
		sto_fail(error, "%s:%d: neither a [section] nor KEY = VALUE", path, line);
	err = line || parse->error_line ? -EINVAL : 0;
	free(parse);
	return err;
}

/* The whole file into a fresh buffer. */
static int file_read(int fd, const char *path, char **text, size_t *bytes, struct sto_error *error)
{
	char *buffer = malloc(SUP_FILE_BYTES_MAX + 1);
	ssize_t n = 1;

	*bytes = 0;
	while (buffer && n > 0 && *bytes <= SUP_FILE_BYTES_MAX) {
		n = read(fd, buffer + *bytes, SUP_FILE_BYTES_MAX + 1 - *bytes);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			*bytes += (size_t)n;
	}
	if (buffer && n == 0) {
		*text = buffer;
		return 0;
	}
	if (!buffer || n < 0)
		sto_fail(error, "%s: %s", path, strerror(errno));
	else
		sto_fail(error, "%s: larger than %u bytes", path, SUP_FILE_BYTES_MAX);
	free(buffer);
	return -EINVAL;
}

static int file_check(int fd, const char *path, struct sto_error *error)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		sto_fail(error, "%s: %s", path, strerror(errno));
	else if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return 0;	/* /dev/null: an empty file */
	else if (!S_ISREG(st.st_mode))
		sto_fail(error, "%s: not a regular file", path);
	else if (st.st_mode & S_IWOTH)
		sto_fail(error, "%s: anybody may write it (mode %04o); do: chmod o-w %s", path,
			 st.st_mode & 07777, path);
	else
		return 0;
	return -EINVAL;
}

static int file_parse(const char *path, struct sup_conf *conf, struct sto_error *error)
{
	/* O_NONBLOCK: opening a FIFO must not hang */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	size_t bytes = 0;
	int err = file_check(fd, path, error);

	if (!err)
		err = file_read(fd, path, &text, &bytes, error);
	if (fd >= 0)
		close(fd);
	if (!err)
		err = text_parse(path, text, bytes, conf, error);
	free(text);
	return err;
}

static int options_apply(const struct sup_options *options, struct sup_conf *conf,
			 struct sto_error *error)
{
	struct sto_error why;

	for (uint32_t i = 0; i < options->count; i++) {
		const struct sup_option *option = &options->list[i];

		if (sup_conf_set(conf, "mhostd", option->key, option->value, &why)) {
			sto_fail(error, "option for %s: %.400s", option->key, why.text);
			return -EINVAL;
		}
	}
	return 0;
}

/* Who asks where an image lies may work in another directory than we do. */
static int store_absolute(struct sup_conf *conf, struct sto_error *error)
{
	char *whole;
	int n;

	if (!conf->store[0] || conf->store[0] == '/')
		return 0;
	whole = realpath(conf->store, NULL);
	if (!whole)
		return 0;	/* not there: said at the start, by the name that was given */
	n = snprintf(conf->store, sizeof(conf->store), "%s", whole);
	free(whole);
	if (n < (int)sizeof(conf->store))
		return 0;
	sto_fail(error, "store: a path of %d bytes; at most %zu are allowed", n, sizeof(conf->store) - 1);
	return -EINVAL;
}

/* Of what only the whole shows there is no line. */
static void place_add(const char *path, struct sto_error *error)
{
	struct sto_error what = *error;

	sto_fail(error, "%.300s: %s", path, what.text);
}

int sup_conf_read(const struct sup_options *options, struct sup_conf *conf, struct sto_error *error)
{
	struct sup_conf *fresh = malloc(sizeof(*fresh));
	int err = 0;

	if (!fresh) {
		sto_fail(error, "out of memory");
		return -ENOMEM;
	}
	sup_conf_defaults(fresh);
	if (options->config)
		err = file_parse(options->config, fresh, error);
	if (!err)
		err = options_apply(options, fresh, error);
	if (!err)
		err = store_absolute(fresh, error);
	if (!err) {
		err = sup_conf_check(fresh, error);
		if (err && options->config)
			place_add(options->config, error);
	}
	if (!err)
		*conf = *fresh;
	free(fresh);
	return err;
}
