/* SPDX-License-Identifier: MIT */
#include "t_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"

struct t_matrix {
	void *packed;		/* or a vector */
	float *values;		/* [rows][cols] */
};

static void *must(void *memory)
{
	if (!memory) {
		perror("memory");
		exit(1);
	}
	return memory;
}

static void die(const char *what, int ret)
{
	printf("# t_model: %s: %d\n", what, ret);
	exit(1);
}

/* -- building ---------------------------------------------------------------------------------- */

static void put_f16(unsigned char *at, float value)
{
	if (eng_quant_row(ENG_SRC_F16, &value, 1, at))
		die("f16", -1);
}

/* A random block whose values lie in about +-@scale. Quants are noise; scales are set to fit. */
static void random_block(uint32_t source, unsigned char *block, float scale, uint64_t *seed)
{
	float d = scale * (0.5f + 0.4f * t_random_float(seed));

	for (uint32_t i = 0; i < eng_source_block_bytes(source); i++)
		block[i] = (unsigned char)t_random(seed);
	switch (source) {
	case ENG_SRC_Q5_0:
		put_f16(block, d / 16);
		break;
	case ENG_SRC_Q5_1:
		put_f16(block, d / 16);
		put_f16(block + 2, -d);
		break;
	case ENG_SRC_Q4_K:
		put_f16(block, d / 256);
		put_f16(block + 2, d / 32);
		break;
	case ENG_SRC_Q5_K:
		put_f16(block, d / 512);
		put_f16(block + 2, d / 32);
		break;
	case ENG_SRC_Q6_K:
		for (uint32_t i = 0; i < 16; i++)	/* scales +-16 */
			block[192 + i] = (unsigned char)((int)(t_random(seed) % 33) - 16);
		put_f16(block + 208, d / 256);
		break;
	}
}

static void random_row(uint32_t source, unsigned char *row, uint32_t cols, float scale,
		       uint64_t *seed)
{
	uint32_t values = eng_source_block_values(source), bytes = eng_source_block_bytes(source);
	float *x = must(malloc(cols * sizeof(*x)));

	for (uint32_t i = 0; i < cols; i++)
		x[i] = scale * t_random_float(seed);
	if (source == ENG_SRC_F32)
		memcpy(row, x, cols * sizeof(*x));
	else if (eng_quant_row(source, x, cols, row))	/* the formats that can only be read */
		for (uint32_t i = 0; i < cols / values; i++)
			random_block(source, row + (size_t)i * bytes, scale, seed);
	free(x);
}

static struct t_matrix *next_part(struct t_model *t)
{
	t->parts = must(realloc(t->parts, (t->part_count + 1) * sizeof(*t->parts)));
	t->parts[t->part_count] = (struct t_matrix){ 0 };
	return &t->parts[t->part_count++];
}

static const float *make_vector(struct t_model *t, uint32_t count, uint64_t *seed)
{
	struct t_matrix *part = next_part(t);
	float *x = must(malloc(count * sizeof(*x)));

	for (uint32_t i = 0; i < count; i++)
		x[i] = 1 + 0.3f * t_random_float(seed);
	part->packed = x;
	return x;
}

static void pack_panel(struct eng_matrix *m, struct t_matrix *part, uint32_t source, uint32_t panel,
		       unsigned char *rows, size_t row_bytes)
{
	unsigned char *packed = part->packed;
	uint32_t first = panel * ENG_PANEL_ROWS, n = m->rows - first;
	const void *src[ENG_PANEL_ROWS];
	int ret;

	n = n < ENG_PANEL_ROWS ? n : ENG_PANEL_ROWS;
	for (uint32_t i = 0; i < n; i++) {
		src[i] = rows + i * row_bytes;
		ret = eng_dequant_row(source, src[i], m->cols,
				      part->values + (size_t)(first + i) * m->cols);
		if (ret)
			die("eng_dequant_row", ret);
	}
	ret = eng_pack_panel(m->type, source, src, n, m->cols,
			     packed + panel * eng_panel_bytes(m->type, m->cols));
	if (ret)
		die("eng_pack_panel", ret);
}

