/* SPDX-License-Identifier: MIT */
/*
 * import_hf_chat.c: what chats need of a Hugging Face directory, found where transformers finds it.
 * The template: chat_template.jinja (and additional_chat_templates/tool_use.jinja), else chat_template of
 * tokenizer_config.json, a text or a list of named ones, else chat_template.json. Special tokens:
 * tokenizer_config.json, and in directories of the old kind special_tokens_map.json.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "import_hf_priv.h"

#define TOKENIZER_CONFIG_MAX	(UINT64_C(8) << 20)

struct text {
	char *data;		/* malloc'd, terminated; NULL: none */
	size_t bytes;
	const char *shown, *field;	/* where it stands */
};

/* ---- special tokens ---------------------------------------------------------------------- */

static const char *const word_keys[MHS_WORD_COUNT] = {
	"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
};

/* A token is its text, an object with its content, or null. */
static int word_set(struct mhs_image_words *words, int word, const char *shown, const json_t *value,
		    struct sto_error *error)
{
	const json_t *given = json_is_object(value) ? json_object_get(value, "content") : value;
	size_t bytes = json_string_length(given);

	if ((!json_is_string(given) && !json_is_null(value)) || bytes >= MHS_IMAGE_WORD_BYTES ||
	    (bytes && strlen(json_string_value(given)) != bytes)) {
		sto_fail(error, "%s: %s: is no token, limit a text of %u bytes, an object with content, or null; "
			 "correct the file", shown, word_keys[word], MHS_IMAGE_WORD_BYTES - 1);
		return -EINVAL;
	}
	memset(words->text[word], 0, MHS_IMAGE_WORD_BYTES);
	if (bytes)
		memcpy(words->text[word], json_string_value(given), bytes);
	words->said |= 1u << word;
	return 0;
}

static int words_read(struct mhs_image_words *words, const char *shown, const json_t *root, struct sto_error *error)
{
	int err = 0;

	for (int w = 0; w < MHS_WORD_COUNT && !err; w++) {
		const json_t *value = json_object_get(root, word_keys[w]);

		if (value)
			err = word_set(words, w, shown, value, error);
	}
	return err;
}

/* Classes made for one family have tokens of their own for what is not said; the general ones have none. */
static bool class_is_general(const json_t *root)
{
	const char *name = json_string_value(json_object_get(root, "tokenizer_class"));

	return name && (!strcmp(name, "PreTrainedTokenizerFast") || !strcmp(name, "TokenizersBackend"));
}

static int add_words(struct sto_model *model, const struct hf_dir *dir, const char *config_shown,
		     const json_t *config, struct sto_error *error)
{
	const char *shown = NULL;
	json_t *map = NULL;
	int err = words_read(&model->words, config_shown, config, error);

	if (!err && !json_object_get(config, "added_tokens_decoder"))
		err = hf_load_json(model, dir, "special_tokens_map.json", TOKENIZER_CONFIG_MAX, true, &map, &shown,
				   error);
	if (!err && map)
		err = words_read(&model->words, shown, map, error);
	json_decref(map);
	if (class_is_general(config))
		model->words.said = (1u << MHS_WORD_COUNT) - 1;
	return err;
}

/* ---- template ---------------------------------------------------------------------------- */

static const json_t *named_template(const json_t *list, const char *name)
{
	size_t i;
	json_t *entry;

	json_array_foreach(list, i, entry) {
		const char *is = json_string_value(json_object_get(entry, "name"));

		if (is && !strcmp(is, name))
			return json_object_get(entry, "template");
	}
	return NULL;
}

static int text_of_json(struct text *text, const char *shown, const json_t *value, struct sto_error *error)
{
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value)) {
		sto_fail(error, "%s: chat_template: is not text, limit text or a list of named texts; correct the file",
			 shown);
		return -EINVAL;
	}
	text->shown = shown;
	text->field = "chat_template";
	text->bytes = json_string_length(value);
	text->data = malloc(text->bytes + 1);
	if (!text->data) {
		sto_fail(error, "%s: out of memory; free some", shown);
		return -ENOMEM;
	}
	memcpy(text->data, json_string_value(value), text->bytes + 1);
	return 0;
}

