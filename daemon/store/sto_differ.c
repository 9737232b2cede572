/* SPDX-License-Identifier: MIT */
/* sto_differ.c: name what differs between two versions, weights apart. */
#include "sto_differ.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok.h"
#include "mhs_attach.h"
#include "sto_file.h"

#define QUOTE_BYTES	60u	/* of a text, shown */
#define QUOTE_BEFORE	20u	/* of them before the place that matters */

struct sto_parts sto_version_parts(const struct sto_version *v)
{
	const struct mhs_image_header *h = &v->header;

	return (struct sto_parts){ &h->config, h->bos_id, h->eos_count, h->eos_ids, v->tokenizer,
				   h->tokenizer.length_bytes, v->chat_template,
				   h->chat_template.length_bytes, &h->shape, &h->experts };
}

int sto_differ_add(json_t *list, json_t *a, json_t *b, const char *format, ...)
{
	char field[128];
	va_list args;

	va_start(args, format);
	vsnprintf(field, sizeof(field), format, args);
	va_end(args);
	return json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "field", field, "a", a, "b", b)) ?
	       -ENOMEM : 0;
}

json_t *sto_differ_text(const json_t *difference)
{
	const json_t *sides[2] = { json_object_get(difference, "b"), json_object_get(difference, "a") };
	json_t *text = NULL;
	char *said[2];

	for (int i = 0; i < 2; i++)
		said[i] = json_is_string(sides[i]) ? strdup(json_string_value(sides[i])) :
			  json_dumps(sides[i], JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	if (said[0] && said[1])
		text = json_sprintf("%s: %s, was %s",
				    json_string_value(json_object_get(difference, "field")), said[0], said[1]);
	free(said[0]);
	free(said[1]);
	return text;
}

/* ---- texts ------------------------------------------------------------------------------- */

static bool is_inside_char(const char *text, size_t at, size_t bytes)
{
	return at < bytes && ((unsigned char)text[at] & 0xc0) == 0x80;
}

/* @text in quotes around byte @at; what is not clean UTF-8 becomes \xNN. */
static json_t *quote(const char *text, size_t bytes, size_t at)
{
	size_t from = at > QUOTE_BEFORE ? at - QUOTE_BEFORE : 0, to, n = 0;
	char out[4 * QUOTE_BYTES + 16];
	bool utf8;

	while (from && is_inside_char(text, from, bytes))
		from--;
	to = bytes - from > QUOTE_BYTES ? from + QUOTE_BYTES : bytes;
	while (to > from && is_inside_char(text, to, bytes))
		to--;
	utf8 = sto_utf8_sound(text + from, to - from);
	n += (size_t)sprintf(out, from ? "\"..." : "\"");
	for (size_t i = from; i < to; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			n += (size_t)sprintf(out + n, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	strcpy(out + n, to < bytes ? "...\"" : "\"");
	return json_string(out);
}

/* Bytes that two texts have in common at their start. */
static size_t common_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
	size_t n = 0, limit = a_bytes < b_bytes ? a_bytes : b_bytes;

	while (n < limit && a[n] == b[n])
		n++;
	return n;
}

/* ---- configuration ----------------------------------------------------------------------- */

static json_t *id_or_none(uint32_t id)
{
	return id == UINT32_MAX ? json_string("none") : json_integer(id);
}

struct field {
	const char *name;
	size_t offset;
	bool real;
};

static const struct field config_fields[] = {
#define FIELD(name, member, real) { name, offsetof(struct mhs_image_config, member), real }
	FIELD("architecture", arch, false),
	FIELD("layers", layer_count, false),
	FIELD("hidden", hidden, false),
	FIELD("intermediate", intermediate, false),
	FIELD("heads", head_count, false),
	FIELD("kv heads", kv_head_count, false),
	FIELD("head dim", head_dim, false),
	FIELD("vocabulary size", vocab_count, false),
	FIELD("context length", context_max, false),
	FIELD("tied", tied, false),
	FIELD("rms eps", rms_eps, true),
	FIELD("rope attention scale", rope_attn_scale, true),
#undef FIELD
};

static const struct field shape_fields[] = {
#define FIELD(name, member, real) { name, offsetof(struct mhs_image_shape, member), real }
	FIELD("shape flags", flags, false),
	FIELD("rotary dims", rotary_dim, false),
	FIELD("window", window, false),
	FIELD("layers without rotation, each n-th", still_every, false),
	FIELD("embedding scale", embed_scale, true),
	FIELD("attention scale", attn_scale, true),
	FIELD("attention cap", attn_cap, true),
	FIELD("logit cap", logit_cap, true),
#undef FIELD
};

static const struct field experts_fields[] = {
#define FIELD(name, member) { name, offsetof(struct mhs_image_experts, member), false }
	FIELD("experts", count),
	FIELD("experts used", used),
	FIELD("intermediate of experts", intermediate),
	FIELD("experts flags", flags),
#undef FIELD
};

static json_t *field_value(const void *of, const struct field *field)
{
	const char *at = (const char *)of + field->offset;
	uint32_t whole;
	float number;

	memcpy(&whole, at, sizeof(whole));
	memcpy(&number, at, sizeof(number));
	return field->real ? json_real((double)number) : json_integer(whole);
}

static int differ_fields(const void *a, const void *b, const struct field *fields, size_t count,
			 json_t *list)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		if (memcmp((const char *)a + fields[i].offset, (const char *)b + fields[i].offset, 4))
			err = sto_differ_add(list, field_value(a, &fields[i]), field_value(b, &fields[i]),
					     "%s", fields[i].name);
	return err;
}

static json_t *window_layers(const struct mhs_image_shape *shape)
{
	json_t *layers = json_array();

	for (uint32_t i = 0; i < MHS_IMAGE_LAYER_MAX; i++)
		if (mhs_shape_window(shape, i))
			json_array_append_new(layers, json_integer(i));
	return layers;
}

static json_t *expert_layers(const struct mhs_image_experts *experts)
{
	json_t *layers = json_array();

	for (uint32_t i = 0; i < MHS_IMAGE_LAYER_MAX; i++)
		if (mhs_experts_in(experts, i))
			json_array_append_new(layers, json_integer(i));
	return layers;
}

static int differ_experts(const struct mhs_image_experts *a, const struct mhs_image_experts *b, json_t *list)
{
	int err = differ_fields(a, b, experts_fields, sizeof(experts_fields) / sizeof(experts_fields[0]), list);

	if (!err && memcmp(a->layers, b->layers, sizeof(a->layers)))
		err = sto_differ_add(list, expert_layers(a), expert_layers(b), "layers with experts");
	return err;
}

static int differ_shape(const struct mhs_image_shape *a, const struct mhs_image_shape *b, json_t *list)
{
	int err = differ_fields(a, b, shape_fields, sizeof(shape_fields) / sizeof(shape_fields[0]), list);

	if (!err && memcmp(a->window_layers, b->window_layers, sizeof(a->window_layers)))
		err = sto_differ_add(list, window_layers(a), window_layers(b), "layers with a window");
	return err;
}

int sto_differ_config(const struct sto_parts *a, const struct sto_parts *b, json_t *list)
{
	int err = differ_fields(a->config, b->config, config_fields,
				sizeof(config_fields) / sizeof(config_fields[0]), list);

	if (!err && a->shape && b->shape)
		err = differ_shape(a->shape, b->shape, list);
	if (!err && a->experts && b->experts)
		err = differ_experts(a->experts, b->experts, list);
	return err;
}

/* ---- special tokens ---------------------------------------------------------------------- */

static json_t *id_list(const uint32_t *ids, uint32_t count)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(list, json_integer(ids[i]));
	return list;
}

