/* SPDX-License-Identifier: MIT */
/*
 * sup_status.c: answers that change nothing. What stands in slots and stats is copied word by word.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "mhs_stat.h"
#include "sto_version.h"
#include "sup_control.h"
#include "sup_trial.h"
#include "sup_place.h"

#define MANIFEST_BYTES_MAX	(1u << 20)

/* ---- status --------------------------------------------------------------------------------- */

/* Each pack once, however many versions use it. */
static json_t *status_memory(const struct sup *sup)
{
	uint64_t arenas = sup_packs_bytes(), images = 0, control = sizeof(struct mhs_board);

	for (const struct sup_version *v = sup->versions; v; v = v->next) {
		if (!v->load || v->load_started || !v->load->own.count)
			continue;
		arenas += sup_arenas_bytes(&v->load->own);
		images += v->load->header.image_bytes;
	}
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup_worker_lives(&sup->workers[i]))
			control += sizeof(struct mhs_slot) + sizeof(struct mhs_stats) +
				   sizeof(struct mhs_replies) +
				   sup->workers[i].lane_count * sizeof(struct mhs_lane);
	return json_pack("{s:I, s:I, s:I}", "arena_bytes", (json_int_t)arenas, "image_bytes",
			 (json_int_t)images, "control_bytes", (json_int_t)control);
}

static json_t *status_pages(const struct sup *sup)
{
	return json_pack("{s:s, s:o, s:I, s:s}", "wanted", sup_hugepages_name(sup->conf.hugepages),
		"rung", sup->any_load ? json_string(mhs_pages_name(sup->last_rung)) : json_null(),
		"free", (json_int_t)sup_pages_free(MHS_PAGES_2M),
		"note", sup->any_load ? sup->last_pages_note : "nothing loaded yet");
}

static json_t *status_numa(const struct sup *sup)
{
	char mode[32];

	sup_numa_name(&sup->conf, mode, sizeof(mode));
	return json_pack("{s:s, s:i, s:s}", "mode", mode, "nodes", (int)sup_place_nodes(), "note",
			 sup_place_note());
}

static int by_semver(const void *a, const void *b)
{
	return sto_semver_compare(*(const char *const *)a, *(const char *const *)b);
}

/* All that can be pinned, by version. */
static json_t *model_resident(const struct sup_model *model)
{
	const char *names[MHS_VERSION_MAX];
	json_t *list = json_array();
	size_t count = 0;

	for (const struct sup_version *v = model->versions; v; v = v->sibling)
		if (sup_version_is_public(v))
			names[count++] = v->semver;
	qsort(names, count, sizeof(names[0]), by_semver);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *status_models(const struct sup *sup)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < sup->model_count; i++) {
		const struct sup_model *model = &sup->models[i];
		json_t *history;

		if (model->is_adapter)
			continue;
		history = json_array();
		for (uint32_t h = 0; h < model->history_count; h++)
			json_array_append_new(history, json_string(model->history[h]));
		json_array_append_new(list, json_pack("{s:s, s:o, s:s?, s:f, s:o, s:o, s:o}",
			"name", model->name, "active",
			model->active ? json_string(model->active->semver) : json_null(),
			"candidate", model->candidate ? model->candidate->semver : NULL,
			"weight", model->trial ? sup_trial_weight(model->trial) / 100.0 : 0.0,
			"resident", model_resident(model), "history", history, "release",
			model->trial ? sup_trial_show(model->trial) : json_null()));
	}
	return list;
}

/* What the first ready worker said that it runs, else what was asked for. */
static const char *status_isa(const struct sup *sup)
{
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup->workers[i].isa[0] && sup_worker_lives(&sup->workers[i]))
			return sup->workers[i].isa;
	return sup_isa_name(sup->conf.isa);
}

static int workers_alive(const struct sup *sup)
{
	int count = 0;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		count += sup_worker_lives(&sup->workers[i]);
	return count;
}

/* Events that are not on the disk yet, though they should be, and why. */
static json_t *status_history(struct sup *sup)
{
	struct sto_error error;
	uint64_t behind = sup_scribe_behind(&sup->scribe, &error);

	return json_pack("{s:I, s:s}", "behind", (json_int_t)behind, "note", error.text);
}

