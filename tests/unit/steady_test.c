/* SPDX-License-Identifier: MIT */
/*
 * steady_test.c: while replies stream, the worker's turn allocates nothing and makes no system call. A child runs it
 * over the tiny model under ptrace(2). Its client spins, so that no bell rings; the look at the control
 * socket, every 10 ms, is left out.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/worker/wrk.h"
#include "sto_version.h"
#include "t.h"
#include "t_import.h"
#include "t_malloc.h"

#ifndef OTHER_MALLOC
#define MODEL		"tools/tiny/model"
#define STREAMS		4u
#define WARM_TOKENS	64u	/* of each stream, before anything is counted */
#define STEADY_TOKENS	400u	/* of all streams, while it is */
#define SYSCALL_STOP	(SIGTRAP | 0x80)

/* What the child found. */
struct found {
	bool traced, attached;
	unsigned long allocations, tokens;
};

static struct mhs_board board;
static struct mhs_slot slot;
static struct mhs_stats stats;
static struct wrk w;
static struct found *found;

/* The first @bytes of @file as a sealed segment; closes it. */
static int segment_make(int file, uint64_t bytes)
{
	void *data = file < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, file, 0);
	size_t seg_bytes;
	int fd = mhs_seg_create_arena("steady", bytes, MHS_PAGES_4K, &seg_bytes);

	close(file);
	if (data == MAP_FAILED || fd < 0 || pwrite(fd, data, bytes, 0) != (ssize_t)bytes)
		return -1;
	munmap(data, bytes);
	return mhs_seg_seal_arena(fd) ? -1 : fd;
}

/* Image and packs of the tiny model. 0 when all are there. */
static int segments_make(struct hrt_attach *attach, int fds[MHS_SEGMENT_MAX])
{
	struct sto_error error;
	struct sto_version v;

	if (sto_version_open(&v, t_path("store"), "tiny", "1.0.0", &error))
		return -1;
	attach->file_bytes = v.header.file_bytes;
	attach->fd_count = v.header.pack_count + 1;
	memcpy(attach->content_hash, v.header.content_hash, MHS_HASH_BYTES);
	memcpy(board.versions[1].content_hash, v.header.content_hash, MHS_HASH_BYTES);
	fds[0] = segment_make(dup(v.fd), v.header.file_bytes);
	for (uint32_t i = 0; fds[i] >= 0 && i < v.header.pack_count; i++)
		fds[i + 1] = segment_make(dup(sto_version_pack(&v, i, &error)),
					  mhs_image_packs(&v.header, v.base)[i].pack_bytes);
	sto_version_close(&v);
	return fds[attach->fd_count - 1] < 0 ? -1 : 0;
}

static int worker_make(void)
{
	struct hrt_msg msg = { .type = HRT_ATTACH, .index = 1, .serial = 1 };
	char text[HERITAGE_TEXT_BYTES] = "";
	struct hrt_attached took;
	int fds[MHS_SEGMENT_MAX], err;

	w.epoll = epoll_create1(EPOLL_CLOEXEC);
	w.orphan = true;
	w.board = &board;
	w.slot = &slot;
	w.stats = &stats;
	w.limits = (struct hrt_limits){ .queue = 8, .kv_bytes = 64u << 20, .prefix_cache = 1,
					.speculate = HRT_SPECULATE_YES };
	w.record = malloc(WRK_RECORD_BYTES);
	w.requests_end = &w.requests;
	atomic_init(&board.versions[1].state, MHS_STATE_READY);
	err = segments_make(&msg.attach, fds);
	if (!err)
		err = eng_new(&w.eng, ENG_ISA_AUTO, 1);
	if (!err)
		err = wrk_version_attach(&w, &msg, fds, &took, text);
	if (err)
		printf("# attach: %d %s\n", err, text);
	return err;
}

static struct mhs_lane *lane_make(void)
{
	int fds[3] = { mhs_seg_create("steady", sizeof(struct mhs_lane)), eventfd(0, EFD_NONBLOCK),
		       eventfd(0, EFD_NONBLOCK) };
	struct mhs_map map;

	if (mhs_seg_map_rw(fds[0], sizeof(struct mhs_lane), &map) ||
	    wrk_lane_open(&w, &(struct hrt_lane){ .id = 1 }, fds))
		return NULL;
	return map.addr;
}

