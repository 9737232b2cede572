/* SPDX-License-Identifier: MIT */
#include "t_lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "t_model_priv.h"

#define PAIRS_MAX(layers)	((layers) * ENG_LORA_TARGETS + 2)

static void *aligned(size_t bytes)
{
	return t_model_must(aligned_alloc(64, (bytes + 63) / 64 * 64));
}

/* Random values as @source holds them: into @raw, and as floats. */
static void random_values(uint32_t source, size_t count, float scale, unsigned char *raw,
			  float *values, uint64_t *seed)
{
	for (size_t i = 0; i < count; i++)
		values[i] = scale * t_random_float(seed);
	if (source == ENG_SRC_F32)
		memcpy(raw, values, count * sizeof(*values));
	else if (eng_quant_row(source, values, count, raw) ||
		 eng_dequant_row(source, raw, count, values))
		t_model_die("t_lora", (int)source);
}

/* [rows][rank] into panels; src is row after row. */
static void *pack_b(uint32_t source, const unsigned char *src, uint32_t rows, uint32_t rank)
{
	const uint32_t type = eng_type_of_source(source);
	const size_t row_bytes = (size_t)rank * eng_source_block_bytes(source);
	const size_t panel_bytes = eng_panel_bytes(type, rank);
	unsigned char *packed = aligned(eng_packed_bytes(type, rows, rank));

	for (uint32_t first = 0; first < rows; first += ENG_PANEL_ROWS) {
		const uint32_t n = rows - first < ENG_PANEL_ROWS ? rows - first : ENG_PANEL_ROWS;
		const void *panel[ENG_PANEL_ROWS];

		for (uint32_t i = 0; i < n; i++)
			panel[i] = src + (first + i) * row_bytes;
		if (eng_pack_panel(type, source, panel, n, rank,
				   packed + first / ENG_PANEL_ROWS * panel_bytes))
			t_model_die("t_lora: pack", (int)source);
	}
	return packed;
}

static void make_pair(struct t_lora *t, struct eng_lora_pair *p, uint32_t source, uint32_t rank,
		      uint32_t rows, uint32_t cols, uint64_t *seed)
{
	const size_t bytes = eng_source_block_bytes(source);
	struct t_lora_values *v = &t->values[t->value_count++];
	unsigned char *raw = t_model_must(malloc((size_t)rows * rank * bytes));
	void *a = aligned((size_t)rank * cols * bytes);

	*p = (struct eng_lora_pair){
		.rank = rank, .type = eng_type_of_source(source), .rows = rows, .cols = cols,
		.scale = 2.0f / sqrtf((float)rank), .a = a,
	};
	*v = (struct t_lora_values){
		p, t_model_must(malloc((size_t)rank * cols * sizeof(float))),
		t_model_must(malloc((size_t)rows * rank * sizeof(float))),
	};
	random_values(source, (size_t)rank * cols, 1 / sqrtf((float)cols), a, v->a, seed);
	random_values(source, (size_t)rows * rank, 0.3f, raw, v->b, seed);
	p->b = pack_b(source, raw, rows, rank);
	free(raw);
}

static void make_layer(struct t_lora *t, const struct eng_layer *base, struct eng_lora_layer *l,
		       uint32_t source, uint32_t rank, uint32_t targets, uint64_t *seed)
{
	const struct eng_matrix *m[ENG_LORA_TARGETS] = {
		&base->q, &base->k, &base->v, &base->o, &base->gate, &base->up, &base->down,
	};

	for (uint32_t i = 0; i < ENG_LORA_TARGETS; i++)
		if (targets & T_TARGET(i))
			make_pair(t, &l->pair[i], source, rank, m[i]->rows, m[i]->cols, seed);
}

struct t_lora *t_lora_new(const struct t_model *m, uint32_t source, uint32_t rank,
			  uint32_t targets, uint32_t skip_layers, uint64_t seed)
{
	const struct eng_config *c = &m->model.config;
	struct t_lora *t = t_model_must(calloc(1, sizeof(*t)));
	const char *field = "none";

	t->values = t_model_must(calloc(PAIRS_MAX(c->layer_count), sizeof(*t->values)));
	t->layers = t_model_must(calloc(c->layer_count, sizeof(*t->layers)));
	for (uint32_t i = 0; i < c->layer_count; i++)
		if (!(skip_layers >> i & 1))
			make_layer(t, &m->model.layers[i], &t->layers[i], source, rank, targets,
				   &seed);
	if (targets & T_TARGET(ENG_LORA_EMBED))
		make_pair(t, &t->lora.embed, source, rank, c->hidden, c->vocab_count, &seed);
	if (targets & T_TARGET(ENG_LORA_OUTPUT))
		make_pair(t, &t->lora.output, source, rank, c->vocab_count, c->hidden, &seed);
	t->lora.layer_count = c->layer_count;
	t->lora.layers = t->layers;
	if (eng_lora_check(&t->lora, &m->model, &field, NULL))
		t_model_die(field, -1);
	return t;
}

void t_lora_free(struct t_lora **lora)
{
	struct t_lora *t = *lora;

	*lora = NULL;
	for (uint32_t i = 0; t && i < t->value_count; i++) {
		free((void *)(uintptr_t)t->values[i].pair->a);
		free((void *)(uintptr_t)t->values[i].pair->b);
		free(t->values[i].a);
		free(t->values[i].b);
	}
	if (t) {
		free(t->values);
		free(t->layers);
	}
	free(t);
}

/* NULL: the adapter leaves this product alone. */
static const struct t_lora_values *values_of(const struct t_lora *t, const struct eng_lora_pair *p)
{
	for (uint32_t i = 0; i < t->value_count; i++)
		if (t->values[i].pair == p)
			return &t->values[i];
	return NULL;
}

static void add_column(const struct t_lora_values *v, uint32_t rank, double scale, uint32_t r,
		       double z, double *out)
{
	for (uint32_t o = 0; o < v->pair->rows; o++)
		out[o] += scale * z * (double)v->b[(size_t)o * rank + r];
}

void t_lora_add(const struct t_adapter *adapters, uint32_t count, uint32_t layer, uint32_t target,
		const double *x, double *out)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct t_lora *t = adapters[i].lora;
		const struct t_lora_values *v =
			values_of(t, target == ENG_LORA_OUTPUT ? &t->lora.output :
								 &t->layers[layer].pair[target]);

		for (uint32_t r = 0; v && r < v->pair->rank; r++) {
			double z = 0;

			for (uint32_t c = 0; c < v->pair->cols; c++)
				z += x[c] * (double)v->a[(size_t)r * v->pair->cols + c];
			add_column(v, v->pair->rank, (double)v->pair->scale * adapters[i].scale, r,
				   z, out);
		}
	}
}

void t_lora_embed(const struct t_adapter *adapters, uint32_t count, uint32_t token, double *x)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct t_lora_values *v =
			values_of(adapters[i].lora, &adapters[i].lora->lora.embed);

		for (uint32_t r = 0; v && r < v->pair->rank; r++)
			add_column(v, v->pair->rank, (double)v->pair->scale * adapters[i].scale, r,
				   (double)v->a[(size_t)r * v->pair->cols + token], x);
	}
}
