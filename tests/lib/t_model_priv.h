/* SPDX-License-Identifier: MIT */
/* t_model_priv.h: between the building of a model and the reference pass over it. */
#ifndef T_MODEL_PRIV_H
#define T_MODEL_PRIV_H

#include "t_model.h"

struct t_matrix {
	void *packed;		/* or a vector */
	float *values;		/* [rows][cols] */
};

/* A vector of values around @middle, a matrix of random rows; kept by @t. */
const float *t_model_vector(struct t_model *t, uint32_t count, float middle, uint64_t *seed);
void t_model_matrix(struct t_model *t, struct eng_matrix *m, uint32_t source, uint32_t rows,
		    uint32_t cols, uint64_t *seed);

/* @memory, or the end of the program. */
void *t_model_must(void *memory);
void t_model_die(const char *what, int ret);

#endif
