/* SPDX-License-Identifier: MIT */
/* wrk_draft.c: where the last tokens stood before, and how often that told what comes next. */
#include "wrk_draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN	64u
#define SLOTS_MAX	16384u
#define MATCH_MAX	16u	/* as far as agreement is looked at */
#define ODDS_WEIGHT	0.0625f	/* of the newest guess */

/* Smallest match of each class, and the odds before anything was seen. */
static const uint32_t class_match[WRK_DRAFT_CLASSES] = { 2, 3, 4, 6, 9, 16 };
static const float class_odds[WRK_DRAFT_CLASSES] = { 0.2f, 0.35f, 0.5f, 0.7f, 0.85f, 0.95f };

static uint32_t class_of(uint32_t match)
{
	uint32_t c = WRK_DRAFT_CLASSES - 1;

	while (c && match < class_match[c])
		c--;
	return c;
}

/* The slot of the last @n tokens before @count, n = 2 or 3. */
static uint32_t *slot_of(const struct wrk_draft *d, const uint32_t *tokens, uint32_t count,
			 uint32_t n)
{
	uint32_t hash = 0;

	for (uint32_t i = count - n; i < count; i++) {
		hash = (hash ^ tokens[i]) * UINT32_C(0x9e3779b1);
		hash ^= hash >> 15;
	}
	return d->slots + (n - 2) * d->slot_count + (hash & (d->slot_count - 1));
}

static void remember(struct wrk_draft *d, const uint32_t *tokens, uint32_t count)
{
	for (uint32_t n = 2; n <= 3 && n <= count; n++)
		*slot_of(d, tokens, count, n) = count;
}

/* How many tokens before @at and before @count agree. */
static uint32_t agreement(const uint32_t *tokens, uint32_t at, uint32_t count)
{
	uint32_t n = 0;

	while (n < at && n < MATCH_MAX && tokens[at - 1 - n] == tokens[count - 1 - n])
		n++;
	return n;
}

static void look(struct wrk_draft *d, const uint32_t *tokens, uint32_t count)
{
	d->next = 0;
	for (uint32_t n = 3; n >= 2; n--) {
		uint32_t at = n <= count ? *slot_of(d, tokens, count, n) : 0;

		/* Other tokens may share the slot. */
		d->match = agreement(tokens, at, count);
		if (d->match < n)
			continue;
		d->next = at;
		return;
	}
}

int wrk_draft_init(struct wrk_draft *d, const uint32_t *tokens, uint32_t count, uint32_t capacity)
{
	uint32_t slots = SLOTS_MIN;

	while (slots < capacity && slots < SLOTS_MAX)
		slots *= 2;
	d->slots = calloc(2 * (size_t)slots, sizeof(*d->slots));
	if (!d->slots)
		return -ENOMEM;
	d->slot_count = slots;
	memcpy(d->odds, class_odds, sizeof(d->odds));
	for (uint32_t i = 1; i < count; i++)
		remember(d, tokens, i);
	if (count) {
		look(d, tokens, count);
		remember(d, tokens, count);
	}
	return 0;
}

void wrk_draft_fini(struct wrk_draft *d)
{
	free(d->slots);
	d->slots = NULL;
	d->slot_count = 0;
}

static void judge(struct wrk_draft *d, bool right)
{
	float *odds = &d->odds[class_of(d->match)];

	*odds += ((right ? 1.0f : 0.0f) - *odds) * ODDS_WEIGHT;
	d->next = right ? d->next + 1 : 0;
	d->match += d->match < MATCH_MAX;
}

void wrk_draft_push(struct wrk_draft *d, const uint32_t *tokens, uint32_t count)
{
	if (!d->slot_count)
		return;
	if (d->next)
		judge(d, tokens[d->next] == tokens[count - 1]);
	if (!d->next)
		look(d, tokens, count);
	remember(d, tokens, count);
}

/* Beyond the last token the guess repeats itself: a loop goes on. */
uint32_t wrk_draft_token(const struct wrk_draft *d, const uint32_t *tokens, uint32_t count,
			 uint32_t i)
{
	return tokens[d->next + i % (count - d->next)];
}

float wrk_draft_odds(const struct wrk_draft *d, uint32_t i)
{
	return d->odds[class_of(d->match + i)];
}
