/* SPDX-License-Identifier: MIT */
/* differ_test.c: what differs between two versions is named, with both values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_differ.h"
#include "t.h"
#include "t_tok.h"

static struct mhs_image_config config = { .arch = 1, .layer_count = 2, .vocab_count = 10,
					  .context_max = 128, .rms_eps = 1e-5f };
static json_t *list;

/* The only difference in @list as text; the list is empty again afterwards. */
static const char *only(void)
{
	static char text[512];
	json_t *said = NULL;

	snprintf(text, sizeof(text), "(%zu differences)", json_array_size(list));
	if (json_array_size(list) == 1)
		said = sto_differ_text(json_array_get(list, 0));
	if (said)
		snprintf(text, sizeof(text), "%s", json_string_value(said));
	json_decref(said);
	json_array_clear(list);
	return text;
}

static void names_fields_of_the_configuration(void)
{
	struct mhs_image_config other = config;
	struct sto_parts a = { .config = &config }, b = { .config = &other };

	t_eq(sto_differ_config(&a, &b, list), 0);
	t_eq(json_array_size(list), 0);
	other.context_max = 64;
	t_eq(sto_differ_config(&a, &b, list), 0);
	t_str_eq(only(), "context length: 64, was 128");
	other.context_max = 128;
	other.rms_eps = 0.5f;
	t_eq(sto_differ_config(&a, &b, list), 0);
	t_str_eq(only(), "rms eps: 0.5, was 1e-5");
	other.layer_count = 3;
	t_eq(sto_differ_config(&a, &b, list), 0);
	t_str_eq(only(), "(2 differences)");
}

static void names_fields_of_the_shape(void)
{
	struct mhs_image_shape one = { .flags = 1 }, two = one;
	struct sto_parts a = { .config = &config, .shape = &one }, b = { .config = &config, .shape = &two };
	json_t *found = json_array();

	t_eq(sto_differ_config(&a, &b, found), 0);
	t_eq(json_array_size(found), 0);
	two.window = 16;
	two.window_layers[0] = 5;
	two.logit_cap = 30;
	t_eq(sto_differ_config(&a, &b, found), 0);
	t_eq(json_array_size(found), 3);
	t_str_eq(json_string_value(json_object_get(json_array_get(found, 0), "field")), "window");
	t_str_eq(json_string_value(json_object_get(json_array_get(found, 1), "field")), "logit cap");
	t_eq(json_array_size(json_object_get(json_array_get(found, 2), "b")), 2);
	json_decref(found);
}

static void names_fields_of_experts(void)
{
	struct mhs_image_experts one = { .count = 4, .used = 2 }, two = one;
	struct sto_parts a = { .config = &config, .experts = &one }, b = { .config = &config, .experts = &two };
	json_t *found = json_array();

	t_eq(sto_differ_config(&a, &b, found), 0);
	t_eq(json_array_size(found), 0);
	two.used = 3;
	two.layers[1] = 1;
	t_eq(sto_differ_config(&a, &b, found), 0);
	t_eq(json_array_size(found), 2);
	t_str_eq(json_string_value(json_object_get(json_array_get(found, 0), "field")), "experts used");
	t_eq(json_integer_value(json_array_get(json_object_get(json_array_get(found, 1), "b"), 0)), 64);
	json_decref(found);
}

static void names_begin_and_end_tokens(void)
{
	const uint32_t one[] = { 3, 4 }, same[] = { 4, 3 }, more[] = { 3, 4, 5 };
	struct sto_parts a = { .bos_id = 1, .eos_ids = one, .eos_count = 2 }, b = a;

	b.eos_ids = same;
	t_eq(sto_differ_special(&a, &b, list), 0);
	t_eq(json_array_size(list), 0);
	b.eos_ids = more;
	b.eos_count = 3;
	t_eq(sto_differ_special(&a, &b, list), 0);
	t_str_eq(only(), "end tokens (eos): [3,4,5], was [3,4]");
	t_eq(sto_differ_special(&b, &a, list), 0);
	t_str_eq(only(), "end tokens (eos): [3,4], was [3,4,5]");
	b = a;
	b.bos_id = UINT32_MAX;
	t_eq(sto_differ_special(&a, &b, list), 0);
	t_str_eq(only(), "begin token (bos): none, was 1");
}

static const char *templates(const char *old, const char *new)
{
	struct sto_parts a = { .chat_template = old, .chat_template_bytes = old ? strlen(old) : 0 };
	struct sto_parts b = { .chat_template = new, .chat_template_bytes = new ? strlen(new) : 0 };

	t_eq(sto_differ_template(&a, &b, list), 0);
	return only();
}

