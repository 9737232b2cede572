/* SPDX-License-Identifier: MIT */
/* meta.c: training metadata from arguments and files. */
#include "meta.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sto_json.h"

static const char key_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

static bool key_good(const char *key, size_t bytes)
{
	return bytes > 0 && bytes <= META_KEY_MAX && strspn(key, key_chars) >= bytes;
}

static uint32_t depth_of(const json_t *value)
{
	uint32_t deepest = 0, depth;
	const json_t *item;
	const char *key;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)value, key, item) {
		depth = depth_of(item);
		deepest = depth > deepest ? depth : deepest;
	}
	json_array_foreach(value, i, item) {
		depth = depth_of(item);
		deepest = depth > deepest ? depth : deepest;
	}
	return deepest + (json_is_object(value) || json_is_array(value));
}

int meta_add(const struct cmd *cmd, json_t *meta, const char *what, const char *key, json_t *value)
{
	int status = CMD_OK;

	if (!value)
		status = cmd_fail(cmd, CMD_FAILED, "%.200s: out of memory; free some", what);
	else if (!key_good(key, strlen(key)))
		status = cmd_fail(cmd, CMD_USAGE, "%.200s: %.80s: limit a key of 1..%u characters a-z A-Z "
				  "0-9 . _ -; correct it", what, key, META_KEY_MAX);
	else if (json_object_get(meta, key))
		status = cmd_fail(cmd, CMD_USAGE, "%.200s: %s: given twice, limit once; remove one", what,
				  key);
	else if (json_object_size(meta) == META_KEYS_MAX)
		status = cmd_fail(cmd, CMD_USAGE, "%.200s: %s: too many keys, limit %u; put several into "
				  "one", what, key, META_KEYS_MAX);
	else if (depth_of(value) > META_DEPTH_MAX)
		status = cmd_fail(cmd, CMD_USAGE, "%.200s: %s: too deep, limit %u objects in each other; "
				  "flatten it", what, key, META_DEPTH_MAX);
	if (!status)
		json_object_set(meta, key, value);
	json_decref(value);
	return status;
}

int meta_check(const struct cmd *cmd, const json_t *meta)
{
	size_t bytes = json_dumpb(meta, NULL, 0, JSON_COMPACT);

	if (bytes <= META_BYTES_MAX)
		return CMD_OK;
	return cmd_fail(cmd, CMD_USAGE, "metadata: has %zu bytes, limit %u; keep large things elsewhere "
			"and name them", bytes, META_BYTES_MAX);
}

int meta_add_pair(const struct cmd *cmd, json_t *meta, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || !key_good(text, (size_t)(equals - text)))
		return cmd_fail(cmd, CMD_USAGE,
				"--meta %.80s: limit KEY=VALUE with a key of 1..%u characters a-z "
				"A-Z 0-9 . _ -; correct it",
				text, META_KEY_MAX);
	*equals++ = '\0';
	if (strlen(equals) > META_VALUE_MAX || !sto_utf8_valid(equals, strlen(equals), true))
		return cmd_fail(cmd, CMD_USAGE,
				"--meta %s: value: limit %u bytes of UTF-8 text; shorten it", text,
				META_VALUE_MAX);
	return meta_add(cmd, meta, "--meta", text, json_string(equals));
}

static int parse_text(const struct cmd *cmd, const char *path, const char *text, size_t bytes,
		      json_t **object)
{
	struct sto_error error;
	size_t blank = strspn(text, " \t\r\n");

	if (text[blank] != '{')
		return meta_parse_ini(cmd, path, text, bytes, object);
	if (sto_json_parse(path, text, bytes, object, &error))
		return cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	return CMD_OK;
}

static int add_all(const struct cmd *cmd, json_t *meta, const char *path, const json_t *object)
{
	const char *key;
	json_t *value;
	int status = CMD_OK;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		status = meta_add(cmd, meta, path, key, json_incref(value));
		if (status)
			break;
	}
	return status;
}

int meta_add_file(const struct cmd *cmd, json_t *meta, const char *path)
{
	struct sto_error error;
	struct sto_file file;
	json_t *object = NULL;
	char *text;
	int err, status;

	if (sto_file_open(&file, AT_FDCWD, path, path, &error))
		return cmd_fail(cmd, CMD_FAILED, "--meta-file: %s", error.text);
	err = sto_file_load(&file, META_BYTES_MAX, &text, &error);
	if (err) {
		status = cmd_fail(cmd, CMD_FAILED, "--meta-file: %s", error.text);
	} else {
		status = parse_text(cmd, path, text, file.bytes, &object);
		free(text);
	}
	sto_file_close(&file);
	if (!status)
		status = add_all(cmd, meta, path, object);
	json_decref(object);
	return status;
}
