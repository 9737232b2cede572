/* SPDX-License-Identifier: MIT */
/* sto_family.c: the families, and the places that their tensors take in an image. */
#include "sto_family.h"

#include <stdio.h>
#include <string.h>

#include "mhs_attach.h"

const struct sto_family *const sto_families[] = {
	&sto_family_llama,
	&sto_family_mistral,
	&sto_family_qwen2,
	&sto_family_qwen3,
	&sto_family_gpt2,
	&sto_family_gemma2,
	&sto_family_gemma3,
	&sto_family_phi3,
	&sto_family_smollm3,
	&sto_family_qwen3_moe,
	&sto_family_mixtral,
};
const uint32_t sto_family_count = sizeof(sto_families) / sizeof(sto_families[0]);

const struct sto_family *sto_family_of_arch(uint32_t arch)
{
	for (uint32_t i = 0; i < sto_family_count; i++)
		if (sto_families[i]->arch == arch)
			return sto_families[i];
	return NULL;
}

const char *sto_family_list(size_t what, char *text, size_t bytes)
{
	size_t n = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < sto_family_count && n < bytes; i++) {
		const char *name = *(const char *const *)((const char *)sto_families[i] + what);

		if (name)
			n += (size_t)snprintf(text + n, bytes - n, "%s%s", n ? ", " : "", name);
	}
	return text;
}

/* ---- slots ------------------------------------------------------------------------------- */

#define LAYER(role, name_gguf, name_hf, when, unless) \
	{ role, when, unless, true, false, "blk.%u." name_gguf ".weight", "model.layers.%u." name_hf ".weight", \
	  STO_ANY_LAYER, NULL }
#define DENSE(role, name_gguf, name_hf, unless) \
	{ role, 0, unless, true, false, "blk.%u." name_gguf ".weight", "model.layers.%u." name_hf ".weight", \
	  STO_DENSE_LAYER, NULL }
#define EXPERT(role, name_gguf, name_hf, stacked) \
	{ role, 0, 0, true, false, "blk.%u." name_gguf ".weight", "model.layers.%u." name_hf ".weight", \
	  STO_EXPERT_LAYER, stacked }
#define STACK	"model.layers.%u.mlp.experts."
#define NORM(role, name_gguf, name_hf, when) \
	{ role, when, 0, true, true, "blk.%u." name_gguf ".weight", "model.layers.%u." name_hf ".weight", \
	  STO_ANY_LAYER, NULL }
#define BIAS(role, name_gguf, name_hf, when, unless) \
	{ role, when, unless, true, true, "blk.%u." name_gguf ".bias", "model.layers.%u." name_hf ".bias", \
	  STO_ANY_LAYER, NULL }

