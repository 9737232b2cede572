/* SPDX-License-Identifier: MIT */
/*
 * sup_worker.c: worker processes. The kernel says when one is dead (pidfd), nothing else does. A
 * worker has lanes only once it has attached every version that may be pinned.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "mhs_bell.h"
#include "sup.h"
#include "sup_place.h"

#define BACKOFF_MIN_NS		(10 * SUP_NS_PER_MS)
#define BACKOFF_MAX_NS		(5 * SUP_NS_PER_S)
#define BACKOFF_READY_MAX_NS	(500 * SUP_NS_PER_MS)	/* when it had been ready: clients wait */
/* a life that long forgives what was before */
#define BACKOFF_RESET_NS	(30 * SUP_NS_PER_S)
#define LAST_WORDS		64u			/* messages of a dead worker that are still read */
#define START_DEATHS_MAX	5u			/* before any worker was ready: give up */

bool sup_worker_lives(const struct sup_worker *worker)
{
	return worker->pid > 0;
}

bool sup_worker_attaches(const struct sup_worker *worker)
{
	return worker->pid > 0 && worker->state != SUP_WORKER_STOPPING;
}

const struct mhs_slot *sup_worker_slot(const struct sup_worker *worker)
{
	return worker->slot.addr;
}

uint32_t sup_workers_ready(const struct sup *sup)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		count += sup->workers[i].state == SUP_WORKER_READY;
	return count;
}

void sup_worker_ring(const struct sup_worker *worker)
{
	mhs_bell_ring(worker->bell);
}

void sup_worker_kill(struct sup_worker *worker, const char *why)
{
	log_error("worker %u (pid %d): %s; it is killed", worker->index, (int)worker->pid, why);
	pidfd_send_signal(worker->pidfd.fd, SIGKILL, NULL, 0);
}

static void worker_spawn(struct sup_worker *worker);

static void backoff_over(struct sup_timer *timer)
{
	worker_spawn(sup_owner(timer, struct sup_worker, timer));
}

/* Try again later. */
static void worker_backoff(struct sup_worker *worker, uint64_t cap_ns)
{
	worker->state = SUP_WORKER_BACKOFF;
	worker->backoff_ns = worker->backoff_ns ? worker->backoff_ns * 2 : BACKOFF_MIN_NS;
	if (worker->backoff_ns > cap_ns)
		worker->backoff_ns = cap_ns;
	sup_timer_set(&worker->sup->loop, &worker->timer, worker->backoff_ns, backoff_over);
}

/* One more died or could not be started before any was ready. */
static void start_death(struct sup *sup, const char *how)
{
	if (!sup->any_ready && ++sup->start_deaths >= START_DEATHS_MAX)
		sup_fatal(sup, "no worker could be started (%s); see the lines above", how);
}

static void worker_spawn(struct sup_worker *worker)
{
	struct sup *sup = worker->sup;
	int err = sup->state == SUP_STOPPING ? 0 : sup_worker_start(worker);

	if (sup->state == SUP_STOPPING)
		return;
	if (err && sup_worker_lives(worker)) {
		sup_worker_kill(worker, strerror(-err));	/* sup_worker_ended() does */
		return;
	}
	if (err) {
		start_death(sup, strerror(-err));
		worker_backoff(worker, BACKOFF_MAX_NS);
		return;
	}
	log_debug("worker %u: pid %d", worker->index, (int)worker->pid);
	for (struct sup_version *v = sup->versions; v; v = v->next)
		if (v->phase == SUP_ATTACHING || sup_version_is_public(v))
			sup_worker_attach(worker, v);
}

/* ---- death ---------------------------------------------------------------------------------- */

static void death_tell(const struct sup_worker *worker, const siginfo_t *info, bool expected)
{
	char how[64];
	uint64_t life_ms = (sup_now_ns() - worker->spawn_ns) / SUP_NS_PER_MS;

	if (info->si_code == CLD_EXITED)
		snprintf(how, sizeof(how), "exit status %d", info->si_status);
	else
		snprintf(how, sizeof(how), "signal %d, %s", info->si_status, strsignal(info->si_status));
	log_line(expected ? LOG_LVL_INFO : LOG_LVL_WARNING,
		 "worker %u (pid %d) ended after %llu.%03llu s: %s", worker->index, (int)worker->pid,
		 (unsigned long long)life_ms / 1000, (unsigned long long)life_ms % 1000, how);
}

/* What it said before it died: evidence perhaps, and how far it came. Ends with the hang-up. */
static void last_words(struct sup_worker *worker)
{
	for (uint32_t i = 0; i < LAST_WORDS && worker->sock.fd >= 0; i++)
		sup_worker_hear(&worker->sock, 0);
}

