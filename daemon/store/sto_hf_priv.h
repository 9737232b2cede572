/* SPDX-License-Identifier: MIT */
/* sto_hf_priv.h: what families read in config.json, and how. All return 0 or negative errno. */
#ifndef STO_HF_PRIV_H
#define STO_HF_PRIV_H

#include "sto_family.h"
#include "sto_json.h"

/* A configuration on its way into a model. */
struct sto_hf {
	const struct sto_json *json;
	struct sto_model *model;
	struct sto_rope rope, local;	/* local: of layers with a window, with MHS_SHAPE_LOCAL_ROPE */
};

/* Absent keeps the default. */
int hf_maybe(int err);
/* -ENOTSUP: @key is @is, limit @limit. */
int hf_unsupported(const struct sto_json *json, const char *key, const char *is, const char *limit);
/* @key must be absent or false. */
int hf_check_false(const struct sto_hf *hf, const char *key);
/* Set @flag of the shape when @key is true. */
int hf_flag_if(const struct sto_hf *hf, const char *key, uint32_t flag);
/* The activation under @key, which is one of two names. */
int hf_activation(const struct sto_hf *hf, const char *key, const char *good, const char *alias);
/* @key as a number; absent: @fallback, null: 0. */
int hf_u32_or(const struct sto_hf *hf, const char *key, uint32_t fallback, uint32_t *value);
int hf_f32_or(const struct sto_hf *hf, const char *key, float fallback, float *value);

/* Windows by layer_types, or else from @from on each but every @every-th. @window: 0 is none. */
int hf_windows(const struct sto_hf *hf, uint32_t window, uint32_t from, uint32_t every);
/* Neither is there one, nor may one shorter than the context be given. */
int hf_no_window(const struct sto_hf *hf);

/* sto_hf_rope.c */

/* The rope in both spellings: rope_parameters, or rope_theta and rope_scaling. */
int hf_rope(struct sto_hf *hf);
/* The same for full and sliding layers apart; the older spelling has rope_local_base_freq. */
int hf_two_ropes(struct sto_hf *hf);

#endif
