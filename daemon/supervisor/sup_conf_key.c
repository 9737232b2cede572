/* SPDX-License-Identifier: MIT */
/* sup_conf_key.c: what each key may hold. The table is the reference for mhost.ini(5). */
#include "sup_conf_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define GIB	(UINT64_C(1) << 30)

static const char *const no_yes[] = { "no", "yes", NULL };
static const char *const hugepages_names[] = { "prefer", "require", "never", NULL };
/* In the order of enum eng_isa, which the supervisor passes on unread. */
static const char *const isa_names[] = { "auto", "generic", "avx2", "avx512", "amx", NULL };

static const char *const speculate_names[] = { "no", "yes", "always", NULL };

#define AT(field)	offsetof(struct sup_conf, field)

#define KEY(section, name, set, field, min, max, names)	\
	{ section, name, set, AT(field), min, max, names, 0, 0 }
#define REAL(name, field, low, high)	\
	{ "release", name, sup_set_real, AT(field), 0, 0, NULL, low, high }

static const struct sup_key keys[] = {
	KEY("mhostd", "store", sup_set_text, store, 1, SUP_PATH_BYTES, NULL),
	KEY("mhostd", "socket", sup_set_text, socket, 1, SUP_SOCKET_BYTES, NULL),
	KEY("mhostd", "worker_path", sup_set_text, worker_path, 1, SUP_PATH_BYTES, NULL),
	KEY("mhostd", "workers", sup_set_u32, workers, 1, MHS_WORKER_MAX, NULL),
	KEY("mhostd", "threads", sup_set_u32, threads, 0, 64, NULL),
	KEY("mhostd", "isa", sup_set_name, isa, 0, 0, isa_names),
	KEY("mhostd", "keep_resident", sup_set_u32, keep_resident, 0, 64, NULL),
	KEY("mhostd", "adapter_bytes", sup_set_bytes, adapter_bytes, 1u << 20, 4096 * GIB, NULL),
	KEY("mhostd", "hugepages", sup_set_name, hugepages, 0, 0, hugepages_names),
	{ "mhostd", "numa", sup_set_numa, 0, 0, 0, NULL, 0, 0 },
	KEY("mhostd", "log_level", sup_set_level, log_level, 0, 0, NULL),
	KEY("limits", "context", sup_set_u32, limits.context, 16, 1u << 20, NULL),
	KEY("limits", "max_tokens", sup_set_u32, limits.max_tokens, 0, 1u << 20, NULL),
	KEY("limits", "queue", sup_set_u32, limits.queue, 1, 65536, NULL),
	KEY("limits", "deadline_ms", sup_set_u32, limits.deadline_ms, 0, 86400000, NULL),
	KEY("limits", "kv_bytes", sup_set_bytes, limits.kv_bytes, 1u << 20, 4096 * GIB, NULL),
	KEY("limits", "prefix_cache", sup_set_name, limits.prefix_cache, 0, 0, no_yes),
	KEY("limits", "speculate", sup_set_name, limits.speculate, 0, 0, speculate_names),
	KEY("limits", "clients_per_uid", sup_set_u32, clients_per_uid, 1, 1024, NULL),
	KEY("mhostd", "restore", sup_set_bool, restore, 0, 0, NULL),
	KEY("release", "steps", sup_set_steps, release.steps, 0, 0, NULL),
	KEY("release", "shadow", sup_set_weight, release.shadow_weight, 0, 0, NULL),
	KEY("release", "interval", sup_set_duration, release.interval_s, 1, SUP_INTERVAL_MAX_S, NULL),
	KEY("release", "guard", sup_set_duration, release.guard_s, 0, 7 * 86400, NULL),
	KEY("release", "golden_timeout", sup_set_duration, release.golden_timeout_s, 1, 86400, NULL),
	KEY("release", "probe_count", sup_set_u32, release.probe_count, 0, 100000, NULL),
	KEY("release", "hook", sup_set_text, release.hook, 1, SUP_COMMAND_BYTES, NULL),
	KEY("release", "hook_timeout", sup_set_duration, release.hook_timeout_s, 1, 3600, NULL),
	KEY("release", "metric", sup_set_text, release.metric, 1, SUP_METRIC_BYTES, NULL),
	KEY("release", "metric_command", sup_set_text, release.metric_command, 1, SUP_COMMAND_BYTES, NULL),
	KEY("release", "metric_timeout", sup_set_duration, release.metric_timeout_s, 1, 3600, NULL),
	REAL("metric_min", release.metric_min, -1e300, 1e300),
	REAL("metric_max", release.metric_max, -1e300, 1e300),
	REAL("alpha", release.judge.alpha, 1e-6, 0.5),
	REAL("hold_p", release.judge.hold_p, 0, 0.5),
	KEY("release", "samples_min", sup_set_u32, release.judge.samples_min, 5, 1000000, NULL),
	KEY("release", "samples_full", sup_set_u32, release.judge.samples_full, 5, 10000000, NULL),
	KEY("release", "wall_times", sup_set_bool, release.judge.wall_times, 0, 0, NULL),
	REAL("slowdown_tolerated", release.judge.slowdown_tolerated, 1, 3),
	REAL("slowdown_excluded", release.judge.slowdown_excluded, 1, 3),
	REAL("tail_tolerated", release.judge.tail_tolerated, 0, 1),
	REAL("first_token_p95_ms", release.judge.first_token_p95_ms, 0, 1e9),
	REAL("error_rate_max", release.judge.error_rate_max, 0, 1),
	REAL("error_rate_tolerated", release.judge.error_rate_tolerated, 0, 1),
	REAL("error_rate_excluded", release.judge.error_rate_excluded, 0, 1),
	REAL("empty_rate_max", release.judge.empty_rate_max, 0, 1),
	REAL("empty_rate_tolerated", release.judge.empty_rate_tolerated, 0, 1),
	REAL("repeating_rate_max", release.judge.repeating_rate_max, 0, 1),
	REAL("repeating_rate_tolerated", release.judge.repeating_rate_tolerated, 0, 1),
	KEY("release", "shadow_samples_min", sup_set_u32, release.judge.shadow_samples_min, 5, 1000000, NULL),
	REAL("kl_max", release.judge.kl_max, 0, 1e3),
	REAL("top1_min", release.judge.top1_min, 0, 1),
	REAL("perplexity_ratio_max", release.judge.perplexity_ratio_max, 1, 1e6),
	KEY("access", "use_users", sup_set_users, use.users, 0, 0, NULL),
	KEY("access", "use_groups", sup_set_groups, use.groups, 0, 0, NULL),
	KEY("access", "control_users", sup_set_users, control.users, 0, 0, NULL),
	KEY("access", "control_groups", sup_set_groups, control.groups, 0, 0, NULL),
};

