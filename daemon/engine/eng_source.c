/* SPDX-License-Identifier: MIT */
/* eng_source.c: the block formats of GGUF files, read into plain fields and floats. */
#include "eng_source.h"

#include <errno.h>
#include <string.h>

#include "eng_half.h"
#include "eng_panel.h"

static const struct {
	const char *name;
	uint16_t bytes, values;
	uint32_t type;
} sources[] = {
	[ENG_SRC_F32] = { "F32", 4, 1, ENG_F32 },
	[ENG_SRC_F16] = { "F16", 2, 1, ENG_F16 },
	[ENG_SRC_BF16] = { "BF16", 2, 1, ENG_BF16 },
	[ENG_SRC_Q4_0] = { "Q4_0", 18, 32, ENG_Q4 },
	[ENG_SRC_Q4_1] = { "Q4_1", 20, 32, ENG_Q4M },
	[ENG_SRC_Q5_0] = { "Q5_0", 22, 32, ENG_Q5 },
	[ENG_SRC_Q5_1] = { "Q5_1", 24, 32, ENG_Q5M },
	[ENG_SRC_Q8_0] = { "Q8_0", 34, 32, ENG_Q8 },
	[ENG_SRC_Q2_K] = { "Q2_K", 84, 256, ENG_Q2K },
	[ENG_SRC_Q3_K] = { "Q3_K", 110, 256, ENG_Q3K },
	[ENG_SRC_Q4_K] = { "Q4_K", 144, 256, ENG_Q4K },
	[ENG_SRC_Q5_K] = { "Q5_K", 176, 256, ENG_Q5K },
	[ENG_SRC_Q6_K] = { "Q6_K", 210, 256, ENG_Q6K },
	[ENG_SRC_IQ4_NL] = { "IQ4_NL", 18, 32, ENG_N4 },
	[ENG_SRC_IQ4_XS] = { "IQ4_XS", 136, 256, ENG_N4K },
	[ENG_SRC_MXFP4] = { "MXFP4", 17, 32, ENG_E4 },
};

static bool known(uint32_t source)
{
	return source < sizeof(sources) / sizeof(sources[0]) && sources[source].name;
}

const char *eng_source_name(uint32_t source)
{
	return known(source) ? sources[source].name : NULL;
}

uint32_t eng_source_block_bytes(uint32_t source)
{
	return known(source) ? sources[source].bytes : 0;
}

uint32_t eng_source_block_values(uint32_t source)
{
	return known(source) ? sources[source].values : 0;
}

uint32_t eng_type_of_source(uint32_t source)
{
	return known(source) ? sources[source].type : ENG_NONE;
}

bool eng_source_is_float(uint32_t source)
{
	return source == ENG_SRC_F32 || source == ENG_SRC_F16 || source == ENG_SRC_BF16;
}

static uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t read32(const uint8_t *p)
{
	return (uint32_t)read16(p) | (uint32_t)read16(p + 2) << 16;
}

float eng_source_float(uint32_t source, const void *src, uint64_t i)
{
	const uint8_t *p = src;

	if (source == ENG_SRC_F32)
		return eng_bits_float(read32(p + 4 * i));
	if (source == ENG_SRC_F16)
		return eng_f16_float(read16(p + 2 * i));
	return eng_bf16_float(read16(p + 2 * i));
}

/* Q4_0, Q4_1, IQ4: 16 bytes, values 0..15 below and 16..31 above. */
static void read_nibbles(const uint8_t *qs, int centre, int8_t *restrict q)
{
	for (int i = 0; i < 16; i++) {
		q[i] = (int8_t)((qs[i] & 15) - centre);
		q[i + 16] = (int8_t)((qs[i] >> 4) - centre);
	}
}

/* Q5_0, Q5_1: and the fifth bits. */
static void read_five_bits(const uint8_t *qs, uint32_t high, int centre, int8_t *restrict q)
{
	read_nibbles(qs, centre, q);
	for (int i = 0; i < 32; i++)
		q[i] = (int8_t)(q[i] + (int)(high >> i & 1) * 16);
}

