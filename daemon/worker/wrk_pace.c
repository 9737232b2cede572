/* SPDX-License-Identifier: MIT */
/*
 * wrk_pace.c: a step of n streams takes alone_ns[n]; k prompt rows add about k * row_ns. k is
 * chosen so that the step stays below STRETCH of what it takes alone. Where the true cost is no
 * straight line (tiles), the slope is that between no rows and the rows of late, so the choice
 * still ends at the wanted time. Prompts alone, and a crowd of them beside few streams, are bounded by
 * the time of the step alone.
 */
#include "wrk_pace.h"

/* longer steps by this much: 1.5 x at the 95th percentile, with noise */
#define STRETCH		0.40f
#define LEARN		0.125f	/* weight of the newest measurement */
#define OUTLIER		4.0f	/* something else ran on this CPU */
#define ROWS_FIRST	8u	/* before anything is known */
#define ROWS_MIN	2u	/* a prompt always gets on */
#define ROWS_MAX	128u
#define LONE_ROWS_MAX	256u	/* a prompt alone: more rows share the weights */
#define LONE_NS		1e8f	/* but who comes meanwhile is not to wait longer */
#define CROWD_NS	3e7f	/* prompts of a step while a crowd waits */
#define CROWD_MIN	4u	/* so many prompts, */
#define CROWD_PART	4u	/* and beside each at most so many streams, */
#define CROWD_LEFT	2u	/* until fewer than these are left of it */
#define SHARED_MAX	32u	/* then the streams' own time is measured anew */

/* Of @streams, else of the next smaller number seen; more streams never took less. 0: unknown. */
static float alone_ns(const struct wrk_pace *pace, uint32_t streams)
{
	float ns;

	while (streams && pace->alone_ns[streams] == 0)
		streams--;
	ns = pace->alone_ns[streams];
	for (uint32_t n = streams + 1; streams && n <= WRK_PACE_STREAMS; n++)
		if (pace->alone_ns[n] != 0 && pace->alone_ns[n] < ns)
			ns = pace->alone_ns[n];
	return ns;
}

static uint32_t cap_streams(uint32_t streams)
{
	return streams < WRK_PACE_STREAMS ? streams : WRK_PACE_STREAMS;
}

static uint32_t shared_rows(const struct wrk_pace *pace, uint32_t streams)
{
	float alone = alone_ns(pace, cap_streams(streams)), rows;

	if (alone == 0 || pace->shared_count >= SHARED_MAX)
		return 0;
	if (pace->row_ns == 0)
		return ROWS_FIRST;
	rows = STRETCH * alone / pace->row_ns;
	if (rows < ROWS_MIN)
		return ROWS_MIN;
	return rows < ROWS_MAX ? (uint32_t)rows : ROWS_MAX;
}

/* Nobody waits yet. */
static uint32_t lone_rows(const struct wrk_pace *pace)
{
	float rows = pace->lone_row_ns == 0 ? 0 : LONE_NS / pace->lone_row_ns;

	if (rows < ROWS_MAX)
		return ROWS_MAX;
	return rows < LONE_ROWS_MAX ? (uint32_t)rows : LONE_ROWS_MAX;
}

/*
 * More wait than stream, or many do: else streams would hold up a crowd, and leave the batch half empty.
 * Where requests come as others end, rows for prompts and for streams are equal in the long run, and
 * with too few for prompts half of all requests would wait. Tokens still come at the pace of a reader.
 */
static bool is_crowd(struct wrk_pace *pace, uint32_t streams, uint32_t prompts)
{
	if (prompts > streams || (prompts >= CROWD_MIN && CROWD_PART * prompts > streams))
		pace->crowd = true;
	else if (prompts < CROWD_LEFT)
		pace->crowd = false;
	return pace->crowd;
}

/* @rows: what the crowd's weight gives at least. */
static uint32_t crowd_rows(const struct wrk_pace *pace, uint32_t rows)
{
	float most = pace->lone_row_ns == 0 ? 0 : CROWD_NS / pace->lone_row_ns;

	return most > (float)rows ? most < ROWS_MAX ? (uint32_t)most : ROWS_MAX : rows;
}

uint32_t wrk_pace_rows(struct wrk_pace *pace, uint32_t streams, uint32_t prompts,
		       uint32_t others)
{
	uint32_t rows;

	if (!streams && !others)
		return lone_rows(pace);
	/* The others wait for this step: as if one stream of this version ran. */
	rows = shared_rows(pace, streams ? streams : 1);
	if (!rows && !streams)
		return ROWS_FIRST;
	if (is_crowd(pace, streams + others, prompts))
		rows = crowd_rows(pace, rows * prompts / (streams + others));
	return rows < ROWS_MAX ? rows : ROWS_MAX;
}

static void learn(float *known, float seen, float weight)
{
	if (*known == 0)
		*known = seen;
	else if (seen < OUTLIER * *known)
		*known += weight * (seen - *known);
	else
		*known += weight * (OUTLIER - 1) * *known;
}

/* Near the shortest of late: what else ran on the CPUs is not the streams' own time. */
static void learn_alone(float *known, float seen)
{
	learn(known, seen, seen < *known ? 0.5f : LEARN / 2);
}

void wrk_pace_note(struct wrk_pace *pace, uint32_t streams, uint32_t prompt_rows, uint64_t ns)
{
	float alone, added;

	streams = cap_streams(streams);
	if (!streams) {
		learn(&pace->lone_row_ns, (float)ns / (float)prompt_rows, LEARN);
		return;
	}
	if (!prompt_rows) {
		pace->shared_count = 0;
		learn_alone(&pace->alone_ns[streams], (float)ns);
		return;
	}
	pace->shared_count++;
	alone = alone_ns(pace, streams);
	added = ((float)ns - alone) / (float)prompt_rows;
	/* Rows are never free: noise must not make them so. */
	if (added < alone / (4 * ROWS_MAX))
		added = alone / (4 * ROWS_MAX);
	learn(&pace->row_ns, added, LEARN);
}
