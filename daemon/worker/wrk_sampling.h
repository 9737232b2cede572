/* SPDX-License-Identifier: MIT */
/* wrk_sampling.h: what a request says of the choice of tokens, for the sampler (eng_sample.h). */
#ifndef WRK_SAMPLING_H
#define WRK_SAMPLING_H

#include <stdbool.h>

#include "eng_sample.h"
#include "mhs_wire.h"

struct wrk_request;
struct wrk_version;

/* The biases; NULL, or what is wrong, in @text. */
const char *wrk_sampling_check(const struct mhs_request *rq, const uint8_t *payload,
			       char text[MHS_MESSAGE_BYTES]);
/* Copy biases and stop tokens out of the payload of a request that was checked. 0 or -ENOMEM. */
int wrk_sampling_init(struct wrk_request *r);
/* At admission: tables of the version that the request needs. 0 or -ENOMEM. */
int wrk_sampling_begin(struct wrk_request *r, struct wrk_version *v);
struct eng_sampling wrk_sampling_of(const struct wrk_request *r);
/* @token ends the text: the version's own end, unless ignored, or a stop token of the request. */
bool wrk_sampling_ends(const struct wrk_request *r, uint32_t token);
/* Before min_tokens: nothing ends the text. */
void wrk_sampling_hold(const struct wrk_request *r, float *logits);

#endif
