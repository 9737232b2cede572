/* SPDX-License-Identifier: MIT */
/*
 * sup_version.c: the life of a version: loader thread, attached by the workers, published; later
 * unpublished, grace period, detached, freed. Each phase ends in sup_version_step(), called
 * whenever something changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "probe.h"
#include "sup.h"

#define LOADS_MAX	2u			/* loader threads at a time */
/* workers lost to one version before it is refused */
#define DEATHS_MAX	3u
#define ATTACH_TELL_NS	(5 * SUP_NS_PER_S)	/* between two lines about who has not attached */
#define POLL_MIN_NS	(SUP_NS_PER_MS)		/* looks at a grace period */
#define POLL_MAX_NS	(20 * SUP_NS_PER_MS)

bool sup_version_is_public(const struct sup_version *version)
{
	return version->phase >= SUP_READY && version->phase <= SUP_RESIDENT;
}

static void loads_start(struct sup *sup);

static void version_timer(struct sup_timer *timer)
{
	sup_version_step(sup_owner(timer, struct sup_version, timer));
}

/*
 * Give it up: what is attached is detached, then it is freed. Nobody could pin it. Freed from the
 * timer, so that callers need not ask whether it is still there.
 */
static void version_fail(struct sup_version *version, const char *text)
{
	log_error("%s", text);
	sup_ops_version_failed(version, text);
	version->phase = SUP_DETACHING;
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (version->attach[i] == SUP_ATTACH_DONE)
			sup_worker_detach(&version->sup->workers[i], version);
	sup_timer_set(&version->sup->loop, &version->timer, 0, version_timer);
}

/* ---- load ----------------------------------------------------------------------------------- */

void sup_version_load(struct sup_version *version, struct sup_push *push)
{
	struct sup *sup = version->sup;
	struct sup_load *load = calloc(1, sizeof(*load));

	if (!load) {
		sup_push_free(&push);
		version_fail(version, "out of memory");
		return;
	}
	snprintf(load->store, sizeof(load->store), "%s", sup->conf.store);
	sup_target_split(version->model->name, load->model, load->adapter);
	snprintf(load->version, sizeof(load->version), "%s", version->semver);
	load->hugepages = sup->conf.hugepages;
	load->numa = sup->conf.numa;
	load->numa_node = sup->conf.numa_node;
	load->wake_fd = sup->loads.fd;
	load->push = push;
	version->load = load;
	loads_start(sup);
}

/* The first that waits, while there is room. Oldest serial first. */
static struct sup_version *load_waiting(struct sup *sup)
{
	struct sup_version *first = NULL;

	for (struct sup_version *v = sup->versions; v; v = v->next)
		if (v->phase == SUP_LOADING && v->load && !v->load_started &&
		    (!first || v->serial < first->serial))
			first = v;
	return first;
}

static void loads_start(struct sup *sup)
{
	struct sup_version *version;
	int err;

	while (sup->loads_running < LOADS_MAX && (version = load_waiting(sup))) {
		err = sup_load_start(version->load);
		if (err) {
			version_fail(version, "no thread for the loader");
			continue;
		}
		version->load_started = true;
		sup->loads_running++;
		log_debug("%s@%s: loading", version->model->name, version->semver);
	}
}

static void load_tell(struct sup_version *version)
{
	struct sup *sup = version->sup;
	const struct sup_load *load = version->load;

	log_info("%s@%s: %llu bytes in %.1f ms (%s, pages %s)", version->model->name, version->semver,
		 (unsigned long long)load->read_bytes, (double)load->load_ns / 1e6,
		 sup_method_name(load->method), mhs_pages_name(load->rung));
	if (version->model->is_adapter)
		return;		/* small: it says nothing of pages and methods */
	sup->any_load = true;
	sup->last_rung = load->rung;
	sup->last_method = load->method;
	memcpy(sup->last_pages_note, load->pages_note, sizeof(sup->last_pages_note));
	memcpy(sup->last_method_note, load->method_note, sizeof(sup->last_method_note));
	if (load->pages_note[0] && load->rung > MHS_PAGES_2M && sup->conf.hugepages != SUP_HUGE_NEVER)
		log_notice("%s@%s: lies on %s pages: %s", version->model->name, version->semver,
			   mhs_pages_name(load->rung), load->pages_note);
}

