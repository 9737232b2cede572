/* SPDX-License-Identifier: MIT */
/* fam_smollm3.c: SmolLM3 (Bakouch et al. 2025): a Llama in which each fourth layer rotates nothing (NoPE). */
#include "import_gguf_priv.h"
#include "sto_hf_priv.h"

#define STILL_EVERY	4u

static bool list_is(const json_t *list, uint32_t layers, uint32_t every)
{
	for (uint32_t i = 0; i < layers; i++) {
		const json_t *turns = json_array_get(list, i);

		if (!json_is_integer(turns) || json_integer_value(turns) != (!every || (i + 1) % every != 0))
			return false;
	}
	return true;
}

/* A list with 0 for each layer that rotates nothing. Those must be each n-th, the only way that is in use. */
static int list_take(const struct sto_hf *h, const json_t *list)
{
	uint32_t layers = h->model->config.layer_count, every = 0;

	for (uint32_t i = 0; i < layers && !every; i++)
		if (json_integer_value(json_array_get(list, i)) == 0)
			every = i + 1;
	if (!json_is_array(list) || !list_is(list, layers, every))
		return hf_unsupported(h->json, "no_rope_layers", "another list", "0 for each n-th layer, else 1");
	h->model->shape.still_every = every;
	return 0;
}

static int still_read(const struct sto_hf *h)
{
	const json_t *list = sto_json_get(h->json, "no_rope_layers");

	if (list)
		return list_take(h, list);
	return hf_u32_or(h, "no_rope_layer_interval", STILL_EVERY, &h->model->shape.still_every);
}

/* Without layer_types a window would be that of the layers which rotate nothing. */
static int windows_read(const struct sto_hf *h)
{
	bool used = false;
	uint32_t window = 0;
	int err = hf_maybe(sto_json_bool(h->json, "use_sliding_window", &used));

	if (!err)
		err = hf_u32_or(h, "sliding_window", 0, &window);
	if (!err && used && window && !sto_json_get(h->json, "layer_types"))
		return hf_unsupported(h->json, "layer_types", "absent", "a text a layer, as use_sliding_window is true");
	return err ? err : used ? hf_windows(h, window, 0, 0) : 0;
}

static int hf(struct sto_hf *h)
{
	int err = hf_rope(h);

	if (!err)
		err = hf_activation(h, "hidden_act", "silu", "swish");
	if (!err)
		err = hf_flag_if(h, "attention_bias", MHS_SHAPE_QKV_BIAS | MHS_SHAPE_O_BIAS);
	if (!err)
		err = hf_flag_if(h, "mlp_bias", MHS_SHAPE_FFN_BIAS);
	if (!err)
		err = windows_read(h);
	return err ? err : still_read(h);
}

static int gguf(struct gguf_config *g)
{
	g->model->shape.still_every = STILL_EVERY;
	return gguf_demand_u32(g, "attention.sliding_window", 0);
}

const struct sto_family sto_family_smollm3 = {
	.arch = MHS_ARCH_SMOLLM3, .hf_class = "SmolLM3ForCausalLM", .hf_type = "smollm3", .gguf = "smollm3",
	.defaults = { .context_max = 32768, .kv_heads = 4, .rms_eps = 1e-6f, .rope_base = 2000000,
		      .tied = true },
	.gguf_pairs = true, .peft_targets = { "q_proj", "v_proj" }, .hf = hf, .gguf_read = gguf,
};
