/* SPDX-License-Identifier: MIT */
/* fam_qwen3_moe.c: Qwen3-MoE (Yang et al. 2025): a Qwen3 in which some layers, or all, are mixtures of experts. */
#include <string.h>

#include "import_gguf_priv.h"
#include "mhs_attach.h"
#include "sto_hf_priv.h"

static bool is_listed(const json_t *list, uint32_t layer)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
		if (json_integer_value(entry) == layer)
			return true;
	return false;
}

/* Each @step-th layer has experts, but for those of mlp_only_layers. */
static int layers_read(const struct sto_hf *h)
{
	const json_t *only = sto_json_get(h->json, "mlp_only_layers"), *entry;
	struct mhs_image_experts *x = &h->model->experts;
	uint32_t step, any = 0;
	size_t i;
	int err = hf_u32_or(h, "decoder_sparse_step", 1, &step);

	if (err)
		return err;
	if (!step)
		return hf_unsupported(h->json, "decoder_sparse_step", "0", "1 and up");
	if (only && !json_is_array(only))
		return hf_unsupported(h->json, "mlp_only_layers", "no list", "numbers of layers");
	json_array_foreach(only, i, entry)
		if (!json_is_integer(entry))
			return hf_unsupported(h->json, "mlp_only_layers", "no list of numbers", "numbers of layers");
	for (uint32_t layer = 0; layer < h->model->config.layer_count && layer < MHS_IMAGE_LAYER_MAX; layer++) {
		if ((layer + 1) % step || is_listed(only, layer))
			x->layers[layer / 64] &= ~(UINT64_C(1) << layer % 64);
		any |= mhs_experts_in(x, layer);
	}
	if (!any || !x->count)
		memset(x, 0, sizeof(*x));
	return 0;
}

/* transformers writes the number under either name. */
static int experts_read(const struct sto_hf *h)
{
	struct mhs_image_experts *x = &h->model->experts;
	const char *count = sto_json_get(h->json, "num_experts") ? "num_experts" : "num_local_experts";
	bool normed = false;
	int err;

	sto_model_set_experts(h->model, 128, 8, 768, 0);
	err = hf_maybe(sto_json_u32(h->json, count, &x->count));
	if (!err)
		err = hf_maybe(sto_json_u32(h->json, "num_experts_per_tok", &x->used));
	if (!err)
		err = hf_maybe(sto_json_u32(h->json, "moe_intermediate_size", &x->intermediate));
	if (!err)
		err = hf_maybe(sto_json_bool(h->json, "norm_topk_prob", &normed));
	x->flags = normed ? MHS_EXPERTS_NORMED : 0;
	if (!err)
		err = layers_read(h);
	return err || !x->count ? err : sto_model_check_experts(h->model, h->json->shown, count,
								"num_experts_per_tok", "moe_intermediate_size",
								h->json->error);
}

static int hf(struct sto_hf *h)
{
	bool used = false;
	uint32_t window = 0;
	int err = hf_rope(h);

	h->model->shape.flags |= MHS_SHAPE_QK_NORM;
	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
	if (!err)
		err = hf_flag_if(h, "attention_bias", MHS_SHAPE_QKV_BIAS | MHS_SHAPE_O_BIAS);
	if (!err)
		err = hf_maybe(sto_json_bool(h->json, "use_sliding_window", &used));
	if (!err)
		err = hf_u32_or(h, "sliding_window", 4096, &window);
	sto_model_set_windows(h->model, used ? window : 0, 0, 0);
	return err ? err : experts_read(h);
}

static int gguf(struct gguf_config *g)
{
	g->model->shape.flags |= MHS_SHAPE_QK_NORM;
	return gguf_experts(g);
}

const struct sto_family sto_family_qwen3_moe = {
	.arch = MHS_ARCH_QWEN3_MOE, .hf_class = "Qwen3MoeForCausalLM", .hf_type = "qwen3_moe", .gguf = "qwen3moe",
	.gguf_experts = true, .defaults = { .context_max = 32768, .kv_heads = 4, .rms_eps = 1e-6f,
					    .rope_base = 10000 },
	.hf = hf, .gguf_read = gguf,
};
