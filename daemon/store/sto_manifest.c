/* SPDX-License-Identifier: MIT */
/* sto_manifest.c: manifest.json, what a version is made of and who made it when. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_image_priv.h"
#include "sto_json.h"

#define MANIFEST_BYTES_MAX	(UINT64_C(8) << 20)

void sto_hex(const uint8_t *data, uint32_t bytes, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (uint32_t i = 0; i < bytes; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * bytes] = '\0';
}

static int hash_hex(const void *a, size_t a_bytes, const void *b, size_t b_bytes,
		    char out[STO_HEX_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[MHS_HASH_BYTES];
	int good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		   EVP_DigestUpdate(ctx, a, a_bytes) == 1 &&
		   (!b || EVP_DigestUpdate(ctx, b, b_bytes) == 1) &&
		   EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (good)
		sto_hex(digest, MHS_HASH_BYTES, out);
	return good ? 0 : -ENOMEM;
}

int sto_sha256_hex(const void *data, size_t bytes, char out[STO_HEX_BYTES])
{
	return hash_hex(data, bytes, NULL, 0, out);
}

static size_t append(uint8_t *out, size_t at, const void *data, size_t bytes)
{
	memcpy(out + at, data, bytes);
	return at + bytes;
}

size_t sto_config_bytes(const struct mhs_image_header *h, uint8_t out[STO_CONFIG_BYTES])
{
	size_t n = append(out, 0, &h->config, sizeof(h->config));

	/* what a model has not is left out: its hash is as it was before there was such a thing */
	if (h->features & MHS_IMAGE_SHAPED)
		n = append(out, n, &h->shape, sizeof(h->shape));
	if (h->features & MHS_IMAGE_EXPERTS)
		n = append(out, n, &h->experts, sizeof(h->experts));
	return n;
}

/* config: that of the image, and the rope frequencies that belong to it. */
static int make_hashes(const struct sto_model *model, const struct mhs_image_header *h,
		       struct sto_hashes *hashes)
{
	uint8_t config[STO_CONFIG_BYTES];
	size_t bytes = sto_config_bytes(h, config);
	int err;

	memset(hashes, 0, sizeof(*hashes));
	sto_hex(h->content_hash, MHS_HASH_BYTES, hashes->content);
	err = hash_hex(config, bytes, model->inv_freq, model->inv_freq_count * sizeof(float), hashes->config);
	if (!err)
		err = sto_sha256_hex(model->tokenizer, model->tokenizer_bytes, hashes->tokenizer);
	if (!err && model->chat_template)
		err = sto_sha256_hex(model->chat_template, model->chat_template_bytes,
				     hashes->chat_template);
	return err;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* A string that may hold any bytes: what is not UTF-8 becomes "?". */
json_t *sto_manifest_text(const char *text)
{
	char clean[512];
	json_t *string = json_string(text);

	if (string)
		return string;
	snprintf(clean, sizeof(clean), "%s", text);
	for (char *p = clean; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(clean);
}

json_t *sto_manifest_source(const char *format, const struct sto_file *list, uint32_t count)
{
	json_t *files = json_array();

	for (uint32_t i = 0; i < count; i++) {
		const struct sto_file *file = &list[i];
		char hex[STO_HEX_BYTES];

		sto_hex(file->sha256, MHS_HASH_BYTES, hex);
		json_array_append_new(files, json_pack("{s:o, s:I, s:s}", "name",
						       sto_manifest_text(base_name(file->path)), "bytes",
						       (json_int_t)file->bytes, "sha256", hex));
	}
	return json_pack("{s:s, s:o}", "format", format, "files", files);
}

json_t *sto_manifest_user(void)
{
	uid_t uid = getuid();
	struct passwd *entry = getpwuid(uid);
	json_t *user = json_pack("{s:I}", "uid", (json_int_t)uid);

	if (entry && entry->pw_name)
		json_object_set_new(user, "name", sto_manifest_text(entry->pw_name));
	return user;
}

json_t *sto_manifest_time(void)
{
	time_t now = time(NULL);
	struct tm utc;
	char text[32];

	if (!gmtime_r(&now, &utc) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc))
		return json_null();
	return json_string(text);
}

/* NULL: none. */
static json_t *experts_object(const struct mhs_image_experts *x)
{
	return x->count ? json_pack("{s:i, s:i, s:i}", "count", x->count, "used", x->used, "intermediate",
				    x->intermediate) : NULL;
}

static json_t *config_object(const struct sto_model *model, const struct mhs_image_config *c)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:f, s:o*}",
			 "layers", c->layer_count, "hidden", c->hidden,
			 "intermediate", c->intermediate, "heads", c->head_count,
			 "kv_heads", c->kv_head_count, "head_dim", c->head_dim,
			 "vocab", c->vocab_count, "context", c->context_max, "tied", c->tied,
			 "rms_eps", (double)c->rms_eps, "rope_base", (double)model->rope_base,
			 "experts", experts_object(&model->experts));
}

