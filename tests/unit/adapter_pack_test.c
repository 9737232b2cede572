/* SPDX-License-Identifier: MIT */
/*
 * adapter_pack_test.c: an adapter packed into memory is, tensor for tensor, what the import puts into
 * the store; its memory is sealed, its hashes hold; what an import refuses is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_adapter_pack.h"
#include "t.h"
#include "t_bad.h"
#include "t_import.h"
#include "t_peft.h"

static struct sto_error error;
static struct sto_version base;

static void need_base(void)
{
	if (base.fd > 0)
		return;
	t_need(t_import(t_path("store"), "tiny@1.0.0", T_TINY_MODEL, &error) == 0);
	t_need(sto_version_open(&base, t_path("store"), "tiny", "1.0.0", &error) == 0);
}

static struct sto_adapter_pack pack_of(const char *path, enum mhs_pages pages)
{
	return (struct sto_adapter_pack){ .model = "tiny", .adapter = "packed", .version = "1.0.0", .path = path,
					  .config_fd = -1, .weights_fd = -1, .base = &base, .pages = pages };
}

/* The file in memory, sealed as a client would send it. */
static int memory_of(const char *path, const char *name)
{
	char whole[512], block[65536];
	int fd = memfd_create(name, MFD_ALLOW_SEALING), file;
	ssize_t n;

	snprintf(whole, sizeof(whole), "%s/%s", path, name);
	file = open(whole, O_RDONLY);
	while ((n = read(file, block, sizeof(block))) > 0)
		t_eq(write(fd, block, (size_t)n), n);
	close(file);
	t_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

/* ---- what is in the segment ------------------------------------------------------------------ */

static void check_hashes(const struct mhs_image_header *h, const uint8_t *image)
{
	uint8_t hash[MHS_HASH_BYTES];

	for (uint32_t i = 0; i < h->chunk_count; i++) {
		uint64_t at = h->data_offset_bytes + (uint64_t)i * MHS_IMAGE_CHUNK_BYTES;
		uint64_t left = h->image_bytes - at;

		sto_hash128(image + at, left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES, hash);
		t_mem_eq(hash, image + h->chunk_table.offset_bytes + i * MHS_CHUNK_HASH_BYTES,
			 MHS_CHUNK_HASH_BYTES);
	}
	EVP_Digest(image + h->chunk_table.offset_bytes, h->chunk_table.length_bytes, hash, NULL, EVP_sha256(),
		   NULL);
	t_mem_eq(hash, h->content_hash, MHS_HASH_BYTES);
}

/* The same targets and bytes as @stored, an image of the store. */
static void check_tensors(const struct mhs_image_header *h, const uint8_t *image,
			  const struct mhs_image_header *sh, const uint8_t *stored)
{
	const struct mhs_image_tensor *a = (const void *)(image + h->tensor_table.offset_bytes);
	const struct mhs_image_tensor *b = (const void *)(stored + sh->tensor_table.offset_bytes);

	t_need(h->tensor_count == sh->tensor_count && h->image_bytes == sh->image_bytes);
	t_mem_eq(h->fits_hash, sh->fits_hash, MHS_HASH_BYTES);
	for (uint32_t i = 0; i < h->tensor_count; i++) {
		t_mem_eq(&a[i], &b[i], offsetof(struct mhs_image_tensor, hash));
		t_mem_eq(image + a[i].offset_bytes, stored + b[i].offset_bytes, a[i].length_bytes);
	}
}

static void check_segment(int fd, const struct mhs_image_header *h, size_t seg_bytes,
			  const struct mhs_image_header *sh, const uint8_t *stored)
{
	const char *field = "";
	struct mhs_map map;

	t_eq(mhs_seg_check_seals(fd, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	t_ok(seg_bytes >= h->image_bytes);
	t_need(mhs_seg_map_ro(fd, seg_bytes, 0, &map) == 0);
	t_mem_eq(map.addr, h, sizeof(*h));
	t_eq(mhs_image_check_header(h, h->image_bytes, sto_hash128, &field), 0);
	t_eq(mhs_adapter_check(h, map.addr, &field), 0);
	check_hashes(h, map.addr);
	check_tensors(h, map.addr, sh, stored);
	mhs_seg_unmap(&map);
}

/* Folder and descriptors, on both rungs, against the store. */
static void check_folder(const char *path, const char *name)
{
	struct sto_adapter_import import = { .store = t_path("store"), .path = path, .model = "tiny",
					     .version = "1.0.0", .base = "1.0.0" };
	struct mhs_image_header h, sh;
	struct sto_adapter_result made;
	void *stored = NULL;

	snprintf(import.adapter, sizeof(import.adapter), "%s", name);
	t_need(sto_adapter_import(&import, &made, &error) == 0);
	t_need(sto_adapter_read(import.store, "tiny", name, "1.0.0", &sh, &stored, &error) == 0);
	for (int way = 0; way < 4; way++) {
		struct sto_adapter_pack pack = pack_of(path, way & 1 ? MHS_PAGES_2M : MHS_PAGES_4K);
		size_t seg_bytes = 0;
		int fd;

		if (way & 2) {
			pack.config_fd = memory_of(path, "adapter_config.json");
			pack.weights_fd = memory_of(path, "adapter_model.safetensors");
			pack.path = "pushed";
		}
		fd = sto_adapter_pack(&pack, &h, &seg_bytes, &error);
		if (t_ok(fd >= 0))
			check_segment(fd, &h, seg_bytes, &sh, stored);
		else
			printf("# %s: %s\n", name, error.text);
		close(fd);
		if (way & 2) {
			t_ok(fcntl(pack.config_fd, F_GETFD) >= 0);	/* still the caller's */
			close(pack.config_fd);
			close(pack.weights_fd);
		}
	}
	free(stored);
}

static void is_what_the_store_holds(void)
{
	static const char *const names[] = { "r1_all", "r4_all_linear", "patterns", "r64_q", "embeddings",
					     "regex_r3" };
	char path[256];

	T_NEED_REFERENCE(T_REFERENCE "/peft/peft.json");
	need_base();
	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), T_REFERENCE "/peft/%s", names[i]);
		check_folder(path, names[i]);
	}
}

