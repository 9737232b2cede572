/* SPDX-License-Identifier: MIT */
/* sup_ask.c: what the operator asks for, judged by what is known now, and begun. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sup_op_priv.h"

static struct sup_op *op_new(struct sup *sup, struct sup_conn *conn, enum op_kind kind,
			     const char *model, const char *semver)
{
	struct sup_op *op = calloc(1, sizeof(*op));

	if (!op) {
		sup_conn_refuse(conn, "out of memory");
		return NULL;
	}
	op->sup = sup;
	op->conn = conn;
	op->kind = kind;
	op->uid = sup_conn_uid(conn);
	op->ungated = kind == OP_LOAD || kind == OP_ROLLBACK || kind == OP_WANT;
	op->begin_ns = sup_now_ns();
	snprintf(op->model, sizeof(op->model), "%s", model);
	snprintf(op->semver, sizeof(op->semver), "%s", semver);
	op->next = sup->ops;
	sup->ops = op;
	return op;
}

struct sup_op *sup_op_want(struct sup *sup, const char *target, const char *semver, bool named,
			   struct sto_error *error)
{
	struct sup_op *op = op_new(sup, NULL, OP_WANT, target, semver);

	if (!op) {
		sto_fail(error, "out of memory");
		return NULL;
	}
	op->named = named;
	sup_op_begin(op);
	return op;
}

static void op_run(struct sup_op *op)
{
	if (!op)
		return;
	sup_op_begin(op);
	sup_op_kick(op);
}

void sup_op_load(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver)
{
	op_run(op_new(sup, conn, OP_LOAD, model, semver));
}

/* A release in progress owns the route: it ends first. */
static bool is_busy(struct sup *sup, struct sup_conn *conn, const char *name)
{
	const struct sup_model *model = sup_model_find(sup, name);

	if (!model || !model->trial)
		return false;
	sup_conn_refuse(conn, "%s: a release of %s is in progress; promote or abort it first", name,
			model->trial->version->semver);
	return true;
}

void sup_op_activate(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver,
		     bool forced)
{
	struct sup_op *op = is_busy(sup, conn, model) ? NULL : op_new(sup, conn, OP_ACTIVATE, model, semver);

	if (!op)
		return;
	op->forced = forced;
	op_run(op);
}

void sup_op_activate_at_start(struct sup *sup, const char *model, const char *semver, bool must)
{
	struct sup_op *op = op_new(sup, NULL, OP_ACTIVATE, model, semver);

	if (!op) {
		sup_fatal(sup, "out of memory");
		return;
	}
	op->at_start = op->ungated = true;
	op->must = must;
	sup->start_ops++;
	sup_op_begin(op);
	sup_op_kick(op);
}

/* Traffic was on both; now it is on the active one alone. In the form of a flip's answer. */
static json_t *abort_show(const struct sup_model *model, const char *from)
{
	struct sup *sup = model->active->sup;
	uint64_t route = atomic_load_explicit(&sup->board->models[model->index].route,
					      memory_order_relaxed);

	return json_pack("{s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i}",
		"from", from, "version", model->active->semver, "epoch",
		(json_int_t)atomic_load_explicit(&sup->board->epoch, memory_order_relaxed),
		"generation", (int)mhs_route_unpack(route).generation, "read_bytes", 0, "load_ns", 0,
		"flip_ns", 0, "flip_wall_ns", 0, "workers", (int)sup_workers_ready(sup),
		"workers_pending", 0);
}

