/* SPDX-License-Identifier: MIT */
/*
 * wrk_pace.h: how many prompt rows may join a step so that running streams hardly feel it. Learned
 * for each version from the time of its own steps.
 */
#ifndef WRK_PACE_H
#define WRK_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define WRK_PACE_STREAMS	64u

struct wrk_pace {
	/* a step of n streams and nothing else; 0: not seen */
	float alone_ns[WRK_PACE_STREAMS + 1];
	float row_ns;				/* what a prompt row adds to one; 0: not seen */
	float lone_row_ns;			/* a row of a step of prompts alone; 0: not seen */
	uint32_t shared_count;			/* steps with prompt rows since one without */
	bool crowd;				/* one waits, or what is left of it */
};

/*
 * Prompt rows for a step with @streams generated rows, when @prompts wait and @others stream from
 * other versions. 0: let the streams go alone once and be measured.
 */
uint32_t wrk_pace_rows(struct wrk_pace *pace, uint32_t streams, uint32_t prompts,
		       uint32_t others);
/* A step took @ns. */
void wrk_pace_note(struct wrk_pace *pace, uint32_t streams, uint32_t prompt_rows, uint64_t ns);

#endif