static void make_matrix(struct t_model *t, struct eng_matrix *m, uint32_t source, uint32_t rows,
			uint32_t cols, uint64_t *seed)
{
	size_t row_bytes = cols / eng_source_block_values(source) * eng_source_block_bytes(source);
	unsigned char *src = must(calloc(ENG_PANEL_ROWS, row_bytes));
	struct t_matrix *part = next_part(t);
	uint64_t bytes;

	*m = (struct eng_matrix){ eng_type_of_source(source), rows, cols, NULL };
	bytes = eng_packed_bytes(m->type, rows, cols);
	if (!bytes)
		die("shape and source do not fit", (int)source);
	part->packed = must(aligned_alloc(64, (bytes + 63) / 64 * 64));
	part->values = must(malloc((size_t)rows * cols * sizeof(float)));
	for (uint32_t p = 0; p * ENG_PANEL_ROWS < rows; p++) {
		for (uint32_t i = 0; i < ENG_PANEL_ROWS; i++)
			random_row(source, src + i * row_bytes, cols, 1.7f / sqrtf((float)cols),
				   seed);
		pack_panel(m, part, source, p, src, row_bytes);
	}
	m->data = part->packed;
	free(src);
}

static void make_layer(struct t_model *t, struct eng_layer *l, const struct t_shape *s,
		       const struct t_sources *src, uint64_t *seed)
{
	uint32_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;

	l->attn_norm = make_vector(t, s->hidden, seed);
	l->ffn_norm = make_vector(t, s->hidden, seed);
	make_matrix(t, &l->q, src->attention, q, s->hidden, seed);
	make_matrix(t, &l->k, src->attention, kv, s->hidden, seed);
	make_matrix(t, &l->v, src->v, kv, s->hidden, seed);
	make_matrix(t, &l->o, src->attention, s->hidden, q, seed);
	make_matrix(t, &l->gate, src->ffn, s->intermediate, s->hidden, seed);
	make_matrix(t, &l->up, src->ffn, s->intermediate, s->hidden, seed);
	make_matrix(t, &l->down, src->down, s->hidden, s->intermediate, seed);
}

static bool source_is_float(uint32_t source)
{
	return source == ENG_SRC_F32 || source == ENG_SRC_F16 || source == ENG_SRC_BF16;
}

struct t_sources t_sources_all(uint32_t source)
{
	return (struct t_sources){ source, source, source, source, source, T_TIED };
}

struct t_model *t_model_new(const struct t_shape *s, const struct t_sources *src, uint64_t seed)
{
	struct t_model *t = must(calloc(1, sizeof(*t)));
	float *inv_freq = must(malloc(s->head_dim / 2 * sizeof(float)));

	t->model.config = (struct eng_config){
		.layer_count = s->layers, .hidden = s->hidden, .intermediate = s->intermediate,
		.head_count = s->heads, .kv_head_count = s->kv_heads, .head_dim = s->head_dim,
		.vocab_count = s->vocab, .context_max = s->context, .rms_eps = 1e-5f,
		.rope_attn_scale = 1, .kv_f32 = source_is_float(src->attention),
	};
	for (uint32_t i = 0; i < s->head_dim / 2; i++)
		inv_freq[i] = powf(10000, -2.0f * (float)i / (float)s->head_dim);
	next_part(t)->packed = inv_freq;
	t->model.inv_freq = inv_freq;
	t->model.output_norm = make_vector(t, s->hidden, &seed);
	make_matrix(t, &t->model.embed, src->embed, s->vocab, s->hidden, &seed);
	t->tied = src->output == T_TIED;
	if (t->tied)
		t->model.output = t->model.embed;
	else
		make_matrix(t, &t->model.output, src->output, s->vocab, s->hidden, &seed);
	t->model.layers = must(calloc(s->layers, sizeof(*t->model.layers)));
	for (uint32_t i = 0; i < s->layers; i++)
		make_layer(t, &t->model.layers[i], s, src, &seed);
	return t;
}