void sup_op_rollback(struct sup *sup, struct sup_conn *conn, const char *name, const char *to)
{
	const struct sup_model *model = sup_model_find(sup, name);
	const struct sup_version *version;
	char semver[MHS_SEMVER_BYTES] = "";

	if (model && model->trial)
		memcpy(semver, model->trial->version->semver, sizeof(semver));
	if (!model || !sup_model_current(model)[0]) {
		sup_conn_refuse(conn, "%s: no version is active; activate one first", name);
	} else if (!to && model->trial) {
		sup_trial_abort(model->trial, sup_conn_uid(conn), "rolled back");
		sup_conn_answer(conn, sup_target_show(abort_show(model, semver), name));
	} else if (to && model->active && strcmp(to, model->active->semver) == 0) {
		sup_conn_refuse(conn, "%s@%s is active already", name, to);
	} else if (!to && model->history_count == 0) {
		sup_conn_refuse(conn, "%s: no earlier version to go back to; --to VERSION names one", name);
	} else {
		to = to ? to : model->history[model->history_count - 1];
		version = sup_version_find(sup, name, to);
		if (!version || !sup_version_is_public(version))
			sup_conn_progress(conn, json_pack("{s:i, s:i, s:s}", "bytes", 0, "total", 0, "note",
							  "no longer in memory, loading it first"));
		op_run(op_new(sup, conn, OP_ROLLBACK, name, to));
	}
}

void sup_op_rollback_self(struct sup *sup, struct sup_model *model, const char *why)
{
	struct sup_op *op = op_new(sup, NULL, OP_ROLLBACK, model->name,
				   model->history[model->history_count - 1]);

	if (!op)
		return;
	model->guard_ns = 0;	/* once */
	op->flees = model->active->serial;
	snprintf(op->why, sizeof(op->why), "%s", why);
	sup_op_begin(op);
	sup_op_step(&op->timer);
}

void sup_op_promote(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver,
		    uint32_t uid, const char *why)
{
	struct sup_op *op = op_new(sup, conn, OP_ACTIVATE, model, semver);

	if (!op)
		return;
	op->ungated = op->forced = true;	/* what is to be said was said at its begin */
	op->uid = uid;
	snprintf(op->why, sizeof(op->why), "%s", why);
	sup_op_begin(op);
	sup_op_step(&op->timer);	/* now: nobody else may come between */
}

void sup_op_release(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver,
		    const struct sup_trial_plan *plan)
{
	struct sup_op *op;

	if (is_busy(sup, conn, model))
		return;
	op = op_new(sup, conn, OP_RELEASE, model, semver);
	if (!op)
		return;
	op->plan = *plan;
	op->ungated = plan->resumed;
	op->forced = plan->forced;
	op_run(op);
}

/* Of an adapter the route goes too; without @semver all that is in memory. */
static void adapter_unload(struct sup *sup, struct sup_conn *conn, const char *target, const char *semver)
{
	struct sup_model *model = sup_model_find(sup, target);
	struct sup_version *version = semver ? sup_version_find(sup, target, semver) : NULL;
	bool routed = model && model->chosen[0] && (!semver || strcmp(model->chosen, semver) == 0);
	struct sup_op *op;

	if (!model || (!routed && (semver ? !version : !model->versions))) {
		sup_conn_refuse(conn, "%s%s%s is not in memory", target, semver ? "@" : "", semver ?: "");
		return;
	}
	if (!sup_adapter_unload(conn, model, semver))
		return;
	op = op_new(sup, conn, OP_UNLOAD, target, semver ? semver : "");
	if (!op)
		return;
	op->version = version;
	op->state = OP_WAIT_GONE;
	sup_op_kick(op);
}

void sup_op_unload(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver)
{
	struct sup_version *version = semver ? sup_version_find(sup, model, semver) : NULL;
	struct sup_op *op;

	if (sup_target_is_adapter(model)) {
		adapter_unload(sup, conn, model, semver);
		return;
	}

	if (!version) {
		sup_conn_refuse(conn, "%s@%s is not in memory", model, semver);
		return;
	}
	if (version->phase == SUP_ACTIVE || version->phase == SUP_CANDIDATE ||
	    version->phase < SUP_READY) {
		sup_conn_refuse(conn, "%s@%s is %s", model, semver, version->phase == SUP_ACTIVE ?
				"active; activate another version first" :
				version->phase == SUP_CANDIDATE ?
				"being released; promote or abort the release first" :
				"being loaded; unload it when that is done");
		return;
	}
	op = op_new(sup, conn, OP_UNLOAD, model, semver);
	if (!op)
		return;
	op->version = version;
	op->state = OP_WAIT_GONE;
	if (sup_version_is_public(version))
		sup_version_drain(version);
}

