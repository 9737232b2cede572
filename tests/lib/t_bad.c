/* SPDX-License-Identifier: MIT */
#include "t_bad.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_BYTES	512

static void die(const char *what)
{
	perror(what);
	exit(1);
}

void t_copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	char block[65536];
	size_t n;

	if (!in || !out)
		die(from);
	while ((n = fread(block, 1, sizeof(block), in)) > 0)
		if (fwrite(block, 1, n, out) != n)
			die(to);
	fclose(in);
	if (fclose(out))
		die(to);
}

void t_copy_folder(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	struct dirent *entry;

	if (!dir || (mkdir(to, 0755) && errno != EEXIST))
		die(from);
	while ((entry = readdir(dir))) {
		char a[PATH_BYTES], b[PATH_BYTES];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, entry->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, entry->d_name);
		t_copy_file(a, b);
	}
	closedir(dir);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

void t_remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

json_t *t_bad_load(void)
{
	return json_load_file(T_REFERENCE "/bad/bad.json", 0, NULL);
}

static const char *text(const json_t *entry, const char *key)
{
	return json_string_value(json_object_get(entry, key));
}

/* ---- changes to a file ------------------------------------------------------------------- */

struct content {
	unsigned char *data;
	size_t bytes;
};

static struct content read_file(const char *path)
{
	struct content c = { NULL, 0 };
	struct stat st;
	FILE *f = fopen(path, "rb");

	if (!f || fstat(fileno(f), &st))
		die(path);
	c.bytes = (size_t)st.st_size;
	c.data = malloc(c.bytes + 1);
	if (!c.data || fread(c.data, 1, c.bytes, f) != c.bytes)
		die(path);
	fclose(f);
	return c;
}

static void write_file(const char *path, const struct content *c)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(c->data, 1, c->bytes, f) != c->bytes || fclose(f))
		die(path);
}

/* Take @out bytes at @at away and put @in bytes there. */
static void replace(const char *path, size_t at, size_t out, const unsigned char *in,
		    size_t in_bytes)
{
	struct content old = read_file(path), made = { malloc(old.bytes + in_bytes + 1), 0 };

	if (!made.data || at + out > old.bytes)
		die("replace");
	memcpy(made.data, old.data, at);
	memcpy(made.data + at, in, in_bytes);
	memcpy(made.data + at + in_bytes, old.data + at + out, old.bytes - at - out);
	made.bytes = old.bytes - out + in_bytes;
	write_file(path, &made);
	free(old.data);
	free(made.data);
}

static struct content from_hex(const char *hex, size_t times)
{
	size_t n = strlen(hex) / 2;
	struct content c = { malloc(n * times + 1), n * times };

	if (!c.data)
		die("hex");
	for (size_t i = 0; i < n; i++) {
		unsigned int byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		for (size_t k = 0; k < times; k++)
			c.data[k * n + i] = (unsigned char)byte;
	}
	return c;
}

static int apply(const char *path, const json_t *ops)
{
	size_t i;
	json_t *op;

	json_array_foreach(ops, i, op) {
		const char *what = json_string_value(json_array_get(op, 0));
		size_t at = (size_t)json_integer_value(json_array_get(op, 1));
		struct content in = { NULL, 0 };

		if (!strcmp(what, "extend")) {
			if (truncate(path, (off_t)at))
				return -1;
			continue;
		}
		if (!strcmp(what, "splice"))
			in = from_hex(json_string_value(json_array_get(op, 3)), 1);
		else
			in = from_hex(json_string_value(json_array_get(op, 2)),
				      (size_t)json_integer_value(json_array_get(op, 3)));
		replace(path, at, strcmp(what, "splice") ? 0 :
		       (size_t)json_integer_value(json_array_get(op, 2)), in.data, in.bytes);
		free(in.data);
	}
	return 0;
}

/* ---- things that are not plain files ----------------------------------------------------- */

static int make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	err = bind(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return err;
}

static int make_special(const char *kind, const char *target, const char *path)
{
	if (!strcmp(kind, "absent"))
		return 0;
	if (!strcmp(kind, "fifo"))
		return mkfifo(path, 0600);
	if (!strcmp(kind, "folder"))
		return mkdir(path, 0755);
	if (!strcmp(kind, "socket"))
		return make_socket(path);
	return symlink(target ? target : kind, path);
}

static void nest(const char *path, int depth)
{
	struct content old = read_file(path);
	FILE *f = fopen(path, "wb");

	if (!f)
		die(path);
	fputs("{\"a\":", f);
	for (int i = 0; i < depth; i++)
		fputc('[', f);
	for (int i = 0; i < depth; i++)
		fputc(']', f);
	fputc(',', f);
	fwrite(old.data + 1, 1, old.bytes - 1, f);
	if (fclose(f))
		die(path);
	free(old.data);
}

/* ---- entries ----------------------------------------------------------------------------- */

static void make_folder(const json_t *entry, const char *path)
{
	const char *base = text(entry, "base"), *own = text(entry, "path");
	char from[PATH_BYTES];
	struct stat st;
	json_t *drop;
	size_t i;

	snprintf(from, sizeof(from), T_REFERENCE "/bad/%s", base ? base : "control");
	t_copy_folder(from, path);
	snprintf(from, sizeof(from), T_REFERENCE "/bad/%s", own ? own : "");
	if (own && stat(from, &st) == 0 && S_ISDIR(st.st_mode))
		t_copy_folder(from, path);
	json_array_foreach(json_object_get(entry, "drop"), i, drop) {
		snprintf(from, sizeof(from), "%s/%s", path, json_string_value(drop));
		unlink(from);
	}
}

static int make_member(const json_t *entry, const char *path)
{
	char file[PATH_BYTES];

	make_folder(entry, path);
	snprintf(file, sizeof(file), "%s/%s", path, text(entry, "member"));
	if (json_object_get(entry, "ops"))
		return apply(file, json_object_get(entry, "ops"));
	if (!strcmp(text(entry, "special"), "nested")) {
		nest(file, (int)json_integer_value(json_object_get(entry, "depth")));
		return 0;
	}
	unlink(file);
	return make_special(text(entry, "what"), NULL, file);
}

static int make_edited(const json_t *entry, const char *path)
{
	const struct content nothing = { (unsigned char[]){ 0 }, 0 };
	const char *base = text(entry, "base");
	char from[PATH_BYTES];

	if (base) {
		snprintf(from, sizeof(from), T_REFERENCE "/bad/%s", base);
		t_copy_file(from, path);
	} else {
		write_file(path, &nothing);
	}
	return apply(path, json_object_get(entry, "ops"));
}

int t_bad_make(const json_t *entry, const char *work, char *path, size_t path_bytes)
{
	const char *name = text(entry, "name"), *special = text(entry, "special");
	const char *target = text(entry, "target");

	snprintf(path, path_bytes, "%s/%s", work, name);
	if (json_object_get(entry, "member"))
		return make_member(entry, path);
	if (special && !strcmp(special, "path")) {
		snprintf(path, path_bytes, "%s", target);
		return 0;
	}
	if (special || json_object_get(entry, "ops")) {
		snprintf(path, path_bytes, "%s/%s.gguf", work, name);
		return special ? make_special(special, target, path) : make_edited(entry, path);
	}
	if (json_object_get(entry, "base")) {
		make_folder(entry, path);
		return 0;
	}
	snprintf(path, path_bytes, T_REFERENCE "/bad/%s", text(entry, "path"));
	return 0;
}
