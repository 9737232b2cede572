/* SPDX-License-Identifier: MIT */
/* mhc_parse.h: between the parser of replies and what it knows of each form. */
#ifndef MHC_PARSE_H
#define MHC_PARSE_H

#include <stdint.h>

#include "mhc_json.h"
#include "mhost.h"

#define MHC_MARKS	4u

struct mhc_form {
	const char *name;
	const char *think_open, *think_close;
	/* A call begins with one of these and ends with the close of the same place; "": with the reply */
	const char *call_open[MHC_MARKS], *call_close[MHC_MARKS];
	const char *dropped[MHC_MARKS];		/* say nothing */
	bool bare;				/* a reply that begins with { is a call */
};

/* NULL: no such form. */
const struct mhc_form *mhc_form_get(uint32_t form);

typedef int (*mhc_call_fn)(void *arg, struct mhc_span name, struct mhc_span arguments);
/*
 * The calls in @body, what stood between the marks of @form. @fn gets each, once all are known to be sound: the
 * spans lie in @body or in memory that lasts for its time. How many, or 0: something in it is no call.
 */
uint32_t mhc_calls(uint32_t form, struct mhc_span body, mhc_call_fn fn, void *arg);

#endif
