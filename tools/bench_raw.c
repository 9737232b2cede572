/* SPDX-License-Identifier: MIT */
/*
 * bench_raw.c: the best that io_uring and O_DIRECT make of a file, with nothing of the loader in
 * it: memory on large pages that is all there, registered, and nothing but reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "mhs_seg.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

#define HUGE_BYTES	(UINT64_C(2) << 20)
#define PIECE_BYTES	(UINT64_C(1) << 30)	/* of a registered buffer: the kernel's limit */
#define PIECES_MAX	256u
#define READ_ALIGN	4096u

const struct bench_way bench_ways[] = {
	{ 256u << 10, 32 }, { 512u << 10, 32 }, { 1u << 20, 16 }, { 1u << 20, 64 },
	{ 2u << 20, 16 },   { 2u << 20, 32 },	{ 4u << 20, 8 },  { 4u << 20, 16 },
	{ 4u << 20, 32 },   { 8u << 20, 16 },	{ 16u << 20, 8 },
};
const uint32_t bench_way_count = sizeof(bench_ways) / sizeof(bench_ways[0]);

struct bench_raw {
	int fd;
	uint64_t bytes;
	struct mhs_map map;
};

/* One run: a ring with its registrations. */
struct run {
	struct io_uring ring;
	const struct bench_raw *raw;
	struct bench_way way;
	bool registered;		/* buffers; a limit of locked memory may forbid it */
	uint64_t next, done;		/* bytes asked for, bytes there */
	uint32_t busy;
};

static int memory_make(struct bench_raw *raw)
{
	uint64_t room = (raw->bytes / HUGE_BYTES + 1) * HUGE_BYTES;
	uint8_t *at = mmap(NULL, room + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	raw->map = (struct mhs_map){ at, room + HUGE_BYTES };
	madvise(at, room + HUGE_BYTES, MADV_HUGEPAGE);
	if (madvise(at, room + HUGE_BYTES, MADV_POPULATE_WRITE))
		memset(at, 1, room + HUGE_BYTES);
	return 0;
}

/* The first address in the memory that a large page begins at. */
static uint8_t *memory_base(const struct bench_raw *raw)
{
	uint8_t *at = raw->map.addr;

	return at + (HUGE_BYTES - (uintptr_t)at % HUGE_BYTES) % HUGE_BYTES;
}

int bench_raw_open(const char *path, struct bench_raw **out)
{
	struct bench_raw *raw = calloc(1, sizeof(*raw));
	struct stat st;
	int err = 0;

	if (!raw)
		return -ENOMEM;
	raw->fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (raw->fd < 0 || fstat(raw->fd, &st))
		err = -errno;
	if (!err) {
		raw->bytes = (uint64_t)st.st_size;
		err = memory_make(raw);
	}
	*out = raw;
	if (err)
		bench_raw_close(out);
	return err;
}

void bench_raw_close(struct bench_raw **raw)
{
	if (!*raw)
		return;
	mhs_seg_unmap(&(*raw)->map);
	if ((*raw)->fd >= 0)
		close((*raw)->fd);
	free(*raw);
	*raw = NULL;
}

uint64_t bench_raw_bytes(const struct bench_raw *raw)
{
	return raw->bytes;
}

const char *bench_raw_memory(const struct bench_raw *raw)
{
	return mhs_seg_huge_bytes(&raw->map) >= (int64_t)raw->bytes ? "2M pages" : "4K pages";
}

/* 0 or negative errno; without registered buffers when they are refused. */
static int run_open(struct run *run)
{
	const unsigned int best = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	uint32_t count = (uint32_t)((run->raw->bytes + PIECE_BYTES - 1) / PIECE_BYTES);
	struct iovec iov[PIECES_MAX];
	int err = io_uring_queue_init(run->way.depth, &run->ring, best);

	if (err)
		err = io_uring_queue_init(run->way.depth, &run->ring, 0);
	if (err)
		return err;
	err = io_uring_register_files(&run->ring, &run->raw->fd, 1);
	if (err) {
		io_uring_queue_exit(&run->ring);
		return err;
	}
	for (uint32_t i = 0; i < count && i < PIECES_MAX; i++)
		iov[i] = (struct iovec){ memory_base(run->raw) + i * PIECE_BYTES, PIECE_BYTES };
	if (count <= PIECES_MAX) {
		iov[count - 1].iov_len = (run->raw->bytes - 1) % PIECE_BYTES / READ_ALIGN * READ_ALIGN + READ_ALIGN;
		run->registered = io_uring_register_buffers(&run->ring, iov, count) == 0;
	}
	return 0;
}

static void run_ask(struct run *run)
{
	uint64_t left = run->raw->bytes - run->next;
	uint32_t bytes = left < run->way.block_bytes ? (uint32_t)left : run->way.block_bytes;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&run->ring);
	uint8_t *to = memory_base(run->raw) + run->next;

	bytes = (bytes + READ_ALIGN - 1) / READ_ALIGN * READ_ALIGN;
	if (run->registered)
		io_uring_prep_read_fixed(sqe, 0, to, bytes, run->next, (int)(run->next / PIECE_BYTES));
	else
		io_uring_prep_read(sqe, 0, to, bytes, run->next);
	sqe->flags |= IOSQE_FIXED_FILE;
	run->next += bytes;
	run->busy++;
}

/* Take what has come. 0 or negative errno. */
static int run_reap(struct run *run)
{
	struct io_uring_cqe *cqe;
	int err = 0;

	while (io_uring_peek_cqe(&run->ring, &cqe) == 0) {
		if (cqe->res <= 0)
			err = cqe->res ? cqe->res : -EIO;
		else
			run->done += (uint64_t)cqe->res;
		io_uring_cqe_seen(&run->ring, cqe);
		run->busy--;
	}
	return err;
}

static int run_all(struct run *run)
{
	int err = 0, n;

	while (run->busy || (!err && run->next < run->raw->bytes)) {
		while (!err && run->busy < run->way.depth && run->next < run->raw->bytes)
			run_ask(run);
		n = io_uring_submit_and_wait(&run->ring, 1);
		if (n < 0 && n != -EINTR && n != -EAGAIN && n != -EBUSY)
			return n;
		n = run_reap(run);
		err = err ? err : n;
	}
	/* A short read in the middle would make us too fast. */
	return err ? err : run->done >= run->raw->bytes ? 0 : -EIO;
}

double bench_raw_read(const struct bench_raw *raw, const struct bench_way *way)
{
	struct run run = { .raw = raw, .way = *way };
	int err = run_open(&run);
	double start, took;

	if (err)
		return err;
	start = bench_now_s();
	err = run_all(&run);
	took = bench_now_s() - start;
	io_uring_queue_exit(&run.ring);
	return err ? err : took;
}
