/* SPDX-License-Identifier: MIT */
/* verify_test.c: every damage to a version of the store is found and named. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_verify.h"
#include "sto_version.h"
#include "t.h"
#include "t_gguf.h"
#include "t_import.h"

#define FLIPS	300

static char store[256], image[300], manifest[300], pack[400], pack_name[STO_PACK_NAME_BYTES];
static struct sto_version v;	/* as it was before any damage */
static char said[8192];
static int problems;
static _Atomic int stop;

static void note(void *arg, const char *text)
{
	size_t n = strlen(said);

	(void)arg;
	snprintf(said + n, sizeof(said) - n, "%s\n", text);
	problems++;
}

/* The next of a run: what was said before is forgotten. */
static int verify_next(struct sto_verified *verified, const char *version, uint64_t *bytes)
{
	const struct sto_verify work = { .store = store, .problem = note, .stop = &stop,
					 .verified = verified };
	struct sto_error error = { "" };

	said[0] = '\0';
	problems = 0;
	return sto_verify_version(&work, "m", version, bytes, &error);
}

static int verify(void)
{
	struct sto_verified *verified = sto_verified_new();
	uint64_t bytes;
	int err = verify_next(verified, "1.0.0", &bytes);

	sto_verified_free(&verified);
	return err;
}

