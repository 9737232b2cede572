/* SPDX-License-Identifier: MIT */
/* tpl_string_priv.h: what the files with methods of Python's str share. */
#ifndef TPL_STRING_PRIV_H
#define TPL_STRING_PRIV_H

#include "tpl_priv.h"

#define METHOD(name) static struct tpl_value str_##name(struct tpl_run *r, struct tpl_value self, \
							struct tpl_value *arg)

static inline bool tpl_given(const struct tpl_value *arg)
{
	return arg->kind != TPL_MISSING && arg->kind != TPL_NONE;
}

/* A part of @whole, with its flags. */
static inline struct tpl_value tpl_part(const struct tpl_value *whole, const char *from, const char *to)
{
	struct tpl_value v = tpl_text(from, (size_t)(to - from));

	v.flags = whole->flags;
	return v;
}

#endif
