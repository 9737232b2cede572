/* SPDX-License-Identifier: MIT */
/* sup_adapter_show.c: adapters in memory and their routes, for people. Reads nothing of the store. */
#include <string.h>

#include "mhs_stat.h"
#include "sup_control.h"
#include "sup_trial.h"

/* Requests of all workers that were made with it, as far as they still count them. */
static uint64_t uses_of(const struct sup_version *version)
{
	uint64_t id = version->serial << 12 | version->index, uses = 0;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		const struct mhs_stats *stats = version->sup->workers[i].stats.addr;

		for (uint32_t r = 0; stats && r < MHS_STATS_ROWS; r++)
			if (mhs_stats_get(&stats->rows[r].version_serial) == id)
				uses += mhs_stats_get(&stats->rows[r].requests) & INT64_MAX;
	}
	return uses & INT64_MAX;
}

static void add_version(json_t *list, const struct sup_version *v)
{
	const struct sup_load *load = v->phase >= SUP_READY ? v->load : NULL;
	json_t *row = json_pack("{s:s, s:s, s:b, s:b, s:b, s:I}", "version", v->semver, "state",
				sup_version_state(v), "routed", strcmp(v->model->chosen, v->semver) == 0,
				"by_hand", v->by_hand, "pushed", v->pushed, "bytes", (json_int_t)v->room_bytes);

	if (load)
		json_object_update_new(row, json_pack("{s:i, s:i, s:I, s:f}", "rank_min", (int)load->rank_min,
			"rank_max", (int)load->rank_max, "uses", (json_int_t)uses_of(v), "unused_s",
			(double)sup_version_unused_ms(v) / 1e3));
	json_array_append_new(list, sup_target_show(row, v->model->name));
}

static void add_model(json_t *list, const struct sup_model *model)
{
	bool routed = model->chosen[0] != '\0';

	for (const struct sup_version *v = model->versions; v; v = v->sibling) {
		routed &= strcmp(model->chosen, v->semver) != 0;
		add_version(list, v);
	}
	if (routed)	/* it comes when it is used next */
		json_array_append_new(list, sup_target_show(json_pack("{s:s, s:s, s:b}", "version",
			model->chosen, "state", "stored", "routed", 1), model->name));
}

/* @name: a model or one adapter; NULL: all. */
static bool is_wanted(const struct sup_model *model, const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return model->is_adapter && (!name || strcmp(model->name, name) == 0 ||
				     (strncmp(model->name, name, n) == 0 && model->name[n] == '/'));
}

json_t *sup_adapters_show(const struct sup *sup, const char *name)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < sup->model_count; i++)
		if (is_wanted(&sup->models[i], name))
			add_model(list, &sup->models[i]);
	return json_pack("{s:s, s:I, s:I, s:o}", "store", sup->conf.store, "bytes",
			 (json_int_t)sup_adapters_bytes(sup), "budget_bytes",
			 (json_int_t)sup->conf.adapter_bytes, "adapters", list);
}

json_t *sup_adapters_status(const struct sup *sup)
{
	int resident = 0, routed = 0;

	for (uint32_t i = 0; i < sup->model_count; i++)
		routed += sup->models[i].is_adapter && sup->models[i].active;
	for (const struct sup_version *v = sup->versions; v; v = v->next)
		resident += v->model->is_adapter && sup_version_is_public(v);
	return json_pack("{s:i, s:i, s:I, s:I}", "resident", resident, "routed", routed, "bytes",
			 (json_int_t)sup_adapters_bytes(sup), "budget_bytes",
			 (json_int_t)sup->conf.adapter_bytes);
}
