/* SPDX-License-Identifier: MIT */
/*
 * sup_board.c: models and versions, on the board and in our own memory. Nothing is ever read back
 * from it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "mhs_attach.h"
#include "probe.h"
#include "sup.h"

int sup_board_open(struct sup *sup, struct sto_error *error)
{
	int fd = mhs_seg_create("mhost:board", sizeof(struct mhs_board)), err;

	sup->board_fd = -1;
	err = fd < 0 ? fd : mhs_seg_map_rw(fd, sizeof(struct mhs_board), &sup->board_map);
	if (!err) {
		sup->board = sup->board_map.addr;
		mhs_board_init(sup->board);
		mhs_header_publish(&sup->board->head);
		sup->board_fd = mhs_seg_reopen_ro(fd);
		err = sup->board_fd < 0 ? sup->board_fd : 0;
	}
	if (fd >= 0)
		close(fd);
	if (err)
		sto_fail(error, "cannot make the board: %s", strerror(-err));
	sup->next_serial = 1;
	return err;
}

void sup_board_close(struct sup *sup)
{
	mhs_seg_unmap(&sup->board_map);
	sup->board = NULL;
	if (sup->board_fd >= 0)
		close(sup->board_fd);
	sup->board_fd = -1;
}

/* FNV-1a. There may be thousands of adapters, and a flip is to find its own as fast as one of few. */
static struct sup_model **bucket_of(struct sup *sup, const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return &sup->buckets[hash % SUP_BUCKETS];
}

struct sup_model *sup_model_find(struct sup *sup, const char *name)
{
	for (struct sup_model *model = *bucket_of(sup, name); model; model = model->chain)
		if (strcmp(model->name, name) == 0)
			return model;
	return NULL;
}

const char *sup_model_current(const struct sup_model *model)
{
	return model->is_adapter ? model->chosen : model->active ? model->active->semver : "";
}

struct sup_model *sup_model_get(struct sup *sup, const char *name, struct sto_error *error)
{
	struct sup_model *model = sup_model_find(sup, name), **bucket = bucket_of(sup, name);
	char base[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];
	int index;

	if (model)
		return model;
	sup_target_split(name, base, adapter);
	index = mhs_board_add(sup->board, base, adapter);
	if (index < 0) {
		sto_fail(error, "%s: the board holds %u models and adapters, no more fit until the host is "
			 "started anew", name, MHS_MODEL_MAX);
		return NULL;
	}
	must((uint32_t)index == sup->model_count);
	model = &sup->models[sup->model_count++];
	*model = (struct sup_model){ .sup = sup, .index = (uint32_t)index, .chain = *bucket,
				     .is_adapter = adapter[0] != '\0' };
	memcpy(model->name, name, strlen(name) + 1);
	*bucket = model;
	return model;
}

struct sup_version *sup_version_find(struct sup *sup, const char *name, const char *semver)
{
	struct sup_model *model = sup_model_find(sup, name);

	for (struct sup_version *v = model ? model->versions : NULL; v; v = v->sibling)
		if (strcmp(v->semver, semver) == 0)
			return v;
	return NULL;
}

struct sup_version *sup_version_at(struct sup *sup, uint32_t index, uint64_t serial)
{
	struct sup_version *version = index < MHS_VERSION_MAX ? sup->at[index] : NULL;

	return version && version->serial == serial ? version : NULL;
}

/* The lowest index that no version of ours uses; 0: none. */
static uint32_t index_free(const struct sup *sup)
{
	for (uint32_t i = 1; i < MHS_VERSION_MAX; i++)
		if (!sup->at[i])
			return i;
	return 0;
}

struct sup_version *sup_version_new(struct sup *sup, struct sup_model *model, const char *semver,
				    struct sto_error *error)
{
	struct sup_version *version = calloc(1, sizeof(*version));
	uint32_t index = index_free(sup);

	if (!version || !index) {
		sto_fail(error, "%s@%s: %s", model->name, semver, version ? "the board is full" :
			 "out of memory");
		free(version);
		return NULL;
	}
	version->sup = sup;
	version->model = model;
	version->index = index;
	version->serial = sup->next_serial++;
	version->phase = SUP_LOADING;
	memcpy(version->semver, semver, strlen(semver) + 1);
	version->next = sup->versions;
	sup->versions = version;
	version->sibling = model->versions;
	model->versions = version;
	sup->at[index] = version;
	mhs_version_set_state(sup->board, index, MHS_STATE_LOADING);
	return version;
}

