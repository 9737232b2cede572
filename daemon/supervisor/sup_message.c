/* SPDX-License-Identifier: MIT */
/*
 * sup_message.c: what workers are told and what they say. They are not trusted: each word is
 * checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "log.h"
#include "sup.h"

/* ---- out ------------------------------------------------------------------------------------ */

static void queued_free(struct sup_queued *queued)
{
	for (uint32_t i = 0; i < queued->fd_count; i++)
		close(queued->fds[i]);
	free(queued);
}

void sup_worker_queue_free(struct sup_worker *worker)
{
	struct sup_queued *queued;

	while ((queued = worker->queue)) {
		worker->queue = queued->next;
		queued_free(queued);
	}
	worker->queue_end = &worker->queue;
}

/* Keep a message for later, with copies of its descriptors: the sender may close its own. */
static int queue_add(struct sup_worker *worker, const struct hrt_msg *msg, const int *fds,
		     uint32_t fd_count)
{
	struct sup_queued *queued = calloc(1, sizeof(*queued));

	if (!queued)
		return -ENOMEM;
	queued->msg = *msg;
	for (uint32_t i = 0; i < fd_count; i++) {
		int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (copy < 0) {
			int err = -errno;

			queued_free(queued);
			return err;
		}
		queued->fds[queued->fd_count++] = copy;
	}
	if (!worker->queue)
		worker->queue_end = &worker->queue;
	*worker->queue_end = queued;
	worker->queue_end = &queued->next;
	sup_source_change(&worker->sup->loop, &worker->sock, EPOLLIN | EPOLLOUT);
	return 0;
}

static int queue_flush(struct sup_worker *worker)
{
	struct sup_queued *queued;
	int err;

	while ((queued = worker->queue)) {
		err = hrt_send(worker->sock.fd, &queued->msg, queued->fds, queued->fd_count);
		if (err == -EAGAIN)
			return 0;
		if (err)
			return err;
		worker->queue = queued->next;
		queued_free(queued);
	}
	sup_source_change(&worker->sup->loop, &worker->sock, EPOLLIN);
	return 0;
}

/* Never blocks, never drops: a worker in a long step takes its messages later. */
void sup_worker_send(struct sup_worker *worker, const struct hrt_msg *msg, const int *fds,
		     uint32_t fd_count)
{
	int err = -EAGAIN;

	if (worker->sock.fd < 0)
		return;		/* hung up: its death is on the way */
	if (!worker->queue)
		err = hrt_send(worker->sock.fd, msg, fds, fd_count);
	if (err == -EAGAIN)
		err = queue_add(worker, msg, fds, fd_count);
	if (err && err != -EPIPE)
		sup_worker_kill(worker, strerror(-err));
}

/* Its segments, in the replicas for the worker's node. */
void sup_worker_attach(struct sup_worker *worker, struct sup_version *version)
{
	const struct sup_load *load = version->load;
	struct hrt_msg msg = { .type = HRT_ATTACH, .index = version->index,
			       .serial = version->serial };
	int fds[HERITAGE_FD_MAX];

	msg.attach.file_bytes = load->own.file_bytes;
	msg.attach.fd_count = load->pack_count + 1;
	memcpy(msg.attach.content_hash, load->header.content_hash, MHS_HASH_BYTES);
	for (uint32_t i = 0; i < msg.attach.fd_count; i++)
		fds[i] = sup_arenas_on(sup_load_segment(load, i), worker->node)->fd;
	version->attach[worker->index] = SUP_ATTACH_SENT;
	sup_worker_send(worker, &msg, fds, msg.attach.fd_count);
}

void sup_worker_detach(struct sup_worker *worker, struct sup_version *version)
{
	struct hrt_msg msg = { .type = HRT_DETACH, .index = version->index,
			       .serial = version->serial };

	version->attach[worker->index] = SUP_DETACH_SENT;
	sup_worker_send(worker, &msg, NULL, 0);
}

/* ---- in ------------------------------------------------------------------------------------- */

