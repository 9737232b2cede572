/* SPDX-License-Identifier: MIT */
/* sto_model.c: the checked description of a model between importer and image writer. */
#include "sto_family.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void sto_model_init(struct sto_model *model)
{
	memset(model, 0, sizeof(*model));
	model->bos_id = UINT32_MAX;
	model->config.rope_attn_scale = 1.0f;
}

void sto_model_fini(struct sto_model *model)
{
	for (uint32_t i = 0; i < model->file_count; i++)
		sto_file_close(&model->files[i]);
	free(model->files);
	free(model->inv_freq);
	free(model->tokenizer);
	free(model->chat_template);
	for (uint32_t i = 0; model->tensors && i < model->tensor_count; i++)
		free(model->tensors[i].pieces);
	free(model->tensors);
	json_decref(model->merge);
	if (model->origin)
		model->origin->free(model->origin);
	memset(model, 0, sizeof(*model));
}

int sto_model_add_file(struct sto_model *model, int dir_fd, const char *name, const char *shown,
		       uint32_t *index, struct sto_error *error)
{
	struct sto_file *files;
	int err;

	if (model->file_count == STO_FILE_MAX) {
		sto_fail(error, "%s: too many files, limit %u; merge the shards", shown,
			 STO_FILE_MAX);
		return -EMFILE;
	}
	files = realloc(model->files, (model->file_count + 1) * sizeof(*files));
	if (!files) {
		sto_fail(error, "%s: out of memory; free some", shown);
		return -ENOMEM;
	}
	model->files = files;
	err = sto_file_open(&files[model->file_count], dir_fd, name, shown, error);
	if (err)
		return err;
	*index = model->file_count++;
	return 0;
}

int sto_model_add_eos(struct sto_model *model, const char *shown, const char *field, uint64_t id,
		      struct sto_error *error)
{
	if (id >= model->config.vocab_count) {
		sto_fail(error,
			 "%s: %s: token %llu is past the vocabulary, limit %u; correct the file",
			 shown, field, (unsigned long long)id, model->config.vocab_count - 1);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < model->eos_count; i++)
		if (model->eos_ids[i] == id)
			return 0;
	if (model->eos_count == MHS_IMAGE_EOS_MAX) {
		sto_fail(error, "%s: %s: too many end tokens, limit %u; shorten the list", shown,
			 field, MHS_IMAGE_EOS_MAX);
		return -EINVAL;
	}
	model->eos_ids[model->eos_count++] = (uint32_t)id;
	return 0;
}

int sto_model_set_template(struct sto_model *model, const char *shown, const char *field,
			   const char *text, size_t bytes, struct sto_error *error)
{
	if (bytes > STO_TEMPLATE_MAX) {
		sto_fail(error, "%s: %s: %zu bytes, limit %u; shorten the template", shown, field,
			 bytes, STO_TEMPLATE_MAX);
		return -EFBIG;
	}
	if (!sto_utf8_valid(text, bytes, true)) {
		sto_fail(error,
			 "%s: %s: not clean text, limit UTF-8 without control characters; correct "
			 "the template",
			 shown, field);
		return -EINVAL;
	}
	if (bytes == 0)
		return 0;
	free(model->chat_template);
	model->chat_template = malloc(bytes);
	if (!model->chat_template) {
		sto_fail(error, "%s: out of memory; free some", shown);
		return -ENOMEM;
	}
	memcpy(model->chat_template, text, bytes);
	model->chat_template_bytes = bytes;
	return 0;
}

/* ---- configuration ----------------------------------------------------------------------- */

#define HIDDEN_MAX	(1u << 20)
#define HEAD_MAX	4096u
#define HEAD_DIM_MAX	4096u
#define VOCAB_MAX	(1u << 24)
#define CONTEXT_MAX	(1u << 24)
#define ROPE_BASE_MAX	1e12f

static int check_range(const char *shown, const char *field, uint32_t value, uint32_t high,
		       struct sto_error *error)
{
	if (value >= 1 && value <= high)
		return 0;
	sto_fail(error, "%s: %s: is %u, limit 1..%u; correct the model's configuration", shown,
		 field, value, high);
	return -EINVAL;
}