json_t *sup_status(struct sup *sup)
{
	json_t *answer = json_pack("{s:s, s:i, s:f, s:o, s:o, s:I, s:s, s:i, s:i, s:i}",
		"version", MHOST_VERSION, "pid", (int)getpid(),
		"uptime_s", (double)(sup_now_ns() - sup->start_ns) / 1e9,
		"store", sup_json_text(sup->conf.store), "socket", sup_json_text(sup->conf.socket),
		"epoch", (json_int_t)atomic_load_explicit(&sup->board->epoch, memory_order_relaxed),
		"isa", status_isa(sup), "workers", workers_alive(sup),
		"threads", (int)sup_threads(&sup->conf), "clients", (int)sup->client_count);

	json_object_set_new(answer, "pages", status_pages(sup));
	json_object_set_new(answer, "loader", json_pack("{s:o, s:s}", "method",
		sup->any_load ? json_string(sup_method_name(sup->last_method)) : json_null(),
		"note", sup->last_method_note));
	json_object_set_new(answer, "numa", status_numa(sup));
	json_object_set_new(answer, "memory", status_memory(sup));
	json_object_set_new(answer, "models", status_models(sup));
	json_object_set_new(answer, "adapters", sup_adapters_status(sup));
	json_object_set_new(answer, "history", status_history(sup));
	return answer;
}

/* ---- workers -------------------------------------------------------------------------------- */

static json_t *worker_pins(const struct sup *sup, const struct mhs_slot *slot)
{
	json_t *pins = json_object();
	char name[SUP_NAME_BYTES + MHS_SEMVER_BYTES + 1];

	for (const struct sup_version *v = sup->versions; slot && v; v = v->next) {
		uint32_t n = atomic_load_explicit(&slot->pins[v->index], memory_order_relaxed);

		if (!n)
			continue;
		snprintf(name, sizeof(name), "%s@%s", v->model->name, v->semver);
		json_object_set_new(pins, name, json_integer(n));
	}
	return pins;
}

static json_int_t counter(const _Atomic uint64_t *value)
{
	return (json_int_t)(mhs_stats_get(value) & INT64_MAX);	/* hostile, but a number */
}

/* One histogram's median and 99th percentile, in microseconds. */
static void add_quantiles(json_t *to, const struct mhs_stats_row *row, enum mhs_hist hist,
			  const char *name)
{
	uint64_t counts[MHS_HIST_BUCKETS];
	char key[48];

	for (uint32_t b = 0; b < MHS_HIST_BUCKETS; b++)
		counts[b] = mhs_stats_get(&row->hist[hist][b]);
	snprintf(key, sizeof(key), "%s_p50_us", name);
	json_object_set_new(to, key, json_real((double)mhs_hist_quantile_ns(counts, 0.5) / 1e3));
	snprintf(key, sizeof(key), "%s_p99_us", name);
	json_object_set_new(to, key, json_real((double)mhs_hist_quantile_ns(counts, 0.99) / 1e3));
}

static json_t *stats_row(const struct mhs_stats_row *row)
{
	json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"requests", counter(&row->requests), "completed", counter(&row->completed),
		"cancelled", counter(&row->cancelled), "failed", counter(&row->failed),
		"prompt_tokens", counter(&row->prompt_tokens),
		"output_tokens", counter(&row->output_tokens), "nan_logits", counter(&row->nan_logits),
		"prefill_ns", counter(&row->prefill_ns), "decode_ns", counter(&row->decode_ns),
		"cached_tokens", counter(&row->cached_tokens),
		"preemptions", counter(&row->preemptions),
		"drafted_tokens", counter(&row->drafted_tokens),
		"accepted_tokens", counter(&row->accepted_tokens));

	add_quantiles(object, row, MHS_HIST_QUEUE, "queue");
	add_quantiles(object, row, MHS_HIST_FIRST_TOKEN, "first_token");
	add_quantiles(object, row, MHS_HIST_INTER_TOKEN, "inter_token");
	add_quantiles(object, row, MHS_HIST_TOTAL, "total");
	return object;
}

