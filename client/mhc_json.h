/* SPDX-License-Identifier: MIT */
/* mhc_json.h: spans of JSON that a model wrote; nothing is built of them. */
#ifndef MHC_JSON_H
#define MHC_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct mhc_span {
	const char *at;
	size_t bytes;
};

/* Without blanks at both ends. */
struct mhc_span mhc_trim(struct mhc_span text);
/* Cut the first JSON value off *@text, blanks before it dropped. False: none is whole and well-formed there. */
bool mhc_json_value(struct mhc_span *text, struct mhc_span *value);
/* The value of @key in an object; false: it has none. */
bool mhc_json_get(struct mhc_span object, const char *key, struct mhc_span *value);
/* The inside of a string without escapes; false: it is none. */
bool mhc_json_plain(struct mhc_span value, struct mhc_span *text);

#endif
