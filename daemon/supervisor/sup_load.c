/* SPDX-License-Identifier: MIT */
/*
 * sup_load.c: the order is forced. Allocate, map, read and check each chunk as it arrives, let go
 * of the registered buffers, unmap, seal, check the seals, map read-only, check header and tensor
 * table once more in the memory that nobody can change any longer.
 */
#include "sup_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sup_place.h"

#define SEALS		(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEAL_TRIES	200	/* pages may be unpinned a little after the ring let go of them */
#define LOAD_NICE	15	/* beside tokens that are being made, a load has time */
#define TELL_BYTES	(UINT64_C(32) << 20)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static void wake(const struct sup_load *load)
{
	uint64_t one = 1;

	if (load->wake_fd >= 0 && write(load->wake_fd, &one, sizeof(one)) < 0)
		return;		/* full: it is awake */
}

/* Put the name before the reason. */
static void fail(struct sup_load *load)
{
	struct sto_error why = load->error;

	sto_fail(&load->error, "%s@%s: %.400s", load->model, load->version, why.text);
}

/* Block of sup_read: one chunk. Any thread. */
static int chunk_arrived(void *arg, uint64_t offset, uint32_t bytes, struct sto_error *error)
{
	struct sup_load *load = arg;
	uint64_t index = (offset - load->header.data_offset_bytes) / load->header.chunk_bytes, done;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];

	sto_hash128(load->base + offset, bytes, hash);
	if (memcmp(hash, load->chunk_hashes + index * sizeof(hash), sizeof(hash)) != 0) {
		sto_fail(error, "chunk %llu of %u (bytes %llu to %llu of the image) does not match its "
			 "hash: damaged, or changed while it was read; import it again",
			 (unsigned long long)index, load->header.chunk_count,
			 (unsigned long long)offset, (unsigned long long)offset + bytes - 1);
		return -EBADMSG;
	}
	done = atomic_fetch_add_explicit(&load->done_bytes, bytes, memory_order_relaxed) + bytes;
	if (done / TELL_BYTES != (done - bytes) / TELL_BYTES)
		wake(load);
	return 0;
}

/* Header page and chunk table: small, through the page cache. */
static int preamble_read(struct sup_load *load, int fd, uint8_t *base)
{
	uint64_t bytes = load->header.data_offset_bytes, done = 0;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	ssize_t n;

	while (done < bytes) {
		n = pread(fd, base + done, bytes - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			n = n ? -errno : 0;
			sup_read_fail(done, (int)n, &load->error);
			return n ? (int)n : -EIO;
		}
		done += (uint64_t)n;
	}
	if (memcmp(base, &load->header, sizeof(load->header)) != 0) {
		sto_fail(&load->error, "header: changed while it was read; import it again");
		return -EBADMSG;
	}
	load->chunk_hashes = base + load->header.chunk_table.offset_bytes;
	sto_hash128(load->chunk_hashes, load->header.chunk_table.length_bytes, hash);
	if (memcmp(hash, load->header.chunk_table_hash, sizeof(hash)) != 0) {
		sto_fail(&load->error, "chunk_table: does not match chunk_table_hash; import it again");
		return -EBADMSG;
	}
	load->read_bytes += bytes;
	return 0;
}

/* MHOST_LOAD_METHOD=fixed|plain|pread|buffered: with that or not at all, for tests. */
static int method_wanted(enum sup_method *method, bool *only, struct sto_error *error)
{
	const char *name = getenv("MHOST_LOAD_METHOD");
	int found;

	*method = SUP_METHOD_FIXED;
	*only = name && *name;
	if (!*only)
		return 0;
	found = sup_method_parse(name);
	if (found < 0) {
		sto_fail(error, "MHOST_LOAD_METHOD: \"%.40s\" is none of fixed, plain, pread, buffered", name);
		return -EINVAL;
	}
	*method = (enum sup_method)found;
	return 0;
}

