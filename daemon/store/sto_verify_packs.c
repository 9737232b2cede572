/* SPDX-License-Identifier: MIT */
/*
 * sto_verify_packs.c: what versions share is checked once in a run: each pack file (by inode), each
 * tensor at its place in one, and the whole of images that are equal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_verify_priv.h"

/* A tensor that was hashed. */
struct seen_part {
	uint64_t at_bytes, length_bytes;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
};

struct sto_seen_pack {
	struct sto_seen_pack *next;
	dev_t dev;
	ino_t ino;			/* 0: there is no file */
	bool checked, damaged, unreadable;
	char version[MHS_SEMVER_BYTES];	/* for which it was checked */
	struct seen_part *parts;
	uint32_t part_count, part_cap;
};

/* file_hash covers all tables of the image's own file: with the packs they decide every byte. */
struct seen_image {
	uint8_t file_hash[MHS_CHUNK_HASH_BYTES];
	uint8_t content_hash[MHS_HASH_BYTES];
};

struct sto_verified {
	struct sto_seen_pack *packs;
	struct seen_image *images;
	uint32_t image_count, image_cap;
};

struct sto_verified *sto_verified_new(void)
{
	return calloc(1, sizeof(struct sto_verified));
}

void sto_verified_free(struct sto_verified **verified)
{
	struct sto_seen_pack *pack, *next;

	for (pack = *verified ? (*verified)->packs : NULL; pack; pack = next) {
		next = pack->next;
		free(pack->parts);
		free(pack);
	}
	if (*verified)
		free((*verified)->images);
	free(*verified);
	*verified = NULL;
}

/* Room for one more in an array; false: out of memory. */
static bool grow(void **array, uint32_t count, uint32_t *cap, size_t each_bytes)
{
	uint32_t more = *cap ? 2 * *cap : 64;
	void *bigger;

	if (count < *cap)
		return true;
	bigger = realloc(*array, more * each_bytes);
	if (!bigger)
		return false;
	*array = bigger;
	*cap = more;
	return true;
}

/* ---- packs --------------------------------------------------------------------------------- */

static const struct mhs_image_pack *pack_of(const struct sto_check *c, uint32_t index)
{
	return &mhs_image_packs(&c->v.header, c->v.base)[index];
}

static bool pack_stat(const char *store, const char *model, const char *version, const char *name,
		      struct stat *st)
{
	char path[4400];

	return sto_version_path(store, model, version, name, path, sizeof(path)) == 0 &&
	       lstat(path, st) == 0;
}

static struct sto_seen_pack *pack_find(struct sto_check *c, uint32_t index)
{
	struct sto_verified *verified = c->verify->verified;
	char name[STO_PACK_NAME_BYTES];
	struct sto_seen_pack *pack;
	struct stat st = { 0 };

	sto_pack_name(pack_of(c, index)->content_hash, name);
	if (pack_stat(c->verify->store, c->v.model, c->v.version, name, &st))
		for (pack = verified->packs; pack; pack = pack->next)
			if (pack->ino == st.st_ino && pack->dev == st.st_dev)
				return pack;
	pack = calloc(1, sizeof(*pack));
	if (!pack)
		return NULL;
	pack->dev = st.st_dev;
	pack->ino = st.st_ino;
	memcpy(pack->version, c->v.version, sizeof(pack->version));
	pack->next = verified->packs;
	verified->packs = pack;
	return pack;
}

int sto_packs_find(struct sto_check *c)
{
	for (uint32_t i = 0; i < c->v.header.pack_count; i++) {
		c->packs[i] = pack_find(c, i);
		if (!c->packs[i])
			return -ENOMEM;
		if (!c->packs[i]->checked)
			c->all_bytes += pack_of(c, i)->pack_bytes;
	}
	return 0;
}

struct sharers {
	const struct sto_check *c;
	const struct sto_seen_pack *pack;
	const char *name;
	FILE *out;
	uint32_t count;
};

static int note_sharer(void *arg, const char *model, const char *version)
{
	struct sharers *s = arg;
	struct stat st;

	if (pack_stat(s->c->verify->store, model, version, s->name, &st) && st.st_ino == s->pack->ino &&
	    st.st_dev == s->pack->dev)
		fprintf(s->out, "%s %s@%s", s->count++ ? "," : "", model, version);
	return 0;
}

/* Whom the damage of a pack hits: all that have a link to its file. */
static void tell_sharers(struct sto_check *c, const struct sto_seen_pack *pack, const char *name)
{
	struct sharers s = { c, pack, name, NULL, 0 };
	struct sto_error ignored;
	char *text = NULL;
	size_t bytes = 0;

	s.out = open_memstream(&text, &bytes);
	if (!s.out)
		return;
	fprintf(s.out, "%s: damages", name);
	sto_versions_each(c->verify->store, c->v.model, note_sharer, &s, &ignored);
	if (fclose(s.out) == 0 && s.count) {
		c->verify->problem(c->verify->arg, text);
		c->problems++;
	}
	free(text);
}

static int check_file(struct sto_check *c, struct sto_seen_pack *pack, uint32_t index, const char *name)
{
	char prefix[STO_PACK_NAME_BYTES + 2];
	struct mhs_pack_header h;
	struct sto_chunks chunks = {
		.prefix = prefix, .what = "pack", .table = &h.chunk_table,
		.table_hash = h.chunk_table_hash, .content_hash = h.content_hash,
	};
	struct sto_error error;
	int err;

	snprintf(prefix, sizeof(prefix), "%s: ", name);
	chunks.fd = sto_pack_open(c->verify->store, c->v.model, c->v.version, pack_of(c, index), &h, &error);
	if (chunks.fd < 0) {
		sto_check_say(c, "%s", error.text);
		pack->unreadable = true;
		return 0;
	}
	chunks.begin_bytes = h.data_offset_bytes;
	chunks.end_bytes = h.pack_bytes;
	chunks.count = h.chunk_count;
	err = sto_check_chunks(c, &chunks);
	close(chunks.fd);
	return err;
}

