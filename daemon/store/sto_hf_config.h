/* SPDX-License-Identifier: MIT */
/*
 * sto_hf_config.h: config.json and generation_config.json of LlamaForCausalLM, in the older and the
 * newer spelling (rope_theta and rope_scaling, or rope_parameters). What would change the results
 * and is not supported is refused by its name; what has no effect is ignored.
 */
#ifndef STO_HF_CONFIG_H
#define STO_HF_CONFIG_H

#include <jansson.h>

#include "sto_model.h"

/* Fill model->config, bos_id, rope_base and inv_freq. 0 or negative errno with @error. */
int sto_hf_config(struct sto_model *model, const char *shown, const json_t *root,
		  struct sto_error *error);
/*
 * End tokens of @root (a number or a list under eos_token_id). *@found: whether it names any.
 * generation_config.json wins over config.json, as in transformers.
 */
int sto_hf_eos(struct sto_model *model, const char *shown, const json_t *root, bool *found,
	       struct sto_error *error);

#endif
