/* SPDX-License-Identifier: MIT */
/* The loader on real files and the real io_uring; every fallback is forced. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sup_load.h"
#include "t.h"
#include "t_image.h"

#define MIB	(UINT64_C(1) << 20)

static struct sup_load *load_new(const char *model, const char *version, uint32_t hugepages)
{
	struct sup_load *load = calloc(1, sizeof(*load));

	if (!load)
		exit(1);
	snprintf(load->store, sizeof(load->store), "%s", t_tmpdir());
	snprintf(load->model, sizeof(load->model), "%s", model);
	snprintf(load->version, sizeof(load->version), "%s", version);
	load->hugepages = hugepages;
	load->wake_fd = -1;
	return load;
}

static int fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* The sealed arena holds @expect, and nobody can write to it. */
static void arena_is(const struct sup_load *load, const uint8_t *expect)
{
	uint64_t bytes = load->header.image_bytes;
	struct mhs_map map;

	t_need(load->own.count == 1);
	t_need(mhs_seg_map_ro(load->own.each[0].fd, bytes, 1, &map) == 0);
	t_mem_eq(map.addr, expect, bytes);
	t_ok(mprotect(map.addr, 4096, PROT_READ | PROT_WRITE) == -1);
	mhs_seg_unmap(&map);
	t_ok(mhs_seg_map_rw(load->own.each[0].fd, bytes, &map) != 0);
	t_ok(ftruncate(load->own.each[0].fd, 4096) != 0);
	t_eq(mhs_seg_check_seals(load->own.each[0].fd, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW |
				 F_SEAL_SEAL), 0);
}

static void every_method_loads(void)
{
	static const char *const methods[] = { "fixed", "plain", "pread", "buffered" };
	uint8_t *expect = t_image_write(t_tmpdir(), "noise", "1.0.0", 21 * MIB + 12345, 1, 1);

	for (size_t i = 0; i < 4; i++) {
		struct sup_load *load = load_new("noise", "1.0.0", SUP_HUGE_PREFER);
		int before = fds_open();

		setenv("MHOST_LOAD_METHOD", methods[i], 1);
		if (sup_load_run(load) == -EOPNOTSUPP) {
			printf("# %s does not work here: %s\n", methods[i], load->error.text);
		} else if (t_eq(load->status, 0)) {
			t_str_eq(sup_method_name(load->method), methods[i]);
			t_eq(load->read_bytes, load->header.image_bytes);
			t_eq(load->done_bytes, load->total_bytes);
			arena_is(load, expect);
		} else {
			printf("# %s\n", load->error.text);
		}
		sup_load_drop(load);
		t_eq(fds_open(), before);
		free(load);
	}
	unsetenv("MHOST_LOAD_METHOD");
	free(expect);
}

static void every_rung_loads(void)
{
	static const uint32_t wishes[] = { SUP_HUGE_NEVER, SUP_HUGE_PREFER, SUP_HUGE_REQUIRE };
	uint8_t *expect = t_image_write(t_tmpdir(), "noise", "1.0.1", 5 * MIB, 2, 1);

	for (size_t i = 0; i < 3; i++) {
		struct sup_load *load = load_new("noise", "1.0.1", wishes[i]);

		if (sup_load_run(load) == 0) {
			printf("# %s: %s; %s\n", sup_hugepages_name(wishes[i]),
			       mhs_pages_name(load->rung), load->pages_note);
			arena_is(load, expect);
			if (wishes[i] == SUP_HUGE_NEVER)
				t_eq(load->rung, MHS_PAGES_4K);
			if (wishes[i] == SUP_HUGE_REQUIRE)
				t_ok(load->rung <= MHS_PAGES_2M);
		} else {
			/* only require may fail, and says in numbers why */
			t_eq(wishes[i], SUP_HUGE_REQUIRE);
			t_ok(strstr(load->error.text, "pages of 2M"));
			printf("# %s\n", load->error.text);
		}
		sup_load_drop(load);
		free(load);
	}
	sup_pages_restore();
	free(expect);
}

static const char *load_error(const char *version)
{
	static char text[512];
	struct sup_load *load = load_new("bad", version, SUP_HUGE_NEVER);
	int before = fds_open();

	t_ok(sup_load_run(load) < 0);
	t_eq(load->own.count, 0);
	t_eq(fds_open(), before);
	snprintf(text, sizeof(text), "%s", load->error.text);
	free(load);
	return text;
}

