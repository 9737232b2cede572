/* SPDX-License-Identifier: MIT */
/* sup_place.h: on which NUMA node memory and workers lie. The only file that includes libnuma. */
#ifndef SUP_PLACE_H
#define SUP_PLACE_H

#include <stddef.h>
#include <stdint.h>

#define SUP_NODE_ANY	UINT32_MAX

/* Nodes of this machine, at least 1. */
uint32_t sup_place_nodes(void);
/*
 * Where the calling thread's new shared memory goes from now on: spread over all nodes, or on
 * @node. On a machine with one node nothing is done.
 */
void sup_place_interleave(void);
void sup_place_bind(uint32_t node);
/* Between the two, what the calling thread starts runs on @node's CPUs. SUP_NODE_ANY: as before. */
void sup_place_enter(uint32_t node);
void sup_place_leave(void);
/* What the modes mean here; empty when nothing is to be said. */
const char *sup_place_note(void);
/* CPUs that the calling process may run on. */
uint32_t sup_place_cpus(void);

#endif
