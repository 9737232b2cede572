/* SPDX-License-Identifier: MIT */
/* x_oracle.c: the claims of mhs_epoch.c, judged with knowledge that no actor has. */
#include "x_world.h"

static void judge_use(const struct x_ghost *ghost, uint32_t version, uint64_t epoch)
{
	if (ghost->reclaimed[version])
		x_violate("a version is pinned after its reclaim");
	if (ghost->unpublished[version] && epoch >= ghost->unpublished[version])
		x_violate("a worker that shows the unpublish's epoch pins the version");
}

/* The version is that of the last flip whose epoch was adopted, or of a later one. */
static void judge_route(const struct x_ghost *ghost, uint32_t version, uint64_t epoch)
{
	int i = ghost->flip_count - 1;

	for (; i >= 0; i--) {
		if (ghost->flip_active[i] == version)
			return;
		if (ghost->flip_epoch[i] <= epoch)
			break;
	}
	x_violate("a worker that shows the flip's epoch takes the old route");
}

static void judge_refusal(const struct x_ghost *ghost, uint64_t epoch)
{
	for (uint32_t v = X_VERSION_A; v <= X_VERSION_B; v++)
		if (ghost->unpublished[v] > epoch)
			return;
	x_violate("a pin by route is refused though nothing is being withdrawn");
}

uint64_t x_oracle_note(struct x_world *world, enum x_note what, uint32_t version, uint64_t epoch)
{
	struct x_ghost *ghost = &world->ghost;

	switch (what) {
	case X_NOTE_FLIP:
		ghost->flip_active[ghost->flip_count] = (uint8_t)version;
		ghost->flip_epoch[ghost->flip_count++] = ++ghost->epoch;
		return 0;
	case X_NOTE_UNPUBLISH:
		ghost->unpublished[version] = ++ghost->epoch;
		return 0;
	case X_NOTE_REVIVE:
		ghost->unpublished[version] = 0;
		return 0;
	case X_NOTE_RELOAD:
		ghost->unpublished[version] = 0;
		ghost->reclaimed[version] = 0;
		return ++ghost->life[version];
	case X_NOTE_ROUTED:
		judge_route(ghost, version, epoch);
		judge_use(ghost, version, epoch);
		return ghost->life[version];
	case X_NOTE_NAMED:
		judge_use(ghost, version, epoch);
		return ghost->life[version];
	case X_NOTE_REFUSED:
		judge_refusal(ghost, epoch);
		return 0;
	}
	return 0;
}

void x_oracle_store(const struct x_world *world, enum x_loc loc, uint64_t value)
{
	if (loc == X_EPOCH && value <= world->mem[X_EPOCH])
		x_violate("the epoch did not grow");
}

void x_oracle_use(const struct x_world *world, uint32_t version, uint32_t life)
{
	if (world->ghost.reclaimed[version] || world->ghost.life[version] != life)
		x_violate("a version is used after its reclaim");
}

/* Nobody can take a step any more. A sleeper that has the last epoch may sleep for ever. */
void x_oracle_end(const struct x_world *world)
{
	if (world->actors[X_SUP].status != X_DONE)
		x_violate("the reclaim never comes");
	for (int w = 0; w < X_WORKERS; w++)
		if (world->actors[w].status == X_RUNNING &&
		    world->actors[w].priv.epoch != world->mem[X_EPOCH])
			x_violate("a worker sleeps through a publication");
}