static bool has_all(const uint32_t *set, uint32_t count, const uint32_t *ids, uint32_t id_count)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < id_count; i++)
		for (uint32_t j = 0; j < count; j++)
			if (set[j] == ids[i]) {
				found++;
				break;
			}
	return found == id_count;
}

int sto_differ_special(const struct sto_parts *a, const struct sto_parts *b, json_t *list)
{
	int err = 0;

	if (a->bos_id != b->bos_id)
		err = sto_differ_add(list, id_or_none(a->bos_id), id_or_none(b->bos_id), "begin token (bos)");
	if (!err && (!has_all(a->eos_ids, a->eos_count, b->eos_ids, b->eos_count) ||
		     !has_all(b->eos_ids, b->eos_count, a->eos_ids, a->eos_count)))
		err = sto_differ_add(list, id_list(a->eos_ids, a->eos_count),
				     id_list(b->eos_ids, b->eos_count), "end tokens (eos)");
	return err;
}

/* ---- tokenizer --------------------------------------------------------------------------- */

static json_t *token_text(const struct eng_tok *tok, uint32_t id, size_t at)
{
	uint32_t bytes = 0;
	const char *text = eng_tok_bytes(tok, id, &bytes);
	json_t *quoted = quote(text ? text : "", bytes, at), *special;

	if (!eng_tok_is_special(tok, id) || !quoted)
		return quoted;
	special = json_sprintf("%s (special)", json_string_value(quoted));
	json_decref(quoted);
	return special;
}

static bool same_token(const struct eng_tok *a, const struct eng_tok *b, uint32_t id)
{
	uint32_t a_bytes = 0, b_bytes = 0;
	const char *x = eng_tok_bytes(a, id, &a_bytes), *y = eng_tok_bytes(b, id, &b_bytes);

	return a_bytes == b_bytes && (!a_bytes || memcmp(x, y, a_bytes) == 0) &&
	       eng_tok_is_special(a, id) == eng_tok_is_special(b, id);
}

