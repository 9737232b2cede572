/* SPDX-License-Identifier: MIT */
/* wrk_check_test.c: each rule of a request that came over a lane: broken alone, it is named; at its limit it is not. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/worker/wrk.h"
#include "t.h"

static struct mhs_request rq;
static uint8_t payload[1024];
static uint32_t kind;

static void good(void)
{
	memset(payload, 0, sizeof(payload));
	rq = (struct mhs_request){ .request_id = 7, .prompt_bytes = 8, .top_p = 1.0f,
				   .repeat_penalty = 1.0f, .repeat_last = 64, .model = "tiny" };
	kind = MHS_REC_GENERATE;
}

static const char *verdict(void)
{
	static char text[MHS_MESSAGE_BYTES];

	return wrk_request_check(&rq, kind, rq.stop_bytes + rq.prompt_bytes, payload, text);
}

/* One field set in a request that is good otherwise. */
#define WITH(field, value)	(good(), rq.field = (value), verdict())
#define REFUSED(field, value, words) \
	do { \
		const char *said = WITH(field, value); \
		if (!t_ok(said && strstr(said, words))) \
			printf("# " #field " = " #value ": %s\n", said ? said : "accepted"); \
	} while (0)
#define TAKEN(field, value)	t_ok(WITH(field, value) == NULL)
/* The client does not speak the protocol: no words, the lane ends. */
#define CUT(field, value)	t_str_eq(WITH(field, value) ?: "accepted", "")

static void numbers(void)
{
	good();
	t_ok(verdict() == NULL);
	REFUSED(temperature, NAN, "temperature is nan, must be in 0..100");
	REFUSED(temperature, INFINITY, "temperature is inf");
	REFUSED(temperature, -1.0f, "temperature is -1");
	REFUSED(temperature, 100.1f, "temperature is 100.1");
	TAKEN(temperature, -0.0f);
	TAKEN(temperature, 100.0f);
	REFUSED(top_p, 0.0f, "top_p is 0");
	REFUSED(top_p, 2.0f, "top_p is 2");
	REFUSED(top_p, NAN, "top_p is nan");
	REFUSED(min_p, 1.0f, "min_p is 1");
	REFUSED(min_p, -0.5f, "min_p is -0.5");
	TAKEN(min_p, 0.0f);
	REFUSED(repeat_penalty, 0.0f, "repeat_penalty is 0");
	REFUSED(repeat_penalty, -INFINITY, "repeat_penalty is -inf");
	TAKEN(repeat_last, UINT32_MAX);
	TAKEN(top_k, UINT32_MAX);
	TAKEN(seed, UINT64_MAX);
	REFUSED(flags, (uint32_t)MHS_REQ_ALL + 1, "unknown bits");
	REFUSED(flags, 1u << 31, "unknown bits");
	REFUSED(top_count, 1, "top_count without the logprobs flag");
	REFUSED(top_count, MHS_TOP_MAX + 1, "65 alternatives");
	REFUSED(top_count, UINT32_MAX, "4294967295 alternatives");
	good();
	rq.flags = MHS_REQ_LOGPROBS;
	rq.top_count = MHS_TOP_MAX;
	t_ok(verdict() == NULL);
}

static void framing(void)
{
	CUT(request_id, 0);
	CUT(reserved0[0], 1);
	CUT(reserved0[sizeof(rq.reserved0) - 1], 0x80);
	CUT(model[6], 'x');		/* something behind the end of the name */
	CUT(semver[MHS_SEMVER_BYTES - 1], '1');
	good();
	memset(rq.model, 'm', sizeof(rq.model));	/* no end at all */
	t_str_eq(verdict() ?: "accepted", "");
	good();
	t_str_eq(wrk_request_check(&rq, kind, rq.prompt_bytes - 1, payload, NULL) ?: "accepted", "");
	good();
	rq.stop_bytes = UINT32_MAX - 7;			/* with the prompt's 8 it wraps to 0 */
	t_str_eq(wrk_request_check(&rq, kind, 0, payload, NULL) ?: "accepted", "");
}

static void put(uint32_t at, uint32_t bytes)
{
	memcpy(payload + at, &bytes, sizeof(bytes));
}

static void stops(void)
{
	REFUSED(stop_count, MHS_STOP_MAX + 1, "17 stop strings");
	REFUSED(stop_count, UINT32_MAX, "4294967295 stop strings");
	REFUSED(stop_count, 1, "stop strings are cut");
	REFUSED(stop_bytes, 4, "followed by something else");
	good();
	rq.stop_count = 2;
	rq.stop_bytes = 4 + 3 + 4 + MHS_STOP_BYTES;
	put(0, 3);
	put(7, MHS_STOP_BYTES);
	t_ok(verdict() == NULL);
	put(7, MHS_STOP_BYTES + 1);
	t_str_eq(verdict(), "a stop string is empty or longer than 256 bytes");
	put(7, 0);
	t_str_eq(verdict(), "a stop string is empty or longer than 256 bytes");
	put(7, UINT32_MAX);
	t_str_eq(verdict(), "a stop string is empty or longer than 256 bytes");
	put(7, MHS_STOP_BYTES - 1);
	t_str_eq(verdict(), "stop strings are followed by something else");
	put(7, MHS_STOP_BYTES);
	rq.stop_bytes--;
	t_str_eq(verdict(), "stop strings are cut");
}

static void prompts(void)
{
	good();
	rq.flags = MHS_REQ_TOKENS;
	t_ok(verdict() == NULL);
	rq.prompt_bytes = 7;
	t_str_eq(verdict(), "prompt tokens are cut");
	good();
	kind = MHS_REC_TOKENIZE;
	t_ok(verdict() == NULL);
	rq.flags = MHS_REQ_TOKENS;
	t_str_eq(verdict(), "tokenize takes text");
	kind = MHS_REC_DETOKENIZE;
	t_ok(verdict() == NULL);
	rq.flags = 0;
	t_str_eq(verdict(), "detokenize takes tokens");
}

int main(void)
{
	T_RUN(numbers);
	T_RUN(framing);
	T_RUN(stops);
	T_RUN(prompts);
	return t_done();
}
