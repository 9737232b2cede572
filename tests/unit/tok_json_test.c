/* SPDX-License-Identifier: MIT */
/* tok_json_test: tokenizer.json of every kind against the library's goldens; bad files. */
#include <errno.h>

#include "eng_tok.h"
#include "sto_tok_json.h"
#include "t.h"
#include "tok_golden.h"

#define DATA	"tests/unit/data/tok_"

static char message[512];

static int compile_text(const char *text, uint32_t rows, void **blob, size_t *bytes)
{
	return sto_tok_json_compile(text, strlen(text), rows, "tokenizer.json", blob, bytes,
				    message, sizeof(message));
}

static void check_kind(const char *path)
{
	json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL);
	char *text = json_dumps(json_object_get(root, "tokenizer"), JSON_COMPACT);
	struct golden g = {0};
	size_t bytes;
	void *blob;

	t_need(root && text);
	t_need(!compile_text(text, 0, &blob, &bytes));
	t_need(!eng_tok_open(blob, bytes, &g.tok));
	golden_check(&g, root);
	t_eq(g.failed, 0);
	t_ok(g.passed > 250);
	eng_tok_close(&g.tok);
	free(blob);
	free(text);
	json_decref(root);
}

#define KIND(name) \
	static void name(void) \
	{ \
		check_kind(DATA #name ".json"); \
	}
KIND(smollm)
KIND(gpt2)
KIND(llama3)
KIND(qwen2)
KIND(o200k)
KIND(deepseek)
KIND(llama2)
KIND(mistral)
KIND(gemma)
KIND(falcon)
KIND(aya)
KIND(t5)
KIND(albert)
KIND(unigram_bytes)

/* A good document, into which each case below puts one fault. */
static json_t *good_of(const char *path)
{
	json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL);
	json_t *tokenizer = json_incref(json_object_get(root, "tokenizer"));

	json_decref(root);
	return tokenizer;
}

static json_t *good(void)
{
	return good_of(DATA "o200k.json");
}

/* Sets the value at "a.b.0.c" to what @text says; "" removes it. */
static void change(json_t *root, const char *path, const char *text)
{
	char key[64];
	size_t bytes = strcspn(path, ".");
	json_t *value;

	snprintf(key, sizeof(key), "%.*s", (int)bytes, path);
	if (path[bytes]) {
		value = json_is_array(root) ? json_array_get(root, (size_t)atoi(key))
					    : json_object_get(root, key);
		change(value, path + bytes + 1, text);
		return;
	}
	value = json_loads(text, JSON_DECODE_ANY, NULL);
	if (json_is_array(root))
		json_array_set_new(root, (size_t)atoi(key), value);
	else if (value)
		json_object_set_new(root, key, value);
	else
		json_object_del(root, key);
}

struct fault {
	const char *path, *text, *wanted;	/* wanted: a part of the message */
};

