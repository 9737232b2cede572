/* SPDX-License-Identifier: MIT */
/* wrk_control.c: what the supervisor says, and the answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "probe.h"
#include "wrk.h"

int wrk_control_send(struct wrk *w, const struct hrt_msg *msg)
{
	int err = w->orphan ? -EPIPE : hrt_send(w->control, msg, NULL, 0);

	if (err)
		log_debug("the supervisor does not take messages");
	return err;
}

void wrk_control_say(struct wrk *w, uint32_t type, uint32_t index, uint64_t serial, int status,
		     const char *text)
{
	struct hrt_msg msg = { .type = type, .serial = serial, .status = status };

	if (type == HRT_LANE_BAD || type == HRT_LANE_CLOSED)
		msg.lane.id = index;
	else
		msg.index = index;
	if (type != HRT_LANE_CLOSED && type != HRT_LANE_BAD)
		snprintf(msg.text, sizeof(msg.text), "%s", text);
	if (text[0] && status)
		log_warning("%s", text);
	wrk_control_send(w, &msg);
}

static void close_all(const int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
}

static void on_attach(struct wrk *w, const struct hrt_msg *msg, const int *fds, uint32_t fd_count)
{
	struct hrt_msg answer = { .type = HRT_ATTACHED, .index = msg->index, .serial = msg->serial };
	char text[HERITAGE_TEXT_BYTES] = "";
	uint64_t start = wrk_now_ns();
	int err = -EINVAL;

	if (fd_count && fd_count == msg->attach.fd_count && msg->index < MHS_VERSION_MAX)
		err = wrk_version_attach(w, msg, fds, &answer.attached, text);
	close_all(fds, fd_count);
	probe_attach(msg->index, msg->serial, err, wrk_now_ns() - start);
	if (err)
		wrk_control_say(w, HRT_ATTACHED, msg->index, msg->serial, err, text);
	else
		wrk_control_send(w, &answer);
}

static void on_lane_open(struct wrk *w, const struct hrt_msg *msg, const int *fds,
			 uint32_t fd_count)
{
	if (fd_count != 3) {
		close_all(fds, fd_count);
		wrk_control_say(w, HRT_LANE_BAD, msg->lane.id, 0, -EINVAL, "lane without descriptors");
	} else if (wrk_lane_open(w, &msg->lane, fds)) {
		wrk_control_say(w, HRT_LANE_BAD, msg->lane.id, 0, -ENOMEM, "lane cannot be mapped");
	}
}

static void on_init(struct wrk *w, const struct hrt_msg *msg, const int *fds, uint32_t fd_count)
{
	char text[HERITAGE_TEXT_BYTES] = "";
	int err = -EINVAL;

	if (fd_count == 5 && !w->initialised)
		err = wrk_init(w, msg, fds, text);
	else
		close_all(fds, fd_count);
	if (!err)
		snprintf(text, sizeof(text), "%s", eng_isa_name(eng_isa(w->eng)));
	wrk_control_say(w, HRT_READY, w->index, 0, err, text);
}

static void on_message(struct wrk *w, const struct hrt_msg *msg, const int *fds, uint32_t fd_count)
{
	switch (w->initialised ? msg->type : msg->type == HRT_INIT ? HRT_INIT : 0) {
	case HRT_INIT:
		on_init(w, msg, fds, fd_count);
		return;
	case HRT_ATTACH:
		on_attach(w, msg, fds, fd_count);
		return;
	case HRT_LANE_OPEN:
		on_lane_open(w, msg, fds, fd_count);
		return;
	case HRT_DETACH:
		wrk_version_detach(w, msg->index, msg->serial);
		wrk_control_say(w, HRT_DETACHED, msg->index, msg->serial, 0, "");
		break;
	case HRT_LANE_CLOSE:
		wrk_lane_close(w, msg->lane.id);
		wrk_control_say(w, HRT_LANE_CLOSED, msg->lane.id, 0, 0, "");
		break;
	case HRT_LIMITS:
		w->limits = msg->init.limits;
		if (!w->limits.prefix_cache)
			wrk_prefix_drop_all(w);
		break;
	case HRT_WANTED:
		wrk_want_answer(w, &msg->wanted, msg->status);
		break;
	case HRT_STOP:
		w->stopping = true;
		break;
	default:
		log_warning("message %u is not known, ignored", msg->type);
	}
	close_all(fds, fd_count);
}

int wrk_control_poll(struct wrk *w)
{
	int fds[HERITAGE_FD_MAX];
	uint32_t fd_count;
	struct hrt_msg msg;
	int err;

	while ((err = hrt_recv(w->control, &msg, fds, &fd_count)) == 0)
		on_message(w, &msg, fds, fd_count);
	return err == -EAGAIN ? 0 : -EPIPE;
}