/* Several chunks; halves of two types; rows that fill no panel. */
static void takes_odd_ones(void)
{
	struct t_peft p;

	need_base();
	t_peft_init(&p, 6000, "[\"layers.0.self_attn.q_proj\", \"layers.1.self_attn.q_proj\", \"lm_head\"]");
	t_peft_pair(&p, "layers.0.self_attn.q_proj", 6000, "F32");
	t_peft_pair(&p, "layers.1.self_attn.q_proj", 6000, "F32");
	t_peft_pair(&p, "lm_head", 6000, "BF16");
	t_peft_drop(&p, "lm_head.lora_B");
	t_peft_add(&p, "base_model.model.lm_head.lora_B.weight", "F16", T_TINY_VOCAB, 6000);
	t_peft_write(&p, t_path("odd"));
	check_folder(t_path("odd"), "odd");
	t_peft_fini(&p);
}

/* ---- hashes and refusals ---------------------------------------------------------------------- */

static void hash_of(const char *path, uint8_t hash[MHS_HASH_BYTES])
{
	struct sto_adapter_pack pack = pack_of(path, MHS_PAGES_4K);
	struct mhs_image_header h;
	size_t seg_bytes;
	int fd = sto_adapter_pack(&pack, &h, &seg_bytes, &error);

	t_ok(fd >= 0);
	close(fd);
	memcpy(hash, h.content_hash, MHS_HASH_BYTES);
}

/* One bit of a weight, or the scale alone: another hash; the same again: the same. */
static void hashes_the_content(void)
{
	uint8_t first[MHS_HASH_BYTES], again[MHS_HASH_BYTES], other[MHS_HASH_BYTES];
	struct t_peft p;

	need_base();
	t_peft_init(&p, 2, "[\"layers.0.self_attn.q_proj\"]");
	t_peft_pair(&p, "layers.0.self_attn.q_proj", 2, "F32");
	t_peft_write(&p, t_path("bits"));
	hash_of(t_path("bits"), first);
	hash_of(t_path("bits"), again);
	t_mem_eq(first, again, sizeof(first));
	t_peft_find(&p, "lora_B")->data[4 * 96 - 4] ^= 1;
	t_peft_write(&p, t_path("bits"));
	hash_of(t_path("bits"), other);
	t_ok(memcmp(first, other, sizeof(first)) != 0);
	t_peft_find(&p, "lora_B")->data[4 * 96 - 4] ^= 1;
	json_object_set_new(p.config, "lora_alpha", json_real(8.5));
	t_peft_write(&p, t_path("bits"));
	hash_of(t_path("bits"), other);
	t_ok(memcmp(first, other, sizeof(first)) != 0);
	t_peft_fini(&p);
}

static void refuses(const char *path, int wanted, const char *words)
{
	struct sto_adapter_pack pack = pack_of(path, MHS_PAGES_4K);
	struct mhs_image_header h;
	size_t seg_bytes;

	t_eq(sto_adapter_pack(&pack, &h, &seg_bytes, &error), wanted);
	if (!t_ok(strstr(error.text, words)))
		printf("# no \"%s\" in \"%s\"\n", words, error.text);
}

static void refuses_as_an_import(void)
{
	static const struct { const char *dtype; uint8_t bytes[4]; uint32_t size; } bad[] = {
		{ "F32", { 0, 0, 0x80, 0x7f }, 4 }, { "F32", { 1, 0, 0xc0, 0xff }, 4 },
		{ "F16", { 0, 0xfc }, 2 }, { "BF16", { 0x80, 0xff }, 2 },
	};
	struct t_peft p;

	need_base();
	for (uint32_t i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {
		const char *half = i % 2 ? "lora_B" : "lora_A";

		t_peft_init(&p, 20, "[\"layers.0.self_attn.q_proj\"]");
		t_peft_pair(&p, "layers.0.self_attn.q_proj", 20, bad[i / 2].dtype);
		/* in row 17 of either half */
		memcpy(t_peft_find(&p, half)->data + (17 * (i % 2 ? 20 : 96) + 3) * bad[i / 2].size, bad[i / 2].bytes,
		       bad[i / 2].size);
		t_peft_write(&p, t_path("bad"));
		refuses(t_path("bad"), -EDOM, "row 17 holds a value that is not finite");
		t_peft_fini(&p);
	}
	refuses(t_path("nothing"), -ENOENT, "cannot be opened as a folder");
	refuses(T_TINY_MODEL, -ENOENT, "adapter_config.json");
}

int main(void)
{
	T_RUN(is_what_the_store_holds);
	T_RUN(takes_odd_ones);
	T_RUN(hashes_the_content);
	T_RUN(refuses_as_an_import);
	if (base.fd > 0)
		sto_version_close(&base);
	return t_done();
}
