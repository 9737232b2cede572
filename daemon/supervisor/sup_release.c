/* SPDX-License-Identifier: MIT */
/*
 * sup_release.c: operations that take time: load, activate, rollback, unload. Others report what
 * happened to versions and workers (sup_ops_*); that only sets the operation's timer, so nothing is
 * ever done from within somebody else's loop over versions.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
	sup_child_drop(&op->gate);
	json_decref(op->stranded);
	free(op);
}

static void start_op_over(struct sup *sup)
{
	sup->start_ops--;
	sup_check_serving(sup);
}

/* What was loaded for traffic that it does not get goes again, unless somebody else wants it. */
static void version_give_up(struct sup *sup, struct sup_version *version)
{
	if (!version || version->phase != SUP_READY || version->by_hand || sup->state == SUP_STOPPING)
		return;
	for (const struct sup_op *op = sup->ops; op; op = op->next)
		if (op->version == version)
			return;
	sup_version_drain(version);
}

static void op_refuse(struct sup_op *op)
{
	struct sup *sup = op->sup;
	struct sup_version *version = op->version;
	const struct sup_model *model = sup_model_find(sup, op->model);
	struct sto_error error = op->error;
	bool at_start = op->at_start, must = op->must, serves = model && model->active;

	sup_conn_refuse(op->conn, "%s", error.text);
	sup_want_over(op, op->no_room ? -EBUSY : -ENOENT, error.text);
	if ((op->loaded || op->gated) && op->kind != OP_WANT && sup->state != SUP_STOPPING)
		sup_event(sup, "fail", op->model, op->semver, op->uid, error.text, NULL);
	if (op->plan.resumed && sup->state != SUP_STOPPING)	/* else the next start goes on with it */
		sup_keep_model(sup_model_find(sup, op->model));
	op_free(op);
	version_give_up(sup, version);
	if (must) {
		sup_fatal(sup, "%s", error.text);	/* aborts the other operations */
	} else if (at_start) {
		log_error("%s%s", error.text, serves ? "" : "; it was active before, and is not now");
		start_op_over(sup);
	}
}

void sup_op_answer(struct sup_op *op, json_t *answer)
{
	struct sup *sup = op->sup;
	bool at_start = op->at_start;
	char model[SUP_NAME_BYTES];

	memcpy(model, op->model, sizeof(model));
	if (op->version && op->version->model->is_adapter && op->version->load)
		json_object_set_new(answer, "content_hash",
				    sup_json_hash(op->version->load->header.content_hash));
	if (json_array_size(op->stranded))
		json_object_set(answer, "stranded", op->stranded);
	sup_conn_answer(op->conn, sup_target_show(answer, op->model));
	op_free(op);
	if (!at_start)
		return;
	start_op_over(sup);
	sup_keep_apply(sup, model);
}

void sup_op_answer_load(struct sup_op *op)
{
	json_t *answer = json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}",
		"version", op->semver, "already", !op->loaded,
		"bytes", (json_int_t)op->bytes, "read_bytes", (json_int_t)op->read_bytes,
		"load_ns", (json_int_t)op->load_ns, "allocate_ns", (json_int_t)op->allocate_ns,
		"page_wait_ns", (json_int_t)op->page_wait_ns, "attach_ns", (json_int_t)op->attach_ns,
		"worker_attach_ns", (json_int_t)op->slowest.attach_ns,
		"worker_smoke_ns", (json_int_t)op->slowest.smoke_ns,
		"worker_attach_faults", (json_int_t)op->slowest.attach_faults,
		"worker_smoke_faults", (json_int_t)op->slowest.smoke_faults, "method", sup_method_name(op->method),
		"rung", mhs_pages_name(op->rung));

	if (sup_target_is_adapter(op->model))
		json_object_set_new(answer, "active", json_boolean(op->version &&
				    op->version->model->active == op->version));
	sup_op_answer(op, answer);
}

/* ---- steps ---------------------------------------------------------------------------------- */

