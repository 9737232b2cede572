/* SPDX-License-Identifier: MIT */
/*
 * wrk_version.c: attach a version (map its sealed segments, check, bind the engine's view,
 * smoke-test) and detach it. Attaching parses nothing: the image holds everything in final form.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "wrk.h"

#define ARENA_SEALS	(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int fail(char text[HERITAGE_TEXT_BYTES], int err, const char *what)
{
	snprintf(text, HERITAGE_TEXT_BYTES, "%s: %s", what, strerror(-err));
	return err;
}

static int map_sealed(int fd, uint64_t bytes, struct mhs_map *map, char *text)
{
	int err = mhs_seg_check_seals(fd, ARENA_SEALS);

	if (err)
		return fail(text, err, "arena is not sealed");
	err = mhs_seg_map_ro(fd, bytes, 1, map);
	return err ? fail(text, err, "map arena") : 0;
}

static int check_image(const struct mhs_image_header *image, const struct hrt_attach *a, char *text)
{
	const char *field = "";

	if (mhs_image_check_header(image, a->file_bytes, NULL, &field) ||
	    mhs_image_check_tensors(image, image, &field) ||
	    mhs_image_check_extents(image, image, &field))
		return fail(text, -EINVAL, field);
	if (memcmp(image->content_hash, a->content_hash, MHS_HASH_BYTES))
		return fail(text, -EINVAL, "content hash");
	if (image->pack_count != a->fd_count - 1)
		return fail(text, -EINVAL, "pack_count: not one segment a pack");
	return 0;
}

/* Map the image's own segment and judge it: all else follows from its tables. */
static int map_image(const struct hrt_attach *a, const int *fds, struct mhs_map *map, char *text)
{
	int err;

	if (a->fd_count == 0 || a->file_bytes < sizeof(struct mhs_image_header))
		return fail(text, -EINVAL, "segments");
	err = map_sealed(fds[0], a->file_bytes, map, text);
	if (err)
		return err;
	err = check_image(map->addr, a, text);
	if (err)
		mhs_seg_unmap(map);
	return err;
}

/* The pack of @entry, mapped already or now. */
static int map_pack(struct wrk *w, const struct mhs_image_pack *entry, int fd, struct wrk_pack **pack,
		    char *text)
{
	struct wrk_pack *p = w->packs;
	int err;

	while (p && (p->pack_bytes != entry->pack_bytes ||
		     memcmp(p->content_hash, entry->content_hash, MHS_HASH_BYTES)))
		p = p->next;
	if (!p) {
		p = calloc(1, sizeof(*p));
		err = p ? map_sealed(fd, entry->pack_bytes, &p->map, text) :
			  fail(text, -ENOMEM, "pack");
		if (err) {
			free(p);
			return err;
		}
		memcpy(p->content_hash, entry->content_hash, MHS_HASH_BYTES);
		p->pack_bytes = entry->pack_bytes;
		p->next = w->packs;
		w->packs = p;
	}
	p->version_count++;
	*pack = p;
	return 0;
}

static int map_packs(struct wrk *w, struct wrk_version *v, const int *fds, char *text)
{
	const struct mhs_image_pack *entries = mhs_image_packs(v->image, v->map.addr);
	int err = 0;

	for (uint32_t i = 0; !err && i < v->image->pack_count; i++) {
		err = map_pack(w, &entries[i], fds[i + 1], &v->packs[i], text);
		v->pack_count += !err;
	}
	return err;
}

static void unmap_pack(struct wrk *w, struct wrk_pack *pack)
{
	struct wrk_pack **at = &w->packs;

	if (--pack->version_count)
		return;
	while (*at != pack)
		at = &(*at)->next;
	*at = pack->next;
	mhs_seg_unmap(&pack->map);
	free(pack);
}

