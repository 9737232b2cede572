/* SPDX-License-Identifier: MIT */
/* eng_heap_priv.h: a binary heap of tokens, highest logit first, the lowest id on a tie. */
#ifndef ENG_HEAP_PRIV_H
#define ENG_HEAP_PRIV_H

#include <stdbool.h>
#include <stdint.h>

struct candidate {
	float logit;
	uint32_t token;
};

static inline bool better(struct candidate a, struct candidate b)
{
	return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

static inline void sift_down(struct candidate *heap, uint32_t count, uint32_t at)
{
	struct candidate moving = heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= count)
			break;
		if (child + 1 < count && better(heap[child + 1], heap[child]))
			child++;
		if (!better(heap[child], moving))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moving;
}

static inline void heapify(struct candidate *heap, uint32_t count)
{
	for (uint32_t i = count / 2; i-- > 0;)
		sift_down(heap, count, i);
}

/* Move the best to heap[count - 1]; the rest stays a heap of count - 1. */
static inline void heap_pop(struct candidate *heap, uint32_t count)
{
	struct candidate best = heap[0];

	heap[0] = heap[count - 1];
	heap[count - 1] = best;
	sift_down(heap, count - 1, 0);
}

#endif
