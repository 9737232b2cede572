/* SPDX-License-Identifier: MIT */
/*
 * sup_load.c: one version. An image that holds its data itself is one file; a packed one brings its
 * tables, then the packs that are not in memory yet.
 */
#include "sup_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mhs_adapter.h"
#include "sto_adapter.h"
#include "sto_version.h"
#include "sup_place.h"

#define LOAD_NICE	15	/* beside tokens that are being made, a load has time; for adapters requests wait */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

void sup_load_wake(const struct sup_load *load)
{
	uint64_t one = 1;

	if (load->wake_fd >= 0 && write(load->wake_fd, &one, sizeof(one)) < 0)
		return;		/* full: it is awake */
}

/* Put the name before the reason. */
static void fail(struct sup_load *load)
{
	struct sto_error why = load->error;

	sto_fail(&load->error, "%s%s%s@%s: %.300s", load->model, load->adapter[0] ? "/" : "",
		 load->adapter, load->version, why.text);
}

uint32_t sup_load_replicas(const struct sup_load *load)
{
	uint32_t nodes = sup_place_nodes();

	if (nodes < 2 || load->numa != SUP_NUMA_REPLICATE)
		return 1;
	return nodes < MHS_EXTENT_MAX ? nodes : MHS_EXTENT_MAX;
}

/* ---- an image that holds its data itself ----------------------------------------------------- */

static int image_check(struct sup_load *load, const void *base)
{
	const char *field = "header";
	int err = memcmp(base, &load->header, sizeof(load->header)) ? -EBADMSG : 0;

	if (!err)
		err = mhs_image_check_header(base, load->header.image_bytes, NULL, &field);
	if (!err)
		err = mhs_image_check_tensors(&load->header, base, &field);
	if (err)
		sto_fail(&load->error, "%s; import it again", field);
	return err;
}

static int whole_load(struct sup_load *load, int fd)
{
	const struct mhs_image_header *header = &load->header;
	struct sup_file file = {
		.fd = fd, .what = "image", .header = header, .file_bytes = header->image_bytes,
		.data_offset_bytes = header->data_offset_bytes, .chunk_table = header->chunk_table,
		.chunk_count = header->chunk_count, .chunk_table_hash = header->chunk_table_hash,
		.check = image_check,
	};

	snprintf(file.name, sizeof(file.name), "mhost:%s@%s", load->model, load->version);
	atomic_store_explicit(&load->total_bytes, sup_load_replicas(load) *
			      (header->image_bytes - header->data_offset_bytes), memory_order_relaxed);
	return sup_arenas_read(load, &file, &load->own);
}

/* ---- an adapter ------------------------------------------------------------------------------- */

static int chunks_check(struct sup_load *load, const uint8_t *base)
{
	const struct mhs_image_header *h = &load->header;
	const uint8_t *hashes = base + h->chunk_table.offset_bytes;
	uint64_t at = h->data_offset_bytes, bytes = MHS_IMAGE_CHUNK_BYTES;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	bool same;

	sto_hash128(hashes, h->chunk_table.length_bytes, hash);
	same = !memcmp(hash, h->chunk_table_hash, sizeof(hash));
	for (uint32_t i = 0; same && i < h->chunk_count; i++, at += bytes) {
		if (bytes > h->image_bytes - at)
			bytes = h->image_bytes - at;
		sto_hash128(base + at, bytes, hash);
		same = !memcmp(hash, hashes + i * sizeof(hash), sizeof(hash));
	}
	if (!same)
		sto_fail(&load->error, "its bytes do not match their hashes: damaged; import it again");
	return same ? 0 : -EBADMSG;
}

static void ranks_note(struct sup_load *load, const void *base)
{
	struct mhs_adapter_target target;

	for (uint32_t i = 0; i < mhs_adapter_count(&load->header); i++) {
		mhs_adapter_target(&load->header, base, i, &target);
		if (!i || target.rank < load->rank_min)
			load->rank_min = target.rank;
		if (target.rank > load->rank_max)
			load->rank_max = target.rank;
	}
}

static int adapter_check(struct sup_load *load, const void *base)
{
	const char *field;
	int err = image_check(load, base);

	if (!err)
		err = chunks_check(load, base);
	if (err)
		return err;
	err = mhs_adapter_check(&load->header, base, &field);
	if (err)
		sto_fail(&load->error, "%s; import it again", field);
	else
		ranks_note(load, base);
	return err;
}

static int pushed_check(struct sup_load *load, const void *base)
{
	ranks_note(load, base);		/* all else was checked when it was made, of this very memory */
	return 0;
}

