/* SPDX-License-Identifier: MIT */
/* sto_share.c: the blobs that earlier versions brought. */
#include "sto_share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mhs_attach.h"

/* Versions come in rising order: a ring keeps the last ones. */
struct latest {
	char versions[STO_SHARE_VERSIONS][MHS_SEMVER_BYTES];
	uint32_t count;
};

static int note_version(void *arg, const char *model, const char *version)
{
	struct latest *latest = arg;
	char *place = latest->versions[latest->count++ % STO_SHARE_VERSIONS];

	memcpy(place, version, strlen(version) + 1);
	return 0;
}

bool sto_shape_same(const struct sto_shape *a, const struct sto_shape *b)
{
	return a->kind == b->kind && a->type == b->type && a->rows == b->rows &&
	       a->cols == b->cols && a->length_bytes == b->length_bytes;
}

static bool is_vocabulary(const struct sto_shape *shape)
{
	return shape->kind == MHS_ROLE_EMBED || shape->kind == MHS_ROLE_OUTPUT;
}

bool sto_shape_alike(const struct sto_shape *a, const struct sto_shape *b)
{
	struct sto_shape as_b = *a;

	if (is_vocabulary(a) && is_vocabulary(b))
		as_b.kind = b->kind;
	return sto_shape_same(&as_b, b);
}

/* Index of the pack @id, opened if it is new; negative when it cannot be had. */
static int pack_index(struct sto_share *share, struct sto_version *v, uint32_t number)
{
	const struct mhs_image_pack *id = &mhs_image_packs(&v->header, v->base)[number];
	struct sto_known_pack *pack = &share->packs[share->pack_count];
	struct mhs_pack_header header;
	struct sto_error ignored;

	for (uint32_t i = 0; i < share->pack_count; i++)
		if (!memcmp(&share->packs[i].id, id, sizeof(*id)))
			return (int)i;
	if (share->pack_count == STO_SHARE_PACKS)
		return -ENOSPC;
	pack->fd = sto_pack_open(v->store, v->model, v->version, id, &header, &ignored);
	if (pack->fd < 0)
		return pack->fd;
	pack->id = *id;
	memcpy(pack->version, v->version, sizeof(pack->version));
	return (int)share->pack_count++;
}

static bool is_known(const struct sto_share *share, uint32_t pack, uint64_t at_bytes)
{
	for (uint32_t i = 0; i < share->blob_count; i++)
		if (share->blobs[i].pack == pack && share->blobs[i].at_bytes == at_bytes)
			return true;
	return false;
}

static int blob_append(struct sto_share *share, const struct sto_known *blob)
{
	if (share->blob_count == share->blob_cap) {
		uint32_t cap = share->blob_cap ? 2 * share->blob_cap : 512;
		struct sto_known *more = realloc(share->blobs, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		share->blobs = more;
		share->blob_cap = cap;
	}
	share->blobs[share->blob_count++] = *blob;
	return 0;
}

/* @blob of @v, whose bytes begin at @offset_bytes of the image. */
static int blob_add(struct sto_share *share, struct sto_version *v, struct sto_known *blob,
		    uint64_t offset_bytes)
{
	uint32_t segment;
	int pack;

	if (mhs_image_locate(&v->header, v->base, offset_bytes, blob->shape.length_bytes, &segment,
			     &blob->at_bytes) || segment == 0)
		return 0;
	pack = pack_index(share, v, segment - 1);
	if (pack < 0 || is_known(share, (uint32_t)pack, blob->at_bytes))
		return 0;
	blob->pack = (uint32_t)pack;
	return blob_append(share, blob);
}

static int span_add(struct sto_share *share, struct sto_version *v, uint32_t kind,
		    const struct mhs_image_span *span)
{
	struct sto_known blob = { .shape = { .kind = kind, .length_bytes = span->length_bytes } };

	return span->length_bytes ? blob_add(share, v, &blob, span->offset_bytes) : 0;
}

static int version_add(struct sto_share *share, struct sto_version *v)
{
	const struct mhs_image_tensor *t =
		(const void *)(v->base + v->header.tensor_table.offset_bytes);
	int err = 0;

	for (uint32_t i = 0; !err && i < v->header.tensor_count; i++) {
		struct sto_known blob = {
			.shape = { t[i].role, t[i].type, t[i].rows, t[i].cols, t[i].length_bytes },
			.layer = t[i].layer, .hashed = true,
		};

		memcpy(blob.hash, t[i].hash, sizeof(blob.hash));
		err = blob_add(share, v, &blob, t[i].offset_bytes);
	}
	if (!err)
		err = span_add(share, v, STO_BLOB_TOKENIZER, &v->header.tokenizer);
	return err ? err : span_add(share, v, STO_BLOB_TEMPLATE, &v->header.chat_template);
}

static int latest_add(struct sto_share *share, const char *store, const char *model,
		      const char *version)
{
	struct sto_version *v = malloc(sizeof(*v));
	struct sto_error ignored;
	int err = 0;

	if (!v)
		return -ENOMEM;
	if (sto_version_open(v, store, model, version, &ignored) == 0) {
		if (v->base)
			err = version_add(share, v);
		sto_version_close(v);
	}
	free(v);
	return err;
}

int sto_share_open(struct sto_share *share, const char *store, const char *model,
		   struct sto_error *error)
{
	struct latest latest = { .count = 0 };
	int err = 0;

	memset(share, 0, sizeof(*share));
	if (store)
		err = sto_versions_each(store, model, note_version, &latest, error);
	if (err)
		return err;
	for (uint32_t i = 0; !err && i < STO_SHARE_VERSIONS && i < latest.count; i++)
		err = latest_add(share, store, model,
				 latest.versions[(latest.count - 1 - i) % STO_SHARE_VERSIONS]);
	if (err) {
		sto_fail(error, "image: out of memory; free some");
		sto_share_close(share);
	}
	return err;
}

void sto_share_close(struct sto_share *share)
{
	while (share->pack_count)
		close(share->packs[--share->pack_count].fd);
	free(share->blobs);
	share->blobs = NULL;
	share->blob_count = share->blob_cap = 0;
}
