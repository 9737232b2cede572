/* SPDX-License-Identifier: MIT */
/* tok_gguf_test: GGUF vocabularies against goldens; bad ones; all pre-tokenizer names. */
#include <errno.h>
#include <math.h>

#include "eng_tok.h"
#include "sto_tok_gguf.h"
#include "t.h"
#include "tok_golden.h"
#include "tok_lists.h"

#define DATA	"tests/unit/data/tok_lists_"

static char message[512];

static int compile(const struct sto_tok_gguf_vocab *v, uint32_t rows, void **blob, size_t *bytes)
{
	return sto_tok_gguf_compile(v, rows, "x.gguf", blob, bytes, message, sizeof(message));
}

static void check_lists(const char *path)
{
	json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL);
	struct sto_tok_gguf_vocab v = {0};
	struct golden g = {0};
	size_t bytes;
	void *blob;

	t_need(root);
	lists_read(json_object_get(root, "lists"), &v);
	t_need(!compile(&v, v.token_count, &blob, &bytes));
	t_need(!eng_tok_open(blob, bytes, &g.tok));
	golden_check(&g, root);
	t_eq(g.failed, 0);
	t_ok(g.passed > 250);
	eng_tok_close(&g.tok);
	free(blob);
	lists_free(&v);
	json_decref(root);
}

static void smollm(void)
{
	check_lists(DATA "smollm.json");
}

static void llama2(void)
{
	check_lists(DATA "llama2.json");
}

static void t5(void)
{
	check_lists(DATA "t5.json");
}

/* A vocabulary of a few tokens that each case breaks in one way. */
#define TOKENS	6
static struct eng_tok_string tokens[TOKENS];
static struct eng_tok_string merges[1];
static int32_t types[TOKENS];
static float scores[TOKENS];

static struct eng_tok_string text(const char *string)
{
	return (struct eng_tok_string){string, (uint32_t)strlen(string)};
}

static struct sto_tok_gguf_vocab small(const char *model)
{
	static const char *const texts[TOKENS] = {"<unk>", "<s>", "a", "b", "ab", "<0x41>"};
	static const int32_t kinds[TOKENS] = {2, 3, 1, 1, 1, 6};

	for (int i = 0; i < TOKENS; i++) {
		tokens[i] = text(texts[i]);
		types[i] = kinds[i];
		scores[i] = (float)-i;
	}
	merges[0] = text("a b");
	return (struct sto_tok_gguf_vocab){
		.model = text(model), .pre = text("gpt-2"), .token_count = TOKENS, .tokens = tokens,
		.types = types, .scores = scores, .merge_count = 1, .merges = merges, .bos_id = 1,
		.eos_id = 1, .unk_id = 0, .add_bos = -1, .add_eos = -1, .add_space_prefix = -1,
		.remove_extra_spaces = -1};
}

static void refused(const struct sto_tok_gguf_vocab *v, const char *wanted)
{
	size_t bytes;
	void *blob;

	t_eq(compile(v, TOKENS, &blob, &bytes), -EINVAL);
	t_ok(!blob && !strncmp(message, "x.gguf: tokenizer.ggml.", 23) && strchr(message, ';'));
	if (!t_ok(strstr(message, wanted) != NULL))
		fprintf(stderr, "  message: %s\n  wanted: %s\n", message, wanted);
}

#define REFUSED(model_name, wanted, change) \
	do { \
		struct sto_tok_gguf_vocab v = small(model_name); \
		change; \
		refused(&v, wanted); \
	} while (0)

static void bad_vocabularies(void)
{
	REFUSED("bert", "tokenizer.ggml.model: \"bert\"", (void)0);
	REFUSED("gpt2", "tokenizer.ggml.model", v.model.data = NULL);
	REFUSED("gpt2", "tokenizer.ggml.pre: \"nobody\"", v.pre = text("nobody"));
	REFUSED("gpt2", "tokenizer.ggml.merges: is missing", v.merges = NULL);
	REFUSED("gpt2", "merges[0]: must be two parts", merges[0] = text("ab"));
	REFUSED("gpt2", "merges[0]: must be two parts", merges[0] = text("a b a"));
	REFUSED("gpt2", "merges[0]: must be two parts", merges[0] = text("a "));
	REFUSED("gpt2", "merges[0]: \"c\" is not in the vocabulary", merges[0] = text("a c"));
	REFUSED("gpt2", "merges[0]: makes \"ba\"", merges[0] = text("b a"));
	REFUSED("gpt2", "has 7 tokens; the model has 6 rows", v.token_count = TOKENS + 1);
	REFUSED("gpt2", "token_type[2]: is 9", types[2] = 9);
	REFUSED("gpt2", "bos_token_id: is missing", v.add_bos = 1; v.bos_id = ENG_TOK_NONE);
	REFUSED("gpt2", "bos_token_id: is 6", v.add_bos = 1; v.bos_id = 6);
	REFUSED("gpt2", "eos_token_id: is 99", v.add_eos = 1; v.eos_id = 99);
	REFUSED("gpt2", "unknown_token_id: is 6", v.unk_id = 6);
	REFUSED("llama", "tokenizer.ggml.scores: is missing", v.scores = NULL);
	REFUSED("llama", "scores[3]: is no finite number", scores[3] = NAN);
	REFUSED("t5", "tokenizer.ggml.scores: is missing", v.scores = NULL);
	REFUSED("t5", "scores[3]: is no finite number", scores[3] = INFINITY);
	REFUSED("t5", "precompiled_charsmap: is cut short", v.charsmap = (const uint8_t *)"abc";
		v.charsmap_bytes = 3);
	REFUSED("llama", "tokens[5]: \"<0xZZ>\" is not a byte", tokens[5] = text("<0xZZ>"));
	REFUSED("llama", "tokens[5]: \"<0x-1>\" is not a byte", tokens[5] = text("<0x-1>"));
	REFUSED("llama", "tokens[4]: is not UTF-8", tokens[4] = text("\xff"));
	REFUSED("llama", "tokens[4]: has 0 bytes", tokens[4] = text(""));
	REFUSED("llama", "tokens[2]: has 2000 bytes", tokens[2].bytes = 2000);
}

