/* SPDX-License-Identifier: MIT */
/*
 * sup_adapter.c: what adapters have beside all that versions have. They are many and small: they come
 * into memory when they are used and go, the one unused for longest first, when room is short. Whose
 * version goes keeps its route here (model->chosen), so that the next use brings the same one back.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "mhs_adapter.h"
#include "sup_op_priv.h"

const struct sup_model *sup_adapter_base(struct sup_model *model)
{
	char name[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];

	sup_target_split(model->name, name, adapter);
	return sup_model_find(model->sup, name);
}

/* ---- whether it fits -------------------------------------------------------------------------- */

/* 0, or -EINVAL with what differs. */
static int fits(const struct sup_version *adapter, const struct sup_version *base,
		struct sto_error *error)
{
	const char *field;
	int err = mhs_adapter_fits(&adapter->load->header.config, &base->load->header.config, &field);

	if (err)
		sto_fail(error, "%s@%s does not fit %s@%s: %s differs; swap in a version made for it",
			 adapter->model->name, adapter->semver, base->model->name, base->semver, field);
	return err;
}

int sup_adapter_fits_any(struct sup_version *adapter, struct sto_error *error)
{
	const struct sup_model *base = sup_adapter_base(adapter->model);
	int err = 0;

	for (const struct sup_version *v = base ? base->versions : NULL; v; v = v->sibling) {
		if (!sup_version_is_public(v))
			continue;
		err = fits(adapter, v, error);
		if (!err)
			return 0;
	}
	return err;
}

int sup_adapter_fits_active(struct sup_version *adapter, struct sto_error *error)
{
	const struct sup_model *base = sup_adapter_base(adapter->model);

	return base && base->active ? fits(adapter, base->active, error) : 0;
}

/* ---- which version ----------------------------------------------------------------------------- */

int sup_adapter_resolve(struct sup *sup, const char *target, bool routed,
			char semver[MHS_SEMVER_BYTES], struct sto_error *error)
{
	const struct sup_model *model = sup_model_find(sup, target);

	if (routed && model && model->chosen[0]) {
		memcpy(semver, model->chosen, MHS_SEMVER_BYTES);
		return 0;
	}
	if (sup_target_latest(sup, target, semver))
		return 0;
	sto_fail(error, "%s has no version in the store %s; import it first", target, sup->conf.store);
	return -1;
}

bool sup_adapter_takes_route(const struct sup_op *op)
{
	const struct sup_model *model = op->version->model;

	if (!model->is_adapter || model->active || model->trial)
		return false;
	if (model->chosen[0])
		return strcmp(model->chosen, op->semver) == 0;
	return !op->named;
}

/* ---- room --------------------------------------------------------------------------------------- */

uint64_t sup_adapters_bytes(const struct sup *sup)
{
	uint64_t bytes = 0;

	for (const struct sup_version *v = sup->versions; v; v = v->next)
		if (v->model->is_adapter && v->phase < SUP_DRAINING)
			bytes += v->room_bytes;
	return bytes;
}

static bool is_pinned(const struct sup_version *version)
{
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		const struct mhs_slot *slot = sup_worker_slot(&version->sup->workers[i]);

		/* relaxed: should it be pinned just now, its grace period waits for that */
		if (slot && sup_worker_lives(&version->sup->workers[i]) &&
		    atomic_load_explicit(&slot->pins[version->index], memory_order_relaxed))
			return true;
	}
	return false;
}

static bool is_awaited(const struct sup_version *version)
{
	for (const struct sup_op *op = version->sup->ops; op; op = op->next)
		if (op->version == version)
			return true;
	return false;
}

uint64_t sup_version_unused_ms(const struct sup_version *version)
{
	uint64_t now = sup_now_ns(), least = (now - version->ready_ns) / SUP_NS_PER_MS;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		const struct mhs_slot *slot = sup_worker_slot(&version->sup->workers[i]);
		uint32_t ms = slot ? mhs_slot_unused_ms(slot, version->index, now) : UINT32_MAX;

		if (ms < least)
			least = ms;
	}
	return least;
}

/* The adapter unused for longest, of those that may go. */
static struct sup_version *least_used(struct sup *sup)
{
	struct sup_version *found = NULL;
	uint64_t longest = 0;

	for (struct sup_version *v = sup->versions; v; v = v->next) {
		uint64_t ms;

		if (!v->model->is_adapter || !sup_version_is_public(v) || v->by_hand || v->model->trial)
			continue;
		if (v->pushed && v->model->active == v)
			continue;	/* it would be lost */
		ms = sup_version_unused_ms(v);
		if ((found && ms <= longest) || is_pinned(v) || is_awaited(v))
			continue;
		found = v;
		longest = ms;
	}
	return found;
}

static void evict(struct sup_version *version)
{
	log_info("%s@%s: unused for %.1f s, gives its memory to another adapter", version->model->name,
		 version->semver, (double)sup_version_unused_ms(version) / 1e3);
	if (version->model->active == version)
		sup_model_unroute(version->model);
	sup_version_drain(version);
}

int sup_adapters_room(struct sup *sup, uint64_t bytes, struct sto_error *error)
{
	uint64_t limit = sup->conf.adapter_bytes, used = sup_adapters_bytes(sup);
	struct sup_version *version;

	while (bytes <= limit && used + bytes > limit && (version = least_used(sup))) {
		used -= version->room_bytes;
		evict(version);
	}
	if (used + bytes <= limit)
		return 0;
	sto_fail(error, "no room: %.1f MB wanted, and of adapter_bytes, %.1f MB, %.1f MB are in use, "
		 "loaded by hand or being released; unload one, or raise adapter_bytes", (double)bytes / 1e6,
		 (double)limit / 1e6, (double)used / 1e6);
	return -1;
}

/* ---- unload -------------------------------------------------------------------------------------- */

/* Its route is forgotten, in memory and in the store. */
static void withdraw(struct sup_model *model, uint32_t uid)
{
	char semver[MHS_SEMVER_BYTES];

	memcpy(semver, model->chosen, sizeof(semver));
	sup_model_unroute(model);
	model->chosen[0] = '\0';
	model->history_count = 0;
	sup_event(model->sup, "unload", model->name, semver, uid, NULL, NULL);
	sup_keep_model(model);
}

/* NULL: all of it may go, or the one called @semver. */
static const char *unload_hindrance(const struct sup_model *model, const char *semver)
{
	if (model->trial)
		return "a release of it is in progress; promote or abort it first";
	for (const struct sup_version *v = model->versions; v; v = v->sibling)
		if (v->phase < SUP_READY && (!semver || strcmp(v->semver, semver) == 0))
			return "it is being loaded; unload it when that is done";
	return NULL;
}

bool sup_adapter_unload(struct sup_conn *conn, struct sup_model *model, const char *semver)
{
	const char *why = unload_hindrance(model, semver);
	struct sup_version *next;

	if (why) {
		sup_conn_refuse(conn, "%s: %s", model->name, why);
		return false;
	}
	if (model->chosen[0] && (!semver || strcmp(model->chosen, semver) == 0))
		withdraw(model, sup_conn_uid(conn));
	for (struct sup_version *v = model->versions; v; v = next) {
		next = v->sibling;
		if (sup_version_is_public(v) && (!semver || strcmp(v->semver, semver) == 0))
			sup_version_drain(v);
	}
	return true;
}
