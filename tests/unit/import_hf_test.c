/* SPDX-License-Identifier: MIT */
/* import_hf_test.c: which file of a Hugging Face directory decides what. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_import.h"
#include "sto_version.h"
#include "t.h"
#include "t_bad.h"
#include "t_gguf.h"

#define CONTROL	T_REFERENCE "/bad/control"

static uint32_t serial;
static struct mhs_image_header head;
static char template[256];	/* of the image imported last */

static void read_image(const char *model)
{
	struct sto_error error = { "" };
	struct sto_version v;
	uint64_t bytes;

	t_need(sto_version_open(&v, t_path("store"), model, "1.0.0", &error) == 0);
	head = v.header;
	bytes = head.chat_template.length_bytes;
	if (bytes >= sizeof(template) ||
	    sto_version_read(&v, template, bytes, head.chat_template.offset_bytes, &error))
		bytes = 0;
	template[bytes] = '\0';
	sto_version_close(&v);
}

/* Import the directory "hf"; on success its image's header is in head. */
static const char *other_template;	/* a file that import_dir() takes in place of the folder's */

static int import_dir(struct sto_error *error)
{
	struct sto_import import = { .store = t_path("store"), .path = t_path("hf"),
				     .version = "1.0.0", .threads = 1, .chat_template = other_template };
	struct sto_import_result result;
	int err;

	error->text[0] = '\0';
	snprintf(import.model, sizeof(import.model), "m%u", ++serial);
	err = sto_import(&import, &result, error);
	if (!err)
		read_image(import.model);
	return err;
}

static void copy_dir(const char *from)
{
	t_remove_tree(t_path("hf"));
	t_copy_folder(from, t_path("hf"));
}

static void fresh_dir(void)
{
	copy_dir(CONTROL);
}

static void put_text(const char *name, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "hf/%s", name);
	t_write_file(t_path(path), text, strlen(text));
}

/* Change one key of config.json. */
static void set_config(const char *key, json_t *value)
{
	json_t *root = json_load_file(t_path("hf/config.json"), 0, NULL);

	t_need(root != NULL);
	json_object_set_new(root, key, value);
	t_eq(json_dump_file(root, t_path("hf/config.json"), 0), 0);
	json_decref(root);
}

static uint64_t begin_of(const json_t *header, const char *name)
{
	return (uint64_t)json_integer_value(json_array_get(
		json_object_get(json_object_get(header, name), "data_offsets"), 0));
}

/*
 * Append tensor @name to model.safetensors: a copy of the embedding, its byte at @flip changed
 * (UINT64_MAX: none).
 */
static void append_copy(const char *name, uint64_t flip)
{
	static const char embed[] = "model.embed_tokens.weight";
	struct t_bytes raw = { 0 };
	uint64_t header_bytes, bytes, data_bytes, begin;
	uint8_t *old = NULL;
	json_t *header, *entry;
	char *text;
	long size;
	FILE *f = fopen(t_path("hf/model.safetensors"), "rb");

	t_need(f && fread(&header_bytes, 8, 1, f) == 1 && !fseek(f, 0, SEEK_END));
	size = ftell(f);
	old = malloc((size_t)size);
	rewind(f);
	t_need(old && fread(old, 1, (size_t)size, f) == (size_t)size);
	fclose(f);
	header = json_loadb((char *)old + 8, header_bytes, 0, NULL);
	data_bytes = (uint64_t)size - 8 - header_bytes;
	begin = begin_of(header, embed);
	entry = json_deep_copy(json_object_get(header, embed));
	bytes = (uint64_t)json_integer_value(json_array_get(json_object_get(entry, "data_offsets"),
							    1)) - begin;
	json_object_set_new(entry, "data_offsets",
			    json_pack("[I, I]", (json_int_t)data_bytes,
				      (json_int_t)(data_bytes + bytes)));
	json_object_set_new(header, name, entry);
	text = json_dumps(header, JSON_COMPACT);
	t_put_u64(&raw, strlen(text));
	t_put(&raw, text, strlen(text));
	t_put(&raw, old + 8 + header_bytes, data_bytes);
	t_put(&raw, old + 8 + header_bytes + begin, bytes);
	if (flip != UINT64_MAX)
		raw.data[raw.bytes - bytes + flip] ^= 1;
	t_write_file(t_path("hf/model.safetensors"), raw.data, raw.bytes);
	json_decref(header);
	free(text);
	free(old);
	t_bytes_free(&raw);
}

/* In the header of model.safetensors, behind @name: @old becomes @new, which is as long. */
static void edit_header(const char *name, const char *old, const char *new)
{
	FILE *f = fopen(t_path("hf/model.safetensors"), "r+b");
	static char text[16384];
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	char *at = memmem(text, n, name, strlen(name));

	at = at ? memmem(at, n - (size_t)(at - text), old, strlen(old)) : NULL;
	t_need(at && strlen(old) == strlen(new) && !fseek(f, at - text, SEEK_SET) &&
	       fwrite(new, strlen(new), 1, f) == 1 && !fclose(f));
}

