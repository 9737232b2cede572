/* SPDX-License-Identifier: MIT */
#include "prompts_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES	64u

int prompts_refuse(const struct prompts_place *at, const char *format, ...)
{
	va_list args;
	int n = snprintf(at->error, PROMPTS_ERROR_BYTES, "%.200s: line %u: ", at->shown, at->line);

	va_start(args, format);
	vsnprintf(at->error + n, PROMPTS_ERROR_BYTES - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

int prompts_out_of_memory(char *error)
{
	snprintf(error, PROMPTS_ERROR_BYTES, "out of memory; free some");
	return -ENOMEM;
}

/* ---- fields --------------------------------------------------------------------------------- */

static int take_text(const struct prompts_place *at, const char *key, const json_t *value, char **text,
		     size_t *bytes)
{
	const char *from = json_string_value(value);

	if (!from || !json_string_length(value))
		return prompts_refuse(at, "%s: is not a text with something in it; correct it", key);
	*bytes = json_string_length(value);
	*text = malloc(*bytes + 1);
	if (!*text)
		return prompts_out_of_memory(at->error);
	memcpy(*text, from, *bytes + 1);
	return 0;
}

int prompts_take_ids(const struct prompts_place *at, const char *key, const json_t *list, uint32_t **ids,
		    uint32_t *count)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || !n || n > PROMPTS_TOKENS_MAX)
		return prompts_refuse(at, "%s: is not a list of 1..%u token ids; correct it", key,
			      PROMPTS_TOKENS_MAX);
	*ids = calloc(n, sizeof(**ids));
	if (!*ids)
		return prompts_out_of_memory(at->error);
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(list, i);
		json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;

		if (value < 0 || value >= UINT32_MAX)
			return prompts_refuse(at, "%s: entry %zu is no token id, limit 0..4294967294; "
				      "correct it", key, i);
		(*ids)[i] = (uint32_t)value;
	}
	*count = (uint32_t)n;
	return 0;
}

/* @text_key or @ids_key, never both; @found: there was one. */
int prompts_take_part(const struct prompts_place *at, const json_t *object, const char *text_key,
		     const char *ids_key, struct prompt_part *part, bool *found)
{
	const json_t *text = json_object_get(object, text_key);
	const json_t *ids = json_object_get(object, ids_key);

	*found = text || ids;
	if (text && ids)
		return prompts_refuse(at, "%s and %s: both given, limit one; remove one", text_key,
			      ids_key);
	if (text)
		return take_text(at, text_key, text, &part->text, &part->text_bytes);
	return ids ? prompts_take_ids(at, ids_key, ids, &part->ids, &part->id_count) : 0;
}

