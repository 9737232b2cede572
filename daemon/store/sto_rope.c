/* SPDX-License-Identifier: MIT */
/* sto_rope.c: the inverse frequencies of rotary positions. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sto_model.h"

uint32_t sto_model_turns(const struct sto_model *model)
{
	if (model->shape.flags & MHS_SHAPE_POSITIONS)
		return 0;
	return (model->shape.rotary_dim ? model->shape.rotary_dim : model->config.head_dim) / 2;
}

void sto_rope_fini(struct sto_rope *rope)
{
	free(rope->factors);
	memset(rope, 0, sizeof(*rope));
}

/* Llama 3.1's scaling: long waves slow down by factor, short ones stay, those between blend. */
static double llama3_frequency(double freq, const struct sto_rope *s)
{
	double wave = 2.0 * M_PI / freq;
	double low_wave = (double)s->original_context / (double)s->low_freq_factor;
	double high_wave = (double)s->original_context / (double)s->high_freq_factor;
	double smooth;

	if (wave < high_wave)
		return freq;
	if (wave > low_wave)
		return freq / (double)s->factor;
	smooth = ((double)s->original_context / wave - (double)s->low_freq_factor) /
		 ((double)s->high_freq_factor - (double)s->low_freq_factor);
	return (1.0 - smooth) * freq / (double)s->factor + smooth * freq;
}

/* The dim that turns @times in the original context. */
static double yarn_dim(const struct sto_rope *s, double base, double dims, double times)
{
	return dims * log((double)s->original_context / (times * 2.0 * M_PI)) / (2.0 * log(base));
}

/* Dims that turn often stay, those that turn slowly are slowed down by factor, between a ramp. */
static double yarn_frequency(double freq, const struct sto_rope *s, double base, double dims, uint32_t i)
{
	double low = yarn_dim(s, base, dims, (double)s->beta_fast);
	double high = yarn_dim(s, base, dims, (double)s->beta_slow), ramp;

	if (!s->between) {
		low = floor(low);
		high = ceil(high);
	}
	low = fmax(low, 0);
	high = fmin(high, dims - 1);
	high = low == high ? high + 0.001 : high;
	ramp = fmin(fmax(((double)i - low) / (high - low), 0), 1);
	return freq / (double)s->factor * ramp + freq * (1 - ramp);
}

/*
 * The NTK-aware base of transformers' "dynamic" for a text of @context tokens: all texts have it then,
 * however long they are, since keys in the cache stay as they were rotated.
 */
static double dynamic_base(const struct sto_rope *s, double base, double dims, double context)
{
	double factor = (double)s->factor;

	if (context <= (double)s->original_context || dims <= 2)
		return base;
	return base * pow(factor * context / (double)s->original_context - (factor - 1), dims / (dims - 2));
}

static int fill(const struct sto_rope *s, double base, uint32_t count, uint32_t context, float *out)
{
	if (s->kind == STO_ROPE_DYNAMIC)
		base = dynamic_base(s, base, 2.0 * count, context);
	for (uint32_t i = 0; i < count; i++) {
		double freq = pow(base, -1.0 * i / count);

		if (s->kind == STO_ROPE_LINEAR)
			freq /= (double)s->factor;
		else if (s->kind == STO_ROPE_LLAMA3)
			freq = llama3_frequency(freq, s);
		else if (s->kind == STO_ROPE_YARN)
			freq = yarn_frequency(freq, s, base, 2.0 * count, i);
		if (s->factors)
			freq /= (double)s->factors[i];
		out[i] = (float)freq;
		if (!isfinite(out[i]) || out[i] < 0.0f)
			return (int)i;
	}
	return -1;
}

int sto_model_set_rope(struct sto_model *model, const char *shown, const struct sto_rope *rope,
		       const struct sto_rope *local, struct sto_error *error)
{
	uint32_t count = sto_model_turns(model), tables = 1, context = model->config.context_max;
	int bad = -1;

	if (model->shape.flags & MHS_SHAPE_LOCAL_ROPE)
		tables = 2;
	if (rope->factors && rope->factor_count != count) {
		sto_fail(error, "%s: rope: %u factors, limit %u, one for each frequency; correct the rope scaling",
			 shown, rope->factor_count, count);
		return -EINVAL;
	}
	model->inv_freq_count = count * tables;
	model->inv_freq = calloc(model->inv_freq_count + 1, sizeof(float));
	if (!model->inv_freq) {
		sto_fail(error, "%s: out of memory; free some", shown);
		return -ENOMEM;
	}
	bad = fill(rope, (double)model->rope_base, count, context, model->inv_freq);
	if (bad < 0 && tables == 2)
		bad = fill(local, (double)model->local_rope_base, count, context, model->inv_freq + count);
	if (bad < 0)
		return 0;
	sto_fail(error, "%s: rope: frequency %d is not a number; correct the rope scaling", shown, bad);
	return -EINVAL;
}