static void takes_end_tokens_from_generation(void)
{
	struct sto_error error;

	fresh_dir();
	set_config("eos_token_id", json_integer(3));
	unlink(t_path("hf/generation_config.json"));
	t_need(import_dir(&error) == 0);
	t_ok(head.eos_count == 1 && head.eos_ids[0] == 3);
	put_text("generation_config.json", "{\"eos_token_id\":[5,4]}");
	t_need(import_dir(&error) == 0);
	t_ok(head.eos_count == 2 && head.eos_ids[0] == 5 && head.eos_ids[1] == 4);
	put_text("generation_config.json", "{\"temperature\":0.6}");
	t_need(import_dir(&error) == 0);
	t_ok(head.eos_count == 1 && head.eos_ids[0] == 3);
	put_text("generation_config.json", "{\"eos_token_id\":");
	t_eq(import_dir(&error), -EINVAL);
	t_ok(strstr(error.text, "hf/generation_config.json: JSON: line 1"));
}

static void takes_the_template_that_counts(void)
{
	struct sto_error error;

	fresh_dir();
	unlink(t_path("hf/tokenizer_config.json"));
	t_need(import_dir(&error) == 0);
	t_eq(head.chat_template.length_bytes, 0);
	put_text("tokenizer_config.json", "{\"chat_template\":\"{{ one }}\"}");
	t_need(import_dir(&error) == 0);
	t_str_eq(template, "{{ one }}");
	put_text("tokenizer_config.json", "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"r\"},"
		 "{\"name\":\"default\",\"template\":\"{{ two }}\"}]}");
	t_need(import_dir(&error) == 0);
	t_str_eq(template, "{{ two }}");
	put_text("tokenizer_config.json", "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\" t\\n\\n\"},"
		 "{\"name\":\"default\",\"template\":\"\\nd \"}]}");
	t_need(import_dir(&error) == 0);
	t_str_eq(template, "{% if tools is not none +%} t\n{%+ else +%}\nd {%+ endif +%}");
	put_text("chat_template.json", "{\"chat_template\":\"{{ four }}\"}");
	put_text("tokenizer_config.json", "{}");
	t_need(import_dir(&error) == 0);
	t_str_eq(template, "{{ four }}");
	put_text("chat_template.jinja", "{{ three }}\n");
	t_need(import_dir(&error) == 0);
	t_str_eq(template, "{{ three }}\n");
	t_need(mkdir(t_path("hf/additional_chat_templates"), 0700) == 0);
	put_text("additional_chat_templates/tool_use.jinja", "{{ tools }}");
	t_need(import_dir(&error) == 0);
	t_str_eq(template, "{% if tools is not none +%}{{ tools }}{%+ else +%}{{ three }}{%+ endif +%}");
	unlink(t_path("hf/additional_chat_templates/tool_use.jinja"));
	t_need(rmdir(t_path("hf/additional_chat_templates")) == 0);
	unlink(t_path("hf/chat_template.jinja"));
	unlink(t_path("hf/chat_template.json"));
	put_text("tokenizer_config.json", "{\"chat_template\":7}");
	t_eq(import_dir(&error), -EINVAL);
	t_ok(strstr(error.text, "hf/tokenizer_config.json: chat_template: is not text"));
	put_text("tokenizer_config.json", "{\"chat_template\":\"\\u0001\"}");
	t_eq(import_dir(&error), -EINVAL);
	t_ok(strstr(error.text, "chat_template: not clean text"));
	put_text("chat_template.jinja", "\xff");
	t_eq(import_dir(&error), -EINVAL);
	t_ok(strstr(error.text, "hf/chat_template.jinja: template: not clean text"));
}

static void takes_another_template(void)
{
	struct sto_error error;

	fresh_dir();
	put_text("other.jinja", "{{ other }}");
	other_template = t_path("hf/other.jinja");
	t_need(import_dir(&error) == 0);
	t_str_eq(template, "{{ other }}");
	other_template = t_path("hf/none.jinja");
	t_eq(import_dir(&error), -ENOENT);
	t_ok(strstr(error.text, "none.jinja: "));
	other_template = NULL;
}

static void words_are(const char *bos, const char *eos, const char *pad, uint32_t said)
{
	t_str_eq(head.words.text[MHS_WORD_BOS], bos);
	t_str_eq(head.words.text[MHS_WORD_EOS], eos);
	t_str_eq(head.words.text[MHS_WORD_PAD], pad);
	t_eq(head.words.said, said);
}