void sup_version_describe(struct sup_version *version)
{
	struct mhs_version *entry = &version->sup->board->versions[version->index];
	const struct mhs_image_header *header = &version->load->header;
	/* One a replica; all packs have as many. Where pieces lie is the image's own matter. */
	const struct sup_arenas *arenas = sup_load_segment(version->load, version->load->pack_count ?
							   1 : 0);

	entry->model = version->model->index;
	entry->kind = header->kind;
	entry->serial = version->serial;
	entry->image_bytes = header->image_bytes;
	memcpy(entry->content_hash, header->content_hash, sizeof(entry->content_hash));
	memset(entry->semver, 0, sizeof(entry->semver));
	memcpy(entry->semver, version->semver, strlen(version->semver));
	memset(entry->extents, 0, sizeof(entry->extents));
	entry->extent_count = arenas->count;
	for (uint32_t i = 0; i < entry->extent_count; i++) {
		entry->extents[i].segment = i;
		entry->extents[i].node = arenas->each[i].node;
		entry->extents[i].length_bytes = header->image_bytes;
		memcpy(entry->extents[i].hash, header->content_hash, MHS_HASH_BYTES);
	}
}

void sup_version_delete(struct sup_version *version)
{
	struct sup *sup = version->sup;
	struct sup_version **at = &sup->versions;

	while (*at != version)
		at = &(*at)->next;
	*at = version->next;
	for (at = &version->model->versions; *at != version;)
		at = &(*at)->sibling;
	*at = version->sibling;
	sup->at[version->index] = NULL;
	sup_timer_off(&sup->loop, &version->timer);
	if (version->load) {
		sup_push_free(&version->load->push);
		sup_load_drop(version->load);
	}
	free(version->load);
	mhs_version_set_state(sup->board, version->index, MHS_STATE_FREE);
	free(version);
}

static void version_rest(struct sup_version *version)
{
	version->phase = SUP_RESIDENT;
	mhs_version_set_state(version->sup->board, version->index, MHS_STATE_RESIDENT);
}

void sup_model_route(struct sup_model *model, struct sup_version *candidate, uint32_t weight,
		     uint32_t mode)
{
	struct sup *sup = model->active->sup;
	struct mhs_route route = { .active = model->active->index, .weight = weight, .mode = mode,
				   .candidate = candidate ? candidate->index : 0 };

	sup_flips_sample(sup);
	probe_flip(model->index, model->active->index, mhs_flip(sup->board, model->index, &route));
	if (model->candidate && model->candidate != candidate)
		version_rest(model->candidate);
	model->candidate = candidate;
	if (!candidate)
		return;
	candidate->phase = SUP_CANDIDATE;
	mhs_version_set_state(sup->board, candidate->index, MHS_STATE_ACTIVE);
}

void sup_model_unroute(struct sup_model *model)
{
	struct mhs_route none = { .active = 0 };

	sup_flips_sample(model->sup);
	probe_flip(model->index, 0, mhs_flip(model->sup->board, model->index, &none));
	if (model->candidate)
		version_rest(model->candidate);
	if (model->active)
		version_rest(model->active);
	model->candidate = model->active = NULL;
}

uint64_t sup_model_flip(struct sup_model *model, struct sup_version *version)
{
	struct sup *sup = version->sup;
	struct sup_version *before = model->active;
	struct mhs_route route = { .active = version->index };
	uint64_t epoch = mhs_flip(sup->board, model->index, &route);

	probe_flip(model->index, version->index, epoch);
	model->active = version;
	memcpy(model->chosen, version->semver, sizeof(model->chosen));
	model->shapes = version->load->header.config;
	model->shapes_known = true;
	if (model->candidate && model->candidate != version)
		version_rest(model->candidate);
	model->candidate = NULL;
	version->phase = SUP_ACTIVE;
	version->active_order = ++sup->next_active_order;
	mhs_version_set_state(sup->board, version->index, MHS_STATE_ACTIVE);
	if (before && before != version) {
		before->phase = SUP_RESIDENT;
		mhs_version_set_state(sup->board, before->index, MHS_STATE_RESIDENT);
	}
	return epoch;
}

void sup_history_push(struct sup_model *model, const char *semver)
{
	if (model->history_count == SUP_HISTORY_MAX)
		memmove(model->history[0], model->history[1],
			sizeof(model->history[0]) * --model->history_count);
	memcpy(model->history[model->history_count++], semver, strlen(semver) + 1);
}

bool sup_history_has(const struct sup_model *model, const char *semver)
{
	for (uint32_t i = 0; i < model->history_count; i++)
		if (strcmp(model->history[i], semver) == 0)
			return true;
	return false;
}

const char *sup_version_state(const struct sup_version *version)
{
	static const char *const names[] = {
		[SUP_LOADING] = "loading", [SUP_ATTACHING] = "loading", [SUP_READY] = "ready",
		[SUP_ACTIVE] = "active", [SUP_CANDIDATE] = "candidate", [SUP_RESIDENT] = "resident", [SUP_DRAINING] = "draining",
		[SUP_DETACHING] = "draining",
	};

	return names[version->phase];
}