static int take_name(const struct prompts_place *at, const json_t *value, struct prompt *p)
{
	size_t bytes;
	int err = value ? take_text(at, "name", value, &p->name, &bytes) : 0;

	if (err || !p->name)
		return err;
	if (bytes > NAME_MAX_BYTES)
		return prompts_refuse(at, "name: has %zu bytes, limit %u; shorten it", bytes, NAME_MAX_BYTES);
	for (const char *c = p->name; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return prompts_refuse(at, "name: has a control character; remove it");
	return strlen(p->name) == bytes ? 0 : prompts_refuse(at, "name: has a NUL; remove it");
}

static int take_max_tokens(const struct prompts_place *at, const json_t *value, struct prompt *p)
{
	json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;

	if (!value)
		return 0;
	if (n < 1 || n > INT32_MAX)
		return prompts_refuse(at, "max_tokens: limit 1..2147483647; correct it");
	p->max_tokens = (uint32_t)n;
	return 0;
}

static int refuse_unknown(const struct prompts_place *at, json_t *object)
{
	static const char *const known[] = { "name", "prompt", "tokens", "max_tokens", "expect",
					     "logprobs", "tolerance", "continuation", "continuation_tokens", "min_logprob" };
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		size_t i = 0;

		while (i < sizeof(known) / sizeof(known[0]) && strcmp(key, known[i]))
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return prompts_refuse(at, "\"%.40s\": no such field; remove or correct it", key);
	}
	return 0;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static int take_object(const struct prompts_place *at, json_t *object, enum prompts_kind kind,
		       struct prompt *p)
{
	bool found;
	int err = refuse_unknown(at, object);

	if (!err)
		err = prompts_take_part(at, object, "prompt", "tokens", &p->prompt, &found);
	if (!err && !found)
		err = prompts_refuse(at, "prompt: is missing; give \"prompt\" or \"tokens\"");
	if (!err)
		err = take_name(at, json_object_get(object, "name"), p);
	if (!err)
		err = take_max_tokens(at, json_object_get(object, "max_tokens"), p);
	if (!err)
		err = prompts_take_checks(at, object, p);
	if (!err && kind == PROMPTS_GOLDEN && !p->expect && !p->continuation.text &&
	    !p->continuation.ids)
		err = prompts_refuse(at, "nothing to check; give \"expect\", or a \"continuation\" with a "
			     "\"min_logprob\"");
	return err;
}

static int take_json(const struct prompts_place *at, const char *text, size_t bytes,
		     enum prompts_kind kind, struct prompt *p)
{
	json_error_t why;
	json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
	int err;

	if (!json_is_object(object))
		err = prompts_refuse(at, "is no JSON object: %.100s (column %d); correct it",
			     object ? "another kind of value" : why.text, object ? 1 : why.column);
	else
		err = take_object(at, object, kind, p);
	json_decref(object);
	return err;
}

static int take_plain(const struct prompts_place *at, const char *text, size_t bytes, struct prompt *p)
{
	json_t *string = json_stringn(text, bytes);
	int err = string ? take_text(at, "prompt", string, &p->prompt.text, &p->prompt.text_bytes) :
		  prompts_refuse(at, "is not UTF-8; convert it, for example with iconv");

	json_decref(string);
	return err;
}

static int take_line(const struct prompts_place *at, const char *text, size_t bytes,
		     enum prompts_kind kind, struct prompt *p)
{
	size_t blank = 0;

	p->line = at->line;
	while (blank < bytes && (text[blank] == ' ' || text[blank] == '\t'))
		blank++;
	if (kind == PROMPTS_GOLDEN || (blank < bytes && text[blank] == '{'))
		return take_json(at, text, bytes, kind, p);
	return take_plain(at, text, bytes, p);
}

static bool is_blank(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (text[i] != ' ' && text[i] != '\t')
			return false;
	return true;
}

/* Room for one more; NULL: none. */
static struct prompt *add(struct prompts *prompts)
{
	uint32_t n = prompts->count;

	if ((n & (n - 1)) == 0) {
		struct prompt *grown = reallocarray(prompts->list, n ? 2 * n : 1, sizeof(*grown));

		if (!grown)
			return NULL;
		prompts->list = grown;
	}
	prompts->list[n] = (struct prompt){ 0 };
	prompts->count = n + 1;
	return &prompts->list[n];
}

int prompts_parse(const char *shown, const char *data, size_t bytes, enum prompts_kind kind,
		  struct prompts *prompts, char *error)
{
	struct prompts_place at = { shown, 0, error };
	const char *line = data, *end = data + bytes;

	*prompts = (struct prompts){ 0 };
	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line)) ?: end;
		size_t n = (size_t)(stop - line);
		struct prompt *p;
		int err;

		at.line++;
		n -= n && line[n - 1] == '\r';
		if (!is_blank(line, n)) {
			if (prompts->count == PROMPTS_MAX)
				return prompts_refuse(&at, "one prompt too many, limit %u; split the file",
					      PROMPTS_MAX);
			p = add(prompts);
			err = p ? take_line(&at, line, n, kind, p) : prompts_out_of_memory(error);
			if (err)
				return err;
		}
		line = stop + 1;
	}
	if (prompts->count)
		return 0;
	snprintf(error, PROMPTS_ERROR_BYTES, "%.200s: has no prompt; write one a line", shown);
	return -EINVAL;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int file_error(const char *path, int err, char *error)
{
	snprintf(error, PROMPTS_ERROR_BYTES, "%.200s: cannot be read: %s; check the path", path,
		 strerror(err));
	return -err;
}

static int read_whole(int fd, const char *path, char **data, size_t *bytes, char *error)
{
	struct stat st;
	size_t have = 0;
	ssize_t n = 1;

	if (fstat(fd, &st))
		return file_error(path, errno, error);
	if (!S_ISREG(st.st_mode)) {
		snprintf(error, PROMPTS_ERROR_BYTES, "%.200s: is no regular file; name one", path);
		return -EINVAL;
	}
	if (st.st_size > PROMPTS_FILE_MAX) {
		snprintf(error, PROMPTS_ERROR_BYTES, "%.200s: has %lld bytes, limit %u; split it", path,
			 (long long)st.st_size, PROMPTS_FILE_MAX);
		return -EFBIG;
	}
	*data = malloc((size_t)st.st_size + 1);
	if (!*data)
		return prompts_out_of_memory(error);
	while (n > 0 && have < (size_t)st.st_size) {
		n = read(fd, *data + have, (size_t)st.st_size - have);
		if (n < 0)
			return file_error(path, errno, error);
		have += (size_t)n;
	}
	(*data)[have] = '\0';
	*bytes = have;
	return 0;
}

int prompts_load(const char *path, char **data, size_t *bytes, char *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	*data = NULL;
	*bytes = 0;
	if (fd < 0)
		return file_error(path, errno, error);
	err = read_whole(fd, path, data, bytes, error);
	close(fd);
	if (err) {
		free(*data);
		*data = NULL;
	}
	return err;
}

int prompts_read(const char *path, enum prompts_kind kind, struct prompts *prompts, char *error)
{
	size_t bytes;
	char *data;
	int err = prompts_load(path, &data, &bytes, error);

	*prompts = (struct prompts){ 0 };
	if (!err)
		err = prompts_parse(path, data, bytes, kind, prompts, error);
	free(data);
	return err;
}

void prompts_free(struct prompts *prompts)
{
	for (uint32_t i = 0; i < prompts->count; i++) {
		struct prompt *p = &prompts->list[i];

		free(p->name);
		free(p->prompt.text);
		free(p->prompt.ids);
		free(p->expect);
		free(p->logprobs);
		free(p->continuation.text);
		free(p->continuation.ids);
	}
	free(prompts->list);
	*prompts = (struct prompts){ 0 };
}

const char *prompt_label(const struct prompt *prompt, char out[80])
{
	if (prompt->name)
		snprintf(out, 80, "%s", prompt->name);
	else
		snprintf(out, 80, "line %u", prompt->line);
	return out;
}
