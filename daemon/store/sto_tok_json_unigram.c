/* SPDX-License-Identifier: MIT */
/* sto_tok_json_unigram.c: tokenizer.json: the Unigram model. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_tok_json_priv.h"

/* Decimal digits: fewer than the first always come back, the second tells all doubles apart. */
#define DIGITS_SAFE	15
#define DIGITS_MAX	17

/* The shortest decimal that is @value, which is not 0: its digits, and the power of the last. */
static uint64_t shortest(double value, int *power)
{
	char text[40];
	uint64_t digits;

	for (int n = DIGITS_SAFE; n <= DIGITS_MAX; n++) {
		snprintf(text, sizeof(text), "%.*e", n - 1, value);
		*power = atoi(strchr(text, 'e') + 1) - (n - 1);
		if (strtod(text, NULL) == value)
			break;
	}
	text[1] = text[0];	/* over the point */
	for (digits = strtoull(text + 1, NULL, 10); digits % 10 == 0; digits /= 10)
		(*power)++;
	return digits;
}

/*
 * The number as the library reads it: its digits as an integer, times or over a power of ten. That
 * may be the neighbour of the nearest double, and paths of equal tokens are told apart by less.
 */
static double as_read(double value)
{
	char text[16];
	double made, ten;
	int power;

	made = (double)shortest(fabs(value), &power);
	snprintf(text, sizeof(text), "1e%d", abs(power));
	ten = strtod(text, NULL);
	return copysign(power < 0 ? made / ten : made * ten, value);
}

static int read_score(struct sto_tok *t, const json_t *score, uint32_t index)
{
	double value = json_number_value(score);

	if (!json_is_number(score) || !isfinite(value) || fabs(value) > 1e30)
		return sto_tok_fail(t, "model.vocab[%u]: its score must be a number below 1e30",
				    index);
	t->scores[index] = json_is_integer(score) || !value ? value : as_read(value);
	if (index == 0 || t->scores[index] < t->src.unk_score)
		t->src.unk_score = t->scores[index];
	return 0;
}

static int read_pieces(struct sto_tok *t, const json_t *vocab)
{
	json_t *piece;
	size_t i;
	int err = 0;

	json_array_foreach((json_t *)(uintptr_t)vocab, i, piece) {
		const json_t *text = json_array_get(piece, 0);

		if (json_array_size(piece) != 2 || !json_is_string(text))
			return sto_tok_fail(t, "model.vocab[%zu]: must be a token and its score",
					    i);
		err = sto_tok_set(t, "model.vocab", (uint32_t)i, tok_json_text(text), 0);
		err = err ? err : read_score(t, json_array_get(piece, 1), (uint32_t)i);
		if (err)
			return err;
	}
	t->src.unk_score -= STO_TOK_UNK_PENALTY;
	return 0;
}

int tok_json_unigram(struct sto_tok *t, const json_t *model)
{
	const json_t *unk = tok_json_get(model, "unk_id"), *vocab = tok_json_get(model, "vocab");
	int err;

	if (!json_array_size(vocab))
		return sto_tok_fail(t, "model.vocab: is empty");
	t->scores = calloc(t->src.token_count, sizeof(*t->scores));
	if (!t->scores)
		return -ENOMEM;
	err = read_pieces(t, vocab);
	if (err)
		return err;
	if (!json_is_integer(unk))
		return sto_tok_fail(t, "model.unk_id: %s",
				    unk ? "must be a number" : "is missing, unknown text could "
							       "not be encoded");
	if (json_integer_value(unk) < 0 ||
	    (size_t)json_integer_value(unk) >= json_array_size(vocab))
		return sto_tok_fail(t, "model.unk_id: is %lld; the vocabulary has %zu tokens",
				    (long long)json_integer_value(unk), json_array_size(vocab));
	t->src.unk_id = (uint32_t)json_integer_value(unk);
	return tok_json_bool(t, model, "model", "byte_fallback", false, &t->src.byte_fallback);
}
