/* SPDX-License-Identifier: MIT */
/*
 * sup_pages.c: the page ladder. Missing 2 MiB pages are not reserved for ever: the supervisor
 * raises nr_overcommit_hugepages, so the kernel makes pages for an arena and takes them back with
 * it.
 */
#include "sup_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_NONE	UINT64_MAX
#define OVERCOMMIT	"nr_overcommit_hugepages"
#define DIR_2M		"/sys/kernel/mm/hugepages/hugepages-2048kB"
#define DIR_1G		"/sys/kernel/mm/hugepages/hugepages-1048576kB"

/* Loads run in threads: one at a time looks at the pool and takes from it. */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t overcommit_before = NUMBER_NONE;	/* the system's, NONE: not touched */
static uint64_t overcommit_set;				/* ours */

static uint64_t number_read(const char *dir, const char *name)
{
	char path[128], text[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NUMBER_NONE;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return NUMBER_NONE;
	text[n] = '\0';
	return strtoull(text, NULL, 10);
}

static int number_write(const char *dir, const char *name, uint64_t number)
{
	char path[128], text[32];
	int bytes = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)number);
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write(fd, text, (size_t)bytes) == bytes ? 0 : -errno;
	close(fd);
	return err;
}

/* Pages in the pool that nobody has or was promised. */
static uint64_t pool_free(const char *dir)
{
	uint64_t free_pages = number_read(dir, "free_hugepages");
	uint64_t promised = number_read(dir, "resv_hugepages");

	if (free_pages == NUMBER_NONE || promised == NUMBER_NONE || promised > free_pages)
		return 0;
	return free_pages - promised;
}

/* Pages that the kernel may make beyond the pool. */
static uint64_t pool_extra(const char *dir)
{
	uint64_t allowed = number_read(dir, OVERCOMMIT);
	uint64_t made = number_read(dir, "surplus_hugepages");

	return allowed == NUMBER_NONE || made == NUMBER_NONE || made > allowed ? 0 : allowed - made;
}

uint64_t sup_pages_free(enum mhs_pages rung)
{
	const char *dir = rung == MHS_PAGES_1G ? DIR_1G : DIR_2M;

	if (rung > MHS_PAGES_2M)
		return (uint64_t)sysconf(_SC_AVPHYS_PAGES);
	return pool_free(dir) + pool_extra(dir);
}

/* Let the kernel make what the pool lacks of @need pages. 0 also when nothing lacks. */
static int pool_extend(uint64_t need)
{
	uint64_t have = pool_free(DIR_2M), made = number_read(DIR_2M, "surplus_hugepages");
	uint64_t allowed = number_read(DIR_2M, OVERCOMMIT), want;
	int err;

	if (allowed == NUMBER_NONE || made == NUMBER_NONE)
		return -ENOENT;
	want = made + (have < need ? need - have : 0);
	if (want <= allowed)
		return 0;
	err = number_write(DIR_2M, OVERCOMMIT, want);
	if (err)
		return err;
	if (overcommit_before == NUMBER_NONE)
		overcommit_before = allowed;
	overcommit_set = want;
	return 0;
}

void sup_pages_restore(void)
{
	pthread_mutex_lock(&pool_lock);
	/* Only if nobody else has set it since. */
	if (overcommit_before != NUMBER_NONE &&
	    number_read(DIR_2M, OVERCOMMIT) == overcommit_set)
		number_write(DIR_2M, OVERCOMMIT, overcommit_before);
	overcommit_before = NUMBER_NONE;
	pthread_mutex_unlock(&pool_lock);
}

/*
 * Huge pages are reserved by mapping and made by the fill while reading goes on; others all at
 * once.
 */
static int rung_try(const char *name, uint64_t bytes, enum mhs_pages rung, struct sup_pages *pages)
{
	bool later = rung <= MHS_PAGES_2M && !pages->whole;
	int fd = later ? mhs_seg_open_arena(name, bytes, rung, &pages->seg_bytes) :
			 mhs_seg_create_arena(name, bytes, rung, &pages->seg_bytes);
	int err;

	if (fd < 0)
		return fd;
	err = mhs_seg_map_rw(fd, pages->seg_bytes, &pages->map);
	if (err) {
		close(fd);
		return err;
	}
	pages->fd = fd;
	pages->rung = rung;
	if (later)
		sup_fill_start(&pages->fill, fd, pages->seg_bytes, mhs_pages_bytes(rung));
	else
		sup_fill_whole(&pages->fill, pages->seg_bytes);
	return 0;
}

/* Whether rounding up to whole pages would cost more than an eighth of what they hold. */
static bool is_wasteful(uint64_t bytes, enum mhs_pages rung)
{
	uint64_t page = mhs_pages_bytes(rung), over = bytes % page ? page - bytes % page : 0;

	return over > bytes / 8;
}

static int try_1g(const char *name, uint64_t bytes, struct sup_pages *pages)
{
	uint64_t page = mhs_pages_bytes(MHS_PAGES_1G), need = (bytes + page - 1) / page;

	if (bytes < page || is_wasteful(bytes, MHS_PAGES_1G) || pool_free(DIR_1G) < need)
		return -ENOMEM;
	return rung_try(name, bytes, MHS_PAGES_1G, pages);
}