static const struct fault faults[] = {
	{"model", "", "model: is missing"},
	{"model", "3", "model: must be an object"},
	{"version", "\"2.0\"", "version"},
	{"model.type", "\"WordPiece\"", "model.type: WordPiece"},
	{"model.type", "\"Unigram\"", "model.vocab: must be a list"},
	{"model.vocab", "[1]", "model.vocab: must be an object"},
	{"model.vocab", "{}", "model.vocab: is empty"},
	{"model.vocab.a", "-5", "model.vocab: id of \"a\" is -5"},
	{"model.vocab.a", "\"12\"", "model.vocab: id of \"a\" must be a number"},
	{"model.vocab.a", "1099511627776", "model.vocab: id of \"a\""},
	{"model.vocab.a", "70000", "the model has ids 0 to 299"},
	{"model.vocab.a", "1", "two tokens have id 1"},
	{"model.merges", "7", "model.merges: must be a list"},
	{"model.merges.0", "7", "model.merges[0]"},
	{"model.merges.3", "[\"a\"]", "model.merges[3]: must be two strings"},
	{"model.merges.3", "\"a b c\"", "model.merges[3]: must be two parts"},
	{"model.merges.3", "\"q z\"", "model.merges[3]: makes \"qz\""},
	{"model.merges.3", "[\"\\u2603\", \"a\"]", "model.merges[3]: \"\xe2\x98\x83\""},
	{"model.dropout", "0.5", "model.dropout"},
	{"model.unk_token", "\"<none>\"", "model.unk_token"},
	{"model.end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix"},
	{"model.ignore_merges", "1", "model.ignore_merges: must be true or false"},
	{"added_tokens", "{}", "added_tokens: must be a list"},
	{"added_tokens", "[{\"content\": \"x\"}]", "added_tokens[0]: id is missing"},
	{"added_tokens", "[{\"id\": 3}]", "added_tokens[0]: content is missing"},
	{"added_tokens", "[{\"id\": 4, \"content\": \"a\"}]",
	 "added_tokens[0]: \"a\" has id 4 here"},
	{"added_tokens", "[{\"id\": 4, \"content\": \"new\"}]", "two tokens have id 4"},
	{"added_tokens", "[{\"id\": 4, \"content\": \"n\", \"special\": 1}]",
	 "added_tokens[0].special"},
	{"normalizer", "{\"type\": \"BertNormalizer\"}",
	 "normalizer: BertNormalizer is not supported"},
	{"normalizer", "{\"type\": \"Precompiled\"}", "normalizer.precompiled_charsmap: is missing"},
	{"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"????\"}",
	 "normalizer.precompiled_charsmap: is no base64"},
	{"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}",
	 "normalizer.precompiled_charsmap: is cut short"},
	{"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"CAAAAACAAQBhQQAAeAB4AA==\"}",
	 "normalizer.precompiled_charsmap: a text lies outside"},
	{"normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Nmt\"}]}",
	 "normalizer.normalizers[0]: Nmt is not supported"},
	{"normalizer", "{\"type\": \"Replace\", \"pattern\": {}, \"content\": \"\"}",
	 "normalizer.pattern"},
	{"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"[a\"", "class without ]"},
	{"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"(a)\\\\1\"", "back references"},
	{"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"\\\\p{Nonsense}\"", "bad pattern"},
	{"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"(?x:a)\"", "option of a group"},
	{"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"*\"", "nothing to repeat"},
	{"pre_tokenizer.pretokenizers.0.pattern.Regex", "\"a)\"", ") without ("},
	{"pre_tokenizer.pretokenizers.0.behavior", "\"Sideways\"", "pretokenizers[0].behavior"},
	{"pre_tokenizer.pretokenizers.0.type", "\"UnicodeScripts\"",
	 "UnicodeScripts is not supported"},
	{"pre_tokenizer.pretokenizers.0.type", "\"ByteLevel\"",
	 "pretokenizers[1]: a second ByteLevel"},
	{"pre_tokenizer", "{}", "pre_tokenizer.type: is missing"},
	{"post_processor", "{\"type\": \"BertProcessing\"}", "post_processor.cls: must be a token"},
	{"post_processor",
	 "{\"type\": \"RobertaProcessing\", \"cls\": [\"a\", 1], \"sep\": [\"b\", 300]}",
	 "post_processor.special_tokens: id out of range"},
	{"post_processor", "{\"type\": \"Nonsense\"}", "post_processor: Nonsense is not supported"},
	{"post_processor", "{\"type\": \"TemplateProcessing\", \"single\": []}", "has no Sequence"},
	{"post_processor",
	 "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
	 "{\"id\": \"x\"}}, {\"Sequence\": {\"id\": \"A\"}}], \"special_tokens\": {}}",
	 "special_tokens lacks"},
	{"decoder", "null", "decoder: is missing"},
	{"decoder", "{\"type\": \"WordPiece\"}", "decoder: WordPiece is not supported"},
};

static const struct fault unigram_faults[] = {
	{"model.vocab", "{}", "model.vocab: must be a list of tokens and scores"},
	{"model.vocab", "[]", "model.vocab: is empty"},
	{"model.vocab.5", "\"a\"", "model.vocab[5]: must be a token and its score"},
	{"model.vocab.5", "[\"a\", -1, 2]", "model.vocab[5]: must be a token and its score"},
	{"model.vocab.5", "[-1, \"a\"]", "model.vocab[5]: must be a token and its score"},
	{"model.vocab.5", "[\"a\", \"-1\"]", "model.vocab[5]: its score must be a number"},
	{"model.vocab.5", "[\"a\", -1e300]", "model.vocab[5]: its score must be a number"},
	{"model.unk_id", "null", "model.unk_id: is missing"},
	{"model.unk_id", "\"<unk>\"", "model.unk_id: must be a number"},
	{"model.unk_id", "303", "model.unk_id: is 303; the vocabulary has 303"},
	{"model.unk_id", "-1", "model.unk_id: is -1"},
	{"model.byte_fallback", "0", "model.byte_fallback: must be true or false"},
	{"decoder", "{\"type\": \"CTC\"}", "decoder: CTC is not supported"},
	{"decoder",
	 "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, "
	 "{\"type\": \"Strip\", \"content\": \" \", \"start\": 0, \"stop\": 1}]}",
	 "decoder.decoders[1]: after Fuse only one Strip"},
};

static void each_fault(const char *path, uint32_t rows, const struct fault *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_t *root = good_of(path);
		size_t bytes;
		void *blob;
		char *text;

		t_need(root);
		change(root, list[i].path, list[i].text);
		text = json_dumps(root, 0);
		t_eq(compile_text(text, rows, &blob, &bytes), -EINVAL);
		t_ok(!blob && !strncmp(message, "tokenizer.json: ", 16) && !strchr(message, '\n'));
		t_ok(strchr(message, ';') != NULL);
		if (!t_ok(strstr(message, list[i].wanted) != NULL))
			fprintf(stderr, "  message: %s\n  wanted: %s\n", message, list[i].wanted);
		free(text);
		json_decref(root);
	}
}

