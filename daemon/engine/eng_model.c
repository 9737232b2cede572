/* SPDX-License-Identifier: MIT */
/* eng_model.c: does a model fit together, and how large are its KV pages. */
#include "eng_kernels.h"
#include "eng_model.h"

#include <errno.h>
#include <math.h>

#define LAYERS_MAX	512u
#define WIDTH_MAX	(1u << 18)	/* hidden, intermediate, heads * head_dim */
#define HEAD_DIM_MAX	256u
#define VOCAB_MAX	(1u << 20)
#define CONTEXT_MAX	(1u << 20)	/* positions stay exact in a float */
#define EXPERTS_MAX	1024u
#define EXPERTS_USED_MAX	64u

/* One line of a table of checks: what must hold, and the field to name when it does not. */
struct check {
	bool ok;
	const char *field;
};

static int check_all(const struct check *checks, size_t count, const char **field)
{
	for (size_t i = 0; i < count; i++)
		if (!checks[i].ok) {
			*field = checks[i].field;
			return -EINVAL;
		}
	return 0;
}

static bool in_range(uint32_t value, uint32_t max)
{
	return value >= 1 && value <= max;
}

/* A panel has rows of one expert alone. */
static bool experts_fit(const struct eng_config *c)
{
	if (!c->expert_count)
		return true;
	return c->expert_count <= EXPERTS_MAX && in_range(c->expert_used, EXPERTS_USED_MAX) &&
	       c->expert_used <= c->expert_count && in_range(c->expert_intermediate, WIDTH_MAX) &&
	       c->expert_intermediate % ENG_PANEL_ROWS == 0 && c->hidden % ENG_PANEL_ROWS == 0 && !c->plain_ffn;
}

static int check_config(const struct eng_config *c, const char **field)
{
	uint64_t width = (uint64_t)c->head_count * c->head_dim;
	const struct check checks[] = {
		{ in_range(c->layer_count, LAYERS_MAX), "layer_count" },
		{ in_range(c->hidden, WIDTH_MAX), "hidden" },
		{ in_range(c->intermediate, WIDTH_MAX), "intermediate" },
		{ in_range(c->head_dim, HEAD_DIM_MAX) && c->head_dim % 2 == 0, "head_dim" },
		{ c->head_count >= 1 && width <= WIDTH_MAX, "head_count" },
		{ c->kv_head_count >= 1 && c->kv_head_count <= c->head_count &&
		  c->head_count % c->kv_head_count == 0, "kv_head_count" },
		{ in_range(c->vocab_count, VOCAB_MAX), "vocab_count" },
		{ in_range(c->context_max, CONTEXT_MAX), "context_max" },
		{ isfinite(c->rms_eps) && c->rms_eps >= 0, "rms_eps" },
		{ isfinite(c->rope_attn_scale), "rope_attn_scale" },
		{ c->rotary_dim <= c->head_dim && c->rotary_dim % 2 == 0, "rotary_dim" },
		{ isfinite(c->embed_scale), "embed_scale" },
		{ isfinite(c->attn_scale), "attn_scale" },
		{ isfinite(c->attn_cap) && c->attn_cap >= 0, "attn_cap" },
		{ isfinite(c->logit_cap) && c->logit_cap >= 0, "logit_cap" },
		{ !c->plain_ffn || c->gelu, "plain_ffn" },
		{ experts_fit(c), "experts" },
	};

	return check_all(checks, sizeof(checks) / sizeof(checks[0]), field);
}

static bool matrix_fits(const struct eng_matrix *m, uint64_t rows, uint64_t cols)
{
	return m->type >= ENG_F32 && m->type < ENG_TYPE_COUNT && m->rows == rows &&
	       m->cols == cols && eng_packed_bytes(m->type, rows, cols) != 0 && m->data &&
	       (uintptr_t)m->data % 64 == 0;
}

static bool is_absent(const struct eng_matrix *m)
{
	return m->type == ENG_NONE && !m->rows && !m->cols;
}

static bool gate_fits(const struct eng_layer *l, const struct eng_config *c)
{
	if (c->plain_ffn)
		return is_absent(&l->gate) && !l->gate_bias;
	return matrix_fits(&l->gate, c->intermediate, c->hidden);
}

