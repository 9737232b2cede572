/* SPDX-License-Identifier: MIT */
/* sup_conf_key.c: what each key may hold. The table is the reference for mhost.ini(5). */
#include "sup_conf.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define GIB	(UINT64_C(1) << 30)

struct key;
typedef int (*set_fn)(const struct key *key, void *field, const char *value,
		      struct sto_error *error);

struct key {
	const char *section, *name;
	set_fn set;
	size_t offset;			/* of the field in struct sup_conf */
	uint64_t min, max;		/* numbers; max: bytes of a text */
	const char *const *names;	/* of an enum, from 0, NULL-terminated */
};

static const char *const no_yes[] = { "no", "yes", NULL };
static const char *const hugepages_names[] = { "prefer", "require", "never", NULL };
/* In the order of enum eng_isa, which the supervisor passes on unread. */
static const char *const isa_names[] = { "auto", "generic", "avx2", "avx512", "amx", NULL };

static int set_text(const struct key *key, void *field, const char *value, struct sto_error *error)
{
	if (!*value)
		sto_fail(error, "empty");
	else if (strlen(value) >= key->max)
		sto_fail(error, "%zu bytes long, at most %llu fit", strlen(value),
			 (unsigned long long)key->max - 1);
	else
		return strcpy(field, value), 0;
	return -EINVAL;
}

static int suffix_shift(char suffix)
{
	switch (suffix) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	default:
		return -1;
	}
}

/* Decimal digits only, @suffixes: then perhaps one of K, M, G. */
static int number_parse(const char *value, bool suffixes, uint64_t *number)
{
	size_t digits = strspn(value, "0123456789");
	int shift = 0;

	if (digits == 0 || digits > 19)
		return -EINVAL;
	if (value[digits]) {
		shift = suffixes ? suffix_shift(value[digits]) : -1;
		if (shift < 0 || value[digits + 1])
			return -EINVAL;
	}
	*number = strtoull(value, NULL, 10);
	if (*number > UINT64_MAX >> shift)
		return -EINVAL;
	*number <<= shift;
	return 0;
}

static int number_range(const struct key *key, bool suffixes, const char *value, uint64_t *number,
			struct sto_error *error)
{
	if (number_parse(value, suffixes, number)) {
		sto_fail(error, "\"%.40s\" is no number; give %llu to %llu%s", value,
			 (unsigned long long)key->min, (unsigned long long)key->max,
			 suffixes ? ", with K, M or G if you like" : "");
		return -EINVAL;
	}
	if (*number < key->min || *number > key->max) {
		sto_fail(error, "%.40s is out of range; give %llu to %llu", value,
			 (unsigned long long)key->min, (unsigned long long)key->max);
		return -EINVAL;
	}
	return 0;
}

static int set_u32(const struct key *key, void *field, const char *value, struct sto_error *error)
{
	uint64_t number;

	if (number_range(key, false, value, &number, error))
		return -EINVAL;
	*(uint32_t *)field = (uint32_t)number;
	return 0;
}

static int set_bytes(const struct key *key, void *field, const char *value,
		     struct sto_error *error)
{
	return number_range(key, true, value, field, error);
}

static int set_name(const struct key *key, void *field, const char *value, struct sto_error *error)
{
	char all[128] = "";

	for (uint32_t i = 0; key->names[i]; i++) {
		if (strcmp(value, key->names[i]) == 0) {
			*(uint32_t *)field = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 key->names[i]);
	}
	sto_fail(error, "\"%.40s\" is none of %s", value, all);
	return -EINVAL;
}

static int set_numa(const struct key *key, void *field, const char *value, struct sto_error *error)
{
	struct sup_conf *conf = field;	/* offset 0: two fields */
	uint64_t node;

	(void)key;
	conf->numa_node = 0;
	if (strcmp(value, "interleave") == 0) {
		conf->numa = SUP_NUMA_INTERLEAVE;
	} else if (strcmp(value, "replicate") == 0) {
		conf->numa = SUP_NUMA_REPLICATE;
	} else if (strncmp(value, "bind:", 5) == 0 && number_parse(value + 5, false, &node) == 0 &&
		   node < 1024) {
		conf->numa = SUP_NUMA_BIND;
		conf->numa_node = (uint32_t)node;
	} else {
		sto_fail(error, "\"%.40s\" is none of interleave, bind:NODE, replicate", value);
		return -EINVAL;
	}
	return 0;
}

static int set_level(const struct key *key, void *field, const char *value, struct sto_error *error)
{
	int level = log_level_parse(value);

	(void)key;
	if (level < 0) {
		sto_fail(error, "\"%.40s\" is none of error, warning, notice, info, debug", value);
		return -EINVAL;
	}
	*(int *)field = level;
	return 0;
}