/* In the order in which a forward pass reads them, so that an image reads front to back. */
const struct sto_slot sto_slots[] = {
	{ MHS_ROLE_EMBED, 0, 0, false, false, "token_embd.weight", "model.embed_tokens.weight", 0, NULL },
	{ MHS_ROLE_POSITIONS, MHS_SHAPE_POSITIONS, 0, false, false, "position_embd.weight", "", 0, NULL },
	NORM(MHS_ROLE_ATTN_NORM, "attn_norm", "input_layernorm", 0),
	BIAS(MHS_ROLE_ATTN_NORM_BIAS, "attn_norm", "input_layernorm", MHS_SHAPE_LAYER_NORM, 0),
	LAYER(MHS_ROLE_ATTN_Q, "attn_q", "self_attn.q_proj", 0, 0),
	LAYER(MHS_ROLE_ATTN_K, "attn_k", "self_attn.k_proj", 0, 0),
	LAYER(MHS_ROLE_ATTN_V, "attn_v", "self_attn.v_proj", 0, 0),
	BIAS(MHS_ROLE_ATTN_Q_BIAS, "attn_q", "self_attn.q_proj", MHS_SHAPE_QKV_BIAS, 0),
	BIAS(MHS_ROLE_ATTN_K_BIAS, "attn_k", "self_attn.k_proj", MHS_SHAPE_QKV_BIAS, 0),
	BIAS(MHS_ROLE_ATTN_V_BIAS, "attn_v", "self_attn.v_proj", MHS_SHAPE_QKV_BIAS, 0),
	NORM(MHS_ROLE_ATTN_Q_NORM, "attn_q_norm", "self_attn.q_norm", MHS_SHAPE_QK_NORM),
	NORM(MHS_ROLE_ATTN_K_NORM, "attn_k_norm", "self_attn.k_norm", MHS_SHAPE_QK_NORM),
	LAYER(MHS_ROLE_ATTN_O, "attn_output", "self_attn.o_proj", 0, 0),
	BIAS(MHS_ROLE_ATTN_O_BIAS, "attn_output", "self_attn.o_proj", MHS_SHAPE_O_BIAS, 0),
	NORM(MHS_ROLE_ATTN_POST_NORM, "post_attention_norm", "post_attention_layernorm", MHS_SHAPE_POST_NORMS),
	NORM(MHS_ROLE_FFN_NORM, "ffn_norm", "post_attention_layernorm", 0),
	BIAS(MHS_ROLE_FFN_NORM_BIAS, "ffn_norm", "post_attention_layernorm", MHS_SHAPE_LAYER_NORM, 0),
	DENSE(MHS_ROLE_FFN_GATE, "ffn_gate", "mlp.gate_proj", MHS_SHAPE_PLAIN_FFN),
	DENSE(MHS_ROLE_FFN_UP, "ffn_up", "mlp.up_proj", 0),
	BIAS(MHS_ROLE_FFN_GATE_BIAS, "ffn_gate", "mlp.gate_proj", MHS_SHAPE_FFN_BIAS, MHS_SHAPE_PLAIN_FFN),
	BIAS(MHS_ROLE_FFN_UP_BIAS, "ffn_up", "mlp.up_proj", MHS_SHAPE_FFN_BIAS, 0),
	DENSE(MHS_ROLE_FFN_DOWN, "ffn_down", "mlp.down_proj", 0),
	BIAS(MHS_ROLE_FFN_DOWN_BIAS, "ffn_down", "mlp.down_proj", MHS_SHAPE_FFN_BIAS, 0),
	EXPERT(MHS_ROLE_EXPERT_ROUTER, "ffn_gate_inp", "mlp.gate", NULL),
	EXPERT(MHS_ROLE_EXPERT_GATE, "ffn_gate_exps", "mlp.experts.%u.gate_proj", STACK "gate_up_proj"),
	EXPERT(MHS_ROLE_EXPERT_UP, "ffn_up_exps", "mlp.experts.%u.up_proj", STACK "gate_up_proj"),
	EXPERT(MHS_ROLE_EXPERT_DOWN, "ffn_down_exps", "mlp.experts.%u.down_proj", STACK "down_proj"),
	NORM(MHS_ROLE_FFN_POST_NORM, "post_ffw_norm", "post_feedforward_layernorm", MHS_SHAPE_POST_NORMS),
	{ MHS_ROLE_OUTPUT_NORM, 0, 0, false, true, "output_norm.weight", "model.norm.weight", 0, NULL },
	{ MHS_ROLE_OUTPUT_NORM_BIAS, MHS_SHAPE_LAYER_NORM, 0, false, true, "output_norm.bias",
	  "model.norm.bias", 0, NULL },
	{ MHS_ROLE_OUTPUT, 0, 0, false, false, "output.weight", "lm_head.weight", 0, NULL },
};
const uint32_t sto_slot_count = sizeof(sto_slots) / sizeof(sto_slots[0]);

bool sto_slot_present(const struct sto_slot *slot, const struct mhs_image_shape *shape)
{
	return !(slot->when & ~shape->flags) && !(slot->unless & shape->flags);
}

bool sto_slot_in_layer(const struct sto_slot *slot, const struct mhs_image_experts *experts, uint32_t layer)
{
	return slot->in == STO_ANY_LAYER || (slot->in == STO_EXPERT_LAYER) == mhs_experts_in(experts, layer);
}

bool sto_slot_is_stacked(const struct sto_slot *slot)
{
	return slot->in == STO_EXPERT_LAYER && slot->role != MHS_ROLE_EXPERT_ROUTER;
}

struct sto_name sto_slot_name(const struct sto_slot *slot, const struct sto_family *family)
{
	struct sto_name name = { slot->role, slot->gguf, slot->hf, 0 };
	const struct sto_name *own = family->names;

	while (own && own->role && own->role != slot->role)
		own++;
	if (!own || !own->role)
		return name;
	name.gguf = own->gguf ? own->gguf : name.gguf;
	name.hf = own->hf ? own->hf : name.hf;
	name.how = own->how;
	return name;
}