const void *wrk_image_at(const struct wrk_version *v, uint64_t offset, uint64_t bytes)
{
	const struct mhs_map *map = &v->map;
	uint32_t segment;
	uint64_t at;

	if (mhs_image_locate(v->image, v->map.addr, offset, bytes, &segment, &at))
		return NULL;
	if (segment)
		map = &v->packs[segment - 1]->map;
	return (const uint8_t *)map->addr + at;
}

static int bind_model(struct wrk_version *v, char *text)
{
	const char *field;
	int err = wrk_bind_model(v, &field);

	return err ? fail(text, err, field) : 0;
}

static int open_tokenizer(struct wrk_version *v, char *text)
{
	const struct mhs_image_span *span = &v->image->tokenizer;
	const void *tables = wrk_image_at(v, span->offset_bytes, span->length_bytes);
	int err = tables ? eng_tok_open(tables, span->length_bytes, &v->tok) : -EINVAL;

	if (err)
		return fail(text, err, "tokenizer");
	if (eng_tok_count(v->tok) > v->model.config.vocab_count)
		return fail(text, -EINVAL, "tokenizer has more tokens than the model has rows");
	for (uint32_t id = 0, bytes; id < eng_tok_count(v->tok); id++)
		if (eng_tok_bytes(v->tok, id, &bytes) && bytes > v->token_bytes_max)
			v->token_bytes_max = bytes;
	return 0;
}

static int reserve(struct wrk *w, struct wrk_version *v, char *text)
{
	uint32_t vocab = v->model.config.vocab_count;

	if (eng_prepare(w->eng, &v->model) || eng_sampler_new(&v->sampler, vocab))
		return fail(text, -ENOMEM, "engine scratch");
	v->pool = wrk_pool_get(w, eng_kv_page_bytes(&v->model.config));
	if (!v->pool)
		return fail(text, -ENOMEM, "KV pool");
	if (vocab > w->logits_vocab) {
		float *logits = aligned_alloc(64, (WRK_LOGITS_ROWS + 1) * (size_t)((vocab + 15) & ~15u) *
					      sizeof(*logits));

		if (!logits)
			return fail(text, -ENOMEM, "logits");
		free(w->logits);
		w->logits = logits;
		w->logits_vocab = vocab;
	}
	return 0;
}

/* One token through the whole model: it must give finite numbers before anyone is routed to it. */
static int smoke_test(struct wrk *w, struct wrk_version *v, char *text)
{
	uint32_t bos = v->image->bos_id;
	struct eng_row row = { .token = bos < v->model.config.vocab_count ? bos : 0,
			       .is_prompt = true };
	void *page = aligned_alloc(64, (eng_kv_page_bytes(&v->model.config) + 63) & ~(size_t)63);
	int err;

	if (!page)
		return fail(text, -ENOMEM, "smoke test");
	row.pages = &page;
	err = eng_step(w->eng, &v->model, &row, 1, w->logits);
	free(page);
	if (err)
		return fail(text, err, "smoke test");
	for (uint32_t i = 0; i < v->model.config.vocab_count; i++)
		if (!isfinite(w->logits[i]))
			return fail(text, -EDOM, "smoke test: logits are not finite");
	return 0;
}

/* Everything but the smoke test. */
static int attach_model(struct wrk *w, struct wrk_version *v, const int *fds, char *text)
{
	int err = map_packs(w, v, fds, text);

	if (!err)
		err = bind_model(v, text);
	if (!err)
		err = open_tokenizer(v, text);
	return err ? err : reserve(w, v, text);
}

/* Time and page faults of this process since the last mark. */
struct mark {
	uint64_t ns, faults;
};

static struct mark mark_step(struct mark *last)
{
	struct rusage usage = { 0 };
	struct mark now, step;

	getrusage(RUSAGE_SELF, &usage);
	now = (struct mark){ wrk_now_ns(), (uint64_t)(usage.ru_minflt + usage.ru_majflt) };
	step = (struct mark){ now.ns - last->ns, now.faults - last->faults };
	*last = now;
	return step;
}

