/* SPDX-License-Identifier: MIT */
/* fam_mistral.c: Mistral (Jiang et al. 2023): a Llama with a window on every layer. Its GGUF files are Llamas. */
#include "sto_hf_priv.h"

static int hf(struct sto_hf *h)
{
	uint32_t window;
	int err = hf_rope(h);

	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
	if (!err)
		err = hf_u32_or(h, "sliding_window", 4096, &window);
	return err ? err : hf_windows(h, window, 0, 0);
}

const struct sto_family sto_family_mistral = {
	.arch = MHS_ARCH_MISTRAL, .hf_class = "MistralForCausalLM", .hf_type = "mistral",
	.defaults = { .context_max = 131072, .kv_heads = 8, .rms_eps = 1e-6f, .rope_base = 10000 },
	.peft_targets = { "q_proj", "v_proj" }, .hf = hf,
};
