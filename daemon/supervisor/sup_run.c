/* SPDX-License-Identifier: MIT */
/* sup_run.c: start, signals, clean stop. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "sup_trial.h"
#include "sup_place.h"

#define STOP_TELL_NS	(5 * SUP_NS_PER_S)	/* between two lines about who is left */
#define STOP_LIMIT_NS	(30 * SUP_NS_PER_S)	/* then those are killed */

uint32_t sup_threads(const struct sup_conf *conf)
{
	uint32_t threads = conf->threads ? conf->threads : sup_place_cpus() / conf->workers;

	return threads < 1 ? 1 : threads > 64 ? 64 : threads;
}

/* ---- stop ----------------------------------------------------------------------------------- */

void sup_check_stopped(struct sup *sup)
{
	if (sup->state != SUP_STOPPING || sup->loads_running)
		return;
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup_worker_lives(&sup->workers[i]))
			return;
	sup->ended = true;
}

static void stop_again(struct sup_timer *timer)
{
	struct sup *sup = sup_owner(timer, struct sup, stop_timer);
	bool late = sup_now_ns() - sup->stop_ns >= STOP_LIMIT_NS;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		struct sup_worker *worker = &sup->workers[i];
		const struct mhs_slot *slot = sup_worker_slot(worker);

		if (!sup_worker_lives(worker))
			continue;
		if (late)
			sup_worker_kill(worker, "has not ended in time");
		else
			log_notice("worker %u (pid %d) still runs %u requests", worker->index, (int)worker->pid,
				   slot ? atomic_load_explicit(&slot->running, memory_order_relaxed) : 0);
	}
	if (sup->loads_running)
		log_notice("%u loads are being ended", sup->loads_running);
	sup_timer_set(&sup->loop, timer, STOP_TELL_NS, stop_again);
}

void sup_stop(struct sup *sup, int exit_status)
{
	if (sup->state == SUP_STOPPING) {
		sup->stop_ns = 0;	/* asked twice: no more patience */
		sup_timer_set(&sup->loop, &sup->stop_timer, 0, stop_again);
		return;
	}
	log_notice("stopping: no new clients, running requests end first");
	sup_notify("STOPPING=1");
	sup->state = SUP_STOPPING;
	sup->exit_status = exit_status;
	sup->stop_ns = sup_now_ns();
	sup_timer_off(&sup->loop, &sup->accept_timer);
	sup_sock_unlisten(sup);
	sup_watches_adjust(sup);
	sup_ops_abort(sup, "the host is shutting down");
	sup_loads_cancel(sup);
	sup_workers_stop(sup);
	sup_timer_set(&sup->loop, &sup->stop_timer, STOP_TELL_NS, stop_again);
	sup_check_stopped(sup);
}

void sup_fatal(struct sup *sup, const char *format, ...)
{
	char text[512];
	va_list args;

	if (sup->state == SUP_STOPPING)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s", text);
	sup_stop(sup, 1);
}

static void signal_came(struct sup_source *source, uint32_t events)
{
	struct sup *sup = sup_owner(source, struct sup, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP && sup->state != SUP_STOPPING)
		sup_reload(sup);
	else if (info.ssi_signo != SIGHUP)
		sup_stop(sup, 0);
}

/* ---- start ---------------------------------------------------------------------------------- */

void sup_check_serving(struct sup *sup)
{
	if (sup->state != SUP_STARTING || sup->start_ops || sup_workers_ready(sup) == 0)
		return;
	sup->state = SUP_SERVING;
	sup_sock_resume(sup);
	log_notice("serving at %s: store %s, %u workers with %u threads each", sup->conf.socket,
		   sup->conf.store, sup->conf.workers, sup_threads(&sup->conf));
	sup_notify("READY=1");
	sup_watches_adjust(sup);
}

