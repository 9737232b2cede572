/* SPDX-License-Identifier: MIT */
#include "t_model_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"

void *t_model_must(void *memory)
{
	if (!memory) {
		perror("memory");
		exit(1);
	}
	return memory;
}

void t_model_die(const char *what, int ret)
{
	printf("# t_model: %s: %d\n", what, ret);
	exit(1);
}

static void put_f16(unsigned char *at, float value)
{
	if (eng_quant_row(ENG_SRC_F16, &value, 1, at))
		t_model_die("f16", -1);
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
	case ENG_SRC_Q2_K:
		put_f16(block + 80, d / 16);
		put_f16(block + 82, d / 16);
		break;
	case ENG_SRC_Q3_K:
		put_f16(block + 108, d / 128);
		break;
	case ENG_SRC_IQ4_NL:
		put_f16(block, d / 128);
		break;
	case ENG_SRC_IQ4_XS:
		put_f16(block, d / 4096);
		break;
	case ENG_SRC_MXFP4:	/* a power of two near d / 6 */
		block[0] = (unsigned char)(127 + ilogbf(d / 6));
		break;
	}
}

static void random_row(uint32_t source, unsigned char *row, uint32_t cols, float scale,
		       uint64_t *seed)
{
	uint32_t values = eng_source_block_values(source), bytes = eng_source_block_bytes(source);
	float *x = t_model_must(malloc(cols * sizeof(*x)));

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
	t->parts = t_model_must(realloc(t->parts, (t->part_count + 1) * sizeof(*t->parts)));
	t->parts[t->part_count] = (struct t_matrix){ 0 };
	return &t->parts[t->part_count++];
}

const float *t_model_vector(struct t_model *t, uint32_t count, float middle, uint64_t *seed)
{
	struct t_matrix *part = next_part(t);
	float *x = t_model_must(malloc(count * sizeof(*x)));

	for (uint32_t i = 0; i < count; i++)
		x[i] = middle + 0.3f * t_random_float(seed);
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
			t_model_die("eng_dequant_row", ret);
	}
	ret = eng_pack_panel(m->type, source, src, n, m->cols,
			     packed + panel * eng_panel_bytes(m->type, m->cols));
	if (ret)
		t_model_die("eng_pack_panel", ret);
}

void t_model_matrix(struct t_model *t, struct eng_matrix *m, uint32_t source, uint32_t rows,
		    uint32_t cols, uint64_t *seed)
{
	size_t row_bytes = cols / eng_source_block_values(source) * eng_source_block_bytes(source);
	unsigned char *src = t_model_must(calloc(ENG_PANEL_ROWS, row_bytes));
	struct t_matrix *part = next_part(t);
	uint64_t bytes;

	*m = (struct eng_matrix){ eng_type_of_source(source), rows, cols, NULL };
	bytes = eng_packed_bytes(m->type, rows, cols);
	if (!bytes)
		t_model_die("shape and source do not fit", (int)source);
	part->packed = t_model_must(aligned_alloc(64, (bytes + 63) / 64 * 64));
	part->values = t_model_must(malloc((size_t)rows * cols * sizeof(float)));
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

	l->attn_norm = t_model_vector(t, s->hidden, 1, seed);
	l->ffn_norm = t_model_vector(t, s->hidden, 1, seed);
	t_model_matrix(t, &l->q, src->attention, q, s->hidden, seed);
	t_model_matrix(t, &l->k, src->attention, kv, s->hidden, seed);
	t_model_matrix(t, &l->v, src->v, kv, s->hidden, seed);
	t_model_matrix(t, &l->o, src->attention, s->hidden, q, seed);
	t_model_matrix(t, &l->gate, src->ffn, s->intermediate, s->hidden, seed);
	t_model_matrix(t, &l->up, src->ffn, s->intermediate, s->hidden, seed);
	t_model_matrix(t, &l->down, src->down, s->hidden, s->intermediate, seed);
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
	struct t_model *t = t_model_must(calloc(1, sizeof(*t)));
	float *inv_freq = t_model_must(malloc(s->head_dim / 2 * sizeof(float)));

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
	t->model.output_norm = t_model_vector(t, s->hidden, 1, &seed);
	t_model_matrix(t, &t->model.embed, src->embed, s->vocab, s->hidden, &seed);
	t->tied = src->output == T_TIED;
	if (t->tied)
		t->model.output = t->model.embed;
	else
		t_model_matrix(t, &t->model.output, src->output, s->vocab, s->hidden, &seed);
	t->model.layers = t_model_must(calloc(s->layers, sizeof(*t->model.layers)));
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
