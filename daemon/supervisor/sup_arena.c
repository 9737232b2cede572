/* SPDX-License-Identifier: MIT */
/*
 * sup_arena.c: the order is forced. Allocate, map, read and check each chunk as it arrives, let go
 * of the registered buffers, unmap, seal, check the seals, map read-only, check what workers will
 * trust once more in the memory that nobody can change any longer.
 */
#include "sup_arena_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sup_load.h"
#include "sup_place.h"

#define SEALS		(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEAL_TRIES	200	/* pages may be unpinned a little after the ring let go of them */
#define TELL_BYTES	(UINT64_C(32) << 20)

/* One copy being filled. */
struct filling {
	struct sup_load *load;
	const struct sup_file *file;
	const uint8_t *base;		/* of the mapped arena */
	const uint8_t *chunk_hashes;	/* in it, checked against the header */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* Block of sup_read: one chunk. Any thread. */
static int chunk_arrived(void *arg, uint64_t offset, uint32_t bytes, struct sto_error *error)
{
	const struct filling *f = arg;
	const struct sup_file *file = f->file;
	uint64_t index = (offset - file->data_offset_bytes) / MHS_IMAGE_CHUNK_BYTES, done;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];

	sto_hash128(f->base + offset, bytes, hash);
	if (memcmp(hash, f->chunk_hashes + index * sizeof(hash), sizeof(hash)) != 0) {
		sto_fail(error, "chunk %llu of %u (bytes %llu to %llu of the %s) does not match its "
			 "hash: damaged, or changed while it was read; import it again",
			 (unsigned long long)index, file->chunk_count,
			 (unsigned long long)offset, (unsigned long long)offset + bytes - 1,
			 file->what);
		return -EBADMSG;
	}
	done = atomic_fetch_add_explicit(&f->load->done_bytes, bytes, memory_order_relaxed) + bytes;
	if (done / TELL_BYTES != (done - bytes) / TELL_BYTES)
		sup_load_wake(f->load);
	return 0;
}

int sup_head_read(struct sup_load *load, int fd, uint64_t bytes, uint8_t *base)
{
	uint64_t done = 0;
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
	load->read_bytes += bytes;
	return 0;
}

