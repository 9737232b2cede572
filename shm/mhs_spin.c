/* SPDX-License-Identifier: MIT */
#include "mhs_spin.h"

#include <sched.h>

#define SKIP_MAX	15u
#define CPU_SETS	8	/* 8 x 1024 CPUs */

void mhs_spin_init(struct mhs_spin *spin)
{
	cpu_set_t set[CPU_SETS];

	*spin = (struct mhs_spin){ .never = sched_getaffinity(0, sizeof(set), set) == 0 &&
					    CPU_COUNT_S(sizeof(set), set) == 1 };
}

uint32_t mhs_spin_ns(struct mhs_spin *spin)
{
	if (spin->never || !spin->likely)
		return 0;
	if (!spin->skip)
		return MHS_SPIN_NS;
	spin->skip--;
	return 0;
}

void mhs_spin_learn(struct mhs_spin *spin, uint64_t waited_ns, uint32_t spin_ns)
{
	/* Both sides asleep: the wait holds two wake-ups that spinning would have saved. */
	spin->likely = waited_ns <= 2 * MHS_SPIN_NS;
	if (!spin_ns)
		return;
	if (waited_ns <= spin_ns) {
		spin->skip_next = 0;
		return;
	}
	spin->skip_next = spin->skip_next < SKIP_MAX ? spin->skip_next * 2 + 1 : SKIP_MAX;
	spin->skip = spin->skip_next;
}