static void faults_are_named(void)
{
	each_fault(DATA "o200k.json", 300, faults, sizeof(faults) / sizeof(*faults));
}

static void unigram_faults_are_named(void)
{
	each_fault(DATA "t5.json", 0, unigram_faults,
		   sizeof(unigram_faults) / sizeof(*unigram_faults));
}

static void no_json(void)
{
	static const char *const texts[][2] = {
		{"", "is empty"}, {"{", "line 1"}, {"[]", "must be an object"}, {"nul", "line 1"},
		{"version https://git-lfs.example/spec/v1\noid sha256:0\n", "Git LFS pointer"},
		{"{\"model\": 1, \"model\": 2}", "duplicate"}, {"{\"a\": \"\\ud800\"}", "line 1"},
		{"{\"a\": \"\xff\"}", "line 1"},
	};
	char *deep = malloc(100001);
	size_t bytes;
	void *blob;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		t_eq(compile_text(texts[i][0], 0, &blob, &bytes), -EINVAL);
		t_ok(strstr(message, texts[i][1]) != NULL);
	}
	t_need(deep);
	memset(deep, '[', 100000);
	deep[100000] = 0;
	t_eq(compile_text(deep, 0, &blob, &bytes), -EINVAL);
	t_ok(strstr(message, "depth") != NULL);
	free(deep);
}

static void cut_anywhere(void)
{
	json_t *root = good();
	char *text = json_dumps(root, JSON_COMPACT);
	size_t all = strlen(text), bytes;
	void *blob;

	for (size_t n = 0; n < all; n += 37)
		t_eq(sto_tok_json_compile(text, n, 0, "tokenizer.json", &blob, &bytes, message,
					  sizeof(message)), -EINVAL);
	t_eq(sto_tok_json_compile(text, all, 0, "tokenizer.json", &blob, &bytes, message,
				  sizeof(message)),
	     0);
	free(blob);
	free(text);
	json_decref(root);
}

/* The same pieces must come out where merges are written in the old way. */
static void old_merges(void)
{
	json_t *root = good(), *merges = json_object_get(json_object_get(root, "model"), "merges"),
	       *pair;
	void *one, *two;
	size_t one_bytes, two_bytes, i;
	char *text = json_dumps(root, 0);

	t_need(!compile_text(text, 0, &one, &one_bytes));
	free(text);
	json_array_foreach(merges, i, pair) {
		char joined[256];

		snprintf(joined, sizeof(joined), "%s %s",
			 json_string_value(json_array_get(pair, 0)),
			 json_string_value(json_array_get(pair, 1)));
		json_array_set_new(merges, i, json_string(joined));
	}
	text = json_dumps(root, 0);
	t_need(!compile_text(text, 0, &two, &two_bytes));
	t_ok(one_bytes == two_bytes && !memcmp(one, two, one_bytes));
	free(text);
	free(one);
	free(two);
	json_decref(root);
}

int main(void)
{
	T_RUN(smollm);
	T_RUN(gpt2);
	T_RUN(llama3);
	T_RUN(qwen2);
	T_RUN(o200k);
	T_RUN(deepseek);
	T_RUN(llama2);
	T_RUN(mistral);
	T_RUN(gemma);
	T_RUN(falcon);
	T_RUN(aya);
	T_RUN(t5);
	T_RUN(albert);
	T_RUN(unigram_bytes);
	T_RUN(faults_are_named);
	T_RUN(unigram_faults_are_named);
	T_RUN(no_json);
	T_RUN(cut_anywhere);
	T_RUN(old_merges);
	return t_done();
}
