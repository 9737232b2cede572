/* SPDX-License-Identifier: MIT */
/*
 * wrk_adapter.c: attach an adapter (map its sealed segment, check, bind the engine's view) and find
 * it again. Whether it fits is a matter of two: several versions of a model may differ in shape, and
 * any of them may come later than the adapter.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wrk.h"

/* -- names ------------------------------------------------------------------------------------- */

static uint64_t hash_add(uint64_t hash, const char *name)
{
	for (uint32_t i = 0; i < MHS_NAME_BYTES && name[i]; i++)
		hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
	return (hash ^ 0xff) * UINT64_C(0x100000001b3);		/* no byte of a name */
}

uint64_t wrk_name_hash(const char *model, const char *adapter)
{
	return hash_add(hash_add(UINT64_C(0xcbf29ce484222325), model), adapter);
}

static uint32_t bucket_of(const char *model, const char *adapter)
{
	uint64_t hash = wrk_name_hash(model, adapter);

	return (uint32_t)(hash ^ hash >> 32) % WRK_NAME_BUCKETS;
}

static bool is_named(const char *model, const char *adapter, const char *a, const char *b)
{
	return !strncmp(model, a, MHS_NAME_BYTES) && !strncmp(adapter, b, MHS_NAME_BYTES);
}

/* Entries are constant once counted, so each is hashed once. */
static void names_follow(struct wrk *w)
{
	struct wrk_adapters *all = &w->adapters;
	/* M2 pairs with M1, as in mhs_board_find() */
	uint32_t count = atomic_load_explicit(&w->board->model_count, memory_order_acquire);

	for (; all->name_count < count && all->name_count < MHS_MODEL_MAX; all->name_count++) {
		const struct mhs_model *m = &w->board->models[all->name_count];
		uint16_t *bucket = &all->names[bucket_of(m->name, m->adapter)];

		all->name_next[all->name_count] = *bucket;
		*bucket = (uint16_t)(all->name_count + 1);
	}
}

int wrk_board_find(struct wrk *w, const char *model, const char *adapter)
{
	const struct wrk_adapters *all = &w->adapters;

	names_follow(w);
	for (uint32_t i = all->names[bucket_of(model, adapter)]; i; i = all->name_next[i - 1]) {
		const struct mhs_model *m = &w->board->models[i - 1];

		if (is_named(m->name, m->adapter, model, adapter))
			return (int)i - 1;
	}
	return -ENOENT;
}

struct wrk_adapter *wrk_adapter_by_name(struct wrk *w, const char *model, const char *adapter,
					const char *semver)
{
	struct wrk_adapter *a = w->adapters.buckets[bucket_of(model, adapter)];

	for (; a; a = a->next)
		if (is_named(a->image->model, a->image->adapter, model, adapter) &&
		    !strncmp(a->image->semver, semver, MHS_SEMVER_BYTES))
			return a;
	return NULL;
}

/* -- attach ------------------------------------------------------------------------------------ */

/* NULL: not one that adapters have. */
static struct eng_lora_pair *pair_of(struct wrk_adapter *a, const struct mhs_adapter_target *t)
{
	static const uint8_t targets[] = {
		[MHS_ROLE_ATTN_Q] = ENG_LORA_Q, [MHS_ROLE_ATTN_K] = ENG_LORA_K,
		[MHS_ROLE_ATTN_V] = ENG_LORA_V, [MHS_ROLE_ATTN_O] = ENG_LORA_O,
		[MHS_ROLE_FFN_GATE] = ENG_LORA_GATE, [MHS_ROLE_FFN_UP] = ENG_LORA_UP,
		[MHS_ROLE_FFN_DOWN] = ENG_LORA_DOWN,
	};

	if (t->role == MHS_ROLE_EMBED)
		return &a->lora.embed;
	if (t->role == MHS_ROLE_OUTPUT)
		return &a->lora.output;
	if (t->role < MHS_ROLE_ATTN_Q || t->role >= sizeof(targets) || t->role == MHS_ROLE_FFN_NORM ||
	    t->layer >= a->lora.layer_count)
		return NULL;
	return &a->layers[t->layer].pair[targets[t->role]];
}

