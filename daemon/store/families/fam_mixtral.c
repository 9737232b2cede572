/* SPDX-License-Identifier: MIT */
/* fam_mixtral.c: Mixtral (Jiang et al. 2024): a Mistral whose layers are mixtures of experts. Its GGUF files are Llamas. */
#include "sto_hf_priv.h"

#define MOE	"model.layers.%u.block_sparse_moe."

static const struct sto_name names[] = {
	{ MHS_ROLE_EXPERT_ROUTER, NULL, MOE "gate.weight", 0 },
	{ MHS_ROLE_EXPERT_GATE, NULL, MOE "experts.%u.w1.weight", 0 },
	{ MHS_ROLE_EXPERT_UP, NULL, MOE "experts.%u.w3.weight", 0 },
	{ MHS_ROLE_EXPERT_DOWN, NULL, MOE "experts.%u.w2.weight", 0 },
	{ 0, NULL, NULL, 0 },
};

static int hf(struct sto_hf *h)
{
	struct sto_model *model = h->model;
	uint32_t window = 0;
	int err = hf_rope(h);

	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
	if (!err)
		err = hf_u32_or(h, "sliding_window", 0, &window);
	sto_model_set_windows(model, window, 0, 0);
	sto_model_set_experts(model, 8, 2, model->config.intermediate, MHS_EXPERTS_NORMED);
	if (!err)
		err = hf_maybe(sto_json_u32(h->json, "num_local_experts", &model->experts.count));
	if (!err)
		err = hf_maybe(sto_json_u32(h->json, "num_experts_per_tok", &model->experts.used));
	return err ? err : sto_model_check_experts(model, h->json->shown, "num_local_experts",
						   "num_experts_per_tok", "intermediate_size", h->json->error);
}

const struct sto_family sto_family_mixtral = {
	.arch = MHS_ARCH_MIXTRAL, .hf_class = "MixtralForCausalLM", .hf_type = "mixtral", .names = names,
	.defaults = { .context_max = 131072, .kv_heads = 8, .rms_eps = 1e-5f, .rope_base = 1000000 },
	.peft_targets = { "q_proj", "v_proj" }, .hf = hf,
};