/* Outputs and inputs of a matrix; of a bias the outputs of its matrix. */
static uint64_t outputs_of(uint32_t role, const struct mhs_image_config *c)
{
	switch (role) {
	case MHS_ROLE_EMBED:
	case MHS_ROLE_OUTPUT:
		return c->vocab_count;
	case MHS_ROLE_POSITIONS:
		return c->context_max;
	case MHS_ROLE_ATTN_Q:
	case MHS_ROLE_ATTN_Q_BIAS:
		return (uint64_t)c->head_count * c->head_dim;
	case MHS_ROLE_ATTN_K:
	case MHS_ROLE_ATTN_V:
	case MHS_ROLE_ATTN_K_BIAS:
	case MHS_ROLE_ATTN_V_BIAS:
		return (uint64_t)c->kv_head_count * c->head_dim;
	case MHS_ROLE_FFN_GATE:
	case MHS_ROLE_FFN_UP:
	case MHS_ROLE_FFN_GATE_BIAS:
	case MHS_ROLE_FFN_UP_BIAS:
		return c->intermediate;
	case MHS_ROLE_ATTN_Q_NORM:
	case MHS_ROLE_ATTN_K_NORM:
		return c->head_dim;
	default:
		return c->hidden;
	}
}

static uint64_t inputs_of(uint32_t role, const struct mhs_image_config *c)
{
	if (role == MHS_ROLE_ATTN_O)
		return (uint64_t)c->head_count * c->head_dim;
	return role == MHS_ROLE_FFN_DOWN ? c->intermediate : c->hidden;
}

static void expert_shape(uint32_t role, const struct sto_model *model, uint64_t *rows, uint64_t *cols)
{
	const struct mhs_image_experts *x = &model->experts;
	bool down = role == MHS_ROLE_EXPERT_DOWN;

	*rows = x->count;
	*cols = down ? x->intermediate : model->config.hidden;
	if (role != MHS_ROLE_EXPERT_ROUTER)
		*rows *= down ? model->config.hidden : x->intermediate;
}

void sto_slot_shape(const struct sto_slot *slot, const struct sto_model *model, uint64_t *rows, uint64_t *cols)
{
	const struct mhs_image_config *config = &model->config;
	uint64_t outputs = outputs_of(slot->role, config);

	if (slot->in == STO_EXPERT_LAYER) {
		expert_shape(slot->role, model, rows, cols);
		return;
	}
	*rows = slot->vector ? 1 : outputs;
	*cols = slot->vector ? outputs : inputs_of(slot->role, config);
}

void sto_slot_fused(const struct sto_slot *slot, const struct mhs_image_config *config, uint64_t *first,
		    uint64_t *total)
{
	static const uint32_t groups[][4] = {
		{ MHS_ROLE_ATTN_Q, MHS_ROLE_ATTN_K, MHS_ROLE_ATTN_V },
		{ MHS_ROLE_ATTN_Q_BIAS, MHS_ROLE_ATTN_K_BIAS, MHS_ROLE_ATTN_V_BIAS },
		{ MHS_ROLE_FFN_GATE, MHS_ROLE_FFN_UP },
	};

	*first = *total = 0;
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]) && !*total; g++) {
		uint64_t at = 0;
		bool found = false;

		for (const uint32_t *role = groups[g]; *role; role++) {
			if (*role == slot->role) {
				*first = at;
				found = true;
			}
			at += outputs_of(*role, config);
		}
		*total = found ? at : 0;
	}
}

/* ---- layers ------------------------------------------------------------------------------ */

void sto_model_set_windows(struct sto_model *model, uint32_t window, uint32_t from, uint32_t every)
{
	struct mhs_image_shape *s = &model->shape;
	bool local = s->flags & MHS_SHAPE_LOCAL_ROPE, any = false;

	memset(s->window_layers, 0, sizeof(s->window_layers));
	s->window = 0;
	if (!window || (window >= model->config.context_max && !local))
		return;
	for (uint32_t i = from; i < model->config.layer_count && i < MHS_IMAGE_LAYER_MAX; i++) {
		if (every && (i + 1) % every == 0)
			continue;
		s->window_layers[i / 64] |= UINT64_C(1) << i % 64;
		any = true;
	}
	s->window = any ? window : 0;
}

void sto_model_set_experts(struct sto_model *model, uint32_t count, uint32_t used, uint32_t intermediate,
			   uint32_t flags)
{
	struct mhs_image_experts *x = &model->experts;

	*x = (struct mhs_image_experts){ count, used, intermediate, flags, { 0 } };
	for (uint32_t i = 0; i < model->config.layer_count && i < MHS_IMAGE_LAYER_MAX; i++)
		x->layers[i / 64] |= UINT64_C(1) << i % 64;
}