/* A user's or group's number, by name or given as a number. */
static int id_find(const char *name, bool group, uint32_t *id)
{
	uint64_t number;

	if (number_parse(name, false, &number) == 0) {
		*id = (uint32_t)number;
		return number < UINT32_MAX ? 0 : -EINVAL;
	}
	if (group) {
		const struct group *gr = getgrnam(name);

		*id = gr ? gr->gr_gid : 0;
		return gr ? 0 : -ENOENT;
	}
	const struct passwd *pw = getpwnam(name);

	*id = pw ? pw->pw_uid : 0;
	return pw ? 0 : -ENOENT;
}

static int set_ids(struct sup_ids *list, const char *value, bool group, struct sto_error *error)
{
	char copy[512], *rest = copy, *name;

	list->count = 0;
	snprintf(copy, sizeof(copy), "%s", value);
	while ((name = strsep(&rest, ", \t"))) {
		if (!*name)
			continue;
		if (list->count == SUP_IDS_MAX) {
			sto_fail(error, "more than %u names", SUP_IDS_MAX);
			return -EINVAL;
		}
		if (id_find(name, group, &list->ids[list->count++])) {
			sto_fail(error, "unknown %s \"%.64s\"", group ? "group" : "user", name);
			return -EINVAL;
		}
	}
	return 0;
}

static int set_users(const struct key *key, void *field, const char *value, struct sto_error *error)
{
	(void)key;
	return set_ids(field, value, false, error);
}

static int set_groups(const struct key *key, void *field, const char *value,
		      struct sto_error *error)
{
	(void)key;
	return set_ids(field, value, true, error);
}

static const char *const speculate_names[] = { "no", "yes", "always", NULL };

#define AT(field)	offsetof(struct sup_conf, field)

static const struct key keys[] = {
	{ "mhostd", "store", set_text, AT(store), 1, SUP_PATH_BYTES, NULL },
	{ "mhostd", "socket", set_text, AT(socket), 1, SUP_SOCKET_BYTES, NULL },
	{ "mhostd", "worker_path", set_text, AT(worker_path), 1, SUP_PATH_BYTES, NULL },
	{ "mhostd", "workers", set_u32, AT(workers), 1, MHS_WORKER_MAX, NULL },
	{ "mhostd", "threads", set_u32, AT(threads), 0, 64, NULL },
	{ "mhostd", "isa", set_name, AT(isa), 0, 0, isa_names },
	{ "mhostd", "keep_resident", set_u32, AT(keep_resident), 0, 64, NULL },
	{ "mhostd", "hugepages", set_name, AT(hugepages), 0, 0, hugepages_names },
	{ "mhostd", "numa", set_numa, 0, 0, 0, NULL },
	{ "mhostd", "log_level", set_level, AT(log_level), 0, 0, NULL },
	{ "limits", "context", set_u32, AT(limits.context), 16, 1u << 20, NULL },
	{ "limits", "max_tokens", set_u32, AT(limits.max_tokens), 0, 1u << 20, NULL },
	{ "limits", "queue", set_u32, AT(limits.queue), 1, 65536, NULL },
	{ "limits", "deadline_ms", set_u32, AT(limits.deadline_ms), 0, 86400000, NULL },
	{ "limits", "kv_bytes", set_bytes, AT(limits.kv_bytes), 1u << 20, 4096 * GIB, NULL },
	{ "limits", "prefix_cache", set_name, AT(limits.prefix_cache), 0, 0, no_yes },
	{ "limits", "speculate", set_name, AT(limits.speculate), 0, 0, speculate_names },
	{ "limits", "clients_per_uid", set_u32, AT(clients_per_uid), 1, 1024, NULL },
	{ "access", "use_users", set_users, AT(use.users), 0, 0, NULL },
	{ "access", "use_groups", set_groups, AT(use.groups), 0, 0, NULL },
	{ "access", "control_users", set_users, AT(control.users), 0, 0, NULL },
	{ "access", "control_groups", set_groups, AT(control.groups), 0, 0, NULL },
};

void sup_conf_defaults(struct sup_conf *conf)
{
	memset(conf, 0, sizeof(*conf));		/* padding too: values are compared as bytes */
	conf->workers = 1;
	conf->keep_resident = 2;
	conf->log_level = LOG_LVL_INFO;
	conf->clients_per_uid = 32;
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

struct sup_model_conf *sup_conf_model(struct sup_conf *conf, const char *name)
{
	struct sup_model_conf *model;

	for (uint32_t i = 0; i < conf->model_count; i++)
		if (strcmp(conf->models[i].name, name) == 0)
			return &conf->models[i];
	if (conf->model_count == MHS_MODEL_MAX)
		return NULL;
	model = &conf->models[conf->model_count++];
	snprintf(model->name, sizeof(model->name), "%s", name);
	return model;
}

int sup_conf_check(const struct sup_conf *conf, struct sto_error *error)
{
	if (!conf->store[0])
		sto_fail(error, "no store; give --store DIR or store = DIR under [mhostd]");
	else if (!conf->socket[0])
		sto_fail(error, "no socket; give --socket PATH or socket = PATH under [mhostd]");
	else if (conf->limits.max_tokens > conf->limits.context)
		sto_fail(error, "[limits] max_tokens: %u is more than context, %u",
			 conf->limits.max_tokens, conf->limits.context);
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
