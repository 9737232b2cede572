/* SPDX-License-Identifier: MIT */
/* fam_llama.c: Llama 1 to 3 (Touvron et al. 2023, Grattafiori et al. 2024), SmolLM and others of its class. */
#include "import_gguf_priv.h"
#include "sto_hf_priv.h"

static int hf(struct sto_hf *h)
{
	int err = hf_rope(h);

	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
	if (!err)
		err = hf_flag_if(h, "attention_bias", MHS_SHAPE_QKV_BIAS | MHS_SHAPE_O_BIAS);
	if (!err)
		err = hf_flag_if(h, "mlp_bias", MHS_SHAPE_FFN_BIAS);
	return err ? err : hf_no_window(h);
}

static int gguf(struct gguf_config *g)
{
	int err = gguf_demand_u32(g, "attention.sliding_window", 0);

	return err ? err : gguf_experts(g);	/* as Mixtral's files have */
}

const struct sto_family sto_family_llama = {
	.arch = MHS_ARCH_LLAMA, .hf_class = "LlamaForCausalLM", .hf_type = "llama", .gguf = "llama",
	.defaults = { .context_max = 2048, .rms_eps = 1e-6f, .rope_base = 10000 },
	.gguf_pairs = true, .gguf_experts = true,
	.peft_targets = { "q_proj", "v_proj" }, .hf = hf, .gguf_read = gguf,
};