void sup_op_fail(struct sup_op *op, const char *format, ...)
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
	struct sto_error why;
	struct stat st;
	char path[4096];

	if (sup_target_path(sup, op->model, op->semver, STO_IMAGE_NAME, path, sizeof(path)) ||
	    stat(path, &st)) {
		sup_op_fail(op, "%s@%s is not in the store %s; import it first", op->model, op->semver,
			sup->conf.store);
		return;
	}
	if (sup_target_is_adapter(op->model) && sup_adapters_room(sup, (uint64_t)st.st_size, &why)) {
		sup_op_fail(op, "%s@%s: %.400s", op->model, op->semver, why.text);
		op->no_room = true;
		return;
	}
	model = sup_model_get(sup, op->model, &op->error);
	op->version = model ? sup_version_new(sup, model, op->semver, &op->error) : NULL;
	if (!op->version) {
		op->state = OP_FAILED;
		return;
	}
	op->version->room_bytes = (uint64_t)st.st_size;
	op->loaded = true;
	op->state = OP_WAIT_READY;
	sup_version_load(op->version, NULL);
}

/* Find the version, or have it loaded. */
void sup_op_begin(struct sup_op *op)
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

static void tell_load(struct sup_op *op)
{
	op->told_load = true;
	if (op->version->pushed)
		sup_push_note(op->version);
	sup_event(op->sup, op->version->pushed ? "push" : "load", op->model, op->semver, op->uid, NULL,
		  json_pack("{s:I, s:I}", "bytes", (json_int_t)op->bytes, "read_bytes",
			    (json_int_t)op->read_bytes));
}

/* What came between while it was loaded. */
static bool is_overtaken(struct sup_op *op, const struct sup_model *model)
{
	if (model->trial && !op->at_start)
		sup_op_fail(op, "%s: a release of %s is in progress; promote or abort it first",
			    op->model, model->trial->version->semver);
	else if (op->kind == OP_RELEASE && !model->active && model->chosen[0])
		sup_op_fail(op, "%s@%s: what it is to be released beside, %s, is not in memory; load that first",
			    op->model, op->semver, model->chosen);
	else if (op->kind == OP_RELEASE && !model->active)
		sup_op_fail(op, "%s: no version is active to release %s beside; activate one first",
			    op->model, op->semver);
	else if (op->kind == OP_RELEASE && model->active == op->version)
		sup_op_fail(op, "%s@%s is active already", op->model, op->semver);
	else
		return false;
	return true;
}

/* Of what the daemon does by itself: somebody has decided otherwise while it was loaded. */
static bool is_outdated(struct sup_op *op, const struct sup_model *model)
{
	bool outdated = op->at_start ? model->active && model->active != op->version :
			op->flees && (!model->active || model->active->serial != op->flees);

	if (outdated)
		sup_op_fail(op, "%s: %s was made active meanwhile, %s is left aside", op->model,
			    model->active ? model->active->semver : "nothing", op->semver);
	op->must &= !outdated;
	return outdated;
}

/* Of an adapter: the active version of its model has other shapes. */
static bool is_misfit(struct sup_op *op)
{
	struct sto_error error;

	if (!op->version->model->is_adapter || sup_adapter_fits_active(op->version, &error) == 0)
		return false;
	sup_op_fail(op, "%s", error.text);
	return true;
}

/* Loaded and through its gate: traffic. */
static void op_route(struct sup_op *op)
{
	struct sup_model *model = op->version->model;

	if (is_outdated(op, model)) {
		op_refuse(op);
		return;
	}
	/* its candidate may be what this goes back to: that must not be given up in between */
	if (op->kind == OP_ROLLBACK && model->trial && model->active != op->version)
		sup_trial_overtaken(model->trial, op->uid, "rolled back");
	else if (op->kind == OP_ROLLBACK && model->trial)
		sup_trial_abort(model->trial, op->uid, "rolled back");
	if (is_overtaken(op, model) || is_misfit(op) || sup_op_strands(op)) {
		op_refuse(op);
		return;
	}
	if (op->kind != OP_RELEASE) {
		sup_op_flip(op);
		return;
	}
	if (sup_trial_begin(model, op->version, op->uid, &op->plan, &op->error)) {
		op_refuse(op);
		return;
	}
	sup_op_answer(op, sup_trial_show(model->trial));
}

