/* SPDX-License-Identifier: MIT */
/* image_test.c: what the importer writes: layout, hashes, manifest. */
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_history.h"
#include "t.h"
#include "t_imported.h"

static void check_hashes(const struct t_imported *image)
{
	const struct mhs_image_header *h = &image->head;
	const uint8_t *chunks = image->base + h->chunk_table.offset_bytes;
	uint8_t hash[16], sha[32];
	unsigned int n = 0;

	sto_hash128(chunks, h->chunk_table.length_bytes, hash);
	t_mem_eq(hash, h->chunk_table_hash, 16);
	for (uint32_t i = 0; i < h->chunk_count; i++) {
		uint64_t at = h->data_offset_bytes + (uint64_t)i * MHS_IMAGE_CHUNK_BYTES;
		uint64_t left = h->image_bytes - at;

		sto_hash128(image->base + at,
			    left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES, hash);
		t_mem_eq(hash, chunks + 16 * i, 16);
	}
	EVP_Digest(image->base + h->data_offset_bytes, h->image_bytes - h->data_offset_bytes, sha,
		   &n, EVP_sha256(), NULL);
	t_mem_eq(sha, h->content_hash, 32);
}

static void check_tensors(const struct t_imported *image)
{
	const struct mhs_image_tensor *t =
		(const void *)(image->base + image->head.tensor_table.offset_bytes);
	const char *field = "";
	uint8_t hash[16];

	t_eq(mhs_image_check_tensors(&image->head, image->base, &field), 0);
	for (uint32_t i = 0; i < image->head.tensor_count; i++) {
		t_eq(t[i].length_bytes, eng_packed_bytes(t[i].type, t[i].rows, t[i].cols));
		sto_hash128(image->base + t[i].offset_bytes, t[i].length_bytes, hash);
		t_mem_eq(hash, t[i].hash, 16);
	}
}

static void writes_a_sound_image(void)
{
	struct t_imported image;
	struct t_gguf g;
	struct stat st;

	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	t_kv_text(&g.kv, "tokenizer.chat_template", "{{ messages }}");
	g.kv_count = 1;
	t_need(t_imported_open(&image, &g, 0) == 0);
	t_eq(fstat(image.fd, &st), 0);
	t_eq(st.st_mode & 0777, 0444);
	t_eq(image.bytes % MHS_IMAGE_ALIGN_BYTES, 0);
	check_hashes(&image);
	check_tensors(&image);
	t_eq(image.head.tensor_count, 12);	/* 11 and the frequencies */
	t_eq(image.head.bos_id, T_GGUF_VOCAB - 1);
	t_ok(image.head.eos_count == 1 && image.head.eos_ids[0] == T_GGUF_VOCAB - 2);
	t_eq(image.head.config.tied, 1);
	t_eq(image.head.config.float_weights, 0);
	t_eq(image.head.chat_template.length_bytes, 14);
	t_mem_eq(image.base + image.head.chat_template.offset_bytes, "{{ messages }}", 14);
	t_imported_close(&image);
	t_gguf_free(&g);
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void writes_a_manifest(void)
{
	json_t *meta = json_pack("{s:s, s:{s:f}}", "commit", "0123abc", "metrics", "loss", 2.5);
	struct sto_import import = { .store = t_path("store"), .path = t_path("in.gguf"),
				     .model = "manifest", .version = "1.0.1", .meta = meta,
				     .quantize = ENG_SRC_Q4_1 };
	struct sto_import_result result;
	struct sto_error error = { "" };
	struct t_gguf g;
	json_t *root, *file;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	t_gguf_write(&g, import.path);
	t_gguf_free(&g);
	t_need(sto_import(&import, &result, &error) == 0);
	t_str_eq(result.parent, "");
	strcpy(import.version, "1.1.0");
	t_need(sto_import(&import, &result, &error) == 0);
	t_str_eq(result.parent, "1.0.1");
	root = json_load_file(t_path("store/models/manifest/1.1.0/manifest.json"), 0, NULL);
	t_need(root != NULL);
	t_str_eq(text_of(root, "model"), "manifest");
	t_str_eq(text_of(root, "version"), "1.1.0");
	t_str_eq(text_of(root, "parent"), "1.0.1");
	t_str_eq(text_of(root, "quantize"), "q4_1");
	t_str_eq(text_of(root, "architecture"), "llama");
	t_str_eq(text_of(json_object_get(root, "meta"), "commit"), "0123abc");
	t_ok(json_equal(json_object_get(root, "meta"), meta));
	t_eq(json_integer_value(json_object_get(json_object_get(root, "image"), "bytes")),
	     result.image_bytes);
	file = json_array_get(json_object_get(json_object_get(root, "source"), "files"), 0);
	t_str_eq(text_of(file, "name"), "in.gguf");
	t_eq(strlen(text_of(file, "sha256")), 64);
	json_decref(root);
	json_decref(meta);
}

static json_t *last_event;

static int keep_event(void *arg, json_t *event)
{
	json_decref(last_event);
	last_event = json_incref(event);
	return 0;
}

/* After writes_a_manifest(): the parent may be any version of the model that is there. */
static void takes_the_parent_that_is_named(void)
{
	struct sto_import import = { .store = t_path("store"), .path = t_path("in.gguf"),
				     .model = "manifest", .version = "1.2.0", .parent = "1.0.1" };
	struct sto_import_result result;
	struct sto_error error = { "" };

	t_need(sto_import(&import, &result, &error) == 0);
	t_str_eq(result.parent, "1.0.1");
	t_eq(sto_import_log(&import, &result, &error), 0);
	t_eq(sto_history_each(import.store, keep_event, NULL, NULL, &error), 0);
	t_str_eq(text_of(last_event, "event"), "import");
	t_str_eq(text_of(last_event, "version"), "1.2.0");
	t_str_eq(text_of(last_event, "parent"), "1.0.1");
	json_decref(last_event);
	import.parent = "1.0.2";
	strcpy(import.version, "1.3.0");
	t_eq(sto_import(&import, &result, &error), -ENOENT);
	t_ok(strstr(error.text, "parent: manifest@1.0.2 is not in the store"));
	t_ok(access(t_path("store/models/manifest/1.3.0"), F_OK) != 0);
}

int main(void)
{
	T_RUN(writes_a_sound_image);
	T_RUN(writes_a_manifest);
	T_RUN(takes_the_parent_that_is_named);
	return t_done();
}