static void names_the_line_of_the_template(void)
{
	char lines[400], other[400];

	t_str_eq(templates("a\nb", "a\nb"), "(0 differences)");
	t_str_eq(templates(NULL, NULL), "(0 differences)");
	t_str_eq(templates(NULL, "x"), "chat template: one, was none");
	t_str_eq(templates("x", NULL), "chat template: none, was one");
	t_str_eq(templates("a\nbc\nd", "a\nbx\nd"), "chat template: line 2: \"bx\", was \"bc\"");
	t_str_eq(templates("a\nb", "a\nb\n"), "chat template: line 2: \"b\", was \"b\"");
	t_str_eq(templates("\x1b[1m", "\t"), "chat template: line 1: \"\\x09\", was \"\\x1b[1m\"");
	/* Long lines are shown where they differ, and letters are not cut in two. */
	memset(lines, 'x', sizeof(lines));
	lines[399] = '\0';
	strcpy(other, lines);
	memcpy(lines + 100, "\xc3\xa4", 2);
	memcpy(other + 100, "\xc3\xb6", 2);
	t_str_eq(templates(lines, other),
		 "chat template: line 1: "
		 "\"...xxxxxxxxxxxxxxxxxxx\xc3\xb6xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\", was "
		 "\"...xxxxxxxxxxxxxxxxxxx\xc3\xa4xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\"");
}

/* Bytes, and two tokens more; @last and its flags are what may differ. */
static struct t_tok *make_tok(const char *last, uint32_t flags, int merges)
{
	struct t_tok *m = t_tok_bytes();

	t_tok_add(m, "ab", 0);
	t_tok_add(m, last, flags);
	if (merges)
		t_tok_merge(m, 'a', 'b', 256);
	return m;
}

static const char *tokenizers(struct t_tok *old, struct t_tok *new)
{
	struct sto_parts a = { 0 }, b = { 0 };

	if (!t_tok_open(old) || !t_tok_open(new))
		return "";
	a.tokenizer = old->blob;
	a.tokenizer_bytes = old->blob_bytes;
	b.tokenizer = new->blob;
	b.tokenizer_bytes = new->blob_bytes;
	t_eq(sto_differ_tokenizer(&a, &b, list), 0);
	t_tok_free(old);
	t_tok_free(new);
	return only();
}

static void names_the_first_token(void)
{
	struct t_tok *more = make_tok("cd", 0, 0), *around = make_tok("cd", 0, 0);
	const char *text;

	t_str_eq(tokenizers(make_tok("cd", 0, 0), make_tok("cd", 0, 0)), "(0 differences)");
	t_str_eq(tokenizers(make_tok("cd", 0, 0), make_tok("ce", 0, 0)),
		 "tokenizer: token 257 (the first of 1 that differ): \"ce\", was \"cd\"");
	t_str_eq(tokenizers(make_tok("cd", 0, 0), make_tok("cd", ENG_TOKEN_SPECIAL | ENG_TOKEN_ADDED, 0)),
		 "tokenizer: token 257 (the first of 1 that differ): \"cd\" (special), was \"cd\"");
	t_tok_add(more, "ef", 0);
	t_str_eq(tokenizers(make_tok("cd", 0, 0), more), "tokenizer: number of tokens: 259, was 258");
	around->src.prefix_count = 1;
	around->src.prefix[0] = 7;
	t_str_eq(tokenizers(make_tok("cd", 0, 0), around),
		 "tokenizer: tokens put around a text: [7], was []");
	text = tokenizers(make_tok("cd", 0, 0), make_tok("cd", 0, 1));
	t_ok(strstr(text, "tokenizer: hash (its merges or rules differ, its tokens do not): ") == text);
}

static void survives_damaged_tokenizers(void)
{
	struct sto_parts a = { .tokenizer = "nonsense", .tokenizer_bytes = 8 };
	struct sto_parts b = { .tokenizer = "", .tokenizer_bytes = 0 };

	t_eq(sto_differ_tokenizer(&a, &b, list), 0);
	t_ok(strstr(only(), "tokenizer: hash"));
}

int main(void)
{
	list = json_array();
	T_RUN(names_fields_of_the_configuration);
	T_RUN(names_fields_of_the_shape);
	T_RUN(names_fields_of_experts);
	T_RUN(names_begin_and_end_tokens);
	T_RUN(names_the_line_of_the_template);
	T_RUN(names_the_first_token);
	T_RUN(survives_damaged_tokenizers);
	json_decref(list);
	return t_done();
}