/* -ENOENT: there is no such file. */
static int text_of_file(struct sto_model *model, const struct hf_dir *dir, const char *name, struct text *text,
			struct sto_error *error)
{
	uint32_t index;
	int err = hf_add_file(model, dir, name, &index, error);

	if (!err) {
		text->shown = model->files[index].path;
		text->field = "template";
		text->bytes = model->files[index].bytes;
		err = sto_file_load(&model->files[index], STO_TEMPLATE_MAX, &text->data, error);
	}
	return err;
}

static int texts_of_config(const char *shown, const json_t *config, struct text *plain, struct text *tools,
			   struct sto_error *error)
{
	const json_t *value = json_object_get(config, "chat_template");
	bool named = json_is_array(value);
	int err = text_of_json(plain, shown, named ? named_template(value, "default") : value, error);

	if (!err && named)
		err = text_of_json(tools, shown, named_template(value, "tool_use"), error);
	return err;
}

static int read_texts(struct sto_model *model, const struct hf_dir *dir, const char *shown, const json_t *config,
		      struct text *plain, struct text *tools, struct sto_error *error)
{
	json_t *root = NULL;
	int err = text_of_file(model, dir, "chat_template.jinja", plain, error);

	if (!err) {
		err = text_of_file(model, dir, "additional_chat_templates/tool_use.jinja", tools, error);
		return err == -ENOENT ? 0 : err;
	}
	if (err != -ENOENT)
		return err;
	err = texts_of_config(shown, config, plain, tools, error);
	if (err || plain->data)
		return err;
	err = hf_load_json(model, dir, "chat_template.json", TOKENIZER_CONFIG_MAX, true, &root, &shown, error);
	if (!err && root)
		err = texts_of_config(shown, root, plain, tools, error);
	json_decref(root);
	return err;
}

/* What jinja2 drops of a template that stands alone: one line end at its end. */
static size_t without_newline(const struct text *text)
{
	return text->bytes - (text->bytes && text->data[text->bytes - 1] == '\n');
}

/* Of two templates the one for tools is taken when there are some. The signs + keep the blanks around the seams. */
static int join_texts(struct text *plain, struct text *tools, struct text *both)
{
	static const char *const seams[] = { "{% if tools is not none +%}", "{%+ else +%}", "{%+ endif +%}" };
	size_t tools_bytes = without_newline(tools), plain_bytes = without_newline(plain);
	char *at = malloc(tools_bytes + plain_bytes + 80);

	both->data = at;
	if (!at)
		return -ENOMEM;
	at = stpcpy(at, seams[0]);
	at = mempcpy(at, tools->data, tools_bytes);
	at = stpcpy(at, seams[1]);
	at = mempcpy(at, plain->data, plain_bytes);
	at = stpcpy(at, seams[2]);
	both->bytes = (size_t)(at - both->data);
	return 0;
}

static int add_template(struct sto_model *model, const struct hf_dir *dir, const char *shown, const json_t *config,
			struct sto_error *error)
{
	struct text plain = { 0 }, tools = { 0 }, both = { 0 };
	const struct text *use = &plain;
	int err = read_texts(model, dir, shown, config, &plain, &tools, error);

	if (!err && plain.data && tools.data) {
		err = join_texts(&plain, &tools, &both);
		use = &both;
		if (err)
			sto_fail(error, "%s: out of memory; free some", dir->path);
	}
	if (!err && plain.data)
		err = sto_model_set_template(model, plain.shown, plain.field, use->data, use->bytes, error);
	free(plain.data);
	free(tools.data);
	free(both.data);
	return err;
}

int hf_add_chat(struct sto_model *model, const struct hf_dir *dir, struct sto_error *error)
{
	const char *shown = NULL;
	json_t *config = NULL;
	int err = hf_load_json(model, dir, "tokenizer_config.json", TOKENIZER_CONFIG_MAX, true, &config, &shown, error);

	if (!err && config)
		err = add_words(model, dir, shown, config, error);
	if (!err)
		err = add_template(model, dir, shown, config, error);
	json_decref(config);
	return err;
}
