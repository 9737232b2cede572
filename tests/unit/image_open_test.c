/* SPDX-License-Identifier: MIT */
/* image_open_test.c: opening takes only an image that is sound and can be trusted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_import.h"
#include "t.h"
#include "t_gguf.h"

/* A sound image as @model@1.2.3. */
static int import_as(const char *model)
{
	struct sto_import import = { .store = t_path("store"), .path = t_path("in.gguf"),
				     .version = "1.2.3", .threads = 1 };
	struct sto_import_result result;
	struct sto_error error;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	t_gguf_write(&g, import.path);
	t_gguf_free(&g);
	strcpy(import.model, model);
	return sto_import(&import, &result, &error);
}

/* Write @value at @at of the image that was made last, as its owner may. */
static void damage(const char *path, off_t at, uint8_t value)
{
	int fd;

	chmod(path, 0644);
	fd = open(path, O_WRONLY);
	t_eq(pwrite(fd, &value, 1, at), 1);
	close(fd);
}

static void open_fails(const char *model, const char *expect)
{
	struct mhs_image_header head;
	struct sto_error error = { "" };
	int fd = sto_image_open(t_path("store"), model, "1.2.3", &head, &error);

	t_ok(fd < 0);
	if (!t_ok(strstr(error.text, expect)))
		printf("# wanted \"%s\", got \"%s\"\n", expect, error.text);
	if (fd >= 0)
		close(fd);
}

static void opens_only_what_is_sound(void)
{
	char path[256];

	t_need(import_as("m") == 0);
	snprintf(path, sizeof(path), "%s", t_path("store/models/m/1.2.3/image.mhi"));
	open_fails("nowhere", "No such file");
	chmod(path, 0666);
	open_fails("m", "mode 666 lets others write");
	chmod(path, 0620);
	open_fails("m", "mode 620");
	damage(path, 200, 0x55);
	open_fails("m", "header_hash");
	damage(path, 0, 'X');
	open_fails("m", "not an mhost image");
	t_eq(truncate(path, 100), 0);
	open_fails("m", "the file is shorter");
	unlink(path);
	t_eq(symlink("/etc/passwd", path), 0);
	open_fails("m", "Too many levels of symbolic links");
	unlink(path);
	t_eq(mkfifo(path, 0600), 0);
	open_fails("m", "not a regular file");
}

static void knows_a_moved_image(void)
{
	const char *image = t_path("store/models/moved/1.2.3/image.mhi");

	t_need(import_as("other") == 0);
	t_eq(rename(t_path("store/models/other"), t_path("store/models/moved")), 0);
	open_fails("moved", "model: holds other@1.2.3");
	t_eq(chmod(image, 0644), 0);
	t_eq(truncate(image, 4096 * 3), 0);
	open_fails("moved", "file_bytes");
}

int main(void)
{
	T_RUN(opens_only_what_is_sound);
	T_RUN(knows_a_moved_image);
	return t_done();
}
