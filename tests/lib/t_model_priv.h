/* SPDX-License-Identifier: MIT */
/* t_model_priv.h: between the building of a model and the reference pass over it. */
#ifndef T_MODEL_PRIV_H
#define T_MODEL_PRIV_H

#include "t_model.h"

struct t_matrix {
	void *packed;		/* or a vector */
	float *values;		/* [rows][cols] */
};

/* @memory, or the end of the program. */
void *t_model_must(void *memory);
void t_model_die(const char *what, int ret);

#endif