static int check_experts(const struct eng_layer *l, const struct eng_config *c, const char **field)
{
	uint64_t inner = (uint64_t)c->expert_count * c->expert_intermediate;
	uint64_t outer = (uint64_t)c->expert_count * c->hidden;
	const struct check checks[] = {
		{ l->router.type == ENG_F32 && matrix_fits(&l->router, c->expert_count, c->hidden), "expert_router" },
		{ matrix_fits(&l->expert_gate, inner, c->hidden), "expert_gate" },
		{ matrix_fits(&l->expert_up, inner, c->hidden), "expert_up" },
		{ matrix_fits(&l->expert_down, outer, c->expert_intermediate), "expert_down" },
		{ is_absent(&l->gate) && is_absent(&l->up) && is_absent(&l->down), "ffn_up" },
		{ !l->gate_bias && !l->up_bias && !l->down_bias && !l->ffn_post_norm, "ffn_up bias" },
	};

	return check_all(checks, sizeof(checks) / sizeof(checks[0]), field);
}

static int check_feed_forward(const struct eng_layer *l, const struct eng_config *c, const char **field)
{
	const struct check checks[] = {
		{ gate_fits(l, c), "ffn_gate" },
		{ matrix_fits(&l->up, c->intermediate, c->hidden), "ffn_up" },
		{ matrix_fits(&l->down, c->hidden, c->intermediate), "ffn_down" },
	};

	if (!is_absent(&l->router))
		return check_experts(l, c, field);
	return check_all(checks, sizeof(checks) / sizeof(checks[0]), field);
}

static int check_layer(const struct eng_layer *l, const struct eng_config *c, const char **field)
{
	uint32_t q_rows = c->head_count * c->head_dim;
	uint32_t kv_rows = c->kv_head_count * c->head_dim;
	const struct check checks[] = {
		{ l->attn_norm, "attn_norm" },
		{ l->ffn_norm, "ffn_norm" },
		{ matrix_fits(&l->q, q_rows, c->hidden), "attn_q" },
		{ matrix_fits(&l->k, kv_rows, c->hidden), "attn_k" },
		{ matrix_fits(&l->v, kv_rows, c->hidden), "attn_v" },
		{ matrix_fits(&l->o, c->hidden, q_rows), "attn_o" },
	};
	int ret = check_all(checks, sizeof(checks) / sizeof(checks[0]), field);

	return ret ? ret : check_feed_forward(l, c, field);
}

static bool all_finite(const float *x, uint32_t count)
{
	if (!x)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

static bool rotates(const struct eng_model *model, const float *inv_freq)
{
	return all_finite(inv_freq, eng_rotary_dim(&model->config) / 2);
}

int eng_model_check(const struct eng_model *model, const char **field)
{
	const struct eng_config *c = &model->config;
	int ret = check_config(c, field);

	if (ret)
		return ret;
	const struct check checks[] = {
		{ is_absent(&model->positions) ? rotates(model, model->inv_freq) : !model->inv_freq,
		  "inv_freq" },
		{ !model->local_inv_freq || rotates(model, model->local_inv_freq), "local_inv_freq" },
		{ is_absent(&model->positions) ||
		  matrix_fits(&model->positions, c->context_max, c->hidden), "positions" },
		{ model->output_norm, "output_norm" },
		{ matrix_fits(&model->embed, c->vocab_count, c->hidden), "embed" },
		{ matrix_fits(&model->output, c->vocab_count, c->hidden), "output" },
		{ model->layers, "layers" },
	};

	ret = check_all(checks, sizeof(checks) / sizeof(checks[0]), field);
	for (uint32_t i = 0; i < c->layer_count && !ret; i++) {
		if (model->layers[i].local_rope && !model->local_inv_freq) {
			*field = "local_inv_freq";
			return -EINVAL;
		}
		ret = check_layer(&model->layers[i], c, field);
	}
	return ret;
}

size_t eng_kv_page_bytes(const struct eng_config *c)
{
	return (size_t)c->layer_count * c->kv_head_count * 2 *
	       eng_kv_plane_bytes(c->kv_f32, c->head_dim);
}
