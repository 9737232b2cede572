/* SPDX-License-Identifier: MIT */
/*
 * storm_forks.c: the storm in processes over real segments, with workers killed at random. Death is
 * what waitpid() says; a dead worker's slot is not asked any more and its successor gets a fresh
 * one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "mhs_seg.h"
#include "storm.h"
#include "t.h"

#define WORKERS		4
#define FLIPS		200000
#define KILL_EVERY	500	/* flips, about */

struct child {
	pid_t pid;
	struct mhs_map slot;
};

static struct storm *storm;
static _Atomic uint64_t *uses;		/* one counter a worker, shared */
static struct child children[WORKERS];
static struct mhs_slot *slots[WORKERS];
static const char *failed;
static unsigned int kills;

static void *segment(const char *name, size_t bytes, struct mhs_map *map)
{
	int fd = mhs_seg_create(name, bytes);

	if (fd < 0 || mhs_seg_map_rw(fd, bytes, map)) {
		fprintf(stderr, "cannot make the segment %s\n", name);
		exit(1);
	}
	close(fd);
	return map->addr;
}

static void work(uint32_t me, uint64_t seed)
{
	struct storm_worker worker = { .storm = storm, .slot = slots[me], .seed = seed };
	const char *wrong = NULL;

	while (!wrong && !atomic_load(&storm->stop)) {
		uint64_t before = worker.uses;

		wrong = storm_turn(&worker);
		atomic_fetch_add(&uses[me], worker.uses - before);
	}
	storm_worker_end(&worker);
	if (wrong)
		fprintf(stderr, "worker %u: %s\n", me, wrong);
	_exit(wrong ? 9 : 0);
}

static void spawn(uint32_t me, uint64_t seed)
{
	struct child *child = &children[me];

	slots[me] = segment("slot", sizeof(struct mhs_slot), &child->slot);
	mhs_slot_init(slots[me], me);
	mhs_header_publish(&slots[me]->head);
	child->pid = fork();
	if (child->pid < 0) {
		perror("fork");
		exit(1);
	}
	if (child->pid == 0)
		work(me, seed);
}

static void bury(uint32_t me, int status)
{
	struct child *child = &children[me];

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		failed = "a worker ended by itself";
	child->pid = 0;
	mhs_seg_unmap(&child->slot);
	slots[me] = NULL;
}

static bool gone(uint32_t me)
{
	int status;

	if (children[me].pid && waitpid(children[me].pid, &status, WNOHANG) == children[me].pid)
		bury(me, status);
	return children[me].pid == 0;
}

static void replace_dead(uint64_t *seed)
{
	for (uint32_t w = 0; w < WORKERS; w++)
		if (gone(w) && !failed)
			spawn(w, t_random(seed));
}

static void kill_one(uint64_t *seed)
{
	uint32_t w = (uint32_t)t_random(seed) % WORKERS;

	if (children[w].pid) {
		kill(children[w].pid, SIGKILL);
		kills++;
	}
}

static uint64_t finish(void)
{
	uint64_t all = 0;
	int status;

	atomic_store(&storm->stop, 1);
	for (uint32_t w = 0; w < WORKERS; w++) {
		all += atomic_load(&uses[w]);
		if (children[w].pid == 0)
			continue;
		waitpid(children[w].pid, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status))
			failed = "a worker saw another version's words";
	}
	return all;
}

int main(void)
{
	struct storm_supervisor sup = { .slots = slots, .worker_count = WORKERS, .gone = gone,
					.seed = 6, .active = 1 };
	struct mhs_map storm_map, uses_map;
	uint64_t seed = 8, all;

	sup.storm = storm = segment("storm", sizeof(*storm), &storm_map);
	uses = segment("uses", 4096, &uses_map);
	storm_init(storm);
	while (sup.flips < FLIPS && !failed) {
		const char *wrong;

		replace_dead(&seed);
		if (t_random(&seed) % KILL_EVERY == 0)
			kill_one(&seed);
		wrong = storm_flip(&sup);
		if (wrong)
			failed = wrong;
	}
	all = finish();
	printf("storm of processes: %llu flips, %llu reclaims, %llu uses, %u kills: %s\n",
	       (unsigned long long)sup.flips, (unsigned long long)sup.reclaims,
	       (unsigned long long)all, kills, failed ? failed : "each saw one version only");
	return failed || all == 0 || kills == 0;
}
