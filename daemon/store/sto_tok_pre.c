/* SPDX-License-Identifier: MIT */
/* sto_tok_pre.c: the table of pre-tokenizer names. */
#include <string.h>

#include "sto_tok_pre.h"

#define ENGLISH		"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define ENDING		"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORD		"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define MARKS		" ?[^\\s\\p{L}\\p{N}]+"
#define UPPER		"[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER		"[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(tail) \
	"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" tail "|" \
	"[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" tail

#define DIGIT		"\\p{N}"
#define DIGITS		"\\p{N}+"
#define THREE_ASCII	"[0-9][0-9][0-9]"
#define GPT2 \
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3		ENGLISH "|" WORD "|\\p{N}{1,3}|" MARKS "[\\r\\n]*" ENDING
#define QWEN2		ENGLISH "|" WORD "|\\p{N}|" MARKS "[\\r\\n]*" ENDING
#define GPT4O		CASED(ENGLISH "?") "|\\p{N}{1,3}|" MARKS "[\\r\\n/]*" ENDING
#define TEKKEN		CASED("") "|\\p{N}|" MARKS "[\\r\\n/]*" ENDING
#define BLOOM \
	" ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
#define SEED_CODER \
	ENGLISH "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" ENDING
#define DEEPSEEK_V3_DIGITS "\\p{N}{1,3}"
#define DEEPSEEK_V3_CJK	"[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define DEEPSEEK_V3 \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" \
	"|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" ENDING
#define DEEPSEEK_CJK	"[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
/* Cased letters of some scripts in runs. */
#define DEEPSEEK_LETTERS \
	"\\s?[" \
	"\\x{41}-\\x{5a}\\x{61}-\\x{7a}\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}" \
	"\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}" \
	"\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}" \
	"\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}" \
	"\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}" \
	"\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}" \
	"\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}" \
	"\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}" \
	"\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}" \
	"\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}" \
	"\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}" \
	"\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}" \
	"\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}" \
	"\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}" \
	"\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}" \
	"\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}" \
	"\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}" \
	"\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}" \
	"]+"
#define DEEPSEEK_MARKS \
	"\\s?[" \
	"\\x{21}-\\x{2f}\\x{3a}-\\x{7e}\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}" \
	"\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}" \
	"]+"

#define NAMES(...)	.names = (const char *const[]){__VA_ARGS__, NULL}

static const struct sto_tok_pre table[] = {
	{NAMES("default"), {"[\\p{P}$+<=>^~|]+", GPT2, DIGITS, THREE_ASCII}},
	{NAMES("gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de",
	       "roberta-bpe", "gigachat", "mpt", "olmo", "jais", "trillion", "granite-docling",
	       "exaone4"),
	 {GPT2}},
	{NAMES("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
	 {DIGIT, GPT2}},
	{NAMES("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
	       "lfm2"),
	 {LLAMA3}, .ignore_merges = true, .add_bos = true},
	{NAMES("dbrx", "smaug-bpe", "chatglm-bpe"), {LLAMA3}},
	{NAMES("qwen2", "deepseek-r1-qwen", "megrez"), {QWEN2}, .nfc = true},
	{NAMES("stablelm2", "hunyuan", "grok-2"), {QWEN2}},
	{NAMES("gpt-4o", "llama4"), {GPT4O}},
	{NAMES("tekken"), {TEKKEN}, .ignore_merges = true, .add_bos = true},
	{NAMES("seed-coder"), {SEED_CODER}},
	{NAMES("falcon"), {"[\\p{P}$+<=>^~|`]+", GPT2, THREE_ASCII}},
	{NAMES("bloom", "poro-chat", "gpt3-finnish"), {BLOOM}},
	{NAMES("viking"), {BLOOM, DIGIT}},
	{NAMES("deepseek-llm"),
	 {"[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_MARKS, "\\s+$", DEEPSEEK_CJK, DIGITS}},
	{NAMES("deepseek-coder"), {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, DIGIT}},
	{NAMES("deepseek-v3", "hunyuan-dense"), {DEEPSEEK_V3_DIGITS, DEEPSEEK_V3_CJK, DEEPSEEK_V3}},
};

const struct sto_tok_pre *sto_tok_pre_find(struct eng_tok_string name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		for (const char *const *known = table[i].names; *known; known++)
			if (strlen(*known) == name.bytes && !memcmp(*known, name.data, name.bytes))
				return &table[i];
	return NULL;
}