static void expect(const struct sto_tok_gguf_vocab *v, const char *string, const uint32_t *ids,
		   int64_t count)
{
	struct eng_tok *tok;
	uint32_t got[32];
	size_t bytes;
	void *blob;

	t_need(!compile(v, TOKENS, &blob, &bytes));
	t_need(!eng_tok_open(blob, bytes, &tok));
	t_eq(eng_tok_encode(tok, string, strlen(string), ENG_ENCODE_AFFIXES, got, 32), count);
	t_mem_eq(got, ids, (size_t)count * sizeof(*ids));
	eng_tok_close(&tok);
	free(blob);
}

static void flags_and_fallbacks(void)
{
	struct sto_tok_gguf_vocab v = small("llama");

	/* Begins with BOS unless told otherwise; no space token here, so the mark is unknown. */
	expect(&v, "ab", (uint32_t[]){1, 0, 4}, 3);
	v.add_space_prefix = 0;
	expect(&v, "aA", (uint32_t[]){1, 2, 5}, 3);
	v.add_bos = 0;
	v.add_eos = 1;
	expect(&v, "ba<s>", (uint32_t[]){3, 2, 1, 1}, 4);
	v = small("gpt2");
	expect(&v, "ab<s>a", (uint32_t[]){4, 1, 2}, 3);
	v.pre = text("llama-bpe");
	expect(&v, "ab", (uint32_t[]){1, 4}, 2);
	v.pre.data = NULL;
	v.types = NULL;
	expect(&v, "ba", (uint32_t[]){3, 2}, 2);
}

/* Only Phi-3's added tokens strip spaces, though no file says so. */
static void phi3_strips(void)
{
	struct sto_tok_gguf_vocab v = small("llama");

	v.add_space_prefix = v.add_bos = 0;
	tokens[1] = text("<|end|>");
	expect(&v, "a<|end|> b", (uint32_t[]){2, 1, 0, 3}, 4);
	v.phi3 = true;
	expect(&v, "a<|end|> b", (uint32_t[]){2, 1, 3}, 3);
}

static void extra_spaces_go(void)
{
	struct sto_tok_gguf_vocab v = small("llama");

	v.add_space_prefix = v.add_bos = 0;
	expect(&v, "  a   b ", (uint32_t[]){0, 2, 0, 3, 0}, 5);
	v.remove_extra_spaces = 1;
	expect(&v, "  a   b ", (uint32_t[]){2, 0, 3}, 3);
}

/* Of two equal texts the later one is made, and both can be read. */
static void texts_twice(void)
{
	struct sto_tok_gguf_vocab v = small("gpt2");

	tokens[5] = text("a");
	types[5] = 1;
	merges[0] = text("a b");
	expect(&v, "a", (uint32_t[]){5}, 1);
}

static void every_name(void)
{
	static const char *const names[] = {
		"default",          "gpt-2",       "mpt",         "olmo",      "smollm",
		"starcoder",        "refact",      "command-r",   "llama3",    "llama-v3",
		"llama-bpe",        "falcon3",     "dbrx",        "smaug-bpe", "qwen2",
		"deepseek-r1-qwen", "stablelm2",   "gpt-4o",      "llama4",    "tekken",
		"seed-coder",       "falcon",      "bloom",       "viking",    "deepseek-llm",
		"deepseek-coder",   "deepseek-v3", "chatglm-bpe", "exaone4",   "lfm2",
		"qwen35",           "jais-2",      "minicpm5",    "glm4",      "ufakzeka",
		"laguna",           "bailingmoe",  "exaone-moe",  "kanana2",   "tiny_aya",
		"youtu",            "kimi-k2",     "chameleon",   "spark2_5",  "afmoe",
		"superbpe",         "mellum2",     "granite-embed-multi-97m",  "joyai-llm",
		"gemma4",           "sarvam-moe",
	};
	struct sto_tok_gguf_vocab v = small("gpt2");

	v.add_bos = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		v.pre = text(names[i]);
		/* Two of them have a token for what is unknown, and one begins with <s> always. */
		if (!strcmp(names[i], "gemma4")) {
			expect(&v, "ab\n\n1", (uint32_t[]){1, 4, 0, 0}, 4);
			continue;
		}
		expect(&v, "ab", (uint32_t[]){4}, 1);
		if (!strcmp(names[i], "sarvam-moe")) {
			expect(&v, "a1\nb", (uint32_t[]){2, 0, 0, 3}, 4);
			continue;
		}
		expect(&v, "a1\n \xce\xb1" "b", (uint32_t[]){2, 3}, 2);
	}
}

int main(void)
{
	T_RUN(smollm);
	T_RUN(llama2);
	T_RUN(t5);
	T_RUN(bad_vocabularies);
	T_RUN(flags_and_fallbacks);
	T_RUN(phi3_strips);
	T_RUN(extra_spaces_go);
	T_RUN(texts_twice);
	T_RUN(every_name);
	return t_done();
}
