/* SPDX-License-Identifier: MIT */
/*
 * sup.h: the supervisor's own state. Ownership truth lives here; what stands in slots and lanes is
 * hostile input. One thread runs all of it (loads have threads of their own and share nothing but
 * struct sup_load).
 *
 *	sup_run		start, signals, reload, stop
 *	sup_board	models, adapters and versions on the board; sup_target names them
 *	sup_version	load, attach, publish, drain, free
 *	sup_release	activate, rollback, load, unload
 *	sup_adapter	what only adapters have: a place in memory for a while; sup_want: asked for by requests
 *	sup_worker	spawn, death, restart
 *	sup_message	what workers say and are told
 *	sup_client	client socket and lanes
 *	sup_control	control socket; sup_command, sup_status
 *	sup_trial	releases in progress: shadow, canary; sup_judge weighs their evidence
 *	sup_strand	adapters that a version would leave behind
 *	sup_gate	golden cases before a version gets traffic
 *	sup_event	history and hook; sup_keep: what a restart goes on with
 */
#ifndef SUP_H
#define SUP_H

#include <sys/types.h>

#include "mhs_epoch.h"
#include "mhs_wire.h"
#include "sto_adapter.h"
#include "sup_conf.h"
#include "sup_load.h"
#include "sup_loop.h"
#include "sup_scribe.h"

#define SUP_HISTORY_MAX		16u
#define SUP_NAME_BYTES		(2 * MHS_NAME_BYTES)	/* MODEL, or MODEL/ADAPTER */
#define SUP_BUCKETS		4096u			/* of the names; a power of two */
#define SUP_CLIENTS_MAX		1024u
#define SUP_CONNS_MAX		64u
#define SUP_UID_SELF		UINT32_MAX	/* the supervisor by itself */

/* Programs beside the loop. Each kind has a limit of its own: no other keeps a gate from its start. */
enum sup_child_kind { SUP_CHILD_GATE, SUP_CHILD_HOOK, SUP_CHILD_METRIC, SUP_CHILD_PROBE, SUP_CHILD_WATCH,
		      SUP_CHILD_KINDS };

struct sup;
struct sup_op;
struct sup_conn;
struct sup_child;
struct sup_trial;
struct sup_watch;
struct sup_trial_plan;

/* ---- models and versions -------------------------------------------------------------------- */

/* Of an adapter too: it has a route, versions and releases as a model has. */
struct sup_model {
	struct sup *sup;
	struct sup_model *chain;	/* next one in its bucket */
	uint32_t index;			/* on the board */
	bool is_adapter;
	char name[SUP_NAME_BYTES];
	struct sup_version *versions;	/* in memory */
	struct sup_version *active;
	struct sup_version *candidate;	/* NULL: none; its weight stands in the route */
	struct sup_trial *trial;	/* the release in progress; NULL: none */
	uint64_t guard_ns;		/* until then a hard failure rolls back */
	uint32_t history_count;		/* versions that were active before, latest last */
	char history[SUP_HISTORY_MAX][MHS_SEMVER_BYTES];
	/* of an adapter: its route's version, in memory or not; empty: none */
	char chosen[MHS_SEMVER_BYTES];
	char last_push[MHS_SEMVER_BYTES];	/* a number is given once */
	bool shapes_known;
	struct mhs_image_config shapes;	/* of that version */
};

enum sup_phase {
	SUP_LOADING,			/* waits for its loader thread, or that runs */
	SUP_ATTACHING,			/* sealed; workers map it and run their smoke test */
	SUP_READY,			/* board: READY. May be pinned from here on */
	SUP_ACTIVE,
	SUP_CANDIDATE,			/* of a release in progress */
	SUP_RESIDENT,			/* was active, kept for rollback */
	SUP_DRAINING,			/* unpublished, grace period runs */
	SUP_DETACHING,			/* workers unmap it */
};

enum sup_attach { SUP_ATTACH_NONE, SUP_ATTACH_SENT, SUP_ATTACH_DONE, SUP_DETACH_SENT };

/* A file of golden cases as it was; all zero: none. */
struct sup_cases {
	uint64_t device, inode, bytes, changed_ns;
};
#define SUP_CASES_MAX	2u		/* the version's own, and the configuration's */