/* Greedy and sampled, with and without logprobs and guesses. */
static void streams_submit(struct mhs_lane *lane)
{
	struct mhs_ring_end submit = mhs_lane_submit_end(lane);

	for (uint32_t i = 0; i < STREAMS; i++) {
		uint32_t prompt[] = { 1, 20 + i, 30, 40 };
		struct mhs_request rq = {
			.request_id = i + 1, .max_tokens = 400, .prompt_bytes = sizeof(prompt),
			.flags = MHS_REQ_TOKENS | MHS_REQ_IGNORE_EOS | (i % 2 ? MHS_REQ_LOGPROBS : 0),
			.temperature = i < 2 ? 0.0f : 0.8f, .top_p = 0.9f, .repeat_penalty = 1.1f,
			.repeat_last = 64, .top_count = i % 2 ? 3 : 0, .seed = i,
			.model = "tiny", .semver = "1.0.0",
		};
		struct mhs_piece pieces[] = { { &rq, sizeof(rq) }, { prompt, sizeof(prompt) } };

		mhs_ring_put(&submit, MHS_REC_GENERATE, pieces, 2);
	}
}

/* A turn of wrk_loop.c but for the control socket, and the client's look at its ring. */
static void turn(struct mhs_ring_end *event)
{
	static uint8_t record[1 << 16];
	uint64_t now = wrk_now_ns();
	uint32_t type;

	w.epoch = mhs_epoch_adopt(w.board, w.slot, now);
	wrk_lanes_take(&w);
	wrk_requests_expire(&w, now);
	wrk_room_resume(&w);
	wrk_admit(&w);
	wrk_requests_flush(&w);
	wrk_batch_step(&w);
	wrk_requests_flush(&w);
	wrk_lanes_ring(&w);
	wrk_requests_reap(&w);
	while (mhs_ring_get(event, &type, record, sizeof(record)) > 0)
		continue;
}

/* Tokens of all streams, or 0 while one has fewer than @least. */
static unsigned long streamed(uint32_t least)
{
	unsigned long sum = 0;

	for (uint32_t i = 0; i < w.running_count; i++) {
		uint32_t count = w.running[i]->token_count - w.running[i]->prompt_count;

		if (count < least)
			return 0;
		sum += count;
	}
	return w.running_count == STREAMS ? sum : 0;
}

static void worker_run(void)
{
	struct mhs_lane *lane = worker_make() ? NULL : lane_make();
	struct mhs_ring_end event;
	unsigned long before, first;

	found->attached = lane != NULL;
	if (!lane)
		return;
	event = mhs_lane_event_end(lane);
	streams_submit(lane);
	for (uint32_t i = 0; i < 2000 && !streamed(WARM_TOKENS); i++)
		turn(&event);
	first = streamed(WARM_TOKENS);
	before = t_allocations();
	syscall(SYS_getppid);		/* the tracer counts from here */
	for (uint32_t i = 0; i < 2000 && first && found->tokens < STEADY_TOKENS; i++) {
		turn(&event);
		found->tokens = streamed(0) > first ? streamed(0) - first : 0;
	}
	syscall(SYS_getppid);		/* to here */
	found->allocations = t_allocations() - before;
}

static void child_run(void)
{
	found->traced = ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
	if (found->traced)
		raise(SIGSTOP);
	worker_run();
	fflush(stdout);
	_exit(0);
}

/* Number of the call that @child enters, or 0. */
static unsigned long long call_entered(pid_t child)
{
	struct user_regs_struct regs;
	static bool inside;

	inside = !inside;
	return inside && ptrace(PTRACE_GETREGS, child, NULL, &regs) == 0 ? regs.orig_rax : 0;
}

/* Follows @child to its end. System calls between the two marks; negative: no marks. */
static long calls_count(pid_t child)
{
	long calls = 0, marks = 0;
	int status;

	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		unsigned long long call = 0;

		if (WSTOPSIG(status) == SIGSTOP)
			ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
		else if (WSTOPSIG(status) == SYSCALL_STOP)
			call = call_entered(child);
		if (call == SYS_getppid)
			marks++;
		else if (call && marks == 1 && calls++ < 5)
			printf("# system call %llu\n", call);
		ptrace(PTRACE_SYSCALL, child, NULL, NULL);
	}
	return marks == 2 ? calls : -1;
}
#endif

static void turns_neither_allocate_nor_call(void)
{
#ifndef OTHER_MALLOC
	struct sto_error error;
	pid_t child;
	long calls;

	T_NEED_REFERENCE(MODEL);
	t_need(t_import(t_path("store"), "tiny@1.0.0", MODEL, &error) == 0);
	found = mmap(NULL, sizeof(*found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	t_need(found != MAP_FAILED);
	fflush(stdout);
	child = fork();
	t_need(child >= 0);
	if (!child)
		child_run();
	calls = calls_count(child);
	t_ok(found->attached);
	t_ok(found->tokens >= STEADY_TOKENS);
	t_eq(found->allocations, 0);
	if (found->traced)
		t_eq(calls, 0);
	printf("# ran: %lu tokens, system calls %s\n", found->tokens,
	       found->traced ? "counted" : "not counted: ptrace is not allowed");
	munmap(found, sizeof(*found));
#else
	t_skip("sanitizers bring their own malloc");
#endif
}

int main(void)
{
	T_RUN(turns_neither_allocate_nor_call);
	return t_done();
}