/* ---- pushed from memory ---------------------------------------------------------------------- */

static void take_greater(char semver[MHS_SEMVER_BYTES], const char *other)
{
	if (other[0] && (!semver[0] || sto_semver_compare(other, semver) > 0))
		snprintf(semver, MHS_SEMVER_BYTES, "%s", other);
}

void sup_push_note(struct sup_version *version)
{
	take_greater(version->model->last_push, version->semver);
}

/* The patch after all that have been: a number is never given twice. */
static int push_next(struct sup *sup, const char *target, char semver[MHS_SEMVER_BYTES])
{
	const struct sup_model *model = sup_model_find(sup, target);
	char greatest[MHS_SEMVER_BYTES];

	sup_target_latest(sup, target, greatest);
	if (model)
		take_greater(greatest, model->last_push);
	for (const struct sup_version *v = model ? model->versions : NULL; v; v = v->sibling)
		take_greater(greatest, v->semver);
	return sto_semver_bump(greatest, STO_BUMP_PATCH, semver);
}

/* Which number it gets, and the version whose shapes count. 0 or -1 with text. */
static int push_place(struct sup *sup, const char *target, const char *asked, struct sup_push *push,
		      char semver[MHS_SEMVER_BYTES], struct sto_error *error)
{
	char name[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES], path[4096];
	const struct sup_model *base;

	sup_target_split(target, name, adapter);
	base = sup_model_find(sup, name);
	if (!base || !base->active) {
		sto_fail(error, "%s: no version of %s is active, and one's shapes are needed; activate one", target,
			 name);
		return -1;
	}
	snprintf(push->base, sizeof(push->base), "%s", base->active->semver);
	if (!asked && push_next(sup, target, semver)) {
		sto_fail(error, "%s: no greater version can be counted; give one", target);
		return -1;
	}
	if (asked)
		snprintf(semver, MHS_SEMVER_BYTES, "%s", asked);
	if (!sup_version_find(sup, target, semver) &&
	    (sup_target_path(sup, target, semver, NULL, path, sizeof(path)) || access(path, F_OK)))
		return 0;
	sto_fail(error, "%s@%s is there already, and a version never changes; give another one", target, semver);
	return -1;
}

/* Its place on the board and in memory, and the loader. 0 or -1 with text; @push is taken in every case. */
static int push_begin(struct sup_op *op, struct sup_push *push, struct sto_error *error)
{
	struct sup *sup = op->sup;
	uint64_t bytes = sup_push_bytes(push);
	struct sup_model *model = NULL;

	if (sup_adapters_room(sup, bytes, error) == 0)
		model = sup_model_get(sup, op->model, error);
	op->version = model ? sup_version_new(sup, model, op->semver, error) : NULL;
	if (!op->version) {
		sup_push_free(&push);
		return -1;
	}
	op->version->pushed = !push->keep;
	op->version->room_bytes = bytes;
	op->loaded = true;
	op->state = OP_WAIT_READY;
	sup_version_load(op->version, push);
	return 0;
}

void sup_op_push(struct sup *sup, struct sup_conn *conn, const char *target, const char *semver,
		 struct sup_push *push, bool only)
{
	char number[MHS_SEMVER_BYTES];
	struct sto_error error;
	struct sup_op *op;

	bool busy = !only && is_busy(sup, conn, target);

	if (!busy && push_place(sup, target, semver, push, number, &error)) {
		sup_conn_refuse(conn, "%s", error.text);
		busy = true;
	}
	op = busy ? NULL : op_new(sup, conn, only ? OP_LOAD : OP_ACTIVATE, target, number);
	if (!op) {
		sup_push_free(&push);
		return;
	}
	op->named = only;
	if (push_begin(op, push, &error))
		sup_op_fail(op, "%s@%s: %.400s", target, number, error.text);
	sup_op_kick(op);
}
