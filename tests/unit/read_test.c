/* SPDX-License-Identifier: MIT */
/*
 * read_test.c: the loader's reader on a faulty disk. The functions of sup_uring.h are defined here, so the
 * linker takes these instead of the ring: reads come from memory, out of order, short, interrupted or failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sup_read.h"
#include "sup_uring.h"
#include "t.h"

#define BLOCK		(64u << 10)
#define FILE_BYTES	(40 * BLOCK + 3 * 4096u)
#define PENDING_MAX	64u

enum fault { FAULT_NONE, FAULT_SHORT, FAULT_EINTR, FAULT_EAGAIN, FAULT_EIO, FAULT_EOF, FAULT_SUBMIT,
	     FAULT_WAIT, FAULT_EINVAL_ALWAYS, FAULT_EAGAIN_ALWAYS, FAULT_LYING };

struct pending {
	uint8_t *to;
	uint32_t bytes, tag;
	uint64_t offset;
};

static struct {
	enum fault fault;
	uint32_t at;			/* the how manieth read it hits; every one: UINT32_MAX */
	uint32_t reads, submits;
	uint32_t count;
	struct pending pending[PENDING_MAX];
	uint32_t most;			/* in flight at one time */
	bool open, registered;
	int register_err, piece_err;
} disk;

static uint8_t file[FILE_BYTES], memory[FILE_BYTES];
static uint64_t seed;

int sup_uring_open(struct sup_uring **ring, uint32_t depth)
{
	t_ok(depth == SUP_READ_DEPTH && !disk.open);
	disk.open = true;
	*ring = (struct sup_uring *)(void *)&disk;
	return 0;
}

void sup_uring_close(struct sup_uring **ring)
{
	t_eq(disk.count, 0);	/* nothing may still write to the memory */
	disk.open = disk.registered = false;
	*ring = NULL;
}

void sup_uring_file(struct sup_uring *ring, int fd)
{
	(void)ring, (void)fd;
}

int sup_uring_register(struct sup_uring *ring, uint8_t *base, uint64_t bytes, uint64_t piece_bytes)
{
	(void)ring, (void)base, (void)bytes, (void)piece_bytes;
	disk.registered = disk.register_err == 0;
	return disk.register_err;
}

int sup_uring_register_piece(struct sup_uring *ring, uint64_t piece)
{
	(void)ring, (void)piece;
	t_ok(disk.registered);
	return disk.piece_err;
}

int sup_uring_read(struct sup_uring *ring, uint8_t *to, uint32_t bytes, uint64_t offset, uint32_t tag)
{
	(void)ring;
	t_ok(to == memory + offset && offset + bytes <= FILE_BYTES && offset % 4096 == 0);
	if (disk.fault == FAULT_SUBMIT && disk.submits++ == disk.at)
		return -EBADF;
	if (!t_ok(disk.count < PENDING_MAX))
		exit(1);
	disk.pending[disk.count++] = (struct pending){ to, bytes, tag, offset };
	if (disk.count > disk.most)
		disk.most = disk.count;
	return 0;
}

static int32_t faulty(uint32_t bytes)
{
	switch (disk.fault) {
	case FAULT_SHORT:
		return 4096 + (int32_t)(t_random(&seed) % (bytes - 4096 + 1)) / 512 * 512;
	case FAULT_EINTR:
		return -EINTR;
	case FAULT_EAGAIN:
	case FAULT_EAGAIN_ALWAYS:
		return -EAGAIN;
	case FAULT_EIO:
		return -EIO;
	case FAULT_EOF:
		return 0;
	case FAULT_EINVAL_ALWAYS:
		return -EINVAL;
	case FAULT_LYING:
		return (int32_t)bytes + 4096;
	default:
		return (int32_t)bytes;
	}
}

int sup_uring_wait(struct sup_uring *ring, uint32_t *tag, int32_t *result)
{
	uint32_t i = (uint32_t)(t_random(&seed) % disk.count);
	struct pending p = disk.pending[i];
	bool hit = disk.reads == disk.at || disk.at == UINT32_MAX;

	(void)ring;
	if (hit && disk.fault == FAULT_WAIT && disk.reads == disk.at) {
		disk.at = 0;	/* once */
		disk.reads++;
		return -ENXIO;
	}
	disk.pending[i] = disk.pending[--disk.count];
	disk.reads++;
	*tag = p.tag;
	*result = hit ? faulty(p.bytes) : (int32_t)p.bytes;
	if (*result > 0)
		memcpy(p.to, file + p.offset, *result > (int32_t)p.bytes ? p.bytes : (uint32_t)*result);
	return 0;
}

/* ---- the receiver --------------------------------------------------------------------------- */

static uint32_t arrivals[FILE_BYTES / BLOCK + 1], arrived_count, arrive_fail_at;

