/* SPDX-License-Identifier: MIT */
/*
 * wrk_plan.c: how many drafted rows a step is worth. Rows go one by one to the request that gains
 * most by one more; of all those counts the best is taken.
 *
 * A stream that expects g tokens more than one in a step that takes t instead of t0 runs (1 + g) *
 * t0 / t times as fast. What is made largest is the product of that over the streams, so a row must
 * win more for its own stream than it costs all of them; and no stream may be slowed by more than
 * SLOWER.
 */
#include <math.h>

#include "wrk_draft.h"

#define SLOWER		1.15f	/* about what one more stream beside a few costs them */
#define WORTH_MIN	0.02f	/* a gain below this is noise */
#define WORTH_END	0.002f	/* further rows are not even looked at */
#define COST_WEIGHT	0.125f	/* of the newest measurement */
#define COST_OUTLIER	2.0f	/* times the mean: a step that was interrupted counts as no more */
/* older measurements are forgotten, so that one bad one cannot last */
#define COST_STEPS	256u
/* before anything is measured: a step costs so many rows, and its own */
#define COST_FIXED	4.0f

void wrk_costs_add(struct wrk_costs *c, uint32_t rows, uint64_t ns)
{
	float *mean, sample = (float)ns;

	if (!rows || rows > WRK_COST_ROWS)
		return;
	mean = &c->ns[rows];
	if (!c->at[rows] || c->step - c->at[rows] > COST_STEPS)
		*mean = sample;
	else
		*mean += (fminf(sample, COST_OUTLIER * *mean) - *mean) * COST_WEIGHT;
	c->at[rows] = ++c->step;
}

static bool is_known(const struct wrk_costs *c, uint32_t rows)
{
	return c->at[rows] && c->step - c->at[rows] <= COST_STEPS;
}

static float guess_from(const struct wrk_costs *c, uint32_t known, uint32_t rows)
{
	return c->ns[known] * ((float)rows + COST_FIXED) / ((float)known + COST_FIXED);
}

float wrk_costs_of(const struct wrk_costs *c, uint32_t rows)
{
	uint32_t low = rows, high = rows;

	if (!c)
		return 1;
	while (low && !is_known(c, low))
		low--;
	while (high <= WRK_COST_ROWS && !is_known(c, high))
		high++;
	if (!low && high > WRK_COST_ROWS)
		return (float)rows + COST_FIXED;
	if (low == high)
		return c->ns[low];
	if (!low)
		return guess_from(c, high, rows);
	if (high > WRK_COST_ROWS)
		return guess_from(c, low, rows);
	return c->ns[low] + (c->ns[high] - c->ns[low]) * (float)(rows - low) / (float)(high - low);
}

/* What one more row would add to the logarithm of the stream's speed. */
static void bid_next(struct wrk_bid *b)
{
	if (!b->draft->next || b->rows == b->most) {
		b->worth = 0;
		return;
	}
	b->chance *= wrk_draft_odds(b->draft, b->rows);
	b->worth = log1pf(b->chance / (1 + b->gain));
}

static struct wrk_bid *bid_best(struct wrk_bid *bids, uint32_t count)
{
	struct wrk_bid *best = &bids[0];

	for (uint32_t i = 1; i < count; i++)
		if (bids[i].worth > best->worth)
			best = &bids[i];
	return best;
}

static bool is_fair(const struct wrk_bid *bids, uint32_t count, float slower)
{
	for (uint32_t i = 0; i < count; i++)
		if ((1 + bids[i].gain) * SLOWER < slower)
			return false;
	return true;
}

void wrk_draft_plan(const struct wrk_costs *c, struct wrk_bid *bids, uint32_t count, uint32_t most)
{
	struct wrk_bid *order[WRK_DRAFT_ROWS];
	float won = 0, best = WORTH_MIN, alone = wrk_costs_of(c, count);
	uint32_t rows = 0, taken = 0;

	for (uint32_t i = 0; i < count; i++) {
		bids[i].rows = 0;
		bids[i].gain = 0;
		bids[i].chance = 1;
		bid_next(&bids[i]);
	}
	while (rows < most && rows < WRK_DRAFT_ROWS) {
		struct wrk_bid *b = bid_best(bids, count);
		float slower;

		if (b->worth < WORTH_END)
			break;
		order[rows++] = b;
		won += b->worth;
		b->gain += b->chance;
		b->rows++;
		bid_next(b);
		slower = wrk_costs_of(c, count + rows) / alone;
		if (won - (float)count * logf(slower) > best && is_fair(bids, count, slower)) {
			best = won - (float)count * logf(slower);
			taken = rows;
		}
	}
	while (rows > taken)
		order[--rows]->rows--;
}
