/* SPDX-License-Identifier: MIT */
/* share_test.c: versions of a model keep what they have in common once, and never another's bytes. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_version.h"
#include "t.h"
#include "t_bad.h"
#include "t_gguf.h"
#include "t_import.h"

/* Of the C library, but refused while this is set: another file system, too many links. */
static int link_errno;

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	if (link_errno) {
		errno = link_errno;
		return -1;
	}
	return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

/* The model of @seed as @ref; of the tensor with number @other (from 0) the bytes of another seed. */
static void gguf_write(const char *path, uint64_t seed, int other)
{
	struct t_gguf g, h;

	t_gguf_init(&g, ENG_SRC_F16, seed);
	t_gguf_init(&h, ENG_SRC_F16, seed + 1000);
	if (other >= 0) {
		uint8_t *data = g.tensors[other].data;

		g.tensors[other].data = h.tensors[other].data;
		h.tensors[other].data = data;
	}
	t_gguf_write(&g, path);
	t_gguf_free(&g);
	t_gguf_free(&h);
}

static void import_as(const char *store, const char *ref, uint64_t seed, int other,
		      struct sto_import_result *result)
{
	struct sto_import import = { .store = store, .path = t_path("share.gguf"), .threads = 2 };
	struct sto_error error = { "" };

	gguf_write(import.path, seed, other);
	t_need(sto_ref_parse(ref, 0, import.model, import.version, &error) == 0);
	if (!t_ok(sto_import(&import, result, &error) == 0))
		printf("# %s\n", error.text);
}

/* The whole image; the caller frees it. */
static uint8_t *image_of(const char *store, const char *version, struct sto_version *v)
{
	struct sto_error error = { "" };
	uint8_t *image = NULL;

	if (sto_version_open(v, store, "m", version, &error) == 0) {
		image = malloc(v->header.image_bytes);
		if (sto_version_read(v, image, v->header.image_bytes, 0, &error))
			image[0] = 0;
	}
	if (error.text[0])
		printf("# %s\n", error.text);
	return image;
}

/* @version of @store holds, byte for byte behind the header, what an import all alone gives. */
static void is_as_alone(const char *store, const char *version, uint64_t seed, int other)
{
	struct sto_import_result result;
	struct sto_version shared, alone;
	uint8_t *a, *b;
	char ref[64];

	t_remove_tree(t_path("alone"));
	snprintf(ref, sizeof(ref), "m@%s", version);
	import_as(t_path("alone"), ref, seed, other, &result);
	a = image_of(store, version, &shared);
	b = image_of(t_path("alone"), version, &alone);
	t_need(a && b);
	t_eq(shared.header.image_bytes, alone.header.image_bytes);
	t_mem_eq(a + 4096, b + 4096, shared.header.image_bytes - 4096);
	t_mem_eq(shared.header.content_hash, alone.header.content_hash, MHS_HASH_BYTES);
	t_mem_eq(shared.header.chunk_table_hash, alone.header.chunk_table_hash, 16);
	sto_version_close(&shared);
	sto_version_close(&alone);
	free(a);
	free(b);
}

static uint64_t disk_bytes;
static ino_t seen[256];
static int seen_count;

static int add_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path, (void)ftw;
	for (int i = 0; i < seen_count; i++)
		if (seen[i] == st->st_ino)
			return 0;
	if (flag == FTW_F && seen_count < 256) {
		seen[seen_count++] = st->st_ino;
		disk_bytes += (uint64_t)st->st_blocks * 512;
	}
	return 0;
}

/* Blocks of all files below @path, each file once whatever its links. */
static uint64_t disk_of(const char *path)
{
	disk_bytes = 0;
	seen_count = 0;
	nftw(path, add_file, 16, FTW_PHYS);
	return disk_bytes;
}

static uint32_t packs_of(const char *store, const char *version)
{
	struct sto_error error;
	struct sto_version v;
	uint32_t count;

	if (sto_version_open(&v, store, "m", version, &error))
		return UINT32_MAX;
	count = v.header.pack_count;
	sto_version_close(&v);
	return count;
}

static void the_same_again_costs_tables_only(void)
{
	struct sto_import_result first, again;
	uint64_t before;

	import_as(t_path("same"), "m@1.0.0", 1, -1, &first);
	t_ok(first.stored_bytes > first.image_bytes);
	before = disk_of(t_path("same"));
	import_as(t_path("same"), "m@1.1.0", 1, -1, &again);
	t_mem_eq(first.content_hash, again.content_hash, MHS_HASH_BYTES);
	t_ok(again.stored_bytes <= 4 * 4096);
	/* tables and manifest */
	t_ok(disk_of(t_path("same")) - before <= again.stored_bytes + 2 * 4096);
	t_eq(packs_of(t_path("same"), "1.1.0"), 1);
	is_as_alone(t_path("same"), "1.1.0", 1, -1);
	t_ok(t_store_has_no_tmp(t_path("same")));
}

static void one_tensor_that_differs_is_one_pack(void)
{
	struct sto_import_result result;

	import_as(t_path("one"), "m@1.0.0", 1, -1, &result);
	for (int other = 0; other < 11; other++) {
		char ref[32];

		snprintf(ref, sizeof(ref), "m@1.%d.0", other + 1);
		import_as(t_path("one"), ref, 1, other, &result);
		is_as_alone(t_path("one"), ref + 2, 1, other);
		t_eq(packs_of(t_path("one"), ref + 2), 2);
	}
	/* back to one that is there, though not in the version before */
	import_as(t_path("one"), "m@1.12.0", 1, 3, &result);
	t_ok(result.stored_bytes <= 4 * 4096);
	is_as_alone(t_path("one"), "1.12.0", 1, 3);
}