static int arrived(void *arg, uint64_t offset, uint32_t bytes, struct sto_error *error)
{
	(void)arg;
	t_ok(offset % BLOCK == 0 && (bytes == BLOCK || offset + bytes == FILE_BYTES));
	t_mem_eq(memory + offset, file + offset, bytes);
	arrivals[offset / BLOCK]++;
	if (++arrived_count == arrive_fail_at) {
		sto_fail(error, "bad block");
		return -EBADMSG;
	}
	return 0;
}

static struct sto_error error;

static int run(enum fault fault, uint32_t at, bool registered)
{
	struct sup_read read = { .fd = -1, .base = memory, .end = FILE_BYTES, .block_bytes = BLOCK,
				 .arrived = arrived };
	int err, register_err = disk.register_err, piece_err = disk.piece_err;

	memset(&disk, 0, sizeof(disk));
	memset(memory, 0, sizeof(memory));
	memset(arrivals, 0, sizeof(arrivals));
	arrived_count = 0;
	error.text[0] = '\0';
	disk.fault = fault;
	disk.at = at;
	disk.register_err = register_err;
	disk.piece_err = piece_err;
	err = sup_read_ring(&read, -1, registered, &error);
	disk.register_err = disk.piece_err = 0;
	t_ok(!disk.open);
	return err;
}

static void all_is_there(void)
{
	for (uint32_t i = 0; i < FILE_BYTES / BLOCK + 1; i++)
		t_eq(arrivals[i], 1);
	t_mem_eq(memory, file, FILE_BYTES);
}

static void in_any_order(void)
{
	for (int i = 0; i < 50; i++) {
		t_eq(run(FAULT_NONE, 0, i % 2), 0);
		all_is_there();
		t_eq(disk.most, SUP_READ_DEPTH);
	}
}

static void every_read_may_be_short(void)
{
	for (uint32_t at = 0; at < 60; at++) {
		t_eq(run(FAULT_SHORT, at, at % 2), 0);
		all_is_there();
	}
	for (int i = 0; i < 50; i++) {
		t_eq(run(FAULT_SHORT, UINT32_MAX, false), 0);
		all_is_there();
	}
}

static void interrupted_reads_are_repeated(void)
{
	for (uint32_t at = 0; at < 60; at++) {
		t_eq(run(at % 2 ? FAULT_EINTR : FAULT_EAGAIN, at, false), 0);
		all_is_there();
	}
	/* but not for ever */
	t_ok(run(FAULT_EAGAIN_ALWAYS, UINT32_MAX, false) < 0);
	t_ok(strstr(error.text, "reading at byte"));
}

/* Each error at each read: reported, and never more than what was asked. */
static void errors_end_it(void)
{
	static const enum fault faults[] = { FAULT_EIO, FAULT_EOF, FAULT_SUBMIT, FAULT_WAIT, FAULT_LYING };

	for (size_t f = 0; f < sizeof(faults) / sizeof(faults[0]); f++) {
		for (uint32_t at = 0; at < 41; at++) {
			int err = run(faults[f], at, false);

			if (!t_ok(err < 0 && error.text[0]))
				printf("# fault %d at read %u: %d\n", (int)faults[f], at, err);
			for (uint32_t i = 0; i < FILE_BYTES / BLOCK + 1; i++)
				t_ok(arrivals[i] <= 1);
			if (faults[f] == FAULT_EOF)
				t_ok(strstr(error.text, "became shorter"));
		}
	}
}

static void a_closed_way_is_told_apart(void)
{
	/* the very first read is refused: try another method */
	t_eq(run(FAULT_EINVAL_ALWAYS, UINT32_MAX, false), SUP_READ_NEXT);
	disk.register_err = -EOPNOTSUPP;
	t_eq(run(FAULT_NONE, 0, true), SUP_READ_NEXT);
	t_ok(strstr(error.text, "registering"));
	disk.piece_err = -EFAULT;
	t_eq(run(FAULT_NONE, 0, true), SUP_READ_NEXT);
	t_eq(arrived_count, 0);
}

static void the_receiver_may_refuse(void)
{
	for (arrive_fail_at = 1; arrive_fail_at <= 41; arrive_fail_at++) {
		t_eq(run(FAULT_NONE, 0, false), -EBADMSG);
		t_str_eq(error.text, "bad block");
		t_eq(arrived_count, arrive_fail_at);
	}
	arrive_fail_at = 0;
}

int main(void)
{
	for (uint32_t i = 0; i < FILE_BYTES; i++)
		file[i] = (uint8_t)t_random(&seed);
	T_RUN(in_any_order);
	T_RUN(every_read_may_be_short);
	T_RUN(interrupted_reads_are_repeated);
	T_RUN(errors_end_it);
	T_RUN(a_closed_way_is_told_apart);
	T_RUN(the_receiver_may_refuse);
	return t_done();
}
