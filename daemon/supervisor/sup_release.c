/* SPDX-License-Identifier: MIT */
/*
 * sup_release.c: operations that take time: load, activate, rollback, unload. Others report what
 * happened to versions and workers (sup_ops_*); that only sets the operation's timer, so nothing is
 * ever done from within somebody else's loop over versions.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sup_op_priv.h"

/* ---- ends ----------------------------------------------------------------------------------- */

static void op_free(struct sup_op *op)
{
	struct sup_op **at = &op->sup->ops;

	while (*at != op)
		at = &(*at)->next;
	*at = op->next;
	sup_timer_off(&op->sup->loop, &op->timer);
	free(op);
}

static void op_refuse(struct sup_op *op)
{
	struct sup *sup = op->sup;
	struct sto_error error = op->error;
	bool at_start = op->at_start;

	sup_conn_refuse(op->conn, "%s", error.text);
	op_free(op);
	if (at_start)
		sup_fatal(sup, "%s", error.text);	/* aborts the other operations */
}

void sup_op_answer(struct sup_op *op, json_t *answer)
{
	struct sup *sup = op->sup;
	bool at_start = op->at_start;

	sup_conn_answer(op->conn, answer);
	op_free(op);
	if (at_start) {
		sup->start_ops--;
		sup_check_serving(sup);
	}
}

static void answer_load(struct sup_op *op)
{
	sup_op_answer(op, json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}",
		"model", op->model, "version", op->semver, "already", !op->loaded,
		"bytes", (json_int_t)op->bytes, "read_bytes", (json_int_t)op->read_bytes,
		"load_ns", (json_int_t)op->load_ns, "allocate_ns", (json_int_t)op->allocate_ns,
		"page_wait_ns", (json_int_t)op->page_wait_ns, "attach_ns", (json_int_t)op->attach_ns,
		"worker_attach_ns", (json_int_t)op->slowest.attach_ns,
		"worker_smoke_ns", (json_int_t)op->slowest.smoke_ns,
		"worker_attach_faults", (json_int_t)op->slowest.attach_faults,
		"worker_smoke_faults", (json_int_t)op->slowest.smoke_faults, "method", sup_method_name(op->method),
		"rung", mhs_pages_name(op->rung)));
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void op_fail(struct sup_op *op, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void op_fail(struct sup_op *op, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(op->error.text, sizeof(op->error.text), format, args);
	va_end(args);
	op->state = OP_FAILED;
}

/* Not in memory: is it in the store at all? Only then does its model get a place on the board. */
static void op_load_new(struct sup_op *op)
{
	struct sup *sup = op->sup;
	struct sup_model *model;
	char path[4096];

	if (sto_image_path(sup->conf.store, op->model, op->semver, path, sizeof(path)) ||
	    access(path, F_OK)) {
		op_fail(op, "%s@%s is not in the store %s; import it first", op->model, op->semver,
			sup->conf.store);
		return;
	}
	model = sup_model_get(sup, op->model, &op->error);
	op->version = model ? sup_version_new(sup, model, op->semver, &op->error) : NULL;
	if (!op->version) {
		op->state = OP_FAILED;
		return;
	}
	op->loaded = true;
	op->state = OP_WAIT_READY;
	sup_version_load(op->version);
}

/* Find the version, or have it loaded. */
static void op_begin(struct sup_op *op)
{
	struct sup_version *version = sup_version_find(op->sup, op->model, op->semver);

	op->version = version;
	op->state = OP_WAIT_READY;
	if (!version)
		op_load_new(op);
	else if (version->phase < SUP_READY)
		op->loaded = true;		/* by somebody else, at this moment */
	else if (!sup_version_is_public(version) && !sup_version_revive(version))
		op->state = OP_WAIT_FREE;	/* still on its way out; then from the file */
}

static void load_numbers(struct sup_op *op)
{
	const struct sup_version *version = op->version;
	const struct sup_load *load = version->load;

	op->bytes = load->header.image_bytes;
	op->method = load->method;
	op->rung = load->rung;
	if (!op->loaded)
		return;
	op->read_bytes = load->read_bytes;
	op->load_ns = load->load_ns;
	op->allocate_ns = load->allocate_ns;
	op->page_wait_ns = load->page_wait_ns;
	op->attach_ns = version->attach_ns;
	op->slowest = version->slowest;
}

static void op_wait_ready(struct sup_op *op)
{
	if (!op->version || op->version->phase < SUP_READY)
		return;
	if (!sup_version_is_public(op->version)) {
		op_fail(op, "%s@%s was unloaded meanwhile; try again", op->model, op->semver);
		op_refuse(op);
		return;
	}
	load_numbers(op);
	if (op->kind == OP_LOAD)
		answer_load(op);
	else
		sup_op_flip(op);
}

void sup_op_step(struct sup_timer *timer)
{
	struct sup_op *op = sup_owner(timer, struct sup_op, timer);

	if (op->state == OP_WAIT_FREE && !op->version)
		op_begin(op);
	switch (op->state) {
	case OP_WAIT_READY:
		op_wait_ready(op);
		return;
	case OP_WAIT_ADOPTED:
		sup_op_wait_adopted(op);
		return;
	case OP_WAIT_GONE:
		if (!op->version)
			sup_op_answer(op, json_pack("{s:s, s:s, s:I, s:I}", "model", op->model, "version",
				op->semver, "freed_bytes", (json_int_t)op->freed_bytes, "wait_ns",
				(json_int_t)(sup_now_ns() - op->begin_ns)));
		return;
	case OP_FAILED:
		op_refuse(op);
		return;
	case OP_WAIT_FREE:
		return;
	}
}

/* ---- what others report --------------------------------------------------------------------- */

static void op_kick(struct sup_op *op)
{
	sup_timer_set(&op->sup->loop, &op->timer, 0, sup_op_step);
}

void sup_ops_version_ready(struct sup_version *version)
{
	for (struct sup_op *op = version->sup->ops; op; op = op->next)
		if (op->version == version)
			op_kick(op);
}

void sup_ops_version_failed(struct sup_version *version, const char *text)
{
	for (struct sup_op *op = version->sup->ops; op; op = op->next) {
		if (op->version != version || op->state != OP_WAIT_READY)
			continue;
		op->version = NULL;
		op_fail(op, "%s", text);
		op_kick(op);
	}
}

void sup_ops_version_gone(struct sup_version *version)
{
	for (struct sup_op *op = version->sup->ops; op; op = op->next) {
		if (op->version != version)
			continue;
		op->version = NULL;
		op->freed_bytes = version->freed_bytes;
		if (op->state == OP_WAIT_READY)
			op_fail(op, "%s@%s was unloaded meanwhile; try again", op->model, op->semver);
		op_kick(op);
	}
}

void sup_ops_progress(struct sup_version *version)
{
	const struct sup_load *load = version->load;
	json_int_t done = (json_int_t)atomic_load_explicit(&load->done_bytes, memory_order_relaxed);
	json_int_t total = (json_int_t)atomic_load_explicit(&load->total_bytes, memory_order_relaxed);

	if (done > total)
		done = total;	/* read again by another method */
	for (struct sup_op *op = version->sup->ops; op; op = op->next)
		if (op->version == version)
			sup_conn_progress(op->conn, json_pack("{s:I, s:I}", "bytes", done, "total",
							      total));
}

void sup_ops_worker_died(struct sup *sup)
{
	for (struct sup_op *op = sup->ops; op; op = op->next)
		if (op->state == OP_WAIT_ADOPTED)
			op_kick(op);
}

void sup_ops_forget(struct sup *sup, const struct sup_conn *conn)
{
	for (struct sup_op *op = sup->ops; op; op = op->next)
		if (op->conn == conn)
			op->conn = NULL;
}

void sup_ops_abort(struct sup *sup, const char *text)
{
	struct sup_op *op;

	while ((op = sup->ops)) {
		op_fail(op, "%s", text);
		op->at_start = false;
		op_refuse(op);
	}
}

/* ---- beginnings ----------------------------------------------------------------------------- */

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
	op->begin_ns = sup_now_ns();
	snprintf(op->model, sizeof(op->model), "%s", model);
	snprintf(op->semver, sizeof(op->semver), "%s", semver);
	op->next = sup->ops;
	sup->ops = op;
	return op;
}