struct sup_version {
	struct sup *sup;
	struct sup_version *next, *sibling;	/* of all; of its model */
	struct sup_model *model;
	char semver[MHS_SEMVER_BYTES];
	uint32_t index;			/* on the board */
	uint64_t serial;
	enum sup_phase phase;
	struct sup_load *load;		/* runs, or its result: header and segments */
	bool load_started;
	struct sup_cases passed[SUP_CASES_MAX];	/* it need not pass again: what is loaded stays as it is */
	uint32_t attach_deaths;		/* workers that died while attaching it */
	uint8_t attach[MHS_WORKER_MAX];	/* enum sup_attach, of the worker's present life */
	bool pushed;			/* of an adapter: in no store */
	bool by_hand;			/* `load` asked for it: it stays until it is unloaded */
	uint64_t room_bytes;		/* of an adapter: its file, held against adapter_bytes */
	uint64_t ready_ns;		/* when it could be used first */
	uint64_t active_order;		/* grows with each activation, for keep_resident */
	uint64_t attach_begin_ns, attach_ns;
	struct hrt_attached slowest;	/* of the workers, each number by itself */
	uint64_t drain_begin_ns, drain_epoch, poll_ns;
	uint64_t freed_bytes;		/* by its end: what no other version uses */
	struct sup_timer timer;		/* looks at the grace period */
};

/* ---- workers and clients --------------------------------------------------------------------- */

enum sup_worker_state { SUP_WORKER_NONE, SUP_WORKER_STARTING, SUP_WORKER_READY, SUP_WORKER_STOPPING,
			SUP_WORKER_BACKOFF };

/* A message that the worker's socket had no room for, with its own copies of the descriptors. */
struct sup_queued {
	struct sup_queued *next;
	struct hrt_msg msg;
	int fds[HERITAGE_FD_MAX];
	uint32_t fd_count;
};

struct sup_worker {
	struct sup *sup;
	uint32_t index;
	enum sup_worker_state state;
	pid_t pid;			/* 0: no process */
	uint64_t life;			/* grows with each spawn of any worker; never used again */
	uint32_t node;			/* NUMA node, UINT32_MAX: any */
	struct sup_source pidfd, sock;
	struct sup_queued *queue, **queue_end;
	int bell;			/* to ring it */
	struct mhs_map slot, stats, replies;	/* read-only here, hostile */
	bool initialised;		/* READY came */
	bool was_ready;			/* had lanes in this life */
	char isa[64];			/* as it said */
	uint32_t restarts;
	uint32_t lane_count;		/* not yet reported closed */
	uint64_t spawn_ns, backoff_ns;
	struct sup_timer timer;		/* restart */
};

struct sup_lane {
	struct sup_lane *next;
	uint32_t id;
	uint32_t worker;		/* index */
	uint64_t life;			/* of that worker */
};

struct sup_client {
	struct sup *sup;
	struct sup_client *next;
	/* closed: the lanes are still being closed by their workers */
	struct sup_source sock;
	uint64_t id;
	uint32_t uid;
	bool greeted;			/* HELLO came */
	bool welcomed;			/* WELCOME and lanes sent */
	int bell[2];			/* the client sleeps on [0], its workers ring [1] */
	struct sup_lane *lanes;
	struct sup_timer timer;		/* for HELLO to come */
};

/* ---- the whole ------------------------------------------------------------------------------- */

enum sup_state { SUP_STARTING, SUP_SERVING, SUP_STOPPING };

#define SUP_ADOPT_MAX_NS	(5 * SUP_NS_PER_MS)	/* tests have others */
#define SUP_ADOPT_LIMIT_NS	(10 * SUP_NS_PER_S)

struct sup {
	struct sup_options options;
	struct sup_conf conf;
	enum sup_state state;
	int exit_status;
	bool ended;
	struct sup_loop loop;
	struct sup_source signals, loads, client_socket, control_socket;
	struct sup_timer stop_timer, accept_timer;
	uint64_t start_ns, stop_ns;
	uint32_t start_ops;		/* activations of the configuration that still run */
	dev_t socket_dev[2];		/* of client and control socket, to unlink only our own */
	ino_t socket_ino[2];