static void push_run(struct sup_load *load)
{
	size_t seg_bytes = 0;
	int fd = sup_push_pack(load, &seg_bytes);

	load->status = fd < 0 ? fd : sup_arenas_take(load, fd, seg_bytes, pushed_check, &load->own);
}

/* Small, and often in the page cache: one copy through it, hashed where nobody can change it. */
static int adapter_load(struct sup_load *load, int fd)
{
	return sup_arenas_small(load, fd, load->header.image_bytes, adapter_check, &load->own);
}

/* ---- a packed one ---------------------------------------------------------------------------- */

/* In sealed memory; what is needed later is taken out of it. */
static int tables_check(struct sup_load *load, const void *base)
{
	const char *field = "header";
	int err = mhs_image_check_header(base, load->header.file_bytes, NULL, &field);

	if (err) {
		sto_fail(&load->error, "%s; import it again", field);
		return err;
	}
	err = sto_tables_check(&load->header, base, &load->error);
	if (!err)
		memcpy(load->pack_table, mhs_image_packs(&load->header, base),
		       load->header.pack_count * sizeof(load->pack_table[0]));
	return err;
}

static void packs_announce(struct sup_load *load)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < load->header.pack_count; i++)
		if (!sup_pack_has(&load->pack_table[i]))
			bytes += load->pack_table[i].pack_bytes;
	atomic_store_explicit(&load->total_bytes, sup_load_replicas(load) * bytes, memory_order_relaxed);
}

static int packed_load(struct sup_load *load, int fd)
{
	int err = sup_arenas_small(load, fd, load->header.file_bytes, tables_check, &load->own);

	if (err)
		return err;
	packs_announce(load);
	for (uint32_t i = 0; !err && i < load->header.pack_count; i++) {
		if (atomic_load_explicit(&load->cancel, memory_order_relaxed))
			err = -ECANCELED;
		else
			err = sup_pack_get(load, &load->pack_table[i], &load->packs[i]);
		load->pack_count += !err;
	}
	return err;
}

/* ---- both ------------------------------------------------------------------------------------- */

/* How the largest part of it lies in memory. */
static void describe(struct sup_load *load)
{
	const struct sup_arenas *largest = &load->own;

	for (uint32_t i = 0; i < load->pack_count; i++)
		if (load->packs[i]->arenas.file_bytes > largest->file_bytes)
			largest = &load->packs[i]->arenas;
	load->rung = largest->rung;
	load->method = largest->method;
	memcpy(load->pages_note, largest->pages_note, sizeof(load->pages_note));
	memcpy(load->method_note, largest->method_note, sizeof(load->method_note));
}

static int image_open(struct sup_load *load)
{
	if (load->adapter[0])
		return sto_adapter_open(load->store, load->model, load->adapter, load->version,
					&load->header, &load->error);
	return sto_image_open(load->store, load->model, load->version, &load->header, &load->error);
}

static void file_run(struct sup_load *load)
{
	int fd = image_open(load);

	if (fd < 0) {
		load->status = fd;
		return;
	}
	load->status = load->adapter[0] ? adapter_load(load, fd) :
		       load->header.features & MHS_IMAGE_PACKED ? packed_load(load, fd) :
								  whole_load(load, fd);
	close(fd);
}

int sup_load_run(struct sup_load *load)
{
	uint64_t begin = now_ns();

	load->status = load->push && load->push->keep ? sup_push_import(load) : 0;
	if (!load->status && load->push && !load->push->keep)
		push_run(load);
	else if (!load->status)
		file_run(load);
	sup_push_free(&load->push);
	if (load->status) {
		fail(load);
		sup_load_drop(load);
	} else {
		describe(load);
	}
	load->load_ns = now_ns() - begin;
	/* release: who sees over sees the result */
	atomic_store_explicit(&load->over, true, memory_order_release);
	sup_load_wake(load);
	return load->status;
}

/*
 * The priority is this thread's, inherited by those that it starts. Refused, a load only disturbs
 * more.
 */
static void *load_main(void *arg)
{
	const struct sup_load *load = arg;

	if (!load->adapter[0])
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

uint64_t sup_load_drop(struct sup_load *load)
{
	uint64_t bytes = sup_arenas_close(&load->own);

	while (load->pack_count)
		bytes += sup_pack_put(&load->packs[--load->pack_count]);
	return bytes;
}

const struct sup_arenas *sup_load_segment(const struct sup_load *load, uint32_t segment)
{
	return segment ? &load->packs[segment - 1]->arenas : &load->own;
}