/* It attaches one after the other, the newest first. */
static void death_blame(struct sup_worker *worker)
{
	if (!worker->initialised)
		return;
	for (struct sup_version *v = worker->sup->versions; v; v = v->next) {
		if (v->attach[worker->index] != SUP_ATTACH_SENT)
			continue;
		if (sup_version_is_public(v))
			sup_version_unattached(v, "they died; see their log");
		return;
	}
}

/* Nothing of a dead worker is asked or waited for any longer. */
static void death_forget(struct sup_worker *worker)
{
	struct sup *sup = worker->sup;

	for (struct sup_version *v = sup->versions; v; v = v->next) {
		if (v->attach[worker->index] == SUP_ATTACH_SENT && v->phase == SUP_ATTACHING)
			v->attach_deaths++;
		v->attach[worker->index] = SUP_ATTACH_NONE;
	}
	sup_worker_life_end(worker);
	sup_versions_step(sup);
	sup_ops_worker_died(sup);
}

void sup_worker_ended(struct sup_source *source, uint32_t events)
{
	struct sup_worker *worker = sup_owner(source, struct sup_worker, pidfd);
	struct sup *sup = worker->sup;
	bool expected = worker->state == SUP_WORKER_STOPPING, was_ready;
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return;		/* not yet */
	last_words(worker);
	was_ready = worker->was_ready;
	/* Routes first: what is asked again must not meet what it died of. */
	if (!expected)
		sup_version_worker_died(worker);
	/* Then clients: their requests must end now. */
	sup_clients_worker_died(worker);
	death_tell(worker, &info, expected);
	if (sup_now_ns() - worker->spawn_ns >= BACKOFF_RESET_NS)
		worker->backoff_ns = 0;
	worker->state = SUP_WORKER_NONE;
	if (!expected)
		death_blame(worker);
	death_forget(worker);
	if (sup->state == SUP_STOPPING) {
		sup_check_stopped(sup);
	} else if (expected) {
		sup_workers_adjust(sup);	/* it may be wanted again meanwhile */
	} else {
		worker->restarts++;
		worker_backoff(worker, was_ready ? BACKOFF_READY_MAX_NS : BACKOFF_MAX_NS);
		start_death(sup, "they die at once");
	}
}

/* ---- states --------------------------------------------------------------------------------- */

void sup_worker_step(struct sup_worker *worker)
{
	struct sup *sup = worker->sup;

	if (worker->state != SUP_WORKER_STARTING || !worker->initialised)
		return;
	for (struct sup_version *v = sup->versions; v; v = v->next)
		if (v->attach[worker->index] == SUP_ATTACH_SENT)
			return;
	worker->state = SUP_WORKER_READY;
	worker->was_ready = sup->any_ready = true;
	log_info("worker %u (pid %d) is ready: %s", worker->index, (int)worker->pid, worker->isa);
	sup_clients_worker_ready(worker);
	sup_check_serving(sup);
}

static void worker_stop(struct sup_worker *worker)
{
	struct hrt_msg msg = { .type = HRT_STOP };

	sup_timer_off(&worker->sup->loop, &worker->timer);
	if (!sup_worker_lives(worker)) {
		worker->state = SUP_WORKER_NONE;
		return;
	}
	if (worker->state == SUP_WORKER_STOPPING)
		return;
	worker->state = SUP_WORKER_STOPPING;
	sup_worker_send(worker, &msg, NULL, 0);
}

void sup_workers_adjust(struct sup *sup)
{
	uint32_t nodes = sup_place_nodes();

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		struct sup_worker *worker = &sup->workers[i];

		if (i >= sup->conf.workers) {
			if (worker->state != SUP_WORKER_NONE)
				worker_stop(worker);
		} else if (worker->state == SUP_WORKER_NONE) {
			*worker = (struct sup_worker){
				.sup = sup, .index = i, .bell = -1, .node = SUP_NODE_ANY,
				.pidfd = { .fd = -1 }, .sock = { .fd = -1 },
			};
			if (nodes > 1 && sup->conf.numa == SUP_NUMA_REPLICATE)
				worker->node = i % (nodes < MHS_EXTENT_MAX ? nodes : MHS_EXTENT_MAX);
			else if (nodes > 1 && sup->conf.numa == SUP_NUMA_BIND)
				worker->node = sup->conf.numa_node;
			worker_spawn(worker);
		}
	}
}

void sup_workers_stop(struct sup *sup)
{
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup->workers[i].state != SUP_WORKER_NONE)
			worker_stop(&sup->workers[i]);
}

/* At the very end: no process is left, or those that are were named and killed. */
void sup_workers_close(struct sup *sup)
{
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		struct sup_worker *worker = &sup->workers[i];

		if (worker->state == SUP_WORKER_NONE)
			continue;
		sup_timer_off(&sup->loop, &worker->timer);
		if (sup_worker_lives(worker)) {
			kill(worker->pid, SIGKILL);
			waitpid(worker->pid, NULL, 0);
		}
		sup_worker_life_end(worker);
		worker->state = SUP_WORKER_NONE;
	}
}
