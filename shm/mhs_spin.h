/* SPDX-License-Identifier: MIT */
/*
 * mhs_spin.h: whether to spin for the peer before sleeping: only while spinning pays. Private
 * memory of one thread, nothing shared.
 *
 * A wait that was short makes the next one spin, for at most MHS_SPIN_NS; a long one makes it
 * sleep at once. A spin in vain (both sides share a CPU, or the peer is slow) is not tried again
 * for 1, 3, .. 15 short waits, so that spinning costs an idle or a crowded host next to nothing.
 */
#ifndef MHS_SPIN_H
#define MHS_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define MHS_SPIN_NS	100000u		/* longer than waking two idle CPUs of a virtual machine */

struct mhs_spin {
	bool never;			/* the owner has one CPU only */
	bool likely;			/* the last wait was short */
	uint32_t skip, skip_next;	/* short waits without a spin: left now, after a miss */
};

/* Sets never from the calling thread's CPUs. */
void mhs_spin_init(struct mhs_spin *spin);
/* At the begin of each wait: how long to spin, 0 or MHS_SPIN_NS. */
uint32_t mhs_spin_ns(struct mhs_spin *spin);
/* At its end: the whole wait, and whether the spin of @spin_ns passed without news. */
void mhs_spin_learn(struct mhs_spin *spin, uint64_t waited_ns, uint32_t spin_ns);

#endif
