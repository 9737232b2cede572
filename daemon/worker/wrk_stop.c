/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "wrk.h"

/* Whether @stop begins at @text, wholly (2), as far as there is text (1), or not (0). */
static int match_at(const char *text, uint32_t bytes, const uint8_t *stop, uint32_t stop_bytes)
{
	uint32_t n = bytes < stop_bytes ? bytes : stop_bytes;

	if (memcmp(text, stop, n))
		return 0;
	return n == stop_bytes ? 2 : 1;
}

/* The best match of any stop string at one place. */
static int match_any(const struct mhs_request *rq, const uint8_t *stops, const char *text,
		     uint32_t bytes)
{
	int best = 0;

	for (uint32_t i = 0; i < rq->stop_count && best < 2; i++) {
		uint32_t stop_bytes;
		int match;

		memcpy(&stop_bytes, stops, sizeof(stop_bytes));
		stops += sizeof(stop_bytes);
		match = match_at(text, bytes, stops, stop_bytes);
		stops += stop_bytes;
		best = match > best ? match : best;
	}
	return best;
}

uint32_t wrk_stop_scan(const struct mhs_request *rq, const uint8_t *stops, const char *text,
		       uint32_t bytes, bool *stopped)
{
	uint32_t keep_from = bytes;

	*stopped = false;
	for (uint32_t at = 0; rq->stop_count && at < bytes; at++) {
		int match = match_any(rq, stops, text + at, bytes - at);

		if (match == 2) {
			*stopped = true;
			return at;
		}
		if (match == 1 && at < keep_from)
			keep_from = at;
	}
	return keep_from;
}