static void op_start(struct sup *sup, struct sup_conn *conn, enum op_kind kind, const char *model,
		     const char *semver)
{
	struct sup_op *op = op_new(sup, conn, kind, model, semver);

	if (!op)
		return;
	op_begin(op);
	op_kick(op);
}

void sup_op_load(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver)
{
	op_start(sup, conn, OP_LOAD, model, semver);
}

void sup_op_activate(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver)
{
	op_start(sup, conn, OP_ACTIVATE, model, semver);
}

void sup_op_activate_at_start(struct sup *sup, const char *model, const char *semver)
{
	struct sup_op *op = op_new(sup, NULL, OP_ACTIVATE, model, semver);

	if (!op) {
		sup_fatal(sup, "out of memory");
		return;
	}
	op->at_start = true;
	sup->start_ops++;
	op_begin(op);
	op_kick(op);
}

void sup_op_rollback(struct sup *sup, struct sup_conn *conn, const char *name, const char *to)
{
	const struct sup_model *model = sup_model_find(sup, name);
	const struct sup_version *version;

	if (!model || !model->active) {
		sup_conn_refuse(conn, "%s: no version is active; activate one first", name);
	} else if (to && strcmp(to, model->active->semver) == 0) {
		sup_conn_refuse(conn, "%s@%s is active already", name, to);
	} else if (!to && model->history_count == 0) {
		sup_conn_refuse(conn, "%s: no earlier version to go back to; --to VERSION names one", name);
	} else {
		to = to ? to : model->history[model->history_count - 1];
		version = sup_version_find(sup, name, to);
		if (!version || !sup_version_is_public(version))
			sup_conn_progress(conn, json_pack("{s:i, s:i, s:s}", "bytes", 0, "total", 0, "note",
							  "no longer in memory, loading it first"));
		op_start(sup, conn, OP_ROLLBACK, name, to);
	}
}

void sup_op_unload(struct sup *sup, struct sup_conn *conn, const char *model, const char *semver)
{
	struct sup_version *version = sup_version_find(sup, model, semver);
	struct sup_op *op;

	if (!version) {
		sup_conn_refuse(conn, "%s@%s is not in memory", model, semver);
		return;
	}
	if (version->phase == SUP_ACTIVE || version->phase < SUP_READY) {
		sup_conn_refuse(conn, "%s@%s is %s", model, semver, version->phase == SUP_ACTIVE ?
				"active; activate another version first" :
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