static void release_defaults(struct sup_release_conf *release)
{
	static const uint32_t weights[] = { 100, 500, 2500, 5000, MHS_ROUTE_WEIGHT_MAX };

	memcpy(release->steps.weights, weights, sizeof(weights));
	release->steps.count = sizeof(weights) / sizeof(weights[0]);
	release->shadow_weight = 1000;
	release->interval_s = 60;
	release->guard_s = 600;
	release->golden_timeout_s = 300;
	release->probe_count = 200;
	release->hook_timeout_s = 10;
	release->metric_min = -1e300;
	release->metric_max = 1e300;
	release->metric_timeout_s = 10;
	strcpy(release->metric, "metric");
	sup_judge_defaults(&release->judge);
}

void sup_conf_defaults(struct sup_conf *conf)
{
	memset(conf, 0, sizeof(*conf));		/* padding too: values are compared as bytes */
	conf->workers = 1;
	conf->keep_resident = 2;
	conf->adapter_bytes = 2 * GIB;
	conf->log_level = LOG_LVL_INFO;
	conf->clients_per_uid = 32;
	conf->restore = true;
	release_defaults(&conf->release);
	conf->limits.context = 4096;
	conf->limits.queue = 64;
	conf->limits.kv_bytes = 2 * GIB;
	conf->limits.prefix_cache = 1;
	conf->limits.speculate = HRT_SPECULATE_YES;
}

bool sup_conf_has_section(const char *section)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].section, section) == 0)
			return true;
	return false;
}

int sup_conf_set(struct sup_conf *conf, const char *section, const char *key, const char *value,
		 struct sto_error *error)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, key) == 0)
			return keys[i].set(&keys[i], (char *)conf + keys[i].offset, value, error);
	sto_fail(error, "unknown key; mhost.ini(5) lists them");
	return -ENOENT;
}

static const char *const strand_names[] = { "refuse", "tell", NULL };
static const char *const on_new_names[] = { "import", "shadow", "canary", "activate", NULL };

#define OF(field)	offsetof(struct sup_model_conf, field)

