/* SPDX-License-Identifier: MIT */
/*
 * fam_gpt2.c: GPT-2 (Radford et al. 2019): LayerNorm, learned positions, biases everywhere, GELU
 * without a gate. transformers keeps its matrices transposed and q, k and v in one.
 */
#include "import_gguf_priv.h"
#include "sto_hf_priv.h"

#define FLAGS	(MHS_SHAPE_GELU | MHS_SHAPE_PLAIN_FFN | MHS_SHAPE_POSITIONS | MHS_SHAPE_LAYER_NORM | \
		 MHS_SHAPE_QKV_BIAS | MHS_SHAPE_O_BIAS | MHS_SHAPE_FFN_BIAS)
#define H	"transformer.h.%u."

static const struct sto_name names[] = {
	{ MHS_ROLE_EMBED, NULL, "transformer.wte.weight", 0 },
	{ MHS_ROLE_POSITIONS, NULL, "transformer.wpe.weight", 0 },
	{ MHS_ROLE_ATTN_NORM, NULL, H "ln_1.weight", 0 },
	{ MHS_ROLE_ATTN_NORM_BIAS, NULL, H "ln_1.bias", 0 },
	{ MHS_ROLE_ATTN_Q, "blk.%u.attn_qkv.weight", H "attn.c_attn.weight", STO_FUSED | STO_TRANSPOSED },
	{ MHS_ROLE_ATTN_K, "blk.%u.attn_qkv.weight", H "attn.c_attn.weight", STO_FUSED | STO_TRANSPOSED },
	{ MHS_ROLE_ATTN_V, "blk.%u.attn_qkv.weight", H "attn.c_attn.weight", STO_FUSED | STO_TRANSPOSED },
	{ MHS_ROLE_ATTN_Q_BIAS, "blk.%u.attn_qkv.bias", H "attn.c_attn.bias", STO_FUSED },
	{ MHS_ROLE_ATTN_K_BIAS, "blk.%u.attn_qkv.bias", H "attn.c_attn.bias", STO_FUSED },
	{ MHS_ROLE_ATTN_V_BIAS, "blk.%u.attn_qkv.bias", H "attn.c_attn.bias", STO_FUSED },
	{ MHS_ROLE_ATTN_O, NULL, H "attn.c_proj.weight", STO_TRANSPOSED },
	{ MHS_ROLE_ATTN_O_BIAS, NULL, H "attn.c_proj.bias", 0 },
	{ MHS_ROLE_FFN_NORM, NULL, H "ln_2.weight", 0 },
	{ MHS_ROLE_FFN_NORM_BIAS, NULL, H "ln_2.bias", 0 },
	{ MHS_ROLE_FFN_UP, NULL, H "mlp.c_fc.weight", STO_TRANSPOSED },
	{ MHS_ROLE_FFN_UP_BIAS, NULL, H "mlp.c_fc.bias", 0 },
	{ MHS_ROLE_FFN_DOWN, NULL, H "mlp.c_proj.weight", STO_TRANSPOSED },
	{ MHS_ROLE_FFN_DOWN_BIAS, NULL, H "mlp.c_proj.bias", 0 },
	{ MHS_ROLE_OUTPUT_NORM, NULL, "transformer.ln_f.weight", 0 },
	{ MHS_ROLE_OUTPUT_NORM_BIAS, NULL, "transformer.ln_f.bias", 0 },
	{ 0, NULL, NULL, 0 },
};

static const struct sto_config_names keys = {
	.layer_count = "n_layer", .hidden = "n_embd", .intermediate = "n_inner", .head_count = "n_head",
	.vocab_count = "vocab_size", .context_max = "n_positions", .rms_eps = "layer_norm_epsilon",
	.kv_head_count = NULL, .head_dim = NULL, .rope_base = NULL,
};

static int hf(struct sto_hf *h)
{
	bool scaled = true;
	int err = hf_activation(h, "activation_function", "gelu_new", "gelu_pytorch_tanh");

	h->model->shape.flags |= FLAGS;
	if (!err)
		err = hf_check_false(h, "scale_attn_by_inverse_layer_idx");
	if (!err)
		err = hf_check_false(h, "add_cross_attention");
	if (!err)
		err = hf_maybe(sto_json_bool(h->json, "scale_attn_weights", &scaled));
	if (!scaled)
		h->model->shape.attn_scale = 1;
	return err;
}

static int gguf(struct gguf_config *g)
{
	g->model->shape.flags |= FLAGS;
	return 0;
}

const struct sto_family sto_family_gpt2 = {
	.arch = MHS_ARCH_GPT2, .hf_class = "GPT2LMHeadModel", .hf_type = "gpt2", .gguf = "gpt2",
	.hf_keys = &keys, .gguf_eps = "attention.layer_norm_epsilon", .names = names,
	.defaults = { .context_max = 1024, .rms_eps = 1e-5f, .rope_base = 10000, .tied = true },
	.hf_prefix = "transformer.", .hf_buffers = ".attn.bias\0.attn.masked_bias\0",
	.fan_in_fan_out = true, .peft_targets = { "c_attn", NULL }, .hf = hf, .gguf_read = gguf,
};
