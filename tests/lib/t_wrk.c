/* SPDX-License-Identifier: MIT */
#include "t_wrk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sto_adapter.h"
#include "t.h"
#include "t_import.h"
#include "t_segments.h"

/* Takes the descriptors. */
static bool attach(struct t_wrk *t, struct hrt_msg *msg, const int *fds, const char *ref)
{
	char text[HERITAGE_TEXT_BYTES] = "";
	struct hrt_attached took;
	int err;

	t->board.versions[msg->index].serial = msg->serial;
	atomic_store(&t->board.versions[msg->index].state, MHS_STATE_READY);
	err = wrk_version_attach(&t->w, msg, fds, &took, text);
	if (err)
		printf("# attach %s: %d %s\n", ref, err, text);
	for (uint32_t i = 0; i < msg->attach.fd_count; i++)
		close(fds[i]);
	return !err;
}

bool t_wrk_attach(struct t_wrk *t, uint32_t index, const char *semver, const char *path)
{
	struct hrt_msg msg = { .type = HRT_ATTACH, .index = index, .serial = 10 + index };
	struct sto_error error = { "" };
	char ref[64], image[128];
	int fds[MHS_SEGMENT_MAX];

	snprintf(ref, sizeof(ref), "tiny@%s", semver);
	snprintf(image, sizeof(image), "store/models/tiny/%s/image.mhi", semver);
	if (access(t_path(image), F_OK) && t_import(t_path("store"), ref, path, &error))
		printf("# %s\n", error.text);
	return t_segments("tiny", semver, &msg, fds) == 0 && attach(t, &msg, fds, ref);
}

static int import_adapter(const char *ref, const char *path, struct sto_adapter_import *import)
{
	struct sto_adapter_result result;
	struct sto_error error = { "" };
	char full[128];
	int err;

	snprintf(full, sizeof(full), "tiny/%s", ref);
	*import = (struct sto_adapter_import){ .store = t_path("store"), .path = path };
	err = sto_adapter_ref_parse(full, 0, import->model, import->adapter, import->version, &error);
	if (!err)
		err = sto_adapter_import(import, &result, &error);
	if (err && err != -EEXIST)
		printf("# %s: %s\n", full, error.text);
	return err == -EEXIST ? 0 : err;
}

bool t_wrk_attach_adapter(struct t_wrk *t, uint32_t index, const char *ref, const char *path)
{
	struct hrt_msg msg = { .type = HRT_ATTACH, .index = index, .serial = 10 + index };
	struct sto_adapter_import import;
	int fds[MHS_SEGMENT_MAX];

	if (import_adapter(ref, path, &import) ||
	    t_segments_adapter("tiny", import.adapter, import.version, &msg, fds))
		return false;
	t->board.versions[index].kind = MHS_IMAGE_ADAPTER;
	return attach(t, &msg, fds, ref);
}

static bool lane_make(struct t_wrk *t)
{
	int fds[3] = { mhs_seg_create("test lane", sizeof(struct mhs_lane)), eventfd(0, EFD_NONBLOCK),
		       eventfd(0, EFD_NONBLOCK) };
	struct mhs_map map;

	if (mhs_seg_map_rw(fds[0], sizeof(struct mhs_lane), &map) ||
	    wrk_lane_open(&t->w, &(struct hrt_lane){ .id = 1 }, fds))
		return false;
	t->lane = map.addr;
	t->submit = mhs_lane_submit_end(t->lane);
	t->event = mhs_lane_event_end(t->lane);
	return true;
}

bool t_wrk_open(struct t_wrk *t, uint64_t kv_bytes)
{
	int pair[2];

	memset(t, 0, sizeof(*t));
	mhs_board_init(&t->board);
	mhs_board_add(&t->board, "tiny", "");
	mhs_slot_init(&t->slot, 0);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
		return false;
	t->w.control = pair[0];
	t->supervisor = pair[1];
	t->w.epoll = epoll_create1(EPOLL_CLOEXEC);
	t->w.board = &t->board;
	t->w.slot = &t->slot;
	t->w.stats = &t->stats;
	t->w.replies = &t->replies;
	t->w.limits = (struct hrt_limits){ .queue = 200, .kv_bytes = kv_bytes, .prefix_cache = 1,
					   .speculate = HRT_SPECULATE_YES };
	t->w.record = malloc(WRK_RECORD_BYTES);
	t->w.requests_end = &t->w.requests;
	return t->w.record && eng_new(&t->w.eng, ENG_ISA_AUTO, 1) == 0 && lane_make(t);
}

uint32_t t_wrk_records(const struct t_wrk *t, uint32_t index, uint32_t error, bool moved)
{
	struct mhs_reply reply;
	uint32_t n = 0;

	for (uint64_t i = 1; i <= mhs_reply_count(&t->replies); i++)
		n += mhs_reply_get(&t->replies, i, &reply) == 0 && reply.kind == MHS_REPLY_ENDED &&
		     reply.version_serial == ((10u + index) << 12 | index) && reply.error == error &&
		     !!(reply.flags & MHS_REPLY_MOVED) == moved;
	return n;
}

void t_wrk_evidence(struct t_wrk *t, uint32_t counts[MHS_VERSION_MAX])
{
	int fds[HERITAGE_FD_MAX];
	struct hrt_msg msg;
	uint32_t fd_count;

	memset(counts, 0, MHS_VERSION_MAX * sizeof(counts[0]));
	while (hrt_recv(t->supervisor, &msg, fds, &fd_count) == 0)
		counts[msg.index] += msg.type == HRT_EVIDENCE && msg.status == MHS_ERR_NAN;
}

void t_wrk_close(struct t_wrk *t)
{
	wrk_fini(&t->w);
	close(t->w.control);
	close(t->w.epoll);
	close(t->supervisor);
	munmap(t->lane, sizeof(*t->lane));
}
