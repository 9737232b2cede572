/* SPDX-License-Identifier: MIT */
/* tpl_spec_priv.h: what "%" and .format() share: a specification, and values written by it. */
#ifndef TPL_SPEC_PRIV_H
#define TPL_SPEC_PRIV_H

#include "tpl_priv.h"

struct tpl_spec {
	uint32_t fill;
	char align, sign, kind;		/* 0: as the kind of value has it */
	bool alternate, zero, comma;
	int width, precision;		/* -1: none */
};

void tpl_spec_bad(struct tpl_run *r, const char *what) __attribute__((noreturn));
/* Digits at *@at, which moves on; -1: none. */
int tpl_spec_number(struct tpl_run *r, const char **at, const char *end);
/* @align: where @s has none. */
void tpl_spec_pad(struct tpl_run *r, const struct tpl_spec *s, const char *text, size_t bytes,
		  char align);
void tpl_spec_text(struct tpl_run *r, const struct tpl_spec *s, struct tpl_value v, char align);
void tpl_spec_int(struct tpl_run *r, const struct tpl_spec *s, int64_t v);
/* @none_is_repr: without kind and precision as repr() has it. */
void tpl_spec_float(struct tpl_run *r, const struct tpl_spec *s, double v, bool none_is_repr);

#endif
