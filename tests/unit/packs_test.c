/* SPDX-License-Identifier: MIT */
/*
 * packs_test.c: the loader on versions that share packs: each is read once, kept once, freed with
 * the last. The functions of sup_place.h are defined here, so the machine has the nodes that we say.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_import.h"
#include "sto_version.h"
#include "sup_load.h"
#include "sup_place.h"
#include "t.h"
#include "t_gguf.h"

static uint32_t nodes = 1;
static uint32_t bound_count[2];

uint32_t sup_place_nodes(void) { return nodes; }
void sup_place_interleave(void) { }
void sup_place_bind(uint32_t node) { bound_count[node]++; }
void sup_place_enter(uint32_t node) { (void)node; }
void sup_place_leave(void) { }
const char *sup_place_note(void) { return ""; }
uint32_t sup_place_cpus(void) { return 1; }

static int fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* MODEL@1.K.0 for K from 0 to @count - 1: of the first, but for tensor K. */
static void store_make(const char *model, int count)
{
	struct sto_import import = { .store = t_path("store"), .path = t_path("in.gguf"), .threads = 2 };
	struct sto_import_result result;
	struct sto_error error;

	snprintf(import.model, sizeof(import.model), "%s", model);
	for (int k = 0; k < count; k++) {
		struct t_gguf g;

		t_gguf_init(&g, ENG_SRC_F16, 5);
		if (k)
			g.tensors[k].data[0] ^= 1;
		t_gguf_write(&g, import.path);
		t_gguf_free(&g);
		snprintf(import.version, sizeof(import.version), "1.%d.0", k);
		if (sto_import(&import, &result, &error))
			printf("# %s\n", error.text);
	}
}

static struct sup_load *load_new(const char *model, const char *version)
{
	struct sup_load *load = calloc(1, sizeof(*load));

	if (!load)
		exit(1);
	snprintf(load->store, sizeof(load->store), "%s", t_path("store"));
	snprintf(load->model, sizeof(load->model), "%s", model);
	snprintf(load->version, sizeof(load->version), "%s", version);
	load->hugepages = SUP_HUGE_NEVER;
	load->wake_fd = -1;
	return load;
}

static uint64_t load_free(struct sup_load **load)
{
	uint64_t bytes = sup_load_drop(*load);

	free(*load);
	*load = NULL;
	return bytes;
}

/* What lies in the sealed segments is the image. */
static void is_whole(const struct sup_load *load)
{
	struct mhs_map maps[MHS_SEGMENT_MAX];
	struct sto_error error;
	struct sto_version v;
	uint64_t at = 0, place, have;
	uint32_t segment;
	uint8_t *image;

	t_need(sto_version_open(&v, load->store, load->model, load->version, &error) == 0);
	image = malloc(v.header.image_bytes);
	t_need(sto_version_read(&v, image, v.header.image_bytes, 0, &error) == 0);
	for (uint32_t i = 0; i <= load->pack_count; i++) {
		const struct sup_arenas *arenas = sup_load_segment(load, i);

		t_eq(mhs_seg_check_seals(arenas->each[0].fd, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW |
					 F_SEAL_SEAL), 0);
		t_need(mhs_seg_map_ro(arenas->each[0].fd, arenas->file_bytes, 0, &maps[i]) == 0);
	}
	for (; at < v.header.image_bytes; at += have) {
		have = mhs_image_piece(&v.header, maps[0].addr, at, &segment, &place);
		t_need(have > 0);
		t_mem_eq((const uint8_t *)maps[segment].addr + place, image + at, have);
	}
	for (uint32_t i = 0; i <= load->pack_count; i++)
		mhs_seg_unmap(&maps[i]);
	sto_version_close(&v);
	free(image);
}