	struct mhs_map board_map;
	struct mhs_board *board;
	int board_fd;			/* read-only, for workers */
	uint32_t model_count;
	struct sup_model models[MHS_MODEL_MAX];
	struct sup_model *buckets[SUP_BUCKETS];
	struct sup_version *versions;
	struct sup_version *at[MHS_VERSION_MAX];	/* by index on the board */
	uint64_t next_serial, next_active_order;
	uint32_t loads_running;
	enum mhs_pages last_rung;	/* of the last load that worked */
	enum sup_method last_method;
	bool any_load;
	char last_pages_note[256], last_method_note[160];

	struct sup_worker workers[MHS_WORKER_MAX];
	uint64_t next_life;
	uint32_t start_deaths;		/* before any worker was ready */
	bool any_ready;

	struct sup_client *clients;
	uint32_t client_count, next_lane;
	uint64_t next_client;
	struct sup_conn *conns;
	uint32_t conn_count;
	struct sup_op *ops;
	uint64_t adopt_max_ns;		/* longest time between two looks at who took up a flip */
	uint64_t adopt_limit_ns;	/* then the answer goes out and names who lacks */
	struct sup_watch *watches;
	struct sup_child *children;
	uint32_t child_counts[SUP_CHILD_KINDS];
	struct sup_scribe scribe;
	json_t *kept;			/* by model: what to go on with, until it is active */
};

