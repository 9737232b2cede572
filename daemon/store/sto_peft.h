/* SPDX-License-Identifier: MIT */
/*
 * sto_peft.h: adapter_config.json of a PEFT LoRA: what it adapts, with which rank and scale. Names
 * are matched as PEFT 0.21.2 does (Apache-2.0, read and not copied): target_modules in
 * check_target_module_exists() of tuners/tuners_utils.py, rank_pattern and alpha_pattern in
 * get_pattern_key() of utils/other.py, the numbers in _create_and_replace() of tuners/lora/model.py.
 * Regular expressions are Python's there and PCRE2's here; the modules of a model are plain ASCII
 * names, on which both find the same.
 */
#ifndef STO_PEFT_H
#define STO_PEFT_H

#include <jansson.h>

#include "sto_family.h"

#define STO_PEFT_PATTERNS_MAX	4096u	/* entries of one list or object */

struct sto_peft_pattern;	/* one compiled entry */

struct sto_peft_patterns {
	uint32_t count;
	struct sto_peft_pattern *list;
};

struct sto_peft {
	const char *shown;		/* the file's name in messages; borrowed */
	const struct sto_family *family;	/* of the base */
	json_t *root;			/* holds all texts */
	uint32_t rank;			/* r */
	double alpha;			/* lora_alpha */
	bool rslora;
	bool ensure_tying;		/* ensure_weight_tying */
	bool all_linear;		/* "all-linear": every layer but embedding and output */
	const json_t *targets;		/* target_modules as a list; NULL: a pattern, or all_linear */
	struct sto_peft_patterns target, exclude;	/* when they are patterns */
	const json_t *excluded;		/* exclude_modules as a list; NULL: none, or a pattern */
	const json_t *layers;		/* layers_to_transform, a list or a number; NULL: all */
	struct sto_peft_patterns layer_names, ranks, alphas;
};

/* What PEFT makes of one module. */
struct sto_peft_scale {
	uint32_t rank;
	double alpha;
	float scale;		/* alpha / rank, or alpha / sqrt(rank) with use_rslora */
};

/*
 * Read and check @file for a base of @family, whatever is in it: other methods than LoRA and variants whose result is not
 * W x + scale * B A x are refused by the name of their field. 0 or negative errno with @error; then
 * there is nothing to free.
 */
int sto_peft_read(struct sto_peft *peft, const struct sto_file *file, const struct sto_family *family,
		  struct sto_error *error);
void sto_peft_fini(struct sto_peft *peft);

/*
 * Whether @module ("model.layers.0.self_attn.q_proj") is a target. @in_layer: its number when it lies
 * in one, -1 otherwise. 1 or 0; negative with @error: a pattern that takes too long.
 */
int sto_peft_is_target(const struct sto_peft *peft, const char *module, int in_layer,
		       struct sto_error *error);
/* Its rank and scale. 0, or -EINVAL with @error. */
int sto_peft_scale(const struct sto_peft *peft, const char *module, struct sto_peft_scale *scale,
		   struct sto_error *error);

#endif