static json_t *worker_stats(const struct sup *sup, const struct mhs_stats *stats)
{
	json_t *object = json_object();
	char name[SUP_NAME_BYTES + MHS_SEMVER_BYTES + 1];

	for (uint32_t i = 0; stats && i < MHS_STATS_ROWS; i++) {
		uint64_t id = mhs_stats_get(&stats->rows[i].version_serial);

		for (const struct sup_version *v = sup->versions; id && v; v = v->next) {
			if ((v->serial << 12 | v->index) != id)
				continue;
			snprintf(name, sizeof(name), "%s@%s", v->model->name, v->semver);
			json_object_set_new(object, name, stats_row(&stats->rows[i]));
		}
	}
	return object;
}

static json_t *worker_row(const struct sup *sup, const struct sup_worker *worker)
{
	static const char *const states[] = {
		[SUP_WORKER_STARTING] = "starting", [SUP_WORKER_READY] = "ready",
		[SUP_WORKER_STOPPING] = "stopping", [SUP_WORKER_BACKOFF] = "backoff",
	};
	const struct mhs_slot *slot = sup_worker_slot(worker);
	uint64_t seen = slot ? atomic_load_explicit(&slot->seen_epoch, memory_order_relaxed) :
			MHS_EPOCH_OFFLINE;
	uint64_t steps = slot ? atomic_load_explicit(&slot->steps, memory_order_relaxed) : 0;
	uint32_t running = slot ? atomic_load_explicit(&slot->running, memory_order_relaxed) : 0;
	uint32_t queued = slot ? atomic_load_explicit(&slot->queued, memory_order_relaxed) : 0;

	return json_pack("{s:i, s:s, s:i, s:I, s:I, s:o, s:I, s:i, s:o, s:o}",
		"pid", (int)worker->pid, "state", states[worker->state],
		"node", worker->node == SUP_NODE_ANY ? 0 : (int)worker->node,
		"running", (json_int_t)running, "queued", (json_int_t)queued,
		"seen_epoch", seen == MHS_EPOCH_OFFLINE ? json_null() :
		json_integer((json_int_t)(seen & INT64_MAX)),
		"steps", (json_int_t)(steps & INT64_MAX), "restarts", (int)worker->restarts,
		"pins", worker_pins(sup, slot), "stats", worker_stats(sup, worker->stats.addr));
}

json_t *sup_status_workers(struct sup *sup)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup->workers[i].state != SUP_WORKER_NONE)
			json_array_append_new(list, worker_row(sup, &sup->workers[i]));
	return json_pack("{s:o}", "workers", list);
}

/* ---- list and show -------------------------------------------------------------------------- */

struct listing {
	struct sup *sup;
	json_t *list;
};

static const char *state_of(struct sup *sup, const char *model, const char *semver)
{
	const struct sup_version *version = sup_version_find(sup, model, semver);

	return version ? sup_version_state(version) : "stored";
}

static int list_one(void *arg, const char *model, const char *semver)
{
	struct listing *listing = arg;
	struct mhs_image_header header = { 0 };
	struct sto_error ignored;
	int fd = sto_image_open(listing->sup->conf.store, model, semver, &header, &ignored);

	if (fd >= 0)
		close(fd);
	json_array_append_new(listing->list, json_pack("{s:s, s:s, s:s, s:I}", "model", model,
		"version", semver, "state", state_of(listing->sup, model, semver),
		"bytes", (json_int_t)header.image_bytes));
	return 0;
}

json_t *sup_status_list(struct sup *sup, struct sto_error *error)
{
	struct listing listing = { sup, json_array() };

	if (sto_store_each(sup->conf.store, list_one, &listing, error) < 0) {
		json_decref(listing.list);
		return NULL;
	}
	return json_pack("{s:o}", "versions", listing.list);
}