/* Loaded and sealed: show the entry, have every worker attach it. */
static void attach_begin(struct sup_version *version)
{
	struct sup *sup = version->sup;
	struct sto_error error;

	load_tell(version);
	if (version->model->is_adapter && sup_adapter_fits_any(version, &error)) {
		version_fail(version, error.text);
		return;
	}
	if (version->model->is_adapter)
		version->room_bytes = version->load->own.each[0].seg_bytes;
	sup_version_describe(version);
	version->phase = SUP_ATTACHING;
	version->attach_begin_ns = sup_now_ns();
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup_worker_attaches(&sup->workers[i]))
			sup_worker_attach(&sup->workers[i], version);
	sup_version_step(version);
}

static void load_ended(struct sup_version *version)
{
	struct sup_load *load = version->load;

	sup_load_join(load);
	version->load_started = false;
	version->sup->loads_running--;
	if (load->status)
		version_fail(version, load->error.text);
	else
		attach_begin(version);
}

/* The eventfd that all loader threads ring. */
void sup_loads_woken(struct sup_source *source, uint32_t events)
{
	struct sup *sup = sup_owner(source, struct sup, loads);
	struct sup_version *v, *next;
	uint64_t rings;

	(void)events;
	if (read(source->fd, &rings, sizeof(rings)) < 0 && errno != EAGAIN)
		log_error("loader bell: %s", strerror(errno));
	for (v = sup->versions; v; v = next) {
		next = v->next;
		if (v->phase != SUP_LOADING || !v->load_started)
			continue;
		/* acquire pairs with the store at the end of sup_load_run() */
		if (atomic_load_explicit(&v->load->over, memory_order_acquire))
			load_ended(v);
		else
			sup_ops_progress(v);
	}
	loads_start(sup);
	sup_check_stopped(sup);
}

bool sup_loads_cancel(struct sup *sup)
{
	for (struct sup_version *v = sup->versions; v; v = v->next)
		if (v->load && v->load_started)
			atomic_store_explicit(&v->load->cancel, true, memory_order_relaxed);
	return sup->loads_running > 0;
}

/* ---- attach --------------------------------------------------------------------------------- */

void sup_version_refused(struct sup_version *version, const char *text)
{
	char line[512];

	snprintf(line, sizeof(line), "%s@%s: refused by a worker: %s", version->model->name,
		 version->semver, text);
	version_fail(version, line);
}

/* Whether some worker has not answered yet. After a while its name is told, again and again. */
static bool attach_waits(struct sup_version *version)
{
	uint64_t waited = sup_now_ns() - version->attach_begin_ns;
	bool waits = false;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		if (version->attach[i] != SUP_ATTACH_SENT)
			continue;
		waits = true;
		if (waited >= ATTACH_TELL_NS && version->timer.due_ns == 0)
			log_warning("%s@%s: worker %u (pid %d) has not attached it after %llu s",
				    version->model->name, version->semver, i,
				    (int)version->sup->workers[i].pid,
				    (unsigned long long)(waited / SUP_NS_PER_S));
	}
	if (waits && version->timer.due_ns == 0)
		sup_timer_set(&version->sup->loop, &version->timer, ATTACH_TELL_NS, version_timer);
	return waits;
}

/* Ready once every live worker has attached it, and at least one lives. */
static void attach_step(struct sup_version *version)
{
	struct sup *sup = version->sup;
	uint32_t done = 0;
	char line[300];

	if (attach_waits(version))
		return;
	sup_timer_off(&sup->loop, &version->timer);
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		done += version->attach[i] == SUP_ATTACH_DONE;
	if (version->attach_deaths >= DEATHS_MAX && !done) {
		snprintf(line, sizeof(line), "%s@%s: %u workers died while they attached it; "
			 "see their log", version->model->name, version->semver, version->attach_deaths);
		version_fail(version, line);
		return;
	}
	if (!done)
		return;
	version->attach_ns = sup_now_ns() - version->attach_begin_ns;
	version->attach_deaths = 0;
	version->phase = SUP_READY;
	version->ready_ns = sup_now_ns();
	mhs_version_set_state(sup->board, version->index, MHS_STATE_READY);
	log_info("%s@%s: ready, attached by %u workers", version->model->name, version->semver, done);
	sup_ops_version_ready(version);
}