static int pages_wait(struct sup_load *load, struct sup_pages *pages, uint64_t end)
{
	int err = sup_fill_wait(&pages->fill, end);

	if (err)
		sto_fail(&load->error, "making pages: %s", strerror(-err));
	return err;
}

/* Fill the mapped arena from the file and check it. */
static int image_read(struct sup_load *load, int fd, struct sup_pages *pages)
{
	uint8_t *base = pages->map.addr;
	struct sup_read read = {
		.fd = fd, .base = base, .fill = &pages->fill,
		.begin = load->header.data_offset_bytes, .end = load->header.image_bytes,
		.block_bytes = load->header.chunk_bytes,
		.arrived = chunk_arrived, .arg = load, .cancel = &load->cancel,
	};
	enum sup_method method;
	bool only;
	int err = method_wanted(&method, &only, &load->error);

	if (!err)
		err = pages_wait(load, pages, load->header.data_offset_bytes);
	if (!err)
		err = preamble_read(load, fd, base);
	if (err)
		return err;
	load->base = base;
	err = sup_read_run(&read, method, only, &load->method, &load->error);
	load->read_bytes += atomic_load_explicit(&read.read_bytes, memory_order_relaxed);
	snprintf(load->method_note, sizeof(load->method_note), "%s", read.note);
	return err;
}

static int arena_seal(struct sup_load *load, int fd)
{
	int err = mhs_seg_seal_arena(fd);

	for (int i = 0; err == -EBUSY && i < SEAL_TRIES; i++) {
		usleep(1000);
		err = mhs_seg_seal_arena(fd);
	}
	if (!err)
		err = mhs_seg_check_seals(fd, SEALS);
	if (err)
		sto_fail(&load->error, "sealing the arena: %s", strerror(-err));
	return err;
}

/* What workers will trust, judged once more in memory that cannot change. */
static int arena_check(struct sup_load *load, int fd)
{
	const char *field = "header";
	struct mhs_map map;
	int err = mhs_seg_map_ro(fd, load->header.image_bytes, 0, &map);

	if (err) {
		sto_fail(&load->error, "mapping the sealed arena: %s", strerror(-err));
		return err;
	}
	if (memcmp(map.addr, &load->header, sizeof(load->header)) != 0)
		err = -EBADMSG;
	if (!err)
		err = mhs_image_check_header(map.addr, load->header.image_bytes, NULL, &field);
	if (!err)
		err = mhs_image_check_tensors(&load->header, map.addr, &field);
	if (err)
		sto_fail(&load->error, "%s; import it again", field);
	mhs_seg_unmap(&map);
	return err;
}

/* Seal, check and keep a filled arena. The descriptor is the callee's. */
static int arena_finish(struct sup_load *load, struct sup_pages *pages, uint32_t node)
{
	int err = arena_seal(load, pages->fd), ro = -1;

	if (!err)
		err = arena_check(load, pages->fd);
	if (!err) {
		ro = mhs_seg_reopen_ro(pages->fd);
		err = ro < 0 ? ro : 0;
		if (err)
			sto_fail(&load->error, "reopening the arena: %s", strerror(-err));
	}
	close(pages->fd);
	pages->fd = -1;
	if (err)
		return err;
	load->arenas[load->arena_count++] = (struct sup_arena){ ro, node, pages->seg_bytes };
	return 0;
}

static int arena_create(struct sup_load *load, uint32_t node, struct sup_pages *pages)
{
	char name[128];

	if (node != SUP_NODE_ANY)
		sup_place_bind(node);
	else
		sup_place_interleave();
	snprintf(name, sizeof(name), "mhost:%s@%s", load->model, load->version);
	return sup_pages_create(name, load->header.image_bytes, load->hugepages, node != SUP_NODE_ANY,
				pages, &load->error);
}

