/* SPDX-License-Identifier: MIT */
/* sto_peft_match.c: which modules a PEFT configuration names, and the numbers it gives them. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mhs_adapter.h"
#include "sto_peft_priv.h"

#define PATTERN_BYTES_MAX	8192u
#define STEP_MAX		1000000u	/* of one match; a usual one takes below 1,000 */

struct sto_peft_pattern {
	pcre2_code *code;
	pcre2_match_data *data;
	double value;			/* of rank_pattern and alpha_pattern */
};

/* ---- patterns ---------------------------------------------------------------------------- */

int sto_peft_patterns_init(struct sto_peft_patterns *patterns, size_t count)
{
	patterns->count = 0;
	patterns->list = calloc(count ? count : 1, sizeof(*patterns->list));
	return patterns->list ? 0 : -ENOMEM;
}

void sto_peft_patterns_fini(struct sto_peft_patterns *patterns)
{
	for (uint32_t i = 0; i < patterns->count; i++) {
		pcre2_match_data_free(patterns->list[i].data);
		pcre2_code_free(patterns->list[i].code);
	}
	free(patterns->list);
	memset(patterns, 0, sizeof(*patterns));
}

static int refuse_pattern(const char *shown, const char *field, const char *text, const char *why,
			  struct sto_error *error)
{
	sto_fail(error, "%s: %s: \"%.80s\": %.160s, limit a regular expression as Python's re has it; "
		 "correct the pattern", shown, field, text, why);
	return -EINVAL;
}

int sto_peft_compile(struct sto_peft_patterns *patterns, const char *shown, const char *field,
		     const char *before, const char *text, const char *after, bool whole,
		     double value, struct sto_error *error)
{
	struct sto_peft_pattern *p = &patterns->list[patterns->count];
	uint32_t options = PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C | (whole ? PCRE2_ENDANCHORED : 0);
	char whole_text[PATTERN_BYTES_MAX], why[160];
	int n, code = 0;
	PCRE2_SIZE at = 0;

	n = snprintf(whole_text, sizeof(whole_text), "%s%s%s", before, text, after);
	if (n < 0 || (size_t)n >= sizeof(whole_text))
		return refuse_pattern(shown, field, text, "too long, limit 8 KiB", error);
	if (strstr(text, "(*"))		/* PCRE2's verbs, which Python does not know */
		return refuse_pattern(shown, field, text, "nothing to repeat at (*", error);
	p->code = pcre2_compile((PCRE2_SPTR)whole_text, (PCRE2_SIZE)n, options, &code, &at, NULL);
	if (!p->code) {
		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
		return refuse_pattern(shown, field, text, why, error);
	}
	p->data = pcre2_match_data_create_from_pattern(p->code, NULL);
	if (!p->data) {
		pcre2_code_free(p->code);
		sto_fail(error, "%s: out of memory; free some", shown);
		return -ENOMEM;
	}
	p->value = value;
	patterns->count++;
	return 0;
}

/* 1, 0, or negative with @error. */
static int pattern_match(const struct sto_peft_pattern *p, const char *shown, const char *field,
			 const char *name, struct sto_error *error)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	int n = PCRE2_ERROR_NOMEMORY;

	if (limits) {
		pcre2_set_match_limit(limits, STEP_MAX);
		n = pcre2_match(p->code, (PCRE2_SPTR)name, strlen(name), 0, 0, p->data, limits);
		pcre2_match_context_free(limits);
	}
	if (n >= 0 || n == PCRE2_ERROR_NOMATCH)
		return n >= 0;
	sto_fail(error, "%s: %s: a pattern takes too long on \"%.80s\", limit %u steps; simplify it",
		 shown, field, name, STEP_MAX);
	return -EINVAL;
}

/* ---- targets ------------------------------------------------------------------------------ */

enum naming { NOT_NAMED, NAMED_BY_END, NAMED_WHOLE };