/* Descriptors for many clients, locked memory for registered buffers: as far as we may. */
static void limits_raise(void)
{
	static const int which[] = { RLIMIT_NOFILE, RLIMIT_MEMLOCK };
	struct rlimit limit;

	for (size_t i = 0; i < 2; i++) {
		if (getrlimit(which[i], &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
			limit.rlim_cur = limit.rlim_max;
			setrlimit(which[i], &limit);
		}
	}
}

static int surroundings_check(const struct sup_conf *conf, struct sto_error *error)
{
	uint32_t nodes = sup_place_nodes();
	struct stat st;

	if (stat(conf->store, &st) || !S_ISDIR(st.st_mode)) {
		sto_fail(error, "store %s: no such directory; mhost import makes one", conf->store);
		return -ENOENT;
	}
	if (conf->numa == SUP_NUMA_BIND && conf->numa_node >= nodes) {
		sto_fail(error, "numa = bind:%u: this machine has %u node%s, numbered from 0",
			 conf->numa_node, nodes, nodes > 1 ? "s" : "");
		return -EINVAL;
	}
	return 0;
}

static int signals_open(struct sup *sup)
{
	sigset_t set;
	int fd, err;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);	/* ignored, children could not be waited for */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	err = sup_source_open(&sup->loop, &sup->signals, fd, EPOLLIN, signal_came);
	if (err)
		close(fd);
	return err;
}

static int loop_open(struct sup *sup, struct sto_error *error)
{
	int err = sup_loop_open(&sup->loop), fd;

	if (!err)
		err = signals_open(sup);
	fd = err ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!err && fd < 0)
		err = -errno;
	if (!err)
		err = sup_source_open(&sup->loop, &sup->loads, fd, EPOLLIN, sup_loads_woken);
	if (err)
		sto_fail(error, "cannot start: %s", strerror(-err));
	return err;
}

int sup_start(struct sup *sup, const struct sup_options *options, struct sto_error *error)
{
	int err;

	*sup = (struct sup){ .options = *options, .board_fd = -1, .loop = { .epoll = -1 } };
	sup->signals.fd = sup->loads.fd = sup->client_socket.fd = sup->control_socket.fd = -1;
	sup->start_ns = sup_now_ns();
	sup->adopt_max_ns = SUP_ADOPT_MAX_NS;
	sup->adopt_limit_ns = SUP_ADOPT_LIMIT_NS;
	err = sup_conf_read(options, &sup->conf, error);
	if (!err)
		err = surroundings_check(&sup->conf, error);
	if (err)
		return err;
	log_init("mhostd", sup->conf.log_level);
	limits_raise();
	err = loop_open(sup, error);
	if (!err)
		err = sup_sock_listen(sup, &sup->client_socket, 0, sup_client_accept, error);
	if (!err)
		err = sup_sock_listen(sup, &sup->control_socket, 1, sup_control_accept, error);
	if (!err)
		err = sup_board_open(sup, error);
	if (!err && sup_scribe_open(&sup->scribe, sup->conf.store)) {
		sto_fail(error, "cannot start: no thread for the history");
		err = -EAGAIN;
	}
	if (err)
		return err;
	sup_sock_modes(sup);
	sup_keep_restore(sup);
	sup_workers_adjust(sup);
	return 0;
}

int sup_run(struct sup *sup)
{
	while (!sup->ended) {
		int err = sup_loop_turn(&sup->loop);

		if (err) {
			log_error("event loop: %s", strerror(-err));
			return 1;
		}
	}
	return sup->exit_status;
}

void sup_finish(struct sup *sup)
{
	sup_sock_unlisten(sup);
	sup->state = SUP_STOPPING;
	sup_watches_adjust(sup);
	sup_ops_abort(sup, "the host ends");
	sup_clients_close(sup);
	sup_conns_close(sup);
	sup_workers_close(sup);
	sup_children_close(sup);
	for (uint32_t i = 0; i < sup->model_count; i++)
		if (sup->models[i].trial)
			sup_trial_close(sup->models[i].trial);
	sup_scribe_close(&sup->scribe);
	json_decref(sup->kept);
	while (sup->versions)
		sup_version_delete(sup->versions);
	sup_pages_restore();
	sup_board_close(sup);
	sup_source_close(&sup->loop, &sup->loads);
	sup_source_close(&sup->loop, &sup->signals);
	sup_loop_close(&sup->loop);
}