/* Only the tokenizer is common: its pack is not worth keeping for that. */
static void little_in_common_is_copied(void)
{
	struct sto_import_result result;

	import_as(t_path("little"), "m@1.0.0", 1, -1, &result);
	import_as(t_path("little"), "m@1.1.0", 77, -1, &result);
	t_eq(packs_of(t_path("little"), "1.1.0"), 1);
	t_ok(result.stored_bytes > result.image_bytes);
	is_as_alone(t_path("little"), "1.1.0", 77, -1);
}

static void without_links_all_is_copied(void)
{
	static const int errors[] = { EXDEV, EMLINK, EPERM };
	struct sto_import_result result;
	char ref[32];

	import_as(t_path("nolink"), "m@1.0.0", 1, -1, &result);
	for (int i = 0; i < 3; i++) {
		snprintf(ref, sizeof(ref), "m@1.%d.0", i + 1);
		link_errno = errors[i];
		import_as(t_path("nolink"), ref, 1, i, &result);
		link_errno = 0;
		t_eq(packs_of(t_path("nolink"), ref + 2), 1);
		is_as_alone(t_path("nolink"), ref + 2, 1, i);
	}
}

/* The version that brought a pack goes: the others have it still. */
static void the_first_version_may_go(void)
{
	struct sto_import_result result;

	import_as(t_path("gone"), "m@1.0.0", 1, -1, &result);
	import_as(t_path("gone"), "m@1.1.0", 1, 4, &result);
	t_remove_tree(t_path("gone/models/m/1.0.0"));
	is_as_alone(t_path("gone"), "1.1.0", 1, 4);
	import_as(t_path("gone"), "m@1.2.0", 1, -1, &result);
	is_as_alone(t_path("gone"), "1.2.0", 1, -1);
	t_eq(packs_of(t_path("gone"), "1.2.0"), 2);
}

/* Flip one byte of @version's pack @index, at the blob of tensor @tensor. */
static void pack_damage(const char *store, const char *version, uint32_t tensor)
{
	const struct mhs_image_tensor *t;
	char name[STO_PACK_NAME_BYTES], path[512];
	struct sto_error error;
	struct sto_version v;
	uint32_t segment;
	uint64_t at;
	uint8_t byte;
	int fd;

	t_need(sto_version_open(&v, store, "m", version, &error) == 0);
	t = (const void *)(v.base + v.header.tensor_table.offset_bytes);
	t_need(mhs_image_locate(&v.header, v.base, t[tensor].offset_bytes, 1, &segment, &at) == 0);
	sto_pack_name(mhs_image_packs(&v.header, v.base)[segment - 1].content_hash, name);
	snprintf(path, sizeof(path), "%s/models/m/%s/%s", store, version, name);
	chmod(path, 0644);
	fd = open(path, O_RDWR);
	t_ok(pread(fd, &byte, 1, (off_t)at + 40) == 1);
	byte ^= 1;
	t_ok(pwrite(fd, &byte, 1, (off_t)at + 40) == 1);
	close(fd);
	chmod(path, 0444);
	sto_version_close(&v);
}

/* As by a collision: the hash that the table names is that of other bytes. */
static void equal_hashes_are_not_enough(void)
{
	struct sto_import_result result;

	import_as(t_path("clash"), "m@1.0.0", 1, -1, &result);
	pack_damage(t_path("clash"), "1.0.0", 5);
	import_as(t_path("clash"), "m@1.1.0", 1, -1, &result);
	t_eq(packs_of(t_path("clash"), "1.1.0"), 1);	/* and a damaged pack is not handed on */
	is_as_alone(t_path("clash"), "1.1.0", 1, -1);
}

static void tables_are_checked(void)
{
	struct sto_import_result result;
	struct sto_error error = { "" };
	struct sto_version v;
	char path[256];
	uint8_t byte;
	int fd;

	import_as(t_path("tables"), "m@1.0.0", 1, -1, &result);
	snprintf(path, sizeof(path), "%s", t_path("tables/models/m/1.0.0/image.mhi"));
	chmod(path, 0644);
	fd = open(path, O_RDWR);
	t_ok(pread(fd, &byte, 1, 3 * 4096) == 1);
	byte ^= 0x10;
	t_ok(pwrite(fd, &byte, 1, 3 * 4096) == 1);
	close(fd);
	t_eq(sto_version_open(&v, t_path("tables"), "m", "1.0.0", &error), -EBADMSG);
	t_ok(strstr(error.text, "m@1.0.0: image.mhi: file_hash"));
	/* of no use to others, and no hindrance */
	import_as(t_path("tables"), "m@0.9.0", 1, -1, &result);
	t_ok(result.stored_bytes > result.image_bytes);
}

int main(void)
{
	T_RUN(the_same_again_costs_tables_only);
	T_RUN(one_tensor_that_differs_is_one_pack);
	T_RUN(little_in_common_is_copied);
	T_RUN(without_links_all_is_copied);
	T_RUN(the_first_version_may_go);
	T_RUN(equal_hashes_are_not_enough);
	T_RUN(tables_are_checked);
	return t_done();
}