static int check_pack(struct sto_check *c, uint32_t index)
{
	struct sto_seen_pack *pack = c->packs[index];
	uint32_t before = c->problems;
	char name[STO_PACK_NAME_BYTES];
	int err;

	sto_pack_name(pack_of(c, index)->content_hash, name);
	if (pack->checked) {
		if (pack->damaged)
			sto_check_say(c, "%s: damaged, as told of %s@%s", name, c->v.model, pack->version);
		return 0;
	}
	err = check_file(c, pack, index, name);
	if (err)
		return err;
	pack->checked = true;
	pack->damaged = c->problems > before;
	if (pack->damaged)
		tell_sharers(c, pack, name);
	return 0;
}

int sto_packs_check(struct sto_check *c)
{
	int err = 0;

	for (uint32_t i = 0; i < c->v.header.pack_count && !err; i++)
		err = check_pack(c, i);
	return err;
}

bool sto_packs_damaged(const struct sto_check *c)
{
	for (uint32_t i = 0; i < c->v.header.pack_count; i++)
		if (c->packs[i]->damaged)
			return true;
	return false;
}

bool sto_packs_readable(const struct sto_check *c)
{
	for (uint32_t i = 0; i < c->v.header.pack_count; i++)
		if (c->packs[i]->unreadable)
			return false;
	return true;
}

/* ---- tensors and images ---------------------------------------------------------------------- */

static int hash_tensor(struct sto_check *c, uint32_t index, uint8_t hash[MHS_CHUNK_HASH_BYTES],
		       struct sto_error *error)
{
	const struct mhs_image_tensor *t = &c->v.tensors[index];
	XXH128_canonical_t canonical;
	uint64_t part;

	XXH3_128bits_reset(c->xxh);
	for (uint64_t at = 0; at < t->length_bytes; at += part) {
		int err;

		part = t->length_bytes - at < MHS_IMAGE_CHUNK_BYTES ? t->length_bytes - at :
								      MHS_IMAGE_CHUNK_BYTES;
		err = sto_tensor_read(&c->v, index, at, part, c->chunk, error);
		if (err)
			return err;
		XXH3_128bits_update(c->xxh, c->chunk, part);
		err = sto_check_step(c, part);
		if (err)
			return err;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(c->xxh));
	memcpy(hash, canonical.digest, MHS_CHUNK_HASH_BYTES);
	return 0;
}

static int part_remember(struct sto_seen_pack *pack, uint64_t at, uint64_t bytes, const uint8_t *hash)
{
	struct seen_part *part;

	if (!grow((void **)&pack->parts, pack->part_count, &pack->part_cap, sizeof(*pack->parts)))
		return -ENOMEM;
	part = &pack->parts[pack->part_count++];
	part->at_bytes = at;
	part->length_bytes = bytes;
	memcpy(part->hash, hash, sizeof(part->hash));
	return 0;
}

int sto_tensor_hash(struct sto_check *c, uint32_t index, uint8_t hash[MHS_CHUNK_HASH_BYTES],
		    struct sto_error *error)
{
	const struct mhs_image_tensor *t = &c->v.tensors[index];
	struct sto_seen_pack *pack;
	uint32_t segment = 0;
	uint64_t at = 0;
	int err;

	if (c->v.base)	/* checked: it lies in one extent */
		mhs_image_locate(&c->v.header, c->v.base, t->offset_bytes, t->length_bytes, &segment, &at);
	if (!segment)
		return hash_tensor(c, index, hash, error);
	pack = c->packs[segment - 1];
	if (pack->unreadable)
		return -ENODATA;
	for (uint32_t i = 0; i < pack->part_count; i++) {
		if (pack->parts[i].at_bytes != at || pack->parts[i].length_bytes != t->length_bytes)
			continue;
		memcpy(hash, pack->parts[i].hash, MHS_CHUNK_HASH_BYTES);
		c->all_bytes -= t->length_bytes;
		return 0;
	}
	err = hash_tensor(c, index, hash, error);
	return err ? err : part_remember(pack, at, t->length_bytes, hash);
}

bool sto_image_known(const struct sto_check *c)
{
	const struct sto_verified *verified = c->verify->verified;
	const struct mhs_image_header *h = &c->v.header;

	if (!c->v.base || sto_packs_damaged(c) || !sto_packs_readable(c))
		return false;
	for (uint32_t i = 0; i < verified->image_count; i++)
		if (!memcmp(verified->images[i].file_hash, h->file_hash, sizeof(h->file_hash)) &&
		    !memcmp(verified->images[i].content_hash, h->content_hash, sizeof(h->content_hash)))
			return true;
	return false;
}

int sto_image_remember(struct sto_check *c)
{
	struct sto_verified *verified = c->verify->verified;
	struct seen_image *image;

	if (!c->v.base)
		return 0;
	if (!grow((void **)&verified->images, verified->image_count, &verified->image_cap,
		  sizeof(*verified->images)))
		return -ENOMEM;
	image = &verified->images[verified->image_count++];
	memcpy(image->file_hash, c->v.header.file_hash, sizeof(image->file_hash));
	memcpy(image->content_hash, c->v.header.content_hash, sizeof(image->content_hash));
	return 0;
}
