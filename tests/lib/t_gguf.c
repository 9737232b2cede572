/* SPDX-License-Identifier: MIT */
#include "t_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_pack.h"
#include "t.h"

enum { GG_I32 = 5, GG_F32 = 6, GG_BOOL = 7, GG_TEXT = 8, GG_ARRAY = 9, GG_U32 = 4 };

void t_put(struct t_bytes *b, const void *data, size_t bytes)
{
	if (b->bytes + bytes > b->cap) {
		b->cap = 2 * (b->bytes + bytes);
		b->data = realloc(b->data, b->cap);
		if (!b->data)
			exit(1);
	}
	if (bytes)
		memcpy(b->data + b->bytes, data, bytes);
	b->bytes += bytes;
}

void t_put_u32(struct t_bytes *b, uint32_t value)
{
	t_put(b, &value, sizeof(value));
}

void t_put_u64(struct t_bytes *b, uint64_t value)
{
	t_put(b, &value, sizeof(value));
}

void t_put_text(struct t_bytes *b, const char *text)
{
	t_put_u64(b, strlen(text));
	t_put(b, text, strlen(text));
}

void t_put_zeros(struct t_bytes *b, size_t bytes)
{
	static const uint8_t zeros[256];

	for (; bytes > sizeof(zeros); bytes -= sizeof(zeros))
		t_put(b, zeros, sizeof(zeros));
	t_put(b, zeros, bytes);
}