static void loads_only_what_is_new(void)
{
	struct sup_load *loads[4];
	int before = fds_open();
	uint64_t all, whole, freed;

	store_make("m", 4);
	for (int k = 0; k < 4; k++) {
		char version[16];

		snprintf(version, sizeof(version), "1.%d.0", k);
		loads[k] = load_new("m", version);
		if (!t_eq(sup_load_run(loads[k]), 0))
			printf("# %s\n", loads[k]->error.text);
		is_whole(loads[k]);
	}
	whole = loads[0]->read_bytes;
	t_ok(whole > loads[0]->header.image_bytes);
	for (int k = 1; k < 4; k++) {
		t_eq(loads[k]->pack_count, 2);
		t_ok(loads[k]->read_bytes < whole / 2);
		t_eq(loads[k]->own.rung, MHS_PAGES_4K);
	}
	t_eq(sup_pack_versions(loads[0]->packs[0]), 4);
	all = sup_packs_bytes();
	/* the first one goes: only its tables are its own */
	freed = loads[0]->own.each[0].seg_bytes;
	t_eq(load_free(&loads[0]), freed);
	t_eq(sup_packs_bytes(), all);
	for (int k = 1; k < 4; k++) {
		uint64_t tables = loads[k]->own.each[0].seg_bytes;

		is_whole(loads[k]);
		freed = load_free(&loads[k]);
		t_eq(freed - tables, all - sup_packs_bytes());
		t_ok(freed > tables);
		all = sup_packs_bytes();
	}
	t_eq(all, 0);
	t_eq(fds_open(), before);
}

/* Several threads want packs at one time: none is read twice, none is left over. */
static void loads_at_one_time(void)
{
	int before = fds_open();

	store_make("crowd", 6);
	for (int round = 0; round < 20; round++) {
		struct sup_load *loads[6];
		uint64_t read = 0, once;

		for (int k = 0; k < 6; k++) {
			char version[16];

			snprintf(version, sizeof(version), "1.%d.0", k);
			loads[k] = load_new("crowd", version);
			t_need(sup_load_start(loads[k]) == 0);
		}
		for (int k = 0; k < 6; k++) {
			sup_load_join(loads[k]);
			t_eq(loads[k]->status, 0);
			read += loads[k]->read_bytes;
		}
		/* tables and own pack of each version, and the shared pack once */
		once = loads[0]->packs[0]->pack_bytes + loads[0]->own.file_bytes;
		for (int k = 1; k < 6; k++)
			once += loads[k]->packs[0]->pack_bytes + loads[k]->own.file_bytes;
		t_eq(read, once);
		t_eq(sup_pack_versions(loads[0]->packs[0]), 6);
		is_whole(loads[5]);
		for (int k = 0; k < 6; k++)
			load_free(&loads[k]);
		t_eq(sup_packs_bytes(), 0);
	}
	t_eq(fds_open(), before);
}

/* One copy of each pack on each node; tables once. */
static void packs_have_replicas(void)
{
	struct sup_load *a = load_new("m", "1.0.0"), *b = load_new("m", "1.1.0");
	int before = fds_open();

	nodes = 2;
	a->numa = b->numa = SUP_NUMA_REPLICATE;
	t_need(sup_load_run(a) == 0 && sup_load_run(b) == 0);
	t_eq(a->own.count, 1);
	t_eq(sup_arenas_on(&a->own, 1)->fd, a->own.each[0].fd);
	t_ok(bound_count[0] == 2 && bound_count[1] == 2);	/* two packs, each on both */
	for (uint32_t i = 1; i <= b->pack_count; i++) {
		const struct sup_arenas *arenas = sup_load_segment(b, i);
		struct mhs_map maps[2];

		t_need(arenas->count == 2);
		t_eq(sup_arenas_on(arenas, 0)->node, 0);
		t_eq(sup_arenas_on(arenas, 1)->node, 1);
		for (uint32_t n = 0; n < 2; n++)
			t_need(!mhs_seg_map_ro(sup_arenas_on(arenas, n)->fd, arenas->file_bytes, 0, &maps[n]));
		t_mem_eq(maps[0].addr, maps[1].addr, arenas->file_bytes);
		mhs_seg_unmap(&maps[0]);
		mhs_seg_unmap(&maps[1]);
	}
	is_whole(b);
	t_eq(sup_packs_bytes(), sup_arenas_bytes(&b->packs[0]->arenas) +
	     sup_arenas_bytes(&a->packs[0]->arenas));
	load_free(&a);
	load_free(&b);
	t_eq(sup_packs_bytes(), 0);
	t_eq(fds_open(), before);
	nodes = 1;
}

