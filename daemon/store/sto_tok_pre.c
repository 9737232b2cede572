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
/* Digits in threes, counted from the end of a run. \\G keeps that from looking ahead each time. */
#define TRIPLES(digit, end) \
	"(?<=" digit ")\\G" digit "{3}|(?<!" digit ")" digit "{1,3}(?=(?:" digit "{3})*" end ")"
#define GPT2 \
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3		ENGLISH "|" WORD "|\\p{N}{1,3}|" MARKS "[\\r\\n]*" ENDING
#define QWEN2		ENGLISH "|" WORD "|\\p{N}|" MARKS "[\\r\\n]*" ENDING
#define QWEN35 \
	ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" ENDING
#define UFAKZEKA	WORD "|\\p{N}|" MARKS "[\\r\\n]*" ENDING
#define MINICPM5	ENGLISH "|" WORD "|\\p{N}+|" MARKS "[\\r\\n]*" ENDING
#define SINGLE_ENDS	"|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define BAILING \
	"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*" \
	SINGLE_ENDS
#define EXAONE_MOE \
	ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|" MARKS \
	"[\\r\\n/]?" SINGLE_ENDS
#define JAIS2 \
	ENGLISH "|" WORD "|\\p{N}{1,3}|" MARKS "[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)" \
	"|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)" \
	"|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"
#define NO_HAN(set)	"[" set "&&[^\\p{Han}]]"
#define HAN_UPPER	NO_HAN("\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}")
#define HAN_LOWER	NO_HAN("\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}")
#define KIMI_K2 \
	"\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?" HAN_UPPER "*" HAN_LOWER "+" ENGLISH "?" \
	"|[^\\r\\n\\p{L}\\p{N}]?" HAN_UPPER "+" HAN_LOWER "*" ENGLISH "?" \
	"|\\p{N}{1,3}|" MARKS "[\\r\\n]*" ENDING
#define LINES		"[^\\n]+|\\n+"
#define CHAMELEON_IMAGE	"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"
#define AFMOE_ASIAN \
	"[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}" \
	"\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}" \
	"\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}" \
	"\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+"
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
#define YOUTU_ASIAN \
	"[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}" \
	"\\x{2019}\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+" \
	"|[\\x{3105}-\\x{312f}]+|" DEEPSEEK_V3_CJK
#define YOUTU		CASED(ENGLISH "?") "|\\p{N}|" MARKS "[\\r\\n/]*" ENDING
#define SPARK25 \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" \
	"|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+"
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
	       "jina-v2-code", "roberta-bpe", "gigachat", "mpt", "olmo", "jais", "trillion",
	       "granite-docling", "exaone4", "a.x-4.0", "mellum", "modern-bert"),
	 {GPT2}},
	{NAMES("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
	       "mellum2"),
	 {DIGIT, GPT2}},
	{NAMES("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
	       "lfm2", "jina-v5-nano"),
	 {LLAMA3}, .ignore_merges = true, .add_bos = true},
	{NAMES("dbrx", "smaug-bpe", "chatglm-bpe"), {LLAMA3}},
	{NAMES("glm4", "glm5"), {LLAMA3}, .ignore_merges = true},
	{NAMES("jais-2"), {JAIS2}},
	{NAMES("minicpm5"), {DEEPSEEK_V3_DIGITS, MINICPM5}, .ignore_merges = true},
	{NAMES("qwen2", "deepseek-r1-qwen", "megrez", "f2llmv2"), {QWEN2}, .nfc = true},
	{NAMES("qwen35"), {QWEN35}},
	{NAMES("stablelm2", "hunyuan", "grok-2", "kormo", "solar-open"), {QWEN2}},
	{NAMES("ufakzeka"), {UFAKZEKA}},
	{NAMES("laguna"), {LINES, QWEN2}},
	{NAMES("bailingmoe", "bailingmoe2", "llada-moe"), {BAILING}},
	{NAMES("exaone-moe"), {EXAONE_MOE}},
	{NAMES("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), {GPT4O}},
	{NAMES("granite-embed-multi-97m"), {GPT4O}, .ignore_merges = true},
	{NAMES("tiny_aya", "cohere2moe"), {TRIPLES("\\d", "\\b"), GPT4O}},
	{NAMES("youtu"), {YOUTU_ASIAN, YOUTU}, .ignore_merges = true},
	{NAMES("kimi-k2"), {KIMI_K2}},
	{NAMES("tekken"), {TEKKEN}, .ignore_merges = true, .add_bos = true},
	{NAMES("seed-coder"), {SEED_CODER}},
	{NAMES("falcon"), {"[\\p{P}$+<=>^~|`]+", GPT2, THREE_ASCII}},
	{NAMES("bloom", "poro-chat", "gpt3-finnish"), {BLOOM}},
	{NAMES("viking"), {BLOOM, DIGIT}},
	{NAMES("chameleon"),
	 {"<sentinel:[0-9]+>", CHAMELEON_IMAGE, "[\\t\\n]|    |  ", DIGIT,
	  "[\\p{P}!-/:-@\\[-`{-~]", GPT2},
	 .add_bos = true},
	{NAMES("deepseek-llm"),
	 {"[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_MARKS, "\\s+$", DEEPSEEK_CJK, DIGITS}},
	{NAMES("deepseek-coder"), {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, DIGIT}},
	{NAMES("deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"),
	 {DEEPSEEK_V3_DIGITS, DEEPSEEK_V3_CJK, DEEPSEEK_V3}},
	{NAMES("spark2_5"), {DEEPSEEK_V3_DIGITS, DEEPSEEK_V3_CJK, SPARK25, DIGIT}},
	{NAMES("afmoe"), {TRIPLES("\\p{N}", "(?!\\p{N})"), AFMOE_ASIAN, DEEPSEEK_V3}},
	{NAMES("superbpe"), {DIGITS, "(?=(\\d{3})+(?!\\d))"}},
	{NAMES("gemma4", "granite-embed-multi-311m"),
	 {LINES}, .marks = true, .lines = true, .add_bos = true},
	{NAMES("sarvam-moe"), {LINES}, .marks = true},
};

const struct sto_tok_pre *sto_tok_pre_find(struct eng_tok_string name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		for (const char *const *known = table[i].names; *known; known++)
			if (strlen(*known) == name.bytes && !memcmp(*known, name.data, name.bytes))
				return &table[i];
	return NULL;
}