static int differ_tokens(const struct eng_tok *a, const struct eng_tok *b, json_t *list)
{
	uint32_t count = eng_tok_count(a) < eng_tok_count(b) ? eng_tok_count(a) : eng_tok_count(b);
	uint32_t first = 0, differing = 0, x_bytes = 0, y_bytes = 0;
	const char *x, *y;
	size_t at;

	for (uint32_t id = count; id-- > 0;) {
		if (same_token(a, b, id))
			continue;
		first = id;
		differing++;
	}
	if (!differing)
		return 0;
	x = eng_tok_bytes(a, first, &x_bytes);
	y = eng_tok_bytes(b, first, &y_bytes);
	at = common_bytes(x, x ? x_bytes : 0, y, y ? y_bytes : 0);
	return sto_differ_add(list, token_text(a, first, at), token_text(b, first, at),
			      "tokenizer: token %u (the first of %u that differ)", first, differing);
}

static int differ_affixes(struct eng_tok *a, struct eng_tok *b, json_t *list)
{
	uint32_t x[2 * ENG_TOK_AFFIX_MAX], y[2 * ENG_TOK_AFFIX_MAX];
	int64_t m = eng_tok_encode(a, "", 0, ENG_ENCODE_AFFIXES, x, 2 * ENG_TOK_AFFIX_MAX);
	int64_t n = eng_tok_encode(b, "", 0, ENG_ENCODE_AFFIXES, y, 2 * ENG_TOK_AFFIX_MAX);

	if (m < 0 || n < 0 || (m == n && memcmp(x, y, (size_t)m * sizeof(*x)) == 0))
		return 0;
	return sto_differ_add(list, id_list(x, (uint32_t)m), id_list(y, (uint32_t)n),
			      "tokenizer: tokens put around a text");
}

/* What has no better name: the short hash of all of it. */
static json_t *short_hash(const struct sto_parts *parts)
{
	uint8_t hash[MHS_CHUNK_HASH_BYTES];

	sto_hash128(parts->tokenizer, parts->tokenizer_bytes, hash);
	return json_sprintf("%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
}

static int differ_opened(struct eng_tok *a, struct eng_tok *b, json_t *list)
{
	int err = 0;

	if (eng_tok_count(a) != eng_tok_count(b))
		err = sto_differ_add(list, json_integer(eng_tok_count(a)),
				     json_integer(eng_tok_count(b)), "tokenizer: number of tokens");
	if (!err)
		err = differ_tokens(a, b, list);
	return err ? err : differ_affixes(a, b, list);
}

int sto_differ_tokenizer(const struct sto_parts *a, const struct sto_parts *b, json_t *list)
{
	struct eng_tok *x = NULL, *y = NULL;
	size_t before = json_array_size(list);
	int err = 0;

	if (a->tokenizer_bytes == b->tokenizer_bytes &&
	    memcmp(a->tokenizer, b->tokenizer, a->tokenizer_bytes) == 0)
		return 0;
	if (eng_tok_open(a->tokenizer, a->tokenizer_bytes, &x) == 0 &&
	    eng_tok_open(b->tokenizer, b->tokenizer_bytes, &y) == 0)
		err = differ_opened(x, y, list);
	if (x)
		eng_tok_close(&x);
	if (y)
		eng_tok_close(&y);
	if (!err && json_array_size(list) == before)
		err = sto_differ_add(list, short_hash(a), short_hash(b),
				     "tokenizer: hash (its merges or rules differ, its tokens do not)");
	return err;
}

/* ---- template ---------------------------------------------------------------------------- */

/* The line that holds byte @at. */
static json_t *line_at(const char *text, size_t bytes, size_t at)
{
	size_t from = at, to = at;

	while (from && text[from - 1] != '\n')
		from--;
	while (to < bytes && text[to] != '\n')
		to++;
	return quote(text + from, to - from, at - from);
}

int sto_differ_template(const struct sto_parts *a, const struct sto_parts *b, json_t *list)
{
	size_t at, line = 1;

	if (!a->chat_template || !b->chat_template) {
		if (!a->chat_template == !b->chat_template)
			return 0;
		return sto_differ_add(list, json_string(a->chat_template ? "one" : "none"),
				      json_string(b->chat_template ? "one" : "none"), "chat template");
	}
	at = common_bytes(a->chat_template, a->chat_template_bytes, b->chat_template,
			  b->chat_template_bytes);
	if (at == a->chat_template_bytes && at == b->chat_template_bytes)
		return 0;
	for (size_t i = 0; i < at; i++)
		line += a->chat_template[i] == '\n';
	return sto_differ_add(list, line_at(a->chat_template, a->chat_template_bytes, at),
			      line_at(b->chat_template, b->chat_template_bytes, at),
			      "chat template: line %zu", line);
}