void t_model_free(struct t_model **model)
{
	struct t_model *t = *model;

	*model = NULL;
	if (!t)
		return;
	for (uint32_t i = 0; i < t->part_count; i++) {
		free(t->parts[i].packed);
		free(t->parts[i].values);
	}
	free(t->parts);
	free(t->model.layers);
	free(t);
}

/* -- the reference ----------------------------------------------------------------------------- */

struct state {
	const struct t_model *t;
	const struct eng_config *c;
	double *k, *v;		/* [layer][position][kv_heads * head_dim] */
	double *x, *norm, *q, *heads, *gate, *up, *delta;
	uint32_t count;
};

static double *doubles(size_t count)
{
	return must(calloc(count, sizeof(double)));
}

static const float *values_of(const struct t_model *t, const struct eng_matrix *m)
{
	for (uint32_t i = 0; i < t->part_count; i++)
		if (t->parts[i].packed == m->data)
			return t->parts[i].values;
	die("unknown matrix", -1);
	return NULL;
}

/* int8 per block of 32, as eng_pack.h has it. */
static void round_blocks(double *x, uint32_t count)
{
	for (uint32_t b = 0; b < count; b += ENG_BLOCK_COLS) {
		double max = 0;

		for (uint32_t i = b; i < b + ENG_BLOCK_COLS; i++)
			max = fmax(max, fabs(x[i]));
		for (uint32_t i = b; i < b + ENG_BLOCK_COLS && max > 0; i++)
			x[i] = nearbyint(x[i] / max * 127) * (max / 127);
	}
}

static void multiply(const struct state *s, const struct eng_matrix *m, const double *x,
		     double *out)
{
	const float *w = values_of(s->t, m);
	double *in = doubles(m->cols);

	memcpy(in, x, m->cols * sizeof(*in));
	if (m->type >= ENG_Q8)
		round_blocks(in, m->cols);
	for (uint32_t r = 0; r < m->rows; r++) {
		out[r] = 0;
		for (uint32_t i = 0; i < m->cols; i++)
			out[r] += (double)w[(size_t)r * m->cols + i] * in[i];
	}
	free(in);
}

static void norm(const struct state *s, const float *weight)
{
	double sum = 0;

	for (uint32_t i = 0; i < s->c->hidden; i++)
		sum += s->x[i] * s->x[i];
	sum = 1 / sqrt(sum / s->c->hidden + (double)s->c->rms_eps);
	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->norm[i] = s->x[i] * sum * (double)weight[i];
}

static void rotate(const struct state *s, double *x, uint32_t heads, uint32_t position)
{
	uint32_t half = s->c->head_dim / 2;

	for (uint32_t h = 0; h < heads; h++)
		for (uint32_t i = 0; i < half; i++) {
			double *a = x + h * s->c->head_dim + i, *b = a + half, first = *a;
			double angle = position * (double)s->t->model.inv_freq[i];

			*a = first * cos(angle) - *b * sin(angle);
			*b = *b * cos(angle) + first * sin(angle);
		}
}

static void round_f16(double *x, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		float value = (float)x[i];
		uint16_t half;

		if (eng_quant_row(ENG_SRC_F16, &value, 1, &half) ||
		    eng_dequant_row(ENG_SRC_F16, &half, 1, &value))
			die("f16", -1);
		x[i] = (double)value;
	}
}