/* Path of the pack with @index in the version's table. */
static const char *pack_path(const char *model, const char *version, uint32_t index)
{
	static char path[512];
	char name[STO_PACK_NAME_BYTES];
	struct sto_error error;
	struct sto_version v;

	t_ok(sto_version_open(&v, t_path("store"), model, version, &error) == 0);
	sto_pack_name(mhs_image_packs(&v.header, v.base)[index].content_hash, name);
	sto_version_close(&v);
	snprintf(path, sizeof(path), "%s/models/%s/%s/%s", t_path("store"), model, version, name);
	return path;
}

static void patch(const char *path, off_t at)
{
	uint8_t byte;
	int fd;

	chmod(path, 0644);
	fd = open(path, O_RDWR);
	t_ok(pread(fd, &byte, 1, at) == 1);
	byte ^= 0x20;
	t_ok(pwrite(fd, &byte, 1, at) == 1);
	close(fd);
	chmod(path, 0444);
}

static void refused(const char *model, const char *version, const char *expect, const char *and)
{
	struct sup_load *load = load_new(model, version);
	int before = fds_open();

	t_ok(sup_load_run(load) < 0);
	if (!t_ok(strstr(load->error.text, expect) && strstr(load->error.text, and) &&
		  strstr(load->error.text, version)))
		printf("# %s\n", load->error.text);
	t_eq(load->pack_count, 0);
	t_eq(load->own.count, 0);
	t_eq(sup_packs_bytes(), 0);
	t_eq(fds_open(), before);
	free(load);
}

static void damage_is_named(void)
{
	char shared[512], own[512], image[512];
	const char *name;

	store_make("bad", 2);
	/* the table has the version's own pack first */
	snprintf(own, sizeof(own), "%s", pack_path("bad", "1.1.0", 0));
	snprintf(shared, sizeof(shared), "%s", pack_path("bad", "1.1.0", 1));
	name = strrchr(shared, '/') + 1;
	patch(shared, 3 * 4096 + 17);
	refused("bad", "1.1.0", "chunk 0 of 1", name);
	refused("bad", "1.0.0", "chunk 0 of 1", name);
	patch(shared, 3 * 4096 + 17);
	patch(shared, 4096 + 3);
	refused("bad", "1.1.0", "chunk_table", name);
	patch(shared, 4096 + 3);
	patch(shared, 70);
	refused("bad", "1.1.0", "header_hash", name);
	patch(shared, 70);
	t_need(rename(own, shared) == 0);	/* a sound pack, and another */
	refused("bad", "1.1.0", "No such file", strrchr(own, '/') + 1);
	t_need(rename(shared, own) == 0);
	refused("bad", "1.1.0", "No such file", name);
	t_need(link(own, shared) == 0);
	refused("bad", "1.1.0", "content_hash, pack_bytes: not those", name);
	t_need(truncate(own, 8192) == 0);
	refused("bad", "1.1.0", "pack_bytes", strrchr(own, '/') + 1);
	snprintf(image, sizeof(image), "%s/models/bad/1.0.0/image.mhi", t_path("store"));
	patch(image, 3 * 4096 + 5);
	refused("bad", "1.0.0", "file_hash", "image.mhi");
}

/* The load that reads a shared pack fails: who waits for it finds that out, and does not hang. */
static void waiters_survive_a_failure(void)
{
	store_make("fail", 5);
	patch(pack_path("fail", "1.0.0", 0), 5 * 4096);
	for (int round = 0; round < 10; round++) {
		struct sup_load *loads[5];

		for (int k = 0; k < 5; k++) {
			char version[16];

			snprintf(version, sizeof(version), "1.%d.0", k);
			loads[k] = load_new("fail", version);
			t_need(sup_load_start(loads[k]) == 0);
		}
		for (int k = 0; k < 5; k++) {
			sup_load_join(loads[k]);
			t_eq(loads[k]->status, -EBADMSG);
			free(loads[k]);
		}
		t_eq(sup_packs_bytes(), 0);
	}
}

int main(void)
{
	T_RUN(loads_only_what_is_new);
	T_RUN(loads_at_one_time);
	T_RUN(packs_have_replicas);
	T_RUN(damage_is_named);
	T_RUN(waiters_survive_a_failure);
	return t_done();
}