static int bind(struct wrk_adapter *a, char *text)
{
	const char *field = "";

	if (mhs_adapter_check(a->image, a->map.addr, &field)) {
		snprintf(text, HERITAGE_TEXT_BYTES, "adapter: %s", field);
		return -EINVAL;
	}
	a->lora.layer_count = a->image->config.layer_count;
	a->layers = calloc(a->lora.layer_count, sizeof(*a->layers));
	a->lora.layers = a->layers;
	if (!a->layers)
		return -ENOMEM;
	for (uint32_t i = 0; i < mhs_adapter_count(a->image); i++) {
		struct mhs_adapter_target t;
		struct eng_lora_pair *pair;

		mhs_adapter_target(a->image, a->map.addr, i, &t);
		pair = pair_of(a, &t);
		if (!pair) {
			snprintf(text, HERITAGE_TEXT_BYTES, "adapter: the engine has no target of role %u",
				 t.role);
			return -EINVAL;
		}
		*pair = (struct eng_lora_pair){ t.rank, t.type, t.rows, t.cols, t.scale, t.a, t.b };
	}
	return 0;
}

int wrk_adapter_fit(struct wrk *w, struct wrk_adapter *a, const struct wrk_version *v,
		    const char **field)
{
	int err = mhs_adapter_fits(&a->image->config, &v->image->config, field);

	/* equal numbers are equal shapes: what the engine found of one version holds for all */
	if (err || a->lora.width)
		return err;
	err = eng_lora_check(&a->lora, &v->model, field, NULL);
	if (!err && eng_lora_prepare(w->eng, &a->lora)) {
		a->lora.width = 0;
		err = -ENOMEM;
	}
	return err;
}

/* Against the first version that it should fit, if one is here: better now than at a request. */
static int try_fit(struct wrk *w, struct wrk_adapter *a, char *text)
{
	const char *field = "";
	int err;

	for (const struct wrk_version *v = w->versions; v; v = v->next) {
		if (strncmp(v->image->model, a->image->model, MHS_NAME_BYTES) ||
		    mhs_adapter_fits(&a->image->config, &v->image->config, &field))
			continue;
		err = wrk_adapter_fit(w, a, v, &field);
		if (err)
			snprintf(text, HERITAGE_TEXT_BYTES, "adapter on %.63s@%.47s: %s", v->image->model,
				 v->image->semver, err == -ENOMEM ? "engine scratch" : field);
		return err;
	}
	return 0;
}

static void adapter_free(struct wrk_adapter *a)
{
	mhs_seg_unmap(&a->map);
	free(a->layers);
	free(a);
}

int wrk_adapter_attach(struct wrk *w, const struct hrt_msg *msg, struct mhs_map *map,
		       char text[HERITAGE_TEXT_BYTES])
{
	struct wrk_adapter *a = calloc(1, sizeof(*a)), **bucket;
	int err;

	if (!a) {
		mhs_seg_unmap(map);
		return -ENOMEM;
	}
	*a = (struct wrk_adapter){ .index = msg->index, .serial = msg->serial, .map = *map,
				   .image = map->addr };
	err = w->adapters.by_index[a->index] ? -EEXIST : bind(a, text);
	if (!err)
		err = try_fit(w, a, text);
	if (err && !text[0])
		snprintf(text, HERITAGE_TEXT_BYTES, "adapter: %s", strerror(-err));
	if (err) {
		adapter_free(a);
		return err;
	}
	bucket = &w->adapters.buckets[bucket_of(a->image->model, a->image->adapter)];
	a->next = *bucket;
	*bucket = a;
	w->adapters.by_index[a->index] = a;
	return 0;
}

bool wrk_adapter_detach(struct wrk *w, uint32_t index, uint64_t serial)
{
	struct wrk_adapter *a = index < MHS_VERSION_MAX ? w->adapters.by_index[index] : NULL, **at;

	if (!a || a->serial != serial)
		return false;
	w->adapters.by_index[index] = NULL;
	at = &w->adapters.buckets[bucket_of(a->image->model, a->image->adapter)];
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	wrk_shadow_forget(w, index);
	wrk_prefix_drop_contents(w, a->image->content_hash);
	adapter_free(a);
	return true;
}

void wrk_adapters_fini(struct wrk *w)
{
	for (uint32_t i = 0; i < MHS_VERSION_MAX; i++)
		if (w->adapters.by_index[i])
			wrk_adapter_detach(w, i, w->adapters.by_index[i]->serial);
}