/* As --quantize names it. */
static json_t *quantize_string(uint32_t source)
{
	const char *name = source ? eng_source_name(source) : NULL;
	char lower[16] = "";

	for (size_t i = 0; name && name[i] && i < sizeof(lower) - 1; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	return name ? json_string(lower) : json_null();
}

static json_t *string_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *manifest_object(const struct sto_import *import, const struct sto_model *model,
			       const struct mhs_image_header *h, const char *parent,
			       json_t *incompatible, const struct sto_hashes *hashes)
{
	json_t *image = json_pack("{s:I, s:s, s:i}", "bytes", (json_int_t)h->image_bytes,
				  "content_hash", hashes->content, "tensors", h->tensor_count);

	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:s, s:o, s:s, s:s, s:o, s:o, s:O*, s:O*, s:o*}",
		"model", import->model, "version", import->version, "parent",
		string_or_null(parent), "created", sto_manifest_time(), "user", sto_manifest_user(), "mhost",
		MHOST_VERSION, "source",
		sto_manifest_source(model->format, model->files, model->file_count), "quantize",
		quantize_string(import->quantize), "image", image, "architecture", mhs_arch_name(h->config.arch),
		"config", config_object(model, &h->config), "config_hash", hashes->config,
		"tokenizer_hash", hashes->tokenizer, "template_hash",
		string_or_null(hashes->chat_template), "meta", import->meta ? json_incref(import->meta) : json_object(),
		"incompatible", json_array_size(incompatible) ? incompatible : NULL, "merge", model->merge,
		"golden", sto_golden_object(&import->golden));
}

static int write_text(int dir_fd, const char *text, struct sto_error *error)
{
	int fd = openat(dir_fd, STO_MANIFEST_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	int err = fd < 0 ? -errno : 0;

	if (!err)
		err = sto_write_at(fd, text, strlen(text), 0, error);
	if (!err && (fchmod(fd, 0444) || fsync(fd)))
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (err)
		sto_fail(error, "%s: cannot be written: %s; check the store's disk",
			 STO_MANIFEST_NAME, strerror(-err));
	return err;
}

int sto_manifest_put(json_t *manifest, int dir_fd, struct sto_error *error)
{
	char *text = manifest ? json_dumps(manifest, JSON_INDENT(2)) : NULL;
	int err = -ENOMEM;

	if (text)
		err = write_text(dir_fd, text, error);
	else
		sto_fail(error, "%s: out of memory; free some", STO_MANIFEST_NAME);
	free(text);
	json_decref(manifest);
	return err;
}

int sto_manifest_write(const struct sto_import *import, const struct sto_model *model,
		       const struct mhs_image_header *header, const char *parent,
		       json_t *incompatible, int dir_fd, struct sto_error *error)
{
	struct sto_hashes hashes;
	int err = make_hashes(model, header, &hashes);

	return sto_manifest_put(err ? NULL : manifest_object(import, model, header, parent, incompatible,
							     &hashes), dir_fd, error);
}

int sto_manifest_read(const char *store, const char *model, const char *version, json_t **manifest,
		      struct sto_error *error)
{
	char path[4400] = STO_MANIFEST_NAME;
	struct sto_file file;
	int err;

	*manifest = NULL;
	sto_version_path(store, model, version, STO_MANIFEST_NAME, path, sizeof(path));
	err = sto_file_open(&file, AT_FDCWD, path, path, error);
	if (err)
		return err;
	err = sto_json_load(&file, MANIFEST_BYTES_MAX, manifest, error);
	sto_file_close(&file);
	return err;
}
