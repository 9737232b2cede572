/* SPDX-License-Identifier: MIT */
/*
 * fuzz_hf_config.c: the input is config.json, and generation_config.json too. What is accepted is
 * within the limits of an image.
 */
#include <math.h>
#include <stdlib.h>

#include "sto_hf_config.h"
#include "sto_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct sto_model *model)
{
	const struct mhs_image_config *c = &model->config;
	uint64_t windows = 0;

	if (c->layer_count < 1 || c->layer_count > MHS_IMAGE_LAYER_MAX || c->head_dim % 2 ||
	    c->kv_head_count == 0 || c->head_count % c->kv_head_count || !(c->rms_eps > 0))
		abort();
	if (model->inv_freq_count != sto_model_turns(model) *
	    (model->shape.flags & MHS_SHAPE_LOCAL_ROPE ? 2 : 1))
		abort();
	for (uint32_t i = 0; i < MHS_IMAGE_LAYER_MAX / 64; i++)
		windows |= model->shape.window_layers[i];
	if ((model->shape.window == 0) != (windows == 0))
		abort();
	for (uint32_t i = 0; i < model->inv_freq_count; i++)
		if (!isfinite(model->inv_freq[i]))
			abort();
	if (model->eos_count > MHS_IMAGE_EOS_MAX)
		abort();
	for (uint32_t i = 0; i < model->eos_count; i++)
		if (model->eos_ids[i] >= c->vocab_count)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sto_error error;
	struct sto_model model;
	bool found;
	json_t *root;

	if (sto_json_parse("fuzz", (const char *)data, size, &root, &error))
		return 0;
	sto_model_init(&model);
	if (sto_hf_config(&model, "fuzz", root, &error) == 0 &&
	    sto_hf_eos(&model, "fuzz", root, &found, &error) == 0)
		check(&model);
	sto_model_fini(&model);
	json_decref(root);
	return 0;
}