/* In memory, that is all; but an adapter is routed by what brings it first. */
static void op_loaded(struct sup_op *op)
{
	bool routes = sup_adapter_takes_route(op);

	op->version->by_hand |= op->kind == OP_LOAD;
	if (routes)
		sup_op_flip(op);
	sup_want_over(op, 0, "");
	if (!routes)
		sup_op_answer_load(op);
}

static void op_wait_ready(struct sup_op *op)
{
	if (!op->version || op->version->phase < SUP_READY)
		return;
	if (!sup_version_is_public(op->version)) {
		sup_op_fail(op, "%s@%s was unloaded meanwhile; try again", op->model, op->semver);
		op_refuse(op);
		return;
	}
	load_numbers(op);
	if (op->loaded && !op->told_load && op->kind != OP_WANT)
		tell_load(op);
	if (op->kind == OP_LOAD || op->kind == OP_WANT) {
		op_loaded(op);
		return;
	}
	if (!sup_gate_begin(op))
		op_route(op);
}

void sup_op_step(struct sup_timer *timer)
{
	struct sup_op *op = sup_owner(timer, struct sup_op, timer);

	if (op->state == OP_WAIT_FREE && !op->version)
		sup_op_begin(op);
	switch (op->state) {
	case OP_WAIT_READY:
	case OP_WAIT_GATE:
		if (!op->gate)
			op_wait_ready(op);
		return;
	case OP_WAIT_ADOPTED:
		sup_op_wait_adopted(op);
		return;
	case OP_WAIT_GONE:
		if (!op->version && (op->semver[0] || !sup_model_find(op->sup, op->model)->versions))
			sup_op_answer(op, json_pack("{s:s, s:I, s:I}", "version", op->semver, "freed_bytes", (json_int_t)op->freed_bytes, "wait_ns",
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

void sup_op_kick(struct sup_op *op)
{
	sup_timer_set(&op->sup->loop, &op->timer, 0, sup_op_step);
}

void sup_ops_version_ready(struct sup_version *version)
{
	for (struct sup_op *op = version->sup->ops; op; op = op->next)
		if (op->version == version)
			sup_op_kick(op);
}

void sup_ops_version_failed(struct sup_version *version, const char *text)
{
	for (struct sup_op *op = version->sup->ops; op; op = op->next) {
		if (op->version != version || op->state != OP_WAIT_READY)
			continue;
		op->version = NULL;
		sup_op_fail(op, "%s", text);
		sup_op_kick(op);
	}
}

void sup_ops_version_revived(struct sup_version *version)
{
	for (struct sup_op *op = version->sup->ops; op; op = op->next) {
		if (op->version != version)
			continue;
		if (op->state == OP_WAIT_FREE)
			op->state = OP_WAIT_READY;
		else if (op->state == OP_WAIT_GONE)
			sup_op_fail(op, "%s@%s was asked for again before it was unloaded; it stays",
				    op->model, op->semver);
		else
			continue;
		sup_op_kick(op);
	}
}

void sup_ops_version_gone(struct sup_version *version)
{
	for (struct sup_op *op = version->sup->ops; op; op = op->next) {
		if (op->kind == OP_UNLOAD && !op->version && strcmp(op->model, version->model->name) == 0) {
			op->freed_bytes += version->freed_bytes;
			sup_op_kick(op);
		}
		if (op->version != version)
			continue;
		op->version = NULL;
		op->freed_bytes = version->freed_bytes;
		if (op->state == OP_WAIT_READY || op->state == OP_WAIT_GATE)
			sup_op_fail(op, "%s@%s was unloaded meanwhile; try again", op->model, op->semver);
		sup_child_drop(&op->gate);
		sup_op_kick(op);
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
			sup_op_kick(op);
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
		if (op->state == OP_WAIT_ADOPTED) {
			sup_op_cut_off(op);
			continue;
		}
		sup_op_fail(op, "%s", text);
		op->at_start = op->must = false;
		op_refuse(op);
	}
}
