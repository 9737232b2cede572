/* SPDX-License-Identifier: MIT */
#include "sup_place.h"

#include <numa.h>
#include <sched.h>
#include <stdbool.h>

uint32_t sup_place_nodes(void)
{
	int nodes = numa_available() < 0 ? 1 : numa_num_configured_nodes();

	return nodes > 1 ? (uint32_t)nodes : 1;
}

void sup_place_interleave(void)
{
	if (sup_place_nodes() > 1)
		numa_set_interleave_mask(numa_all_nodes_ptr);
}

void sup_place_bind(uint32_t node)
{
	struct bitmask *mask;

	if (sup_place_nodes() == 1)
		return;
	mask = numa_allocate_nodemask();
	numa_bitmask_setbit(mask, node);
	numa_set_membind(mask);
	numa_bitmask_free(mask);
}

static cpu_set_t cpus_before;
static bool cpus_saved;

void sup_place_enter(uint32_t node)
{
	if (node == SUP_NODE_ANY || sup_place_nodes() == 1)
		return;
	cpus_saved = sched_getaffinity(0, sizeof(cpus_before), &cpus_before) == 0;
	if (cpus_saved)
		numa_run_on_node((int)node);
}

void sup_place_leave(void)
{
	if (cpus_saved)
		sched_setaffinity(0, sizeof(cpus_before), &cpus_before);
	cpus_saved = false;
}

const char *sup_place_note(void)
{
	return sup_place_nodes() > 1 ? "" :
	       "this machine has one node: interleave, bind:0 and replicate are the same";
}

uint32_t sup_place_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}