static const struct sup_key model_keys[] = {
	{ "", "active", sup_set_version, OF(active), 0, 0, NULL, 0, 0 },
	{ "", "golden", sup_set_text, OF(golden), 1, SUP_PATH_BYTES, NULL, 0, 0 },
	{ "", "probes", sup_set_text, OF(probes), 1, SUP_PATH_BYTES, NULL, 0, 0 },
	{ "", "watch", sup_set_text, OF(watch), 1, SUP_PATH_BYTES, NULL, 0, 0 },
	{ "", "on_new", sup_set_name, OF(on_new), 0, 0, on_new_names, 0, 0 },
	{ "", "strand", sup_set_name, OF(strand), 0, 0, strand_names, 0, 0 },
};

int sup_conf_set_model(struct sup_model_conf *model, const char *key, const char *value,
		       struct sto_error *error)
{
	for (size_t i = 0; i < sizeof(model_keys) / sizeof(model_keys[0]); i++)
		if (strcmp(model_keys[i].name, key) == 0)
			return model_keys[i].set(&model_keys[i], (char *)model + model_keys[i].offset,
						 value, error);
	sto_fail(error, "unknown key; a model has active, golden, probes, watch, on_new and strand");
	return -ENOENT;
}

const char *sup_on_new_name(uint32_t on_new)
{
	return on_new_names[on_new];
}

const struct sup_model_conf *sup_conf_model_find(const struct sup_conf *conf, const char *name)
{
	for (uint32_t i = 0; i < conf->model_count; i++)
		if (strcmp(conf->models[i].name, name) == 0)
			return &conf->models[i];
	return NULL;
}

struct sup_model_conf *sup_conf_model(struct sup_conf *conf, const char *name)
{
	const struct sup_model_conf *found = sup_conf_model_find(conf, name);
	struct sup_model_conf *model;

	if (found)
		return &conf->models[found - conf->models];
	if (conf->model_count == SUP_CONF_MODELS_MAX)
		return NULL;
	model = &conf->models[conf->model_count++];
	snprintf(model->name, sizeof(model->name), "%s", name);
	return model;
}

/* What the judge makes of its thresholds taken together. */
static const char *judge_wrong(const struct sup_judge_conf *conf)
{
	struct sup_judge *judge = malloc(sizeof(*judge));
	const char *field = "out of memory";

	if (judge && sup_judge_init(judge, conf, &field) == 0)
		field = NULL;
	free(judge);
	return field;
}

int sup_conf_check(const struct sup_conf *conf, struct sto_error *error)
{
	const char *wrong = judge_wrong(&conf->release.judge);

	if (!conf->store[0])
		sto_fail(error, "no store; give --store DIR or store = DIR under [mhostd]");
	else if (!conf->socket[0])
		sto_fail(error, "no socket; give --socket PATH or socket = PATH under [mhostd]");
	else if (conf->limits.max_tokens > conf->limits.context)
		sto_fail(error, "[limits] max_tokens: %u is more than context, %u",
			 conf->limits.max_tokens, conf->limits.context);
	else if (wrong)
		sto_fail(error, "[release] %s: does not go with the other thresholds; see mhost.ini(5)",
			 wrong);
	else if (conf->release.metric_min > conf->release.metric_max)
		sto_fail(error, "[release] metric_min: %g is more than metric_max, %g",
			 conf->release.metric_min, conf->release.metric_max);
	else
		return 0;
	return -EINVAL;
}

static bool ids_have(const struct sup_ids *list, uint32_t id)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->ids[i] == id)
			return true;
	return false;
}

bool sup_access_allows(const struct sup_access *access, uint32_t uid, const uint32_t *gids,
		       uint32_t gid_count)
{
	if (uid == 0 || uid == geteuid() || ids_have(&access->users, uid))
		return true;
	for (uint32_t i = 0; i < gid_count; i++)
		if (ids_have(&access->groups, gids[i]))
			return true;
	return false;
}

const char *sup_hugepages_name(uint32_t hugepages)
{
	return hugepages_names[hugepages];
}

const char *sup_isa_name(uint32_t isa)
{
	return isa_names[isa];
}

void sup_numa_name(const struct sup_conf *conf, char *text, size_t bytes)
{
	if (conf->numa == SUP_NUMA_BIND)
		snprintf(text, bytes, "bind:%u", conf->numa_node);
	else
		snprintf(text, bytes, "%s",
			 conf->numa == SUP_NUMA_REPLICATE ? "replicate" : "interleave");
}