void t_bytes_free(struct t_bytes *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

static void key(struct t_bytes *b, const char *name, uint32_t type)
{
	t_put_text(b, name);
	t_put_u32(b, type);
}

void t_kv_u32(struct t_bytes *b, const char *name, uint32_t value)
{
	key(b, name, GG_U32);
	t_put_u32(b, value);
}

void t_kv_f32(struct t_bytes *b, const char *name, float value)
{
	key(b, name, GG_F32);
	t_put(b, &value, sizeof(value));
}

void t_kv_bool(struct t_bytes *b, const char *name, int value)
{
	uint8_t byte = (uint8_t)value;

	key(b, name, GG_BOOL);
	t_put(b, &byte, 1);
}

void t_kv_text(struct t_bytes *b, const char *name, const char *value)
{
	key(b, name, GG_TEXT);
	t_put_text(b, value);
}

static void array(struct t_bytes *b, const char *name, uint32_t type, uint32_t count)
{
	key(b, name, GG_ARRAY);
	t_put_u32(b, type);
	t_put_u64(b, count);
}

void t_kv_texts(struct t_bytes *b, const char *name, const char *const *values, uint32_t count)
{
	array(b, name, GG_TEXT, count);
	for (uint32_t i = 0; i < count; i++)
		t_put_text(b, values[i]);
}

void t_kv_i32s(struct t_bytes *b, const char *name, const int32_t *values, uint32_t count)
{
	array(b, name, GG_I32, count);
	t_put(b, values, count * sizeof(*values));
}

void t_kv_f32s(struct t_bytes *b, const char *name, const float *values, uint32_t count)
{
	array(b, name, GG_F32, count);
	t_put(b, values, count * sizeof(*values));
}

/* ---- a tiny Llama ------------------------------------------------------------------------ */

#define HIDDEN		64u
#define INTERMEDIATE	96u
#define HEAD_DIM	32u

/* Any bits are a valid block as long as the scales are tame. */
static void random_blocks(uint32_t type, uint8_t *row, uint64_t cols, uint64_t *state)
{
	uint32_t block = eng_source_block_bytes(type);
	uint64_t bytes = cols / eng_source_block_values(type) * block;
	const uint16_t scale = 0x2400, min = 0xa400;	/* 2^-6 and -2^-6 as f16 */

	for (uint64_t i = 0; i < bytes; i++)
		row[i] = (uint8_t)t_random(state);
	for (uint64_t i = 0; i < bytes; i += block) {
		memcpy(row + i, &scale, 2);
		if (type == ENG_SRC_Q5_1)
			memcpy(row + i + 2, &min, 2);
	}
}

/* Weights are drawn as floats and rounded to the format where the engine can do that. */
static void random_row(uint32_t type, uint8_t *row, uint64_t cols, uint64_t *state)
{
	static float values[4096];

	for (uint64_t i = 0; i < cols; i++)
		values[i] = t_random_float(state);
	if (type == ENG_SRC_Q5_0 || type == ENG_SRC_Q5_1 || type == ENG_SRC_IQ4_NL)
		random_blocks(type, row, cols, state);
	else if (type == ENG_SRC_F32)
		memcpy(row, values, cols * sizeof(float));
	else if (eng_quant_row(type, values, cols, row))
		exit(1);
}

static void fill(struct t_gguf_tensor *t, uint64_t *state)
{
	uint64_t rows = t->dim_count > 1 ? t->dims[1] : 1, row_bytes;

	row_bytes = t->dims[0] / eng_source_block_values(t->type) * eng_source_block_bytes(t->type);
	t->bytes = rows * row_bytes;
	t->data = malloc(t->bytes);
	if (!t->data)
		exit(1);
	for (uint64_t i = 0; i < rows; i++)
		random_row(t->type, t->data + i * row_bytes, t->dims[0], state);
}

void t_gguf_init(struct t_gguf *g, uint32_t type, uint64_t seed)
{
	static const struct {
		const char *name;
		uint64_t cols, rows;
	} shapes[T_GGUF_TENSORS] = {
		{ "token_embd", HIDDEN, T_GGUF_VOCAB },
		{ "blk.0.attn_norm", HIDDEN, 0 },
		{ "blk.0.attn_q", HIDDEN, 2 * HEAD_DIM },
		{ "blk.0.attn_k", HIDDEN, HEAD_DIM },
		{ "blk.0.attn_v", HIDDEN, HEAD_DIM },
		{ "blk.0.attn_output", 2 * HEAD_DIM, HIDDEN },
		{ "blk.0.ffn_norm", HIDDEN, 0 },
		{ "blk.0.ffn_gate", HIDDEN, INTERMEDIATE },
		{ "blk.0.ffn_up", HIDDEN, INTERMEDIATE },
		{ "blk.0.ffn_down", INTERMEDIATE, HIDDEN },
		{ "output_norm", HIDDEN, 0 },
		{ "rope_freqs", HEAD_DIM / 2, 0 },
		{ "output", HIDDEN, T_GGUF_VOCAB },
	};

	memset(g, 0, sizeof(*g));
	*g = (struct t_gguf){
		.version = 3, .alignment = 32, .layers = 1, .context = 128, .hidden = HIDDEN,
		.intermediate = INTERMEDIATE, .heads = 2, .kv_heads = 1, .rope_dims = HEAD_DIM,
		.eps = 1e-5f, .rope_base = 10000.0f, .arch = "llama",
	};
	for (uint32_t i = 0; i < T_GGUF_TENSORS; i++) {
		struct t_gguf_tensor *t = &g->tensors[i];

		snprintf(t->name, sizeof(t->name), "%s.weight", shapes[i].name);
		t->dims[0] = shapes[i].cols;
		t->dims[1] = shapes[i].rows;
		t->dim_count = shapes[i].rows ? 2 : 1;
		t->type = shapes[i].rows ? type : ENG_SRC_F32;
		fill(t, &seed);
	}
	g->tensors[11].bytes = g->tensors[12].bytes = 0;	/* optional ones */
}

void t_gguf_free(struct t_gguf *g)
{
	for (uint32_t i = 0; i < T_GGUF_TENSORS; i++)
		free(g->tensors[i].data);
	t_bytes_free(&g->kv);
}

struct t_gguf_tensor *t_gguf_tensor(struct t_gguf *g, const char *name)
{
	for (uint32_t i = 0; i < T_GGUF_TENSORS; i++)
		if (!strncmp(g->tensors[i].name, name, strlen(name)) &&
		    !strcmp(g->tensors[i].name + strlen(name), ".weight"))
			return &g->tensors[i];
	fprintf(stderr, "no tensor %s\n", name);
	exit(1);
}

static uint32_t put_tokenizer(struct t_bytes *b)
{
	static const char *const tokens[T_GGUF_VOCAB] = {
		"a",  "b",	   "c",	 "d",		"e",	   "f",		"g",
		"h",  "i",	   "j",	 "k",		"l",	   "m",		"n",
		"o",  "p",	   "q",	 "r",		"s",	   "t",		"u",
		"v",  "w",	   "x",	 "y",		"z",	   "\xc4\xa0",	"\xc4\x8a",
		"he", "\xc4\xa0t", "in", "\xc4\xa0the", "<|end|>", "<|start|>",
	};
	static const char *const merges[] = { "h e", "\xc4\xa0 t", "i n", "\xc4\xa0t he" };
	int32_t types[T_GGUF_VOCAB];

	for (uint32_t i = 0; i < T_GGUF_VOCAB; i++)
		types[i] = i < T_GGUF_VOCAB - 2 ? 1 : 3;
	t_kv_text(b, "tokenizer.ggml.model", "gpt2");
	t_kv_text(b, "tokenizer.ggml.pre", "smollm");
	t_kv_texts(b, "tokenizer.ggml.tokens", tokens, T_GGUF_VOCAB);
	t_kv_i32s(b, "tokenizer.ggml.token_type", types, T_GGUF_VOCAB);
	t_kv_texts(b, "tokenizer.ggml.merges", merges, 4);
	t_kv_u32(b, "tokenizer.ggml.bos_token_id", T_GGUF_VOCAB - 1);
	t_kv_u32(b, "tokenizer.ggml.eos_token_id", T_GGUF_VOCAB - 2);
	return 7;
}

static uint32_t put_numbers(struct t_bytes *b, const struct t_gguf *g)
{
	uint32_t count = 10;

	t_kv_text(b, "general.architecture", g->arch);
	t_kv_u32(b, "llama.block_count", g->layers);
	t_kv_u32(b, "llama.context_length", g->context);
	t_kv_u32(b, "llama.embedding_length", g->hidden);
	t_kv_u32(b, "llama.feed_forward_length", g->intermediate);
	t_kv_u32(b, "llama.attention.head_count", g->heads);
	t_kv_u32(b, "llama.attention.head_count_kv", g->kv_heads);
	t_kv_u32(b, "llama.rope.dimension_count", g->rope_dims);
	t_kv_f32(b, "llama.attention.layer_norm_rms_epsilon", g->eps);
	t_kv_f32(b, "llama.rope.freq_base", g->rope_base);
	if (g->alignment != 32) {
		t_kv_u32(b, "general.alignment", g->alignment);
		count++;
	}
	return count;
}

static void put_info(struct t_bytes *b, const struct t_gguf_tensor *t, uint64_t offset)
{
	t_put_text(b, t->name);
	t_put_u32(b, t->dim_count);
	for (uint32_t d = 0; d < t->dim_count && d < 5; d++)
		t_put_u64(b, t->dims[d]);
	t_put_u32(b, t->type);
	t_put_u64(b, offset + (uint64_t)t->shift);
}

static uint64_t align(const struct t_gguf *g, uint64_t bytes)
{
	uint64_t a = g->alignment ? g->alignment : 1;

	return (bytes + a - 1) / a * a;
}

struct t_bytes t_gguf_build(const struct t_gguf *g)
{
	struct t_bytes out = { 0 }, kv = { 0 };
	uint32_t kv_count = g->kv_count, tensors = 0;
	uint64_t offset = 0;

	if (!g->bare)
		kv_count += put_numbers(&kv, g) + put_tokenizer(&kv);
	for (uint32_t i = 0; i < T_GGUF_TENSORS; i++)
		tensors += g->tensors[i].bytes > 0;
	t_put(&out, "GGUF", 4);
	t_put_u32(&out, g->version);
	t_put_u64(&out, tensors + g->tensors_more);
	t_put_u64(&out, kv_count + g->kv_more);
	t_put(&out, kv.data, kv.bytes);
	t_put(&out, g->kv.data, g->kv.bytes);
	for (uint32_t i = 0; i < T_GGUF_TENSORS; i++) {
		if (!g->tensors[i].bytes)
			continue;
		put_info(&out, &g->tensors[i], offset);
		offset += align(g, g->tensors[i].bytes);
	}
	for (uint32_t i = 0; i < T_GGUF_TENSORS; i++) {
		const struct t_gguf_tensor *t = &g->tensors[i];

		t_put_zeros(&out, t->bytes ? align(g, out.bytes) - out.bytes : 0);
		if (t->data)
			t_put(&out, t->data, t->bytes);
		else
			t_put_zeros(&out, t->bytes);
	}
	t_bytes_free(&kv);
	return out;
}

void t_gguf_write(const struct t_gguf *g, const char *path)
{
	struct t_bytes out = t_gguf_build(g);

	t_write_file(path, out.data, out.bytes);
	t_bytes_free(&out);
}