/* sup_run.c */
int sup_start(struct sup *sup, const struct sup_options *options, struct sto_error *error);
int sup_run(struct sup *sup);			/* exit status */
void sup_finish(struct sup *sup);
void sup_stop(struct sup *sup, int exit_status);	/* begin a clean stop */
void sup_fatal(struct sup *sup, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sup_check_serving(struct sup *sup);	/* something became ready: perhaps all is */
void sup_check_stopped(struct sup *sup);
uint32_t sup_threads(const struct sup_conf *conf);	/* per worker */
void sup_reload(struct sup *sup);		/* sup_reload.c */
/* sup_notify.c: to the service manager, if there is one */
void sup_notify(const char *text);

/* sup_board.c */
int sup_board_open(struct sup *sup, struct sto_error *error);
void sup_board_close(struct sup *sup);
/* The version of its route, in memory or not; empty: none. */
const char *sup_model_current(const struct sup_model *model);
/* Of MODEL or MODEL/ADAPTER, put on the board when new; NULL with text when the board is full. */
struct sup_model *sup_model_get(struct sup *sup, const char *name, struct sto_error *error);
struct sup_model *sup_model_find(struct sup *sup, const char *name);
struct sup_version *sup_version_find(struct sup *sup, const char *model, const char *semver);
struct sup_version *sup_version_at(struct sup *sup, uint32_t index, uint64_t serial);
/* A fresh entry on the board, state LOADING. NULL with text. */
struct sup_version *sup_version_new(struct sup *sup, struct sup_model *model, const char *semver,
				    struct sto_error *error);
void sup_version_describe(struct sup_version *version);	/* fill the entry from header and arenas */
void sup_version_delete(struct sup_version *version);	/* entry FREE, memory gone */
/* Make @version the active one, without a candidate. Returns the new epoch. */
uint64_t sup_model_flip(struct sup_model *model, struct sup_version *version);
/* No version is active any longer, nor a candidate. */
void sup_model_unroute(struct sup_model *model);
/* Put @candidate (NULL: none) beside the active version. @mode: enum mhs_route_mode. */
void sup_model_route(struct sup_model *model, struct sup_version *candidate, uint32_t weight,
		     uint32_t mode);
void sup_history_push(struct sup_model *model, const char *semver);
bool sup_history_has(const struct sup_model *model, const char *semver);
const char *sup_version_state(const struct sup_version *version);	/* as `list` names it */

/* sup_target.c: MODEL and MODEL/ADAPTER, wherever one is named */
int sup_target_check(const char *target, struct sto_error *error);
bool sup_target_is_adapter(const char *target);
void sup_target_split(const char *target, char model[MHS_NAME_BYTES], char adapter[MHS_NAME_BYTES]);
/* Stands for the model's name in sto_version_path() and the like. */
void sup_target_folder(const char *target, char folder[STO_ADAPTER_FOLDER_BYTES]);
/* Path of @file of a version, sto_version_path(). */
int sup_target_path(const struct sup *sup, const char *target, const char *semver, const char *file,
		    char *path, uint32_t bytes);
/* The highest version in the store; false: there is none. */
bool sup_target_latest(const struct sup *sup, const char *target, char semver[MHS_SEMVER_BYTES]);
/* @object (reference taken), with "model" and, of an adapter, "adapter" before all else. */
json_t *sup_target_show(json_t *object, const char *target);

/* sup_version.c */
/* Have it loaded, attached, published. @push (taken, may be NULL): instead of a file of the store. */
void sup_version_load(struct sup_version *version, struct sup_push *push);
void sup_version_drain(struct sup_version *version);	/* withdraw and free */
/* take a drain back, if nobody detached yet */
bool sup_version_revive(struct sup_version *version);
/* A worker could not attach one that others have: so often, and it goes, as far as it may. */
void sup_version_unattached(struct sup_version *version, const char *how);
void sup_version_step(struct sup_version *version);	/* something changed that it may wait for */
void sup_versions_step(struct sup *sup);
void sup_version_refused(struct sup_version *version, const char *text);	/* by a worker */
void sup_model_trim(struct sup *sup, struct sup_model *model);		/* keep_resident */
bool sup_version_is_public(const struct sup_version *version);	/* READY, ACTIVE, RESIDENT */
void sup_loads_woken(struct sup_source *source, uint32_t events);
bool sup_loads_cancel(struct sup *sup);			/* true: some still run */

/* sup_release.c */
/* @forced: though adapters do not fit it. */
void sup_op_activate(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver,
		     bool forced);
/* @must: or the start fails. */
void sup_op_activate_at_start(struct sup *sup, const char *model, const char *semver, bool must);
/* The candidate of a release that has just ended. */
void sup_op_promote(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver,
		    uint32_t uid, const char *why);
void sup_op_release(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver,
		    const struct sup_trial_plan *plan);
void sup_op_rollback_self(struct sup *sup, struct sup_model *model, const char *why);
void sup_op_load(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver);
/* @push is taken. @semver NULL: the next patch; @only: without traffic. */
void sup_op_push(struct sup *sup, struct sup_conn *conn, const char *target, const char *semver,
		 struct sup_push *push, bool only);
void sup_op_unload(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver);
void sup_op_rollback(struct sup *sup, struct sup_conn *conn, const char *model, const char *to);
void sup_ops_version_ready(struct sup_version *version);
void sup_ops_version_failed(struct sup_version *version, const char *text);
void sup_ops_version_revived(struct sup_version *version);	/* it stays after all */
void sup_ops_version_gone(struct sup_version *version);	/* about to be deleted */
void sup_ops_progress(struct sup_version *version);
void sup_ops_worker_died(struct sup *sup);
/* nobody waits for the answer */
void sup_ops_forget(struct sup *sup, const struct sup_conn *conn);
void sup_ops_abort(struct sup *sup, const char *text);

/* sup_adapter.c */
/* The model that it lies on; NULL: not on the board. */
const struct sup_model *sup_adapter_base(struct sup_model *model);
/* 0, or -EINVAL with text: it fits no version of its model in memory; not the active one. */
int sup_adapter_fits_any(struct sup_version *adapter, struct sto_error *error);
int sup_adapter_fits_active(struct sup_version *adapter, struct sto_error *error);
/* What is meant without a version: with @routed that of the route, else the latest. 0 or -1 with text. */
int sup_adapter_resolve(struct sup *sup, const char *target, bool routed,
			char semver[MHS_SEMVER_BYTES], struct sto_error *error);
/* Make room for @bytes more. 0 or -1 with text. */
int sup_adapters_room(struct sup *sup, uint64_t bytes, struct sto_error *error);
uint64_t sup_adapters_bytes(const struct sup *sup);	/* in memory, those on their way out not */
uint64_t sup_version_unused_ms(const struct sup_version *version);	/* since its last use or its begin */
/* Withdraw the version, all without @semver. False: refused. */
bool sup_adapter_unload(struct sup_conn *conn, struct sup_model *model, const char *semver);

/* sup_want.c: a worker asks for one. 0 or -EPROTO. */
int sup_want_heard(struct sup_worker *worker, struct hrt_msg *msg);

/* sup_flip.c: look at the slots of flips that wait, before another publication */
void sup_flips_sample(struct sup *sup);
void sup_flips_tell(struct sup *sup);	/* a flip that is not in the history yet */

/* sup_event.c; @version, @why, @more (reference taken) may be NULL */
void sup_event(struct sup *sup, const char *name, const char *model, const char *version,
	       uint32_t uid, const char *why, json_t *more);

/* sup_keep.c */
void sup_keep_model(struct sup_model *model);		/* its routes changed */
void sup_keep_restore(struct sup *sup);			/* at start */
void sup_keep_apply(struct sup *sup, const char *model);	/* it is active again */

/* sup_watch.c: as the configuration says, once we serve; none when stopping */
void sup_watches_adjust(struct sup *sup);

/* sup_trial_read.c: what no version may do */
void sup_version_hard(struct sup_version *version, const char *why);
void sup_version_evidence(struct sup_version *version, const char *text);
void sup_version_worker_died(struct sup_worker *worker);

/* sup_worker.c */
bool sup_worker_lives(const struct sup_worker *worker);
bool sup_worker_attaches(const struct sup_worker *worker);	/* lives and was not told to stop */
uint32_t sup_workers_ready(const struct sup *sup);
void sup_workers_adjust(struct sup *sup);	/* as many as the configuration says */
void sup_worker_kill(struct sup_worker *worker, const char *why);
void sup_worker_ring(const struct sup_worker *worker);
void sup_worker_step(struct sup_worker *worker);	/* perhaps ready now */
void sup_workers_stop(struct sup *sup);
void sup_workers_close(struct sup *sup);
const struct mhs_slot *sup_worker_slot(const struct sup_worker *worker);

void sup_worker_ended(struct sup_source *source, uint32_t events);

/* sup_spawn.c */
/* 0; pid stays 0 when nothing was started */
int sup_worker_start(struct sup_worker *worker);
void sup_worker_life_end(struct sup_worker *worker);	/* close all that belongs to one life */

/* sup_message.c */
void sup_worker_send(struct sup_worker *worker, const struct hrt_msg *msg, const int *fds,
		     uint32_t fd_count);
void sup_worker_attach(struct sup_worker *worker, struct sup_version *version);
void sup_worker_detach(struct sup_worker *worker, struct sup_version *version);
void sup_worker_hear(struct sup_source *source, uint32_t events);
void sup_worker_queue_free(struct sup_worker *worker);

/* sup_sock.c */
int sup_sock_listen(struct sup *sup, struct sup_source *source, int which, sup_source_fn fn,
		    struct sto_error *error);
void sup_sock_unlisten(struct sup *sup);
void sup_sock_modes(struct sup *sup);		/* who may connect at all */
/* Accept one peer; *@uid its user; *@allowed by @access. Descriptor or negative errno. */
int sup_sock_accept(int listener, const struct sup_access *access, uint32_t *uid, bool *allowed);
void sup_sock_pause(struct sup *sup, int err);	/* accepting failed: not again at once */
/* accept on both, or on control alone before SERVING */
void sup_sock_resume(struct sup *sup);

/* sup_client.c */
void sup_client_accept(struct sup_source *source, uint32_t events);
void sup_client_close(struct sup_client *client);	/* @client may be freed */
void sup_client_free_if_over(struct sup_client *client);
void sup_client_refuse(int sock, int err, const char *text);
void sup_clients_worker_ready(struct sup_worker *worker);
void sup_clients_close(struct sup *sup);

/* sup_lane.c */
struct mhs_sock sup_client_message(uint32_t type, uint64_t value);
int sup_client_send(int sock, const struct mhs_sock *msg, const int *fds, uint32_t fd_count);
int sup_lane_open(struct sup_client *client, struct sup_worker *worker);
void sup_lane_drop(struct sup_client *client, struct sup_lane **at);
void sup_lane_closed(struct sup *sup, uint32_t lane, uint64_t life);	/* its worker says */
void sup_lane_bad(struct sup *sup, uint32_t lane, uint64_t life);
void sup_clients_worker_died(struct sup_worker *worker);

/* sup_control.c */
void sup_control_accept(struct sup_source *source, uint32_t events);
void sup_conns_close(struct sup *sup);

#endif