static void attend_head(const struct state *s, uint32_t layer, uint32_t head, uint32_t position)
{
	uint32_t dim = s->c->head_dim, kv = s->c->kv_head_count * dim;
	uint32_t kv_head = head / (s->c->head_count / s->c->kv_head_count);
	size_t base = (size_t)layer * s->count * kv + kv_head * dim;
	double *p = doubles(position + 1), sum = 0, max = -INFINITY;

	for (uint32_t t = 0; t <= position; t++) {
		for (uint32_t i = 0; i < dim; i++)
			p[t] += s->q[head * dim + i] * s->k[base + (size_t)t * kv + i];
		p[t] /= sqrt(dim);
		max = fmax(max, p[t]);
	}
	for (uint32_t t = 0; t <= position; t++)
		sum += p[t] = exp(p[t] - max);
	memset(s->heads + head * dim, 0, dim * sizeof(double));
	for (uint32_t t = 0; t <= position; t++)
		for (uint32_t i = 0; i < dim; i++)
			s->heads[head * dim + i] += p[t] / sum * s->v[base + (size_t)t * kv + i];
	free(p);
}

static void attention(const struct state *s, uint32_t layer, uint32_t position)
{
	const struct eng_layer *l = &s->t->model.layers[layer];
	uint32_t kv = s->c->kv_head_count * s->c->head_dim;
	double *k = s->k + ((size_t)layer * s->count + position) * kv;
	double *v = s->v + ((size_t)layer * s->count + position) * kv;

	norm(s, l->attn_norm);
	multiply(s, &l->q, s->norm, s->q);
	multiply(s, &l->k, s->norm, k);
	multiply(s, &l->v, s->norm, v);
	rotate(s, s->q, s->c->head_count, position);
	rotate(s, k, s->c->kv_head_count, position);
	if (!s->c->kv_f32) {
		round_f16(k, kv);
		round_f16(v, kv);
	}
	for (uint32_t h = 0; h < s->c->head_count; h++)
		attend_head(s, layer, h, position);
	multiply(s, &l->o, s->heads, s->delta);
}

static void feed_forward(const struct state *s, uint32_t layer)
{
	const struct eng_layer *l = &s->t->model.layers[layer];

	norm(s, l->ffn_norm);
	multiply(s, &l->gate, s->norm, s->gate);
	multiply(s, &l->up, s->norm, s->up);
	for (uint32_t i = 0; i < s->c->intermediate; i++)
		s->gate[i] = s->gate[i] / (1 + exp(-s->gate[i])) * s->up[i];
	multiply(s, &l->down, s->gate, s->delta);
}

static void add_delta(const struct state *s)
{
	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->x[i] += s->delta[i];
}

static void forward(const struct state *s, uint32_t token, uint32_t position, double *logits)
{
	const float *embed = values_of(s->t, &s->t->model.embed) + (size_t)token * s->c->hidden;

	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->x[i] = (double)embed[i];
	for (uint32_t layer = 0; layer < s->c->layer_count; layer++) {
		attention(s, layer, position);
		add_delta(s);
		feed_forward(s, layer);
		add_delta(s);
	}
	norm(s, s->t->model.output_norm);
	multiply(s, &s->t->model.output, s->norm, logits);
}

void t_model_reference(const struct t_model *t, const uint32_t *tokens, uint32_t count,
		       double *logits)
{
	const struct eng_config *c = &t->model.config;
	uint32_t heads = c->head_count * c->head_dim, kv = c->kv_head_count * c->head_dim;
	struct state s = {
		.t = t, .c = c, .count = count,
		.k = doubles((size_t)c->layer_count * count * kv),
		.v = doubles((size_t)c->layer_count * count * kv),
		.x = doubles(c->hidden), .norm = doubles(c->hidden), .delta = doubles(c->hidden),
		.q = doubles(heads), .heads = doubles(heads),
		.gate = doubles(c->intermediate), .up = doubles(c->intermediate),
	};
	double *all[] = { s.k, s.v, s.x, s.norm, s.delta, s.q, s.heads, s.gate, s.up };

	for (uint32_t i = 0; i < count; i++)
		forward(&s, tokens[i], i, logits + (size_t)i * c->vocab_count);
	for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
}