/* Change one bit of a file; doing it again restores it. */
static void flip_bit(const char *path, uint64_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	t_eq(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x10;
	t_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

/* Problems with one bit changed at @offset of a file; @expect is among them. */
static int damaged_at(const char *path, uint64_t offset, const char *expect)
{
	flip_bit(path, offset);
	t_eq(verify(), 0);
	if (!t_ok(strstr(said, expect)))
		printf("# at %llu: no \"%s\" in:\n%s", (unsigned long long)offset, expect, said);
	flip_bit(path, offset);
	return problems;
}

/* The same, at @offset of the image: it lies in the pack. */
static int damaged_in(uint64_t offset, const char *expect)
{
	uint32_t segment;
	uint64_t at = 0;

	t_eq(mhs_image_locate(&v.header, v.base, offset, 1, &segment, &at), 0);
	t_eq(segment, 1);
	return damaged_at(pack, at, expect);
}

static void a_fresh_version_is_good(void)
{
	struct sto_error error;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	t_kv_text(&g.kv, "tokenizer.chat_template", "{{ messages }}");
	g.kv_count = 1;
	t_gguf_write(&g, t_path("in.gguf"));
	t_gguf_free(&g);
	t_need(t_import(store, "m@1.0.0", t_path("in.gguf"), &error) == 0);
	chmod(image, 0644);
	chmod(manifest, 0644);
	t_eq(verify(), 0);
	t_eq(problems, 0);
	t_need(sto_version_open(&v, store, "m", "1.0.0", &error) == 0);
	t_need(v.header.pack_count == 1);
	sto_pack_name(mhs_image_packs(&v.header, v.base)[0].content_hash, pack_name);
	snprintf(pack, sizeof(pack), "%s/models/m/1.0.0/%s", store, pack_name);
	chmod(pack, 0644);
}

static void names_what_a_bit_is_in(void)
{
	char name[128];

	damaged_at(image, 0, "image.mhi: magic");
	damaged_at(image, 4000, "image.mhi: ");
	damaged_at(image, v.header.chunk_table.offset_bytes, "image.mhi: file_hash");
	damaged_at(image, v.header.tensor_table.offset_bytes, "image.mhi: file_hash");
	damaged_at(image, v.header.extent_table.offset_bytes, "image.mhi: file_hash");
	damaged_at(pack, 0, "mhp: magic");
	damaged_at(pack, 4000, "mhp: header_hash");
	damaged_at(pack, 4096, "mhp: chunk table: its hash");
	for (uint32_t i = 0; i < v.header.tensor_count; i++) {
		snprintf(name, sizeof(name), "tensor %s: its hash", v.tensors[i].name);
		/*
		 * The pack's chunk, its content and whom that hits; the image's content and the tensor;
		 * the frequencies are configuration too.
		 */
		t_eq(damaged_in(v.tensors[i].offset_bytes + v.tensors[i].length_bytes - 1, name),
		     v.tensors[i].role == MHS_ROLE_INV_FREQ ? 6 : 5);
	}
	damaged_in(v.header.tokenizer.offset_bytes + 100, "manifest: tokenizer_hash");
	damaged_in(v.header.chat_template.offset_bytes, "manifest: template_hash");
	t_eq(verify(), 0);
	t_eq(problems, 0);	/* all is as it was */
}

static void finds_a_bit_anywhere(void)
{
	uint64_t state = 7, pack_bytes = mhs_image_packs(&v.header, v.base)[0].pack_bytes;

	for (int i = 0; i < FLIPS; i++) {
		bool own = i % 3 == 0;
		uint64_t at = t_random(&state) % (own ? v.header.file_bytes : pack_bytes);

		if (!own && at >= 4096 + 16 && at < 8192)
			continue;	/* behind the hash of its only chunk: nobody reads that */
		if (!t_ok(damaged_at(own ? image : pack, at, "") > 0))
			printf("# at %llu of the %s\n", (unsigned long long)at, own ? "image" : "pack");
	}
}

static void names_a_short_image(void)
{
	struct stat st;
	char *all = malloc(v.header.file_bytes);
	int fd = open(image, O_RDWR);

	t_eq(pread(fd, all, v.header.file_bytes, 0), v.header.file_bytes);
	t_eq(ftruncate(fd, 100), 0);
	t_eq(verify(), 0);
	t_ok(strstr(said, "header: the file is shorter"));
	t_eq(ftruncate(fd, (off_t)v.header.file_bytes - 4096), 0);
	t_eq(pwrite(fd, all, v.header.file_bytes - 4096, 0), v.header.file_bytes - 4096);
	t_eq(verify(), 0);
	t_ok(problems > 0);
	t_eq(pwrite(fd, all, v.header.file_bytes, 0), v.header.file_bytes);
	t_eq(fstat(fd, &st), 0);
	close(fd);
	free(all);
	t_eq(verify(), 0);
	t_eq(problems, 0);
}

static void names_a_pack_that_is_short_or_missing(void)
{
	struct stat st;
	char away[420];

	t_eq(stat(pack, &st), 0);
	snprintf(away, sizeof(away), "%s.away", pack);
	rename(pack, away);
	t_eq(verify(), 0);
	t_eq(problems, 1);	/* not each tensor in it */
	t_ok(strstr(said, pack_name) && strstr(said, "No such file"));
	rename(away, pack);
	t_eq(truncate(pack, st.st_size + 4096), 0);
	t_eq(verify(), 0);
	t_ok(strstr(said, "mhp: pack_bytes: must equal the file size"));
	t_ok(strstr(said, "mhp: damages m@1.0.0\n"));
	t_eq(truncate(pack, st.st_size), 0);
	t_eq(verify(), 0);
	t_eq(problems, 0);
}

/* Three versions: two are the same, one has a tensor of its own. */
static void names_a_shared_pack_once(void)
{
	struct sto_verified *verified = sto_verified_new();
	uint64_t first, second, third, data = v.header.image_bytes - v.header.data_offset_bytes;
	struct sto_error error;
	struct t_gguf g;

	t_need(t_import(store, "m@1.0.1", t_path("in.gguf"), &error) == 0);
	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	t_kv_text(&g.kv, "tokenizer.chat_template", "{{ messages }}");
	g.kv_count = 1;
	g.tensors[3].data[0] ^= 1;
	t_gguf_write(&g, t_path("other.gguf"));
	t_gguf_free(&g);
	t_need(t_import(store, "m@1.0.2", t_path("other.gguf"), &error) == 0);
	t_eq(verify_next(verified, "1.0.0", &first), 0);
	t_eq(verify_next(verified, "1.0.1", &second), 0);
	t_eq(verify_next(verified, "1.0.2", &third), 0);
	t_eq(problems, 0);
	t_ok(first > 2 * data);			/* the pack, the image, each tensor */
	t_eq(second, 0);			/* all of it is the first one's */
	t_ok(third >= data && third < 2 * data);	/* its own tensor, and the image that has it */
	sto_verified_free(&verified);

	verified = sto_verified_new();
	flip_bit(pack, 8192 + 100);
	t_eq(verify_next(verified, "1.0.0", &first), 0);
	t_ok(strstr(said, "mhp: chunk 0 (bytes 8192 to "));
	t_ok(strstr(said, "mhp: damages m@1.0.0, m@1.0.1, m@1.0.2\n"));
	t_eq(verify_next(verified, "1.0.1", &second), 0);
	t_ok(strstr(said, "mhp: damaged, as told of m@1.0.0\n") && !strstr(said, "chunk 0"));
	t_ok(second <= data);			/* the pack is not read for it again */
	t_eq(verify_next(verified, "1.0.2", &third), 0);
	t_ok(strstr(said, "mhp: damaged, as told of m@1.0.0\n") && !strstr(said, "chunk 0"));
	flip_bit(pack, 8192 + 100);
	sto_verified_free(&verified);
}

static void manifest_without(const char *key, json_t *value, const char *expect)
{
	json_t *whole = json_load_file(manifest, 0, NULL), *changed = json_deep_copy(whole);

	if (strcmp(key, "bytes") == 0)
		json_object_set_new(json_object_get(changed, "image"), key, value);
	else
		json_object_set_new(changed, key, value);
	t_eq(json_dump_file(changed, manifest, 0), 0);
	t_eq(verify(), 0);
	t_eq(problems, 1);
	if (!t_ok(strstr(said, expect)))
		printf("# %s: no \"%s\" in %s", key, expect, said);
	t_eq(json_dump_file(whole, manifest, 0), 0);
	json_decref(changed);
	json_decref(whole);
}

static void names_a_manifest_that_lies(void)
{
	manifest_without("model", json_string("other"), "manifest: model: other, limit m");
	manifest_without("version", json_string("1.0.1"), "manifest: version: 1.0.1, limit 1.0.0");
	manifest_without("version", json_integer(1), "manifest: version: none, limit 1.0.0");
	manifest_without("template_hash", json_null(), "manifest: template_hash: none, limit ");
	manifest_without("config_hash", json_string("00"), "manifest: config_hash: 00, limit ");
	manifest_without("tokenizer_hash", json_string("00"), "manifest: tokenizer_hash: 00, limit ");
	manifest_without("bytes", json_integer(-1), "manifest: image.bytes: -1, limit ");
}

static void names_what_is_missing(void)
{
	char away[310];

	snprintf(away, sizeof(away), "%s.away", manifest);
	rename(manifest, away);
	t_eq(verify(), 0);
	t_eq(problems, 1);
	t_ok(strstr(said, "manifest: ") && strstr(said, "No such file"));
	t_write_file(manifest, "{\"model\": ", 10);
	t_eq(verify(), 0);
	t_ok(strstr(said, "manifest: ") && strstr(said, "JSON"));
	rename(away, manifest);
	snprintf(away, sizeof(away), "%s.away", image);
	rename(image, away);
	t_eq(verify(), 0);
	t_eq(problems, 1);
	t_ok(strstr(said, "No such file"));
	rename(away, image);
}

static void stops_when_asked(void)
{
	stop = 1;
	t_eq(verify(), -EINTR);
	stop = 0;
}

int main(void)
{
	snprintf(store, sizeof(store), "%s", t_path("store"));
	snprintf(image, sizeof(image), "%s", t_path("store/models/m/1.0.0/image.mhi"));
	snprintf(manifest, sizeof(manifest), "%s", t_path("store/models/m/1.0.0/manifest.json"));
	T_RUN(a_fresh_version_is_good);
	T_RUN(names_what_a_bit_is_in);
	T_RUN(finds_a_bit_anywhere);
	T_RUN(names_a_short_image);
	T_RUN(names_a_pack_that_is_short_or_missing);
	T_RUN(names_a_manifest_that_lies);
	T_RUN(names_what_is_missing);
	T_RUN(names_a_shared_pack_once);
	T_RUN(stops_when_asked);
	sto_version_close(&v);
	return t_done();
}