static void takes_the_special_tokens_that_count(void)
{
	struct sto_error error;

	fresh_dir();
	unlink(t_path("hf/tokenizer_config.json"));
	t_need(import_dir(&error) == 0);
	words_are("", "", "", 0);
	put_text("special_tokens_map.json", "{\"eos_token\":{\"content\":\"<old>\"}}");
	put_text("tokenizer_config.json", "{\"bos_token\":{\"content\":\"<b>\"},\"eos_token\":\"<e>\",\"pad_token\":null}");
	t_need(import_dir(&error) == 0);
	words_are("<b>", "<old>", "", 1 << MHS_WORD_BOS | 1 << MHS_WORD_EOS | 1 << MHS_WORD_PAD);
	put_text("tokenizer_config.json", "{\"eos_token\":\"<e>\",\"pad_token\":\"<p>\",\"added_tokens_decoder\":{},"
		 "\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
	t_need(import_dir(&error) == 0);
	words_are("", "<e>", "<p>", (1 << MHS_WORD_COUNT) - 1);
	put_text("tokenizer_config.json", "{\"eos_token\":7}");
	t_eq(import_dir(&error), -EINVAL);
	t_ok(strstr(error.text, "hf/tokenizer_config.json: eos_token: is no token, limit a text of 63 bytes"));
	unlink(t_path("hf/special_tokens_map.json"));
}

static void ties_only_what_is_equal(void)
{
	struct sto_error error;

	fresh_dir();
	append_copy("lm_head.weight", UINT64_MAX);
	t_need(import_dir(&error) == 0);
	t_eq(head.config.tied, 1);
	set_config("tie_word_embeddings", json_false());
	t_need(import_dir(&error) == 0);
	t_eq(head.config.tied, 0);
	fresh_dir();
	append_copy("lm_head.weight", 100);
	t_eq(import_dir(&error), -EINVAL);
	t_ok(strstr(error.text, "tensor lm_head.weight: differs from the embedding"));
	set_config("tie_word_embeddings", json_false());
	t_eq(import_dir(&error), 0);
	fresh_dir();
	set_config("tie_word_embeddings", json_false());
	t_eq(import_dir(&error), -EINVAL);
	t_ok(strstr(error.text, "tensor lm_head.weight: is absent"));
}

static void refuses_tensors_without_a_place(void)
{
	struct sto_error error;

	fresh_dir();
	append_copy("model.layers.0.self_attn.q_norm.weight", UINT64_MAX);
	t_eq(import_dir(&error), -ENOTSUP);
	t_ok(strstr(error.text, "q_norm.weight: has no place in a Llama"));
	fresh_dir();
	append_copy("model.layers.0.self_attn.rotary_emb.inv_freq", UINT64_MAX);
	t_eq(import_dir(&error), 0);
}

static void refused_with(const char *folder, const char *name, const char *old, const char *new,
			 const char *expect)
{
	struct sto_error error;

	copy_dir(folder);
	edit_header(name, old, new);
	t_ok(import_dir(&error) < 0);
	if (!t_ok(strstr(error.text, expect)))
		printf("# %s, not %s\n", error.text, expect);
}

/* One tensor for each expert, or one for all of a layer. */
static void refuses_experts_that_do_not_fit(void)
{
	static const char each[] = T_REFERENCE "/models/qwen3_moe_f32", all[] = T_REFERENCE "/models/mixtral_bf16";
	struct sto_error error;

	copy_dir(each);
	t_eq(import_dir(&error), 0);
	t_ok(head.experts.count == 4 && head.experts.layers[0] == 5);
	copy_dir(all);
	t_eq(import_dir(&error), 0);
	t_ok(head.experts.count == 3 && head.experts.layers[0] == 3);
	refused_with(each, "model.layers.0.mlp.experts", "experts.3.up_proj", "experts.9.up_proj",
		     "layers.0.mlp.experts.3.up_proj.weight: is absent");
	refused_with(each, "layers.2.mlp.experts.1.down_proj", "[32,16]", "[16,32]",
		     "layers.2.mlp.experts.1.down_proj.weight: shape has 2 dimensions, 16 x 32, limit 2, 32 x 16");
	refused_with(each, "layers.2.mlp.gate", "gate.weight", "gat5.weight", "layers.2.mlp.gate.weight: is absent");
	refused_with(each, "layers.1.mlp.gate_proj", "F32", "I32", "layers.1.mlp.gate_proj.weight: dtype is I32");
	refused_with(each, "layers.0.mlp.experts.2.up_proj", "F32", "I32", "experts.2.up_proj.weight: dtype is I32");
	refused_with(all, "layers.0.mlp.experts.gate_up_proj", "[3,32,32]", "[2,48,32]",
		     "experts.gate_up_proj: has 3 dimensions, 2 x 48 x 32, limit 3, 3 x 32 x 32");
	refused_with(all, "layers.1.block_sparse_moe.experts.2.w2", "w2", "w5",
		     "layers.1.block_sparse_moe.experts.2.w2.weight: is absent");
}

int main(void)
{
	if (access(CONTROL "/model.safetensors", R_OK)) {
		printf("# run from the root of the source tree\n");
		return 1;
	}
	T_RUN(takes_end_tokens_from_generation);
	T_RUN(takes_the_template_that_counts);
	T_RUN(takes_another_template);
	T_RUN(takes_the_special_tokens_that_count);
	T_RUN(ties_only_what_is_equal);
	T_RUN(refuses_tensors_without_a_place);
	T_RUN(refuses_experts_that_do_not_fit);
	return t_done();
}