/* The copy that is read from the file. */
static int arena_load(struct sup_load *load, int fd, uint32_t node)
{
	struct sup_pages pages;
	uint64_t begin = now_ns(), created;
	int err = arena_create(load, node, &pages);

	if (err)
		return err;
	created = now_ns();
	err = image_read(load, fd, &pages);
	load->read_ns = now_ns() - created;
	/* The last step of the fill may lie behind the image: wait for it, then all is there. */
	if (!err)
		err = pages_wait(load, &pages, pages.seg_bytes);
	load->allocate_ns = created - begin + sup_pages_finish(&pages);
	load->page_wait_ns = created - begin + pages.fill.waited_ns;
	load->rung = pages.rung;
	snprintf(load->pages_note, sizeof(load->pages_note), "%s", pages.note);
	if (!err)
		return arena_finish(load, &pages, node);
	close(pages.fd);
	return err;
}

/* One more copy, for another node, from the sealed first one; hashed as the file was. */
static int arena_copy(struct sup_load *load, uint32_t node)
{
	uint64_t at = load->header.data_offset_bytes, end = load->header.image_bytes;
	struct sup_pages pages;
	struct mhs_map from;
	int err = mhs_seg_map_ro(load->arenas[0].fd, end, 0, &from);

	if (err) {
		sto_fail(&load->error, "mapping the first replica: %s", strerror(-err));
		return err;
	}
	err = arena_create(load, node, &pages);
	if (err)
		goto out;
	err = pages_wait(load, &pages, pages.seg_bytes);
	if (!err)
		memcpy(pages.map.addr, from.addr, end);
	load->base = pages.map.addr;
	load->chunk_hashes = load->base + load->header.chunk_table.offset_bytes;
	for (; !err && at < end; at += load->header.chunk_bytes)
		err = chunk_arrived(load, at, end - at < load->header.chunk_bytes ?
				    (uint32_t)(end - at) : load->header.chunk_bytes, &load->error);
	sup_pages_finish(&pages);
	if (!err)
		err = arena_finish(load, &pages, node);
	else
		close(pages.fd);
out:
	mhs_seg_unmap(&from);
	return err;
}

static int arenas_make(struct sup_load *load, int fd)
{
	uint32_t nodes = sup_place_nodes(), replicas = 1;
	uint32_t first = SUP_NODE_ANY;
	int err;

	if (nodes > 1 && load->numa == SUP_NUMA_BIND)
		first = load->numa_node;
	if (nodes > 1 && load->numa == SUP_NUMA_REPLICATE) {
		first = 0;
		replicas = nodes < MHS_EXTENT_MAX ? nodes : MHS_EXTENT_MAX;
	}
	atomic_store_explicit(&load->total_bytes, replicas * (load->header.image_bytes -
			      load->header.data_offset_bytes), memory_order_relaxed);
	err = arena_load(load, fd, first);
	for (uint32_t node = 1; !err && node < replicas; node++)
		err = arena_copy(load, node);
	return err;
}

int sup_load_run(struct sup_load *load)
{
	uint64_t begin = now_ns();
	int fd = sto_image_open(load->store, load->model, load->version, &load->header, &load->error);

	if (fd < 0) {
		load->status = fd;	/* the text names it already */
		goto out;
	}
	load->status = arenas_make(load, fd);
	close(fd);
	if (load->status) {
		fail(load);
		sup_load_drop(load);
	}
	load->load_ns = now_ns() - begin;
out:
	/* release: who sees over sees the result */
	atomic_store_explicit(&load->over, true, memory_order_release);
	wake(load);
	return load->status;
}

/*
 * The priority is this thread's, inherited by those that it starts. Refused, a load only disturbs
 * more.
 */
static void *load_main(void *arg)
{
	setpriority(PRIO_PROCESS, 0, LOAD_NICE);
	sup_load_run(arg);
	return NULL;
}

int sup_load_start(struct sup_load *load)
{
	return -pthread_create(&load->thread, NULL, load_main, load);
}

void sup_load_join(struct sup_load *load)
{
	pthread_join(load->thread, NULL);
}

void sup_load_drop(struct sup_load *load)
{
	while (load->arena_count)
		close(load->arenas[--load->arena_count].fd);
}
