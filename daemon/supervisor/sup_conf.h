/* SPDX-License-Identifier: MIT */
/*
 * sup_conf.h: the configuration, from mhost.ini(5) and the command line. A struct sup_conf is a
 * plain value: parsed wholly, then taken or thrown away.
 */
#ifndef SUP_CONF_H
#define SUP_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heritage.h"
#include "sto_store.h"
#include "sup_judge.h"

#define SUP_PATH_BYTES		1024u
#define SUP_SOCKET_BYTES	100u	/* with ".ctl" it must still fit a socket address */
#define SUP_CONF_MODELS_MAX	256u	/* [model NAME] sections */
#define SUP_IDS_MAX		64u	/* users or groups in one list */
#define SUP_FILE_BYTES_MAX	(256u << 10)

enum sup_hugepages { SUP_HUGE_PREFER, SUP_HUGE_REQUIRE, SUP_HUGE_NEVER };
enum sup_numa { SUP_NUMA_INTERLEAVE, SUP_NUMA_BIND, SUP_NUMA_REPLICATE };

struct sup_ids {
	uint32_t count;
	uint32_t ids[SUP_IDS_MAX];
};

struct sup_access {
	struct sup_ids users, groups;
};

enum sup_strand { SUP_STRAND_REFUSE, SUP_STRAND_TELL };
enum sup_on_new { SUP_NEW_IMPORT, SUP_NEW_SHADOW, SUP_NEW_CANARY, SUP_NEW_ACTIVATE };

struct sup_model_conf {
	char name[MHS_NAME_BYTES];
	char active[MHS_SEMVER_BYTES];	/* empty: none at start */
	char golden[SUP_PATH_BYTES];	/* cases for every version, besides its own; empty: none */
	char probes[SUP_PATH_BYTES];	/* prompts for when traffic is low; empty: golden's */
	char watch[SUP_PATH_BYTES];	/* directory of checkpoints; empty: none */
	uint32_t on_new;		/* enum sup_on_new */
	uint32_t strand;		/* enum sup_strand */
};

#define SUP_STEPS_MAX		32u
#define SUP_INTERVAL_MAX_S	(7u * 86400u)
#define SUP_COMMAND_BYTES	512u
#define SUP_METRIC_BYTES	SUP_JUDGE_NAME_BYTES

/* Weights of a candidate, rising, in basis points. */
struct sup_steps {
	uint32_t count;
	uint32_t weights[SUP_STEPS_MAX];
};

struct sup_release_conf {
	struct sup_steps steps;
	uint32_t shadow_weight;			/* basis points */
	uint32_t interval_s, guard_s;
	uint32_t golden_timeout_s;
	uint32_t probe_count;			/* prompts a version and interval; 0: none */
	char hook[SUP_COMMAND_BYTES];		/* for each event; empty: none */
	uint32_t hook_timeout_s;
	char metric[SUP_METRIC_BYTES];		/* what metric_command's number is called */
	char metric_command[SUP_COMMAND_BYTES];
	double metric_min, metric_max;
	uint32_t metric_timeout_s;
	struct sup_judge_conf judge;
};

struct sup_conf {
	char store[SUP_PATH_BYTES];
	char socket[SUP_SOCKET_BYTES];
	char worker_path[SUP_PATH_BYTES];	/* empty: beside mhostd */
	uint32_t workers;
	uint32_t threads;			/* per worker; 0: CPUs shared out evenly */
	uint32_t isa;				/* enum eng_isa */
	uint64_t adapter_bytes;			/* of adapters in memory */
	uint32_t keep_resident;			/* versions per model kept for rollback */
	uint32_t hugepages;			/* enum sup_hugepages */
	uint32_t numa;				/* enum sup_numa */
	uint32_t numa_node;			/* of bind:N */
	int log_level;
	bool restore;				/* what was routed when we ended, at start */
	struct hrt_limits limits;
	struct sup_release_conf release;
	uint32_t clients_per_uid;
	struct sup_access use, control;
	uint32_t model_count;
	struct sup_model_conf models[SUP_CONF_MODELS_MAX];
};

/* A key of [mhostd] given on the command line. */
struct sup_option {
	const char *key;
	const char *value;
};

struct sup_options {
	const char *config;		/* NULL: no file */
	uint32_t count;
	struct sup_option list[16];
};

/*
 * Parse the command line. 0: go on; 1: help or version was printed; -EINVAL with text: bad usage.
 */
int sup_options_parse(int argc, char **argv, struct sup_options *options, struct sto_error *error);

/*
 * Defaults, then the file, then the options. 0, or -EINVAL with "FILE:LINE: [section] key: what"; no
 * line when values do not go together.
 * @conf is written only on success.
 */
int sup_conf_read(const struct sup_options *options, struct sup_conf *conf, struct sto_error *error);

/*
 * Whether a peer with these credentials is on the list. Root and the daemon's own user always are.
 */
bool sup_access_allows(const struct sup_access *access, uint32_t uid, const uint32_t *gids,
		       uint32_t gid_count);

const char *sup_hugepages_name(uint32_t hugepages);
const char *sup_isa_name(uint32_t isa);
const char *sup_on_new_name(uint32_t on_new);
/* "1,5,25" to basis points. 0 or -EINVAL with text. */
int sup_steps_parse(const char *value, struct sup_steps *steps, struct sto_error *error);
/* "2.5" to 250. 0 or -EINVAL with text. */
int sup_weight_parse(const char *value, uint32_t *weight, struct sto_error *error);
/* "90", "90s", "5m", "2h". 0 or -EINVAL. */
int sup_duration_parse(const char *value, uint64_t *seconds);
/* "interleave", "bind:1", "replicate". */
void sup_numa_name(const struct sup_conf *conf, char *text, size_t bytes);

/* ---- sup_conf_key.c, for sup_conf.c --------------------------------------------------------- */

void sup_conf_defaults(struct sup_conf *conf);
bool sup_conf_has_section(const char *section);
/* Set one key. -ENOENT: unknown; -EINVAL with text (the value's fault, without place). */
int sup_conf_set(struct sup_conf *conf, const char *section, const char *key, const char *value,
		 struct sto_error *error);
/* The entry of [model NAME], added if new. NULL: too many. */
struct sup_model_conf *sup_conf_model(struct sup_conf *conf, const char *name);
/* NULL: it has no section. */
const struct sup_model_conf *sup_conf_model_find(const struct sup_conf *conf, const char *name);
/* Set one key of a model, in the same way. */
int sup_conf_set_model(struct sup_model_conf *model, const char *key, const char *value,
		       struct sto_error *error);
/* What only the whole can show: keys that are missing. 0 or -EINVAL with text. */
int sup_conf_check(const struct sup_conf *conf, struct sto_error *error);

#endif