/* Why there was no arena of 2 MiB pages. @may: 0, or why the kernel may not make any. */
static void note_2m(struct sup_pages *pages, uint64_t need, int may)
{
	uint64_t have = sup_pages_free(MHS_PAGES_2M), made = number_read(DIR_2M, "surplus_hugepages");

	if (made == NUMBER_NONE)
		snprintf(pages->note, sizeof(pages->note), "this kernel has no pages of 2M");
	else if (may)
		snprintf(pages->note, sizeof(pages->note),
			 "%llu pages of 2M needed, %llu free; as root do: sysctl -w vm." OVERCOMMIT "=%llu",
			 (unsigned long long)need, (unsigned long long)have,
			 (unsigned long long)(made + need));
	else
		snprintf(pages->note, sizeof(pages->note),
			 "%llu pages of 2M needed, %llu could be had: memory is too short or scattered; "
			 "as root do: sysctl -w vm.compact_memory=1, or unload a version",
			 (unsigned long long)need, (unsigned long long)pool_free(DIR_2M));
}

static int try_2m(const char *name, uint64_t bytes, struct sup_pages *pages)
{
	uint64_t page = mhs_pages_bytes(MHS_PAGES_2M), need = (bytes + page - 1) / page;
	int may = pool_extend(need), err = rung_try(name, bytes, MHS_PAGES_2M, pages);

	if (!err)
		return 0;
	note_2m(pages, need, may);
	return err;
}

static void fail_small(uint64_t bytes, int err, struct sto_error *error)
{
	uint64_t free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (err == -ENOMEM || err == -ENOSPC)
		sto_fail(error, "%llu MiB of memory needed, about %llu MiB free; unload a version first",
			 (unsigned long long)(bytes >> 20), (unsigned long long)(free_bytes >> 20));
	else
		sto_fail(error, "creating the arena: %s", strerror(-err));
}

static int ladder(const char *name, uint64_t bytes, uint32_t hugepages, struct sup_pages *pages,
		  struct sto_error *error)
{
	int err;

	if (hugepages == SUP_HUGE_NEVER) {
		snprintf(pages->note, sizeof(pages->note), "hugepages = never");
		err = rung_try(name, bytes, MHS_PAGES_4K, pages);
	} else if (hugepages != SUP_HUGE_REQUIRE && is_wasteful(bytes, MHS_PAGES_2M)) {
		snprintf(pages->note, sizeof(pages->note), "pages of 2M would waste more than an eighth");
		err = rung_try(name, bytes, MHS_PAGES_THP, pages);
	} else if (try_1g(name, bytes, pages) == 0 || try_2m(name, bytes, pages) == 0) {
		return 0;
	} else if (hugepages == SUP_HUGE_REQUIRE) {
		sto_fail(error, "hugepages = require: %s", pages->note);
		return -ENOMEM;
	} else {
		err = rung_try(name, bytes, MHS_PAGES_THP, pages);
	}
	if (err)
		fail_small(bytes, err, error);
	return err;
}

int sup_pages_create(const char *name, uint64_t bytes, uint32_t hugepages, bool whole,
		     struct sup_pages *pages, struct sto_error *error)
{
	int err;

	*pages = (struct sup_pages){ .fd = -1, .whole = whole };
	pthread_mutex_lock(&pool_lock);
	err = ladder(name, bytes, hugepages, pages, error);
	pthread_mutex_unlock(&pool_lock);
	return err;
}

static uint64_t pages_for(uint64_t bytes)
{
	uint64_t page = mhs_pages_bytes(MHS_PAGES_2M);

	return (bytes + page - 1) / page;
}

/* 2 MiB pages that the kernel has in one piece: "Node 0, zone Normal", then free blocks of each order. */
static uint64_t whole_free(void)
{
	FILE *f = fopen("/proc/buddyinfo", "re");
	unsigned long long blocks;
	uint64_t pages = 0;
	char zone[32];

	while (f && fscanf(f, " Node %*d, zone %31s", zone) == 1)
		for (uint32_t order = 0; fscanf(f, "%llu", &blocks) == 1; order++)
			pages += order < 9 ? 0 : blocks << (order - 9);
	if (f)
		fclose(f);
	return pages;
}

/*
 * Less than a quarter of its large pages would be empty, and they are there: a request waits, and the
 * kernel would first put memory together by moving what lies in it.
 */
static bool is_worth(uint64_t bytes, uint32_t hugepages)
{
	uint64_t need = pages_for(bytes);

	if (hugepages == SUP_HUGE_NEVER || need * mhs_pages_bytes(MHS_PAGES_2M) - bytes > bytes / 3)
		return false;
	return pool_free(DIR_2M) >= need || whole_free() >= 2 * need;
}

int sup_pages_small(const char *name, uint64_t bytes, uint32_t hugepages, struct sup_pages *pages)
{
	int err = -ENOMEM;

	*pages = (struct sup_pages){ .fd = -1, .whole = true };
	pthread_mutex_lock(&pool_lock);
	if (is_worth(bytes, hugepages))
		err = try_2m(name, bytes, pages);
	pthread_mutex_unlock(&pool_lock);
	return err;
}

bool sup_pages_small_large(uint64_t bytes, uint32_t hugepages)
{
	bool large;

	pthread_mutex_lock(&pool_lock);
	large = is_worth(bytes, hugepages) && pool_extend(pages_for(bytes)) == 0 &&
		pool_free(DIR_2M) + pool_extra(DIR_2M) >= pages_for(bytes);
	pthread_mutex_unlock(&pool_lock);
	return large;
}

uint64_t sup_pages_finish(struct sup_pages *pages)
{
	uint64_t took_ns = sup_fill_end(&pages->fill);

	if (pages->rung == MHS_PAGES_THP &&
	    mhs_seg_huge_bytes(&pages->map) < (int64_t)(pages->seg_bytes / 2))
		pages->rung = MHS_PAGES_4K;
	mhs_seg_unmap(&pages->map);
	return took_ns;
}