static json_t *show_config(const struct mhs_image_header *header)
{
	const struct mhs_image_config *c = &header->config;

	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:b, s:i, s:i, s:i, s:i}",
		"arch", mhs_arch_name(c->arch), "layer_count", (int)c->layer_count,
		"hidden", (int)c->hidden, "intermediate", (int)c->intermediate,
		"head_count", (int)c->head_count, "kv_head_count", (int)c->kv_head_count,
		"head_dim", (int)c->head_dim, "vocab_count", (int)c->vocab_count,
		"context_max", (int)c->context_max, "tied", (int)c->tied,
		"rms_eps", (double)c->rms_eps, "float_weights", (int)c->float_weights,
		"tensor_count", (int)header->tensor_count, "chunk_count", (int)header->chunk_count,
		"expert_count", (int)header->experts.count, "expert_used", (int)header->experts.used);
}

/* The manifest as it is stored, or null: serving never needs it. */
static json_t *show_manifest(const struct sup *sup, const char *model, const char *semver)
{
	char path[4096];
	json_t *manifest = NULL;
	struct stat st;
	int fd;

	if (sto_version_path(sup->conf.store, model, semver, STO_MANIFEST_NAME, path, sizeof(path)))
		return json_null();
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= MANIFEST_BYTES_MAX)
		manifest = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
	if (fd >= 0)
		close(fd);
	return manifest ? manifest : json_null();
}

static void show_segment(json_t *list, const struct sup_load *load, uint32_t segment)
{
	const struct sup_arenas *arenas = sup_load_segment(load, segment);

	for (uint32_t i = 0; i < arenas->count; i++) {
		const struct sup_arena *arena = &arenas->each[i];

		json_array_append_new(list, json_pack("{s:i, s:i, s:I, s:I, s:s, s:o, s:i}",
			"segment", (int)segment, "node",
			arena->node == SUP_NODE_ANY ? -1 : (int)arena->node,
			"length_bytes", (json_int_t)arenas->file_bytes,
			"segment_bytes", (json_int_t)arena->seg_bytes,
			"rung", mhs_pages_name(arenas->rung), "pack",
			segment ? sup_json_hash(load->packs[segment - 1]->content_hash) : json_null(),
			"versions", segment ? (int)sup_pack_versions(load->packs[segment - 1]) : 1));
	}
}

static json_t *show_extents(const struct sup_version *version)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i <= version->load->pack_count; i++)
		show_segment(list, version->load, i);
	return list;
}

/* The packs on disk, and how many versions have each. */
static json_t *show_packs(struct sto_version *v)
{
	json_t *list = json_array();

	for (uint32_t i = 0; v->base && i < v->header.pack_count; i++) {
		const struct mhs_image_pack *pack = &mhs_image_packs(&v->header, v->base)[i];
		char name[STO_PACK_NAME_BYTES], path[4096];
		struct stat st = { 0 };

		sto_pack_name(pack->content_hash, name);
		if (sto_version_path(v->store, v->model, v->version, name, path, sizeof(path)) == 0)
			lstat(path, &st);
		json_array_append_new(list, json_pack("{s:o, s:I, s:i}", "pack",
			sup_json_hash(pack->content_hash), "bytes", (json_int_t)pack->pack_bytes, "links",
			(int)st.st_nlink));
	}
	return list;
}

json_t *sup_status_show(struct sup *sup, const char *model, const char *semver,
			struct sto_error *error)
{
	const struct sup_version *version = sup_version_find(sup, model, semver);
	const struct mhs_image_header *header;
	struct sto_version v;
	json_t *answer;
	char path[4096];

	if (sto_image_path(sup->conf.store, model, semver, path, sizeof(path)) || access(path, F_OK)) {
		sto_fail(error, "%s@%s is not in the store %s; import it first", model, semver,
			 sup->conf.store);
		return NULL;
	}
	if (sto_version_open(&v, sup->conf.store, model, semver, error))
		return NULL;
	header = &v.header;
	answer = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "model", model, "version", semver,
		"state", state_of(sup, model, semver), "bytes", (json_int_t)header->image_bytes,
		"content_hash", sup_json_hash(header->content_hash), "path", sup_json_text(path),
		"config", show_config(header), "manifest", show_manifest(sup, model, semver), "packs",
		show_packs(&v));
	sto_version_close(&v);
	if (version && sup_version_is_public(version))
		json_object_set_new(answer, "extents", show_extents(version));
	return answer;
}
