/* SPDX-License-Identifier: MIT */
/* bench_load.c: load of an image against a raw O_DIRECT read of the same file, in turns. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define RAW_THREADS	4
#define RAW_BYTES	(4u << 20)

struct raw {
	int fd;
	uint8_t *memory;
	uint64_t bytes;
	_Atomic uint64_t next;		/* offset of the next piece; relaxed, it only divides the work */
	_Atomic int failed;
};

static void *raw_thread(void *arg)
{
	struct raw *raw = arg;
	uint64_t at;

	while ((at = atomic_fetch_add_explicit(&raw->next, RAW_BYTES, memory_order_relaxed)) <
	       raw->bytes) {
		ssize_t n = pread(raw->fd, raw->memory + at, RAW_BYTES, (off_t)at);

		if (n <= 0)
			raw->failed = 1;
	}
	return NULL;
}

/* Seconds to read the whole file past the page cache; negative errno as a double on failure. */
static double raw_read(struct raw *raw)
{
	pthread_t threads[RAW_THREADS];
	double start = bench_now_s();
	int n = 0;

	raw->next = 0;
	while (n < RAW_THREADS && !pthread_create(&threads[n], NULL, raw_thread, raw))
		n++;
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return raw->failed || !n ? -EIO : bench_now_s() - start;
}

static int raw_open(struct bench *b, struct raw *raw)
{
	struct stat st;
	uint64_t room;

	raw->fd = open(b->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (raw->fd < 0 || fstat(raw->fd, &st))
		return cmd_fail(b->cmd, CMD_FAILED, "%s: %s", b->path, strerror(errno));
	raw->bytes = (uint64_t)st.st_size;
	room = (raw->bytes + RAW_BYTES) / RAW_BYTES * RAW_BYTES;
	raw->memory = mmap(NULL, room, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (raw->memory == MAP_FAILED)
		return cmd_fail(b->cmd, CMD_FAILED, "out of memory for a raw read");
	madvise(raw->memory, room, MADV_HUGEPAGE);
	return CMD_OK;
}

/* One load by the host; the version is unloaded before. Seconds of reading and of the whole. */
static int host_load(struct bench *b, double *read_s, double *allocate_s, json_t **answer)
{
	json_t *gone = bench_call(b, "unload", b->other), *done;

	json_decref(gone);
	done = gone ? bench_call(b, "load", b->other) : NULL;
	if (!done)
		return CMD_FAILED;
	*read_s = json_number_value(json_object_get(done, "load_ns")) / 1e9;
	*allocate_s = json_number_value(json_object_get(done, "allocate_ns")) / 1e9;
	json_decref(*answer);
	*answer = done;
	return CMD_OK;
}

int bench_part_load(struct bench *b)
{
	struct raw raw = { .fd = -1, .memory = MAP_FAILED };
	double raw_gb[1000], host_gb[1000], ratio[1000], allocate_ms[1000];
	double read_s = 1, allocate_s = 0;
	json_t *answer = NULL, *out = json_object();
	int err = CMD_OK;

	json_object_set_new(b->out, "load", out);
	if (!b->other[0]) {
		json_object_set_new(out, "skipped", json_string("only one version in the store"));
		return CMD_OK;
	}
	answer = bench_call(b, "load", b->other);
	err = answer ? raw_open(b, &raw) : CMD_FAILED;
	for (uint32_t i = 0; !err && i < b->repeat; i++) {
		double s = raw_read(&raw);

		err = s < 0 ? CMD_FAILED : host_load(b, &read_s, &allocate_s, &answer);
		raw_gb[i] = (double)raw.bytes / 1e9 / s;
		host_gb[i] = (double)raw.bytes / 1e9 / read_s;
		ratio[i] = s / read_s;
		allocate_ms[i] = allocate_s * 1e3;
	}
	if (!err) {
		struct spread s[4] = { bench_spread(raw_gb, b->repeat), bench_spread(host_gb, b->repeat),
				       bench_spread(ratio, b->repeat),
				       bench_spread(allocate_ms, b->repeat) };

		json_object_set_new(out, "image_mb", json_real((double)raw.bytes / 1e6));
		json_object_set_new(out, "raw_gb_per_s", bench_spread_json(&s[0]));
		json_object_set_new(out, "load_gb_per_s", bench_spread_json(&s[1]));
		json_object_set_new(out, "load_over_raw", bench_spread_json(&s[2]));
		json_object_set_new(out, "allocate_pages_ms", bench_spread_json(&s[3]));
		json_object_set(out, "method", json_object_get(answer, "method"));
		json_object_set(out, "rung", json_object_get(answer, "rung"));
	}
	json_decref(answer);
	if (raw.memory != MAP_FAILED)
		munmap(raw.memory, (raw.bytes + RAW_BYTES) / RAW_BYTES * RAW_BYTES);
	if (raw.fd >= 0)
		close(raw.fd);
	return err;
}