/* Workers that begin anew need all that is public; one bad version must not keep them away. */
void sup_version_unattached(struct sup_version *version, const char *how)
{
	struct sup *sup = version->sup;
	uint32_t index = version->index;
	uint64_t serial = version->serial;
	char why[300];

	if (++version->attach_deaths < DEATHS_MAX)
		return;
	version->attach_deaths = 0;
	snprintf(why, sizeof(why), "%u workers could not attach it: %.200s", DEATHS_MAX, how);
	log_error("%s@%s: %s", version->model->name, version->semver, why);
	sup_version_hard(version, why);
	version = sup_version_at(sup, index, serial);	/* that may have freed it */
	if (version && (version->phase == SUP_READY || version->phase == SUP_RESIDENT))
		sup_version_drain(version);
}

/* ---- drain ---------------------------------------------------------------------------------- */

void sup_version_drain(struct sup_version *version)
{
	struct sup *sup = version->sup;
	int64_t epoch = mhs_unpublish(sup->board, version->index);

	must(epoch > 0);	/* no route names it: ACTIVE is refused before */
	version->phase = SUP_DRAINING;
	version->drain_epoch = (uint64_t)epoch;
	version->drain_begin_ns = sup_now_ns();
	version->poll_ns = POLL_MIN_NS;
	log_debug("%s@%s: draining from epoch %llu", version->model->name, version->semver,
		  (unsigned long long)version->drain_epoch);
	sup_version_step(version);
}

bool sup_version_revive(struct sup_version *version)
{
	struct sup *sup = version->sup;

	if (version->phase != SUP_DRAINING)
		return false;
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup_worker_attaches(&sup->workers[i]) && version->attach[i] != SUP_ATTACH_DONE)
			return false;
	sup_timer_off(&sup->loop, &version->timer);
	version->phase = SUP_RESIDENT;
	mhs_version_set_state(sup->board, version->index, MHS_STATE_RESIDENT);
	sup_ops_version_revived(version);
	return true;
}

static void drain_step(struct sup_version *version)
{
	struct sup *sup = version->sup;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		const struct sup_worker *worker = &sup->workers[i];

		if (version->attach[i] != SUP_ATTACH_DONE)
			continue;
		if (mhs_grace_over(sup_worker_slot(worker), version->index, version->drain_epoch))
			continue;
		sup_timer_set(&sup->loop, &version->timer, version->poll_ns, version_timer);
		version->poll_ns *= 2;
		if (version->poll_ns > POLL_MAX_NS)
			version->poll_ns = POLL_MAX_NS;
		return;
	}
	version->phase = SUP_DETACHING;
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (version->attach[i] == SUP_ATTACH_DONE)
			sup_worker_detach(&sup->workers[i], version);
}

static void detach_step(struct sup_version *version)
{
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (version->attach[i] != SUP_ATTACH_NONE)
			return;
	if (version->load && !version->load_started)
		version->freed_bytes = sup_load_drop(version->load);
	log_debug("%s@%s: freed", version->model->name, version->semver);
	probe_reclaim(version->index, version->serial, sup_now_ns() - version->drain_begin_ns);
	sup_ops_version_gone(version);
	sup_version_delete(version);
}

void sup_version_step(struct sup_version *version)
{
	if (version->phase == SUP_ATTACHING)
		attach_step(version);
	else if (version->phase == SUP_DRAINING)
		drain_step(version);
	if (version->phase == SUP_DETACHING)
		detach_step(version);
}

void sup_versions_step(struct sup *sup)
{
	struct sup_version *next;

	for (struct sup_version *v = sup->versions; v; v = next) {
		next = v->next;
		sup_version_step(v);
	}
}

/* ---- keep_resident -------------------------------------------------------------------------- */

/* The resident version of @model that was active longest ago, if there are more than @keep. */
static struct sup_version *surplus(const struct sup_model *model, uint32_t keep)
{
	struct sup_version *oldest = NULL;
	uint32_t count = 0;

	for (struct sup_version *v = model->versions; v; v = v->sibling) {
		if (v->phase != SUP_RESIDENT)
			continue;
		count++;
		if (!oldest || v->active_order < oldest->active_order)
			oldest = v;
	}
	return count > keep ? oldest : NULL;
}

void sup_model_trim(struct sup *sup, struct sup_model *model)
{
	struct sup_version *version;

	while ((version = surplus(model, sup->conf.keep_resident))) {
		log_info("%s@%s: no longer kept for rollback", model->name, version->semver);
		sup_version_drain(version);
	}
}