/* 8 pairs of 6 bits in 12 bytes: the first four plain, the others in four low and two high bits. */
static void read_k_scales(const uint8_t *p, struct eng_source_block *b)
{
	for (int i = 0; i < 4; i++) {
		b->s[i] = (int8_t)(p[i] & 63);
		b->sm[i] = p[i + 4] & 63;
		b->s[i + 4] = (int8_t)((p[i + 8] & 15) | p[i] >> 6 << 4);
		b->sm[i + 4] = (uint8_t)(p[i + 8] >> 4 | p[i + 4] >> 6 << 4);
	}
}

/* 64 values per 32 bytes: low halves first; @high has one bit plane per 32 values, or is NULL. */
static void read_k_quants(const uint8_t *qs, const uint8_t *high, int8_t *q)
{
	for (int i = 0; i < 256; i++) {
		int sub = i / 32, at = i % 32;
		int value = qs[sub / 2 * 32 + at] >> (sub % 2 * 4) & 15;

		if (high)
			value += (high[at] >> sub & 1) * 16;
		q[i] = (int8_t)value;
	}
}

/* Q6_K: per 128 values 64 bytes of low halves and 32 bytes of bit pairs. */
static void read_q6k(const uint8_t *p, struct eng_source_block *b)
{
	for (int i = 0; i < 256; i++) {
		int half = i / 128, quarter = i / 32 % 4, at = i % 32;
		int low = p[half * 64 + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
		int high = p[128 + half * 32 + at] >> (quarter * 2) & 3;

		b->q[i] = (int8_t)((low | high << 4) - 32);
	}
	memcpy(b->s, p + 192, 16);
	b->d = read16(p + 208);
}

/* Q2_K, Q3_K: four values to a byte, 128 to 32 bytes. */
static void read_pairs(const uint8_t *qs, int8_t *q)
{
	for (int i = 0; i < 256; i++)
		q[i] = (int8_t)(qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3);
}

static void read_q2k(const uint8_t *p, struct eng_source_block *b)
{
	for (int i = 0; i < 16; i++) {
		b->s[i] = (int8_t)(p[i] & 15);
		b->sm[i] = p[i] >> 4;
	}
	read_pairs(p + 16, b->q);
	b->d = read16(p + 80);
	b->m = read16(p + 82);
}

/* Third bits first, one plane per 32 values; of 6 bits of scale the low four, then the others. */
static void read_q3k(const uint8_t *p, struct eng_source_block *b)
{
	const uint8_t *scales = p + 96;

	read_pairs(p + 32, b->q);
	for (int i = 0; i < 256; i++)
		b->q[i] = (int8_t)(b->q[i] + (p[i % 32] >> (i / 32) & 1) * 4 - 4);
	for (int i = 0; i < 16; i++) {
		int low = scales[i % 8] >> (i / 8 * 4) & 15, high = scales[8 + i % 4] >> (i / 4 * 2) & 3;

		b->s[i] = (int8_t)((low | high << 4) - 32);
	}
	b->d = read16(p + 108);
}

/* IQ4_XS: of 8 scales of 6 bits the two high ones, then the low ones. */
static void read_iq4xs(const uint8_t *p, struct eng_source_block *b)
{
	const uint32_t high = read16(p + 2);

	for (int i = 0; i < 8; i++) {
		b->s[i] = (int8_t)((p[4 + i / 2] >> (i % 2 * 4) & 15) | (int)(high >> (2 * i) & 3) << 4);
		b->s[i] = (int8_t)(b->s[i] - 32);
		read_nibbles(p + 8 + 16 * i, 0, b->q + 32 * i);
	}
	b->d = read16(p);
}

/* The scale is the exponent of a power of two, 127 for 1; half of it is for the table's twice. */
static void read_mxfp4(const uint8_t *p, struct eng_source_block *b)
{
	b->d = (uint16_t)(p[0] < 2 ? 0x20 << p[0] : (p[0] - 1) << 7);
	read_nibbles(p + 1, 0, b->q);
}

/* Formats whose first bytes are no scale, and IQ4_XS. */
static bool read_unusual(uint32_t source, const uint8_t *p, struct eng_source_block *b)
{
	switch (source) {
	case ENG_SRC_Q2_K:
		read_q2k(p, b);
		return true;
	case ENG_SRC_Q3_K:
		read_q3k(p, b);
		return true;
	case ENG_SRC_Q6_K:
		read_q6k(p, b);
		return true;
	case ENG_SRC_IQ4_XS:
		read_iq4xs(p, b);
		return true;
	case ENG_SRC_MXFP4:
		read_mxfp4(p, b);
		return true;
	}
	return false;
}

void eng_source_read(uint32_t source, const void *src, struct eng_source_block *b)
{
	const uint8_t *p = src;

	memset(b, 0, offsetof(struct eng_source_block, q));
	if (read_unusual(source, p, b))
		return;
	b->d = read16(p);
	switch (source) {
	case ENG_SRC_IQ4_NL:
		read_nibbles(p + 2, 0, b->q);
		break;
	case ENG_SRC_Q4_0:
		read_nibbles(p + 2, 8, b->q);
		break;
	case ENG_SRC_Q4_1:
		b->m = read16(p + 2);
		read_nibbles(p + 4, 0, b->q);
		break;
	case ENG_SRC_Q5_0:
		read_five_bits(p + 6, read32(p + 2), 16, b->q);
		break;
	case ENG_SRC_Q5_1:
		b->m = read16(p + 2);
		read_five_bits(p + 8, read32(p + 4), 0, b->q);
		break;
	case ENG_SRC_Q8_0:
		memcpy(b->q, p + 2, 32);
		break;
	default: /* Q4_K, Q5_K */
		b->m = read16(p + 2);
		read_k_scales(p + 4, b);
		if (source == ENG_SRC_Q5_K)
			read_k_quants(p + 48, p + 16, b->q);
		else
			read_k_quants(p + 16, NULL, b->q);
	}
}

/* The numbers of indices. */
static void look_up(const int8_t *table, uint32_t count, int8_t *q)
{
	for (uint32_t i = 0; i < count; i++)
		q[i] = table[q[i]];
}

/* One scale for all 32 values. Without a minimum nothing is added: -0 stays -0. */
static void simple_values(uint32_t source, const struct eng_source_block *b, float *restrict out)
{
	const float d = source == ENG_SRC_MXFP4 ? eng_bf16_float(b->d) : eng_f16_float(b->d);
	const float least = source == ENG_SRC_Q4_1 || source == ENG_SRC_Q5_1 ? -eng_f16_float(b->m) : 0;

	for (uint32_t i = 0; i < 32; i++)
		out[i] = d * b->q[i] - least;
}

/* Products of an f16, a sub-scale and a quant fit 24 bits: only the last sum can round. */
static void k_values(uint32_t source, const struct eng_source_block *b, float *restrict out)
{
	const uint32_t share = eng_type_has_halves(eng_type_of_source(source)) ? 1 : 2;
	const float d = eng_f16_float(b->d), m = eng_f16_float(b->m);

	for (uint32_t part = 0; part < 16; part++) {
		float scale = d * b->s[part / share];
		float least = m * b->sm[part / share];

		for (uint32_t i = part * 16; i < part * 16 + 16; i++)
			out[i] = scale * b->q[i] - least;
	}
}

/* Floats of 16 bits; a loop of fixed length, which compilers turn into vectors. */
static void half_values(uint32_t source, const uint8_t *src, float *restrict out)
{
	uint16_t bits[32];

	memcpy(bits, src, sizeof(bits));
	if (source == ENG_SRC_F16)
		for (uint32_t i = 0; i < 32; i++)
			out[i] = eng_f16_float(bits[i]);
	else
		for (uint32_t i = 0; i < 32; i++)
			out[i] = eng_bf16_float(bits[i]);
}

static void float_values(uint32_t source, const uint8_t *src, uint64_t cols, float *out)
{
	uint64_t at = 0;

	if (source != ENG_SRC_F32)
		for (; at + 32 <= cols; at += 32)
			half_values(source, src + 2 * at, out + at);
	for (; at < cols; at++)
		out[at] = eng_source_float(source, src, at);
}

int eng_dequant_row(uint32_t source, const void *src, uint64_t cols, float *out)
{
	const uint32_t values = eng_source_block_values(source);
	const int8_t *table = eng_type_table(eng_type_of_source(source));
	const uint8_t *p = src;
	struct eng_source_block b;

	if (!values || cols % values)
		return -EINVAL;
	if (eng_source_is_float(source)) {
		float_values(source, src, cols, out);
		return 0;
	}
	for (uint64_t at = 0; at < cols; at += values, p += sources[source].bytes) {
		eng_source_read(source, p, &b);
		if (table)
			look_up(table, values, b.q);
		if (values == 32)
			simple_values(source, &b, out + at);
		else
			k_values(source, &b, out + at);
	}
	return 0;
}