static void damage_is_named(void)
{
	const char *store = t_tmpdir();
	uint8_t *image = t_image_write(store, "bad", "1.0.0", 9 * MIB, 3, 1);
	struct mhs_image_header header;
	uint8_t flipped;
	uint64_t at;

	memcpy(&header, image, sizeof(header));
	/* one bit in each chunk, its first and last byte too */
	for (uint32_t i = 0; i < header.chunk_count; i++) {
		char expect[64];

		at = header.data_offset_bytes + (uint64_t)i * header.chunk_bytes + (i == 1 ? 0 : 77777);
		flipped = image[at] ^ 1;
		t_image_patch(store, "bad", "1.0.0", at, &flipped, 1);
		snprintf(expect, sizeof(expect), "bad@1.0.0: chunk %u of %u ", i, header.chunk_count);
		t_ok(strstr(load_error("1.0.0"), expect));
		t_image_patch(store, "bad", "1.0.0", at, &image[at], 1);
	}
	flipped = image[header.image_bytes - 1] ^ 0x80;
	t_image_patch(store, "bad", "1.0.0", header.image_bytes - 1, &flipped, 1);
	t_ok(strstr(load_error("1.0.0"), "chunk 2 of 3 "));
	t_image_patch(store, "bad", "1.0.0", header.image_bytes - 1, &image[header.image_bytes - 1], 1);
	flipped = image[4096 + 3] ^ 1;
	t_image_patch(store, "bad", "1.0.0", 4096 + 3, &flipped, 1);
	t_ok(strstr(load_error("1.0.0"), "chunk_table: does not match"));
	t_image_patch(store, "bad", "1.0.0", 4096 + 3, &image[4096 + 3], 1);
	flipped = image[200] ^ 1;
	t_image_patch(store, "bad", "1.0.0", 200, &flipped, 1);
	t_ok(strstr(load_error("1.0.0"), "header_hash"));
	t_image_patch(store, "bad", "1.0.0", 200, &image[200], 1);
	free(image);
}

/* Everything hashes well, and the tensor table is nonsense all the same. */
static void tensor_table_is_checked(void)
{
	const char *store = t_tmpdir();
	uint8_t *image = t_image_write(store, "bad", "2.0.0", 64 * 1024, 4, 1);
	struct mhs_image_header *header = (void *)image;
	uint8_t *table = image + header->data_offset_bytes;

	((struct mhs_image_tensor *)(void *)table)->offset_bytes += 1;
	sto_hash128(table, header->image_bytes - header->data_offset_bytes, image + 4096);
	sto_hash128(image + 4096, 16, header->chunk_table_hash);
	t_image_reseal(header);
	t_image_patch(store, "bad", "2.0.0", 0, image, header->image_bytes);
	t_ok(strstr(load_error("2.0.0"), "tensor.offset_bytes"));
	free(image);
}

static void wrong_files(void)
{
	const char *store = t_tmpdir();
	char path[512];

	free(t_image_write(store, "bad", "3.0.0", 64 * 1024, 5, 0));
	snprintf(path, sizeof(path), "%s", t_image_path(store, "bad", "3.0.0"));
	t_need(truncate(path, 8192) == 0);
	t_ok(strstr(load_error("3.0.0"), "image_bytes"));
	t_need(truncate(path, 0) == 0);
	load_error("3.0.0");
	t_need(unlink(path) == 0);
	t_ok(strstr(load_error("3.0.0"), "import the version first"));
	t_need(symlink("/dev/zero", path) == 0);
	load_error("3.0.0");
	t_need(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	load_error("3.0.0");
	t_ok(strstr(load_error("9.9.9"), "bad@9.9.9"));
}

static void cancel_is_obeyed(void)
{
	struct sup_load *load = load_new("noise", "1.0.0", SUP_HUGE_NEVER);
	int before = fds_open();

	atomic_store(&load->cancel, true);
	t_eq(sup_load_run(load), -ECANCELED);
	t_eq(load->own.count, 0);
	t_eq(fds_open(), before);
	free(load);
}

static void a_thread_reports_and_ends(void)
{
	struct sup_load *load = load_new("noise", "1.0.0", SUP_HUGE_NEVER);

	t_need(sup_load_start(load) == 0);
	for (int i = 0; i < 20000 && !atomic_load(&load->over); i++)
		usleep(1000);
	t_need(atomic_load(&load->over));
	sup_load_join(load);
	t_eq(load->status, 0);
	sup_load_drop(load);
	free(load);
}

static void too_large_is_refused(void)
{
	struct mhs_image_header header;
	uint8_t *image = t_image_write(t_tmpdir(), "bad", "4.0.0", 64 * 1024, 6, 1);
	const char *path = t_image_path(t_tmpdir(), "bad", "4.0.0");
	uint64_t huge = UINT64_C(1) << 41;
	const char *text;

	/* a sparse file of 2 TiB with a header that is right */
	memcpy(&header, image, sizeof(header));
	free(image);
	header.chunk_count = (uint32_t)(huge / MHS_IMAGE_CHUNK_BYTES);
	header.chunk_table.length_bytes = header.chunk_count * UINT64_C(16);
	header.data_offset_bytes = 4096 + header.chunk_table.length_bytes;
	header.image_bytes = header.data_offset_bytes + huge;
	header.tensor_table.offset_bytes = header.data_offset_bytes;
	header.tokenizer.offset_bytes = header.data_offset_bytes + 4096;
	t_image_reseal(&header);
	t_image_patch(t_tmpdir(), "bad", "4.0.0", 0, &header, sizeof(header));
	if (chmod(path, 0644) || truncate(path, (off_t)header.image_bytes)) {
		t_skip("no sparse file of 2 TiB here");
		return;
	}
	chmod(path, 0444);
	text = load_error("4.0.0");
	t_ok(strstr(text, "MiB of memory needed"));
	unlink(path);
}

int main(void)
{
	T_RUN(every_method_loads);
	T_RUN(every_rung_loads);
	T_RUN(damage_is_named);
	T_RUN(tensor_table_is_checked);
	T_RUN(wrong_files);
	T_RUN(cancel_is_obeyed);
	T_RUN(a_thread_reports_and_ends);
	T_RUN(too_large_is_refused);
	return t_done();
}
