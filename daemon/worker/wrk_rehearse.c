/* SPDX-License-Identifier: MIT */
/*
 * wrk_rehearse.c: a release that goes wrong on purpose, so that people see it rolled back before
 * they need it. MHOST_REHEARSE in the daemon's environment, for instance
 * "smol@1.3.0:slow=30,errors=10;smol@1.4.0:nan=1": steps take 30 % longer, of each 100 requests 10
 * fail at their first token, 1 meets logits that are no numbers, crash= takes the worker down.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "wrk.h"

#define MOST	1000u	/* per cent; a typing mistake must not stop a worker for days */

/* 0 when @key is not there or has no number. */
static uint32_t number_of(const char *entry, const char *end, const char *key)
{
	const char *at = entry;
	size_t n = strlen(key);

	while ((at = memchr(at, key[0], (size_t)(end - at)))) {
		if ((at[-1] == ':' || at[-1] == ',') && (size_t)(end - at) > n + 1 &&
		    memcmp(at, key, n) == 0 && at[n] == '=') {
			unsigned long number = at[n + 1] == '-' ? 0 : strtoul(at + n + 1, NULL, 10);

			return number < MOST ? (uint32_t)number : MOST;
		}
		at++;
	}
	return 0;
}

void wrk_rehearse_read(const char *model, const char *semver, struct wrk_rehearsal *to)
{
	const char *entry = getenv("MHOST_REHEARSE");
	char name[MHS_NAME_BYTES + MHS_SEMVER_BYTES + 2];
	size_t n;

	n = (size_t)snprintf(name, sizeof(name), "%.63s@%.47s:", model, semver);
	while (entry && *entry) {
		const char *end = entry + strcspn(entry, ";");

		if (strncmp(entry, name, n) == 0) {
			const char *keys = entry + n;

			to->slow = number_of(keys, end, "slow");
			to->errors = number_of(keys, end, "errors");
			to->nan = number_of(keys, end, "nan");
			to->crash = number_of(keys, end, "crash");
			log_warning("%s rehearses: slow %u %%, errors %u %%, nan %u %%, crash %u %%",
				    name, to->slow, to->errors, to->nan, to->crash);
		}
		entry = end + strspn(end, "; ");
	}
}

void wrk_rehearse_step(const struct wrk_rehearsal *rehearsal, uint64_t step_ns)
{
	uint64_t until = wrk_now_ns() + step_ns * rehearsal->slow / 100;

	while (rehearsal->slow && wrk_now_ns() < until)
		__builtin_ia32_pause();
}

const char *wrk_rehearse_token(struct wrk_rehearsal *rehearsal, float *logits)
{
	/* spread evenly: each of 100 once in 100 replies */
	uint32_t place = (uint32_t)(rehearsal->replies++ % 100 * 61 % 100);

	if (place < rehearsal->crash)
		abort();
	if (place < rehearsal->nan)
		logits[0] = NAN;
	return place < rehearsal->errors ? "rehearsed failure (MHOST_REHEARSE)" : NULL;
}