/* Header page and chunk table. */
static int preamble_read(struct filling *f, uint8_t *base)
{
	const struct sup_file *file = f->file;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	int err = sup_head_read(f->load, file->fd, file->data_offset_bytes, base);

	if (err)
		return err;
	if (memcmp(base, file->header, MHS_PAGE_BYTES) != 0) {
		sto_fail(&f->load->error, "header of the %s: changed while it was read; import it again",
			 file->what);
		return -EBADMSG;
	}
	f->base = base;
	f->chunk_hashes = base + file->chunk_table.offset_bytes;
	sto_hash128(f->chunk_hashes, file->chunk_table.length_bytes, hash);
	if (memcmp(hash, file->chunk_table_hash, sizeof(hash)) == 0)
		return 0;
	sto_fail(&f->load->error, "chunk_table: does not match chunk_table_hash of the %s; import it again",
		 file->what);
	return -EBADMSG;
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
static int file_read(struct filling *f, struct sup_pages *pages, struct sup_arenas *arenas)
{
	const struct sup_file *file = f->file;
	struct sup_load *load = f->load;
	struct sup_read read = {
		.fd = file->fd, .base = pages->map.addr, .fill = &pages->fill,
		.begin = file->data_offset_bytes, .end = file->file_bytes,
		.block_bytes = MHS_IMAGE_CHUNK_BYTES,
		.arrived = chunk_arrived, .arg = f, .cancel = &load->cancel,
	};
	enum sup_method method;
	bool only;
	int err = method_wanted(&method, &only, &load->error);

	if (!err)
		err = pages_wait(load, pages, file->data_offset_bytes);
	if (!err)
		err = preamble_read(f, pages->map.addr);
	if (err)
		return err;
	err = sup_read_run(&read, method, only, &arenas->method, &load->error);
	load->read_bytes += atomic_load_explicit(&read.read_bytes, memory_order_relaxed);
	snprintf(arenas->method_note, sizeof(arenas->method_note), "%s", read.note);
	return err;
}

static int arena_seal(struct sup_load *load, int fd)
{
	int err = mhs_seg_seal_arena(fd);

	for (int i = 0; err == -EBUSY && i < SEAL_TRIES; i++) {
		usleep(1000);
		err = mhs_seg_seal_arena(fd);
	}
	if (err)
		sto_fail(&load->error, "sealing the arena: %s", strerror(-err));
	return err;
}

/* What workers will trust, judged once more in memory that cannot change. */
static int arena_check(struct sup_load *load, int fd, uint64_t file_bytes,
		       int (*check)(struct sup_load *load, const void *base))
{
	struct mhs_map map;
	int err = check ? mhs_seg_map_ro(fd, file_bytes, 0, &map) : 0;

	if (err) {
		sto_fail(&load->error, "mapping the sealed arena: %s", strerror(-err));
		return err;
	}
	if (check) {
		err = check(load, map.addr);
		mhs_seg_unmap(&map);
	}
	return err;
}

int sup_arena_keep(struct sup_load *load, int fd, struct sup_arena arena, sup_check_fn check,
		   struct sup_arenas *arenas)
{
	int err = mhs_seg_check_seals(fd, SEALS);

	if (err)
		sto_fail(&load->error, "sealing the arena: %s", strerror(-err));
	else
		err = arena_check(load, fd, arenas->file_bytes, check);
	if (!err) {
		arena.fd = mhs_seg_reopen_ro(fd);
		err = arena.fd < 0 ? arena.fd : 0;
		if (err)
			sto_fail(&load->error, "reopening the arena: %s", strerror(-err));
	}
	close(fd);
	if (!err)
		arenas->each[arenas->count++] = arena;
	return err;
}

int sup_arena_finish(struct sup_load *load, int fd, struct sup_arena arena, sup_check_fn check,
		     struct sup_arenas *arenas)
{
	int err = arena_seal(load, fd);

	if (!err)
		return sup_arena_keep(load, fd, arena, check, arenas);
	close(fd);
	return err;
}

static int arena_create(struct sup_load *load, const struct sup_file *file, uint32_t node,
			struct sup_pages *pages)
{
	if (node != SUP_NODE_ANY)
		sup_place_bind(node);
	else
		sup_place_interleave();
	return sup_pages_create(file->name, file->file_bytes, load->hugepages,
				node != SUP_NODE_ANY, pages, &load->error);
}

/* The copy that is read from the file. */
static int arena_load(struct sup_load *load, const struct sup_file *file, uint32_t node,
		      struct sup_arenas *arenas)
{
	struct filling f = { .load = load, .file = file };
	struct sup_pages pages;
	uint64_t begin = now_ns(), created;
	int err = arena_create(load, file, node, &pages);

	if (err)
		return err;
	created = now_ns();
	err = file_read(&f, &pages, arenas);
	load->read_ns += now_ns() - created;
	/* The last step of the fill may lie behind the file: wait for it, then all is there. */
	if (!err)
		err = pages_wait(load, &pages, pages.seg_bytes);
	load->allocate_ns += created - begin + sup_pages_finish(&pages);
	load->page_wait_ns += created - begin + pages.fill.waited_ns;
	arenas->rung = pages.rung;
	snprintf(arenas->pages_note, sizeof(arenas->pages_note), "%s", pages.note);
	if (!err)
		return sup_arena_finish(load, pages.fd, (struct sup_arena){ -1, node, pages.seg_bytes },
				    file->check, arenas);
	close(pages.fd);
	return err;
}

/* All chunks of a copy in memory. */
static int copy_check(struct filling *f)
{
	uint64_t at = f->file->data_offset_bytes, end = f->file->file_bytes;
	int err = 0;

	f->chunk_hashes = f->base + f->file->chunk_table.offset_bytes;
	for (; !err && at < end; at += MHS_IMAGE_CHUNK_BYTES)
		err = chunk_arrived(f, at, end - at < MHS_IMAGE_CHUNK_BYTES ? (uint32_t)(end - at) :
				    MHS_IMAGE_CHUNK_BYTES, &f->load->error);
	return err;
}

/* One more copy, for another node, from the sealed first one; hashed as the file was. */
static int arena_copy(struct sup_load *load, const struct sup_file *file, uint32_t node,
		      struct sup_arenas *arenas)
{
	struct filling f = { .load = load, .file = file };
	struct sup_pages pages;
	struct mhs_map from;
	int err = mhs_seg_map_ro(arenas->each[0].fd, file->file_bytes, 0, &from);

	if (err) {
		sto_fail(&load->error, "mapping the first replica: %s", strerror(-err));
		return err;
	}
	err = arena_create(load, file, node, &pages);
	if (err)
		goto out;
	err = pages_wait(load, &pages, pages.seg_bytes);
	f.base = pages.map.addr;
	if (!err) {
		memcpy(pages.map.addr, from.addr, file->file_bytes);
		err = copy_check(&f);
	}
	sup_pages_finish(&pages);
	if (!err)
		err = sup_arena_finish(load, pages.fd, (struct sup_arena){ -1, node, pages.seg_bytes },
				   file->check, arenas);
	else
		close(pages.fd);
out:
	mhs_seg_unmap(&from);
	return err;
}

int sup_arenas_read(struct sup_load *load, const struct sup_file *file, struct sup_arenas *arenas)
{
	uint32_t nodes = sup_place_nodes(), first = SUP_NODE_ANY, replicas = sup_load_replicas(load);
	int err;

	if (nodes > 1 && load->numa == SUP_NUMA_BIND)
		first = load->numa_node;
	if (nodes > 1 && load->numa == SUP_NUMA_REPLICATE)
		first = 0;
	*arenas = (struct sup_arenas){ .file_bytes = file->file_bytes };
	err = arena_load(load, file, first, arenas);
	for (uint32_t node = 1; !err && node < replicas; node++)
		err = arena_copy(load, file, node, arenas);
	if (err)
		sup_arenas_close(arenas);
	return err;
}

const struct sup_arena *sup_arenas_on(const struct sup_arenas *arenas, uint32_t node)
{
	for (uint32_t i = 0; i < arenas->count; i++)
		if (arenas->each[i].node == node)
			return &arenas->each[i];
	return &arenas->each[0];
}

uint64_t sup_arenas_bytes(const struct sup_arenas *arenas)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < arenas->count; i++)
		bytes += arenas->each[i].seg_bytes;
	return bytes;
}

uint64_t sup_arenas_close(struct sup_arenas *arenas)
{
	uint64_t bytes = sup_arenas_bytes(arenas);

	while (arenas->count)
		close(arenas->each[--arenas->count].fd);
	return bytes;
}