/* The whole name, or the end of it behind a dot. */
static enum naming list_names(const json_t *list, const char *module)
{
	enum naming found = NOT_NAMED;
	size_t i, length = strlen(module);
	const json_t *entry;

	json_array_foreach(list, i, entry) {
		const char *name = json_string_value(entry);
		size_t n = strlen(name);

		if (!strcmp(name, module))
			return NAMED_WHOLE;
		if (n < length && module[length - n - 1] == '.' && !strcmp(module + length - n, name))
			found = NAMED_BY_END;
	}
	return found;
}

static int is_excluded(const struct sto_peft *peft, const char *module, struct sto_error *error)
{
	if (peft->exclude.count)
		return pattern_match(&peft->exclude.list[0], peft->shown, "exclude_modules", module,
				     error);
	return peft->excluded && list_names(peft->excluded, module) != NOT_NAMED;
}

static bool layer_is_listed(const json_t *layers, int layer)
{
	size_t i;
	const json_t *entry;

	if (json_is_integer(layers))
		return json_integer_value(layers) == layer;
	json_array_foreach(layers, i, entry)
		if (json_integer_value(entry) == layer)
			return true;
	return false;
}

/* layers_to_transform and layers_pattern; the one number in a name is that of its layer. */
static int layer_is_wanted(const struct sto_peft *peft, const char *module, int layer,
			   struct sto_error *error)
{
	int found = !peft->layer_names.count;

	if (!peft->layers)
		return 1;
	if (layer < 0 || !layer_is_listed(peft->layers, layer))
		return 0;
	for (uint32_t i = 0; i < peft->layer_names.count && !found; i++)
		found = pattern_match(&peft->layer_names.list[i], peft->shown, "layers_pattern", module,
				      error);
	return found;
}

int sto_peft_is_target(const struct sto_peft *peft, const char *module, int in_layer,
		       struct sto_error *error)
{
	int excluded = is_excluded(peft, module, error);
	enum naming found;

	if (excluded)
		return excluded < 0 ? excluded : 0;
	if (peft->all_linear)
		return in_layer >= 0;
	if (peft->target.count)
		return pattern_match(&peft->target.list[0], peft->shown, "target_modules", module,
				     error);
	found = list_names(peft->targets, module);
	if (found == NAMED_BY_END)	/* a whole name counts in whatever layer, in PEFT too */
		return layer_is_wanted(peft, module, in_layer, error);
	return found == NAMED_WHOLE;
}

/* ---- numbers ------------------------------------------------------------------------------- */

/* The value of the first pattern that matches, in the file's order. */
static int pattern_value(const struct sto_peft *peft, const struct sto_peft_patterns *patterns,
			 const char *field, const char *module, double *value,
			 struct sto_error *error)
{
	for (uint32_t i = 0; i < patterns->count; i++) {
		int found = pattern_match(&patterns->list[i], peft->shown, field, module, error);

		if (found < 0)
			return found;
		if (!found)
			continue;
		*value = patterns->list[i].value;
		return 0;
	}
	return 0;
}

int sto_peft_scale(const struct sto_peft *peft, const char *module, struct sto_peft_scale *scale,
		   struct sto_error *error)
{
	double rank = peft->rank, alpha = peft->alpha;
	int err = pattern_value(peft, &peft->ranks, "rank_pattern", module, &rank, error);

	if (!err)
		err = pattern_value(peft, &peft->alphas, "alpha_pattern", module, &alpha, error);
	if (err)
		return err;
	scale->rank = (uint32_t)rank;
	scale->alpha = alpha;
	scale->scale = (float)(alpha / (peft->rslora ? sqrt(rank) : rank));
	if (isfinite(scale->scale))
		return 0;
	sto_fail(error, "%s: lora_alpha: %g over rank %u of %s is no 32-bit float, limit 3e38; correct it",
		 peft->shown, alpha, scale->rank, module);
	return -EINVAL;
}
