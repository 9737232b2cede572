/* SPDX-License-Identifier: MIT */
/* t_worker.c: speaks heritage.h and keeps the epoch protocol, or breaks it as the mode file says. */
#include "t_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heritage.h"
#include "mhs_attach.h"
#include "mhs_epoch.h"

#define SEALS	(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const char *mode_path;
static const struct mhs_board *board;
static struct mhs_slot *slot;
static struct mhs_replies *replies;
static int bell = -1;
static bool attached[MHS_VERSION_MAX], pinned[MHS_VERSION_MAX], stopping;
static struct hrt_msg held;		/* an attach that is answered later; type 0: none */

static char mode_text[256];

static void mode_read(void)
{
	int fd = open(mode_path, O_RDONLY | O_CLOEXEC);

	memset(mode_text, 0, sizeof(mode_text));
	if (fd >= 0 && read(fd, mode_text, sizeof(mode_text) - 1) < 0)
		mode_text[0] = '\0';
	if (fd >= 0)
		close(fd);
}

static bool mode(const char *word)
{
	mode_read();
	return strstr(mode_text, word) != NULL;
}

static void say(uint32_t type, const struct hrt_msg *about, int status, const char *text)
{
	struct hrt_msg msg = { .type = type, .status = status };

	if (about) {
		msg.index = about->index;
		msg.serial = about->serial;
	}
	if (type == HRT_LANE_CLOSED)
		msg.lane.id = about->lane.id;
	else
		snprintf(msg.text, sizeof(msg.text), "%s", text);
	hrt_send(HERITAGE_FD, &msg, NULL, 0);
}

static void on_init(const struct hrt_msg *msg, const int *fds, uint32_t fd_count)
{
	struct mhs_map map;

	if (fd_count != 5 || mode("die_start"))
		_exit(3);
	if (mhs_seg_map_rw(fds[0], sizeof(*board), &map) == 0)
		_exit(4);	/* the board must not be writable */
	if (mhs_seg_map_ro(fds[0], sizeof(*board), 0, &map))
		_exit(5);
	board = map.addr;
	if (mhs_seg_map_rw(fds[1], sizeof(*slot), &map))
		_exit(6);
	slot = map.addr;
	if (mhs_seg_map_rw(fds[3], sizeof(*replies), &map))
		_exit(9);
	replies = map.addr;
	if (mhs_header_check(&board->head, MHS_MAGIC_BOARD, sizeof(*board), NULL, NULL) ||
	    mhs_header_check(&slot->head, MHS_MAGIC_SLOT, sizeof(*slot), NULL, NULL) ||
	    slot->head.owner != msg->init.worker || msg->init.threads == 0 ||
	    msg->init.limits.context == 0)
		_exit(7);
	bell = dup(fds[4]);
	if (mode("bad_init"))
		say(HRT_READY, msg, -EINVAL, "isa avx1024 is not usable here");
	else
		say(HRT_READY, msg, 0, "none, 1 threads");
}

static bool are_sealed(const int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (mhs_seg_check_seals(fds[i], SEALS))
			return false;
	return count > 0;
}

static void on_attach(const struct hrt_msg *msg, const int *fds, uint32_t fd_count)
{
	const struct hrt_attach *a = &msg->attach;

	if (mode("die_attach") || (msg->index == 2 && mode("die2")))
		_exit(3);
	if (mode("garbage")) {
		say(999, msg, 0, "what");
		return;
	}
	if (msg->index < 3 && mode(msg->index == 1 ? "hold1" : "hold2")) {
		held = *msg;
		return;
	}
	if (mode("refuse") || (msg->index == 2 && mode("deny2")))
		say(HRT_ATTACHED, msg, -EDOM, "smoke test: logits are not finite");
	else if (fd_count != a->fd_count || msg->index >= MHS_VERSION_MAX || !are_sealed(fds, fd_count))
		say(HRT_ATTACHED, msg, -EINVAL, "the attach message is wrong");
	else {
		attached[msg->index] = true;
		say(HRT_ATTACHED, msg, 0, "");
	}
}