/* The worker's text, ended and printable. */
static void text_clean(struct hrt_msg *msg)
{
	msg->text[sizeof(msg->text) - 1] = '\0';
	for (char *p = msg->text; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
}

static int on_ready(struct sup_worker *worker, struct hrt_msg *msg)
{
	struct sup *sup = worker->sup;

	if (worker->initialised)
		return -EPROTO;
	text_clean(msg);
	if (msg->status == 0) {
		worker->initialised = true;
		snprintf(worker->isa, sizeof(worker->isa), "%.63s", msg->text);
		return 0;
	}
	if (!sup->any_ready)
		sup_fatal(sup, "%s", msg->text);
	sup_worker_kill(worker, sup->any_ready ? msg->text : "cannot start");
	return 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void attached_note(struct hrt_attached *slowest, const struct hrt_attached *one)
{
	slowest->attach_ns = larger(slowest->attach_ns, one->attach_ns);
	slowest->smoke_ns = larger(slowest->smoke_ns, one->smoke_ns);
	slowest->attach_faults = larger(slowest->attach_faults, one->attach_faults);
	slowest->smoke_faults = larger(slowest->smoke_faults, one->smoke_faults);
}

/* Of no use without it; @version may be gone afterwards. */
static int attach_missing(struct sup_worker *worker, struct sup_version *version, const char *text)
{
	sup_worker_kill(worker, text);
	sup_version_unattached(version, text);
	return 0;
}

static int on_attached(struct sup_worker *worker, struct hrt_msg *msg)
{
	struct sup_version *version = sup_version_at(worker->sup, msg->index, msg->serial);

	if (!version || version->attach[worker->index] != SUP_ATTACH_SENT)
		return -EPROTO;
	if (msg->status == 0) {
		version->attach[worker->index] = SUP_ATTACH_DONE;
		attached_note(&version->slowest, &msg->attached);
		if (sup_version_is_public(version))
			version->attach_deaths = 0;
		/* refused by another meanwhile: undo */
		if (version->phase == SUP_DETACHING)
			sup_worker_detach(worker, version);
	} else {
		text_clean(msg);
		version->attach[worker->index] = SUP_ATTACH_NONE;
		if (version->phase == SUP_ATTACHING)
			sup_version_refused(version, msg->text);
		else if (version->phase != SUP_DETACHING && version->phase != SUP_DRAINING)
			return attach_missing(worker, version, msg->text);
	}
	sup_version_step(version);
	return 0;
}

static int on_detached(struct sup_worker *worker, const struct hrt_msg *msg)
{
	struct sup_version *version = sup_version_at(worker->sup, msg->index, msg->serial);

	if (!version || version->attach[worker->index] != SUP_DETACH_SENT)
		return -EPROTO;
	version->attach[worker->index] = SUP_ATTACH_NONE;
	sup_version_step(version);
	return 0;
}

static int on_evidence(struct sup_worker *worker, struct hrt_msg *msg)
{
	struct sup_version *version = sup_version_at(worker->sup, msg->index, msg->serial);

	text_clean(msg);
	if (version)
		sup_version_evidence(version, msg->text);
	return 0;
}

static int message_do(struct sup_worker *worker, struct hrt_msg *msg)
{
	switch (msg->type) {
	case HRT_READY:
		return on_ready(worker, msg);
	case HRT_ATTACHED:
		return on_attached(worker, msg);
	case HRT_DETACHED:
		return on_detached(worker, msg);
	case HRT_WANT:
		return sup_want_heard(worker, msg);
	case HRT_EVIDENCE:
		return on_evidence(worker, msg);
	case HRT_LANE_BAD:
		sup_lane_bad(worker->sup, msg->lane.id, worker->life);
		return 0;
	case HRT_LANE_CLOSED:
		sup_lane_closed(worker->sup, msg->lane.id, worker->life);
		return 0;
	default:
		return -EPROTO;
	}
}

/* One message, so that others get their turn. */
void sup_worker_hear(struct sup_source *source, uint32_t events)
{
	struct sup_worker *worker = sup_owner(source, struct sup_worker, sock);
	int fds[HERITAGE_FD_MAX], err = 0;
	uint32_t fd_count = 0;
	struct hrt_msg msg;

	if (events & EPOLLOUT)
		err = queue_flush(worker);
	if (!err)
		err = hrt_recv(source->fd, &msg, fds, &fd_count);
	if (err == -EAGAIN)
		return;
	while (fd_count)
		close(fds[--fd_count]);		/* workers have none to send */
	if (!err)
		err = message_do(worker, &msg);
	if (!err) {
		sup_worker_step(worker);
		return;
	}
	if (err == -EPROTO)
		sup_worker_kill(worker, "sent a message that breaks the rules");
	else if (worker->state != SUP_WORKER_STOPPING)
		/* hung up: dead or as good as */
		pidfd_send_signal(worker->pidfd.fd, SIGKILL, NULL, 0);
	sup_source_close(&worker->sup->loop, source);
}