/* Takes @map in every case. NULL: *@err says why. */
static struct wrk_version *version_new(struct wrk *w, const struct hrt_msg *msg, struct mhs_map *map,
				       const int *fds, int *err, char *text)
{
	struct wrk_version *v = calloc(1, sizeof(*v));

	if (!v) {
		mhs_seg_unmap(map);
		*err = fail(text, -ENOMEM, "attach");
		return NULL;
	}
	v->index = msg->index;
	v->model_index = -1;
	v->serial = msg->serial;
	v->map = *map;
	v->image = map->addr;
	*err = attach_model(w, v, fds, text);
	if (*err)
		wrk_version_free(w, &v);
	return v;
}

static void version_list(struct wrk *w, struct wrk_version *v)
{
	wrk_rehearse_read(v->image->model, v->image->semver, &v->rehearsal);
	v->next = w->versions;
	w->versions = v;
}

static bool is_adapter(const struct mhs_map *map)
{
	const struct mhs_image_header *image = map->addr;

	return image->kind == MHS_IMAGE_ADAPTER;
}

int wrk_version_attach(struct wrk *w, const struct hrt_msg *msg, const int *fds,
		       struct hrt_attached *took, char text[HERITAGE_TEXT_BYTES])
{
	struct wrk_version *v = NULL;
	struct mark last = { 0, 0 }, step;
	struct mhs_map map;
	int err;

	mark_step(&last);
	err = map_image(&msg->attach, fds, &map, text);
	if (!err && is_adapter(&map))
		err = wrk_adapter_attach(w, msg, &map, text);
	else if (!err)
		v = version_new(w, msg, &map, fds, &err, text);
	step = mark_step(&last);
	took->attach_ns = step.ns;
	took->attach_faults = step.faults;
	if (v)
		err = smoke_test(w, v, text);
	step = mark_step(&last);
	took->smoke_ns = step.ns;
	took->smoke_faults = step.faults;
	if (v && err)
		wrk_version_free(w, &v);
	else if (v)
		version_list(w, v);
	return err;
}

void wrk_version_free(struct wrk *w, struct wrk_version **version)
{
	struct wrk_version *v = *version;

	*version = NULL;
	if (!v)
		return;
	eng_tok_close(&v->tok);
	tpl_free(&v->template);
	eng_sampler_free(&v->sampler);
	gra_vocab_free(&v->vocab);
	free(v->breakers);
	free(v->model.layers);
	while (v->pack_count)
		unmap_pack(w, v->packs[--v->pack_count]);
	mhs_seg_unmap(&v->map);
	free(v);
}

void wrk_version_detach(struct wrk *w, uint32_t index, uint64_t serial)
{
	if (wrk_adapter_detach(w, index, serial))
		return;
	for (struct wrk_version **at = &w->versions; *at; at = &(*at)->next) {
		struct wrk_version *v = *at;

		if (v->index != index || v->serial != serial)
			continue;
		*at = v->next;
		wrk_shadow_forget(w, v->index);
		wrk_prefix_drop_contents(w, v->image->content_hash);
		wrk_version_free(w, &v);
		return;
	}
}

bool wrk_version_ends(const struct wrk_version *v, uint32_t token)
{
	for (uint32_t i = 0; i < v->image->eos_count; i++)
		if (v->image->eos_ids[i] == token)
			return true;
	return false;
}

struct wrk_version *wrk_version_by_index(struct wrk *w, uint32_t index)
{
	for (struct wrk_version *v = w->versions; v; v = v->next)
		if (v->index == index)
			return v;
	return NULL;
}

struct wrk_version *wrk_version_by_name(struct wrk *w, const char *model, const char *semver)
{
	for (struct wrk_version *v = w->versions; v; v = v->next)
		if (!strncmp(v->image->model, model, MHS_NAME_BYTES) &&
		    !strncmp(v->image->semver, semver, MHS_SEMVER_BYTES))
			return v;
	return NULL;
}