static int check_heads(const struct mhs_image_config *c, const char *shown,
		       const struct sto_config_names *names, struct sto_error *error)
{
	if (c->head_count % c->kv_head_count) {
		sto_fail(error,
			 "%s: %s: is %u, limit a divisor of %s = %u; correct the model's "
			 "configuration",
			 shown, names->kv_head_count, c->kv_head_count, names->head_count,
			 c->head_count);
		return -EINVAL;
	}
	if (c->head_dim % 2) {
		sto_fail(error,
			 "%s: %s: is %u, limit an even number (rotary pairs); correct the model's "
			 "configuration",
			 shown, names->head_dim, c->head_dim);
		return -EINVAL;
	}
	return 0;
}

static int check_bases(const struct sto_model *model, const char *shown, const char *name,
		       struct sto_error *error)
{
	const float bases[2] = { model->rope_base, model->local_rope_base };

	for (uint32_t i = 0; i < 2; i++) {
		if (bases[i] >= 1.0f && bases[i] <= ROPE_BASE_MAX)
			continue;
		sto_fail(error, "%s: %s%s: is %g, limit 1..%g; correct the model's configuration",
			 shown, name, i ? " (sliding layers)" : "", (double)bases[i],
			 (double)ROPE_BASE_MAX);
		return -EINVAL;
	}
	return 0;
}

static int check_floats(const struct sto_model *model, const char *shown,
			const struct sto_config_names *names, struct sto_error *error)
{
	if (!(model->config.rms_eps > 0.0f && model->config.rms_eps < 1.0f)) {
		sto_fail(error,
			 "%s: %s: is %g, limit above 0 and below 1; correct the model's "
			 "configuration",
			 shown, names->rms_eps, (double)model->config.rms_eps);
		return -EINVAL;
	}
	return names->rope_base ? check_bases(model, shown, names->rope_base, error) : 0;
}

int sto_model_check_config(const struct sto_model *model, const char *shown,
			   const struct sto_config_names *names, struct sto_error *error)
{
	const struct mhs_image_config *c = &model->config;
	const struct {
		const char *name;
		uint32_t value, high;
	} ranges[] = {
		{ names->layer_count, c->layer_count, MHS_IMAGE_LAYER_MAX },
		{ names->hidden, c->hidden, HIDDEN_MAX },
		{ names->intermediate, c->intermediate, HIDDEN_MAX },
		{ names->head_count, c->head_count, HEAD_MAX },
		{ names->kv_head_count, c->kv_head_count, HEAD_MAX },
		{ names->head_dim, c->head_dim, HEAD_DIM_MAX },
		{ names->vocab_count, c->vocab_count, VOCAB_MAX },
		{ names->context_max, c->context_max, CONTEXT_MAX },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (check_range(shown, ranges[i].name, ranges[i].value, ranges[i].high, error))
			return -EINVAL;
	if (check_heads(c, shown, names, error))
		return -EINVAL;
	return check_floats(model, shown, names, error);
}

int sto_model_check_experts(const struct sto_model *model, const char *shown, const char *count,
			    const char *used, const char *intermediate, struct sto_error *error)
{
	const struct mhs_image_experts *x = &model->experts;
	uint32_t most = x->count < MHS_IMAGE_EXPERT_USED_MAX ? x->count : MHS_IMAGE_EXPERT_USED_MAX;

	if (check_range(shown, count, x->count, MHS_IMAGE_EXPERT_MAX, error) ||
	    check_range(shown, used, x->used, most, error) ||
	    check_range(shown, intermediate, x->intermediate, HIDDEN_MAX, error))
		return -EINVAL;
	if (x->intermediate % MHS_IMAGE_EXPERT_ROWS == 0 && model->config.hidden % MHS_IMAGE_EXPERT_ROWS == 0)
		return 0;
	sto_fail(error, "%s: %s: is %u of %u, limit multiples of %u both; this kind of model is not supported",
		 shown, intermediate, x->intermediate, model->config.hidden, MHS_IMAGE_EXPERT_ROWS);
	return -ENOTSUP;
}

int sto_model_reserve(struct sto_model *model, const char *shown, struct sto_error *error)
{
	uint32_t most = sto_slot_count * (model->config.layer_count + 1);

	model->tensors = calloc(most, sizeof(*model->tensors));
	if (model->tensors)
		return 0;
	sto_fail(error, "%s: out of memory; free some", shown);
	return -ENOMEM;
}