static void message(const struct hrt_msg *msg, const int *fds, uint32_t fd_count)
{
	switch (msg->type) {
	case HRT_INIT:
		on_init(msg, fds, fd_count);
		break;
	case HRT_ATTACH:
		on_attach(msg, fds, fd_count);
		break;
	case HRT_DETACH:
		/* the grace period is over: this must not happen to what is pinned */
		if (pinned[msg->index])
			_exit(8);
		attached[msg->index] = false;
		say(HRT_DETACHED, msg, 0, "");
		break;
	case HRT_LANE_CLOSE:
		say(HRT_LANE_CLOSED, msg, 0, "");
		break;
	case HRT_WANTED:
		dprintf(STDERR_FILENO, "t_worker: wanted %s/%s@%s: %d %s\n", msg->wanted.want.model,
			msg->wanted.want.adapter, msg->wanted.want.semver, msg->status, msg->wanted.text);
		break;
	case HRT_STOP:
		stopping = true;
		break;
	default:
		break;
	}
}

/* While the mode says so, hold a pin on each version that may be pinned. */
static void pins_update(void)
{
	bool want = mode("pin");

	for (uint32_t v = 1; v < MHS_VERSION_MAX; v++) {
		if (want && attached[v] && !pinned[v])
			pinned[v] = mhs_pin_version(board, slot, v) == 0;
		else if (!want && pinned[v])
			mhs_unpin(slot, v), pinned[v] = false;
	}
}

/* As the mode says, once each time that it says another thing. */
static void want(void)
{
	static char asked[256];
	struct hrt_msg msg = { .type = HRT_WANT };
	struct hrt_want *w = &msg.wanted.want;
	char *at;

	if (!mode("want") || strcmp(asked, mode_text) == 0)
		return;
	strcpy(asked, mode_text);
	if (mode("wantraw"))
		memset(w, 'a', sizeof(*w));
	at = strstr(mode_text, "want=");
	if (at)
		sscanf(at + 5, "%63[^/]/%63[^@]@%47[^ ]", w->model, w->adapter, w->semver);
	hrt_send(HERITAGE_FD, &msg, NULL, 0);
}

static uint64_t noise(void)
{
	static uint64_t seed = 88172645463325252;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* While the mode says so: words that nobody would write, and evidence about what does not exist. */
static void scribble(void)
{
	struct hrt_msg about = { .index = (uint32_t)noise() % 16, .serial = noise() % 16 + 100 };
	uint64_t count = mode("last") ? UINT64_MAX : noise() / 2;

	for (uint32_t i = 0; i < MHS_REPLY_COUNT; i++) {
		struct mhs_reply_slot *at = &replies->slots[i];

		/* the record that a reader of this count looks for here */
		atomic_store_explicit(&at->number, count - (count - 1 - i) % MHS_REPLY_COUNT,
				      memory_order_relaxed);
		for (uint32_t k = 1; k < MHS_REPLY_WORDS; k++)
			atomic_store_explicit(&at->words[k], noise(), memory_order_relaxed);
		/* every second one about a version that exists */
		atomic_store_explicit(&at->words[0], i % 2 ? noise() : (1 + i / 2 % 2) << 12 | (1 + i / 2 % 2),
				      memory_order_relaxed);
	}
	atomic_store_explicit(&replies->count, count, memory_order_release);
	atomic_store_explicit(&slot->step_version, (uint32_t)noise(), memory_order_relaxed);
	for (uint32_t i = 0; i < 8; i++)
		say(HRT_EVIDENCE, &about, 1, "\033[2J%s%n");
}

static void turn(void)
{
	int fds[HERITAGE_FD_MAX], err;
	uint32_t fd_count;
	struct hrt_msg msg;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (slot && !mode("deaf"))
		mhs_epoch_adopt(board, slot, (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec);
	while ((err = hrt_recv(HERITAGE_FD, &msg, fds, &fd_count)) == 0) {
		message(&msg, fds, fd_count);
		while (fd_count)
			close(fds[--fd_count]);
	}
	if (err != -EAGAIN)
		_exit(0);
	if (held.type && !mode("hold")) {
		attached[held.index] = true;
		say(HRT_ATTACHED, &held, 0, "");
		held.type = 0;
	}
	if (slot) {
		pins_update();
		want();
	}
	if (slot && mode("scribble"))
		scribble();
}

int t_worker_main(const char *path)
{
	mode_path = path;
	fcntl(HERITAGE_FD, F_SETFL, O_NONBLOCK);
	while (!stopping || mode("stuck")) {
		struct pollfd fds[2] = { { HERITAGE_FD, POLLIN, 0 }, { bell, POLLIN, 0 } };
		uint64_t rings;

		turn();
		if (slot && !mode("deaf"))
			mhs_epoch_offline(slot);
		poll(fds, bell >= 0 ? 2 : 1, 5);
		if (bell >= 0 && fds[1].revents && read(bell, &rings, sizeof(rings)) < 0)
			continue;
	}
	return 0;
}
