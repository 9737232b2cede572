#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/unit/data/tok_*.json: small tokenizers of every kind, with what the `tokenizers` library makes of some texts.

    make_tok_data.py OUT_DIR        (tokenizers 0.23.3)

Each file has "tokenizer" (a tokenizer.json) or "lists" (a GGUF vocabulary, see tok_lists.h), and the goldens that
tok_golden.h reads.
"""

import base64
import collections
import itertools
import json
import math
import pathlib
import random
import struct
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PROSE = pathlib.Path(__file__).resolve().parent.parent / "reference" / "prose.txt"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (r"[^\r\n\p{L}\p{N}]?%s*%s+%s?|[^\r\n\p{L}\p{N}]?%s+%s*%s?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
	% (UPPER, LOWER, CONTRACTIONS, UPPER, LOWER, CONTRACTIONS))
DEEPSEEK = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
	r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
	r"|\s*[\r\n]+|\s+(?!\S)|\s+"]
TEXTS = ["", " ", "  ", "   a", "a  ", "\n", "\r\n\r\n x", " \n \n ", "Hello, world!", "It's we'LL 'S I'd", "12345 and 1 2 3",
	"caf\u00e9 cafe\u0301 \u212b", "\u4e2d\u6587\u304b\u306a", "\U0001f600 \U0001f469\u200d\U0001f4bb", "\u0416\u0438\u0442\u044c",
	"\u180e\u00a0\u3000\u2028", "\u0301\u0316a\u0316\u0301", "\u01c5\u02b0\u00aa\u2160\u00b2", "\ufffd\x01\x7f", "HELLOworld fooBar XMLHttp",
	"if (x >= 10) {\n\treturn a[i]++;\n}\n", "ferry", "ferryman ferry-boat", "\u2581\u2581 x", "<0x41>", "\u1c89\U00013460's",
	"\uff26\uff45rry \ufb01sh \u2460\uff13 \uff76\uff9e \u1100\u1161", "\u0130stanbul STRA\u00dfE \u01c4", "1234567 12345678a 12,345", "``ferry''  \t ",
	"The ferry left the harbour a little after seven.", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "'\u017f \u212a"]


def trained(tok, size, specials=(), alphabet=None):
	trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=list(specials),
		initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet,
		limit_alphabet=10000 if alphabet is None else len(alphabet) + 60)
	tok.train_from_iterator(PROSE.read_text(encoding="utf-8").splitlines(), trainer)
	return tok


def byte_level(pre, size=340, specials=(), **options):
	tok = Tokenizer(models.BPE(**options))
	tok.pre_tokenizer = pre
	tok.decoder = decoders.ByteLevel()
	return trained(tok, size, specials)


def split(pattern):
	return pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)


def bos(tok, name):
	tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
		single=name + " $A", pair="%s $A $B" % name, special_tokens=[(name, tok.token_to_id(name))])])


def smollm():
	return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
		pre_tokenizers.ByteLevel(add_prefix_space=False)]), specials=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def gpt2():
	tok = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
	tok.add_special_tokens([AddedToken("<|end|>", special=True, normalized=True), AddedToken("<both>", lstrip=True, rstrip=True)])
	tok.add_tokens([AddedToken("ferry", single_word=True, normalized=False), AddedToken("<r>", rstrip=True, normalized=False)])
	return tok


def llama3():
	tok = byte_level(pre_tokenizers.Sequence([split(LLAMA3), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
		ignore_merges=True)
	tok.add_special_tokens(["<|begin|>", "<|eot|>"])
	tok.add_tokens([AddedToken("<|eot|>\n", normalized=False)])
	bos(tok, "<|begin|>")
	return tok


def qwen2():
	tok = byte_level(pre_tokenizers.Sequence([split(QWEN2), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
	tok.normalizer = normalizers.NFC()
	tok.add_special_tokens(["<|im_end|>"])
	return tok


def o200k():
	return byte_level(pre_tokenizers.Sequence([split(O200K), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
		size=300, ignore_merges=True)


def deepseek():
	return byte_level(pre_tokenizers.Sequence([split(p) for p in DEEPSEEK]
		+ [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), size=300)


def sentencepiece(normalizer, pre, strip, lstrip=False):
	tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
	tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
	first = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
	trained(tok, 420, first, alphabet=["\u2581"])
	data = json.loads(tok.to_str())
	data["added_tokens"] = data["added_tokens"][:3]
	tok = Tokenizer.from_str(json.dumps(data))
	if normalizer is None:
		data["normalizer"] = None
		tok = Tokenizer.from_str(json.dumps(data))
	else:
		tok.normalizer = normalizer
	if pre is not None:
		tok.pre_tokenizer = pre
	parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
	tok.decoder = decoders.Sequence(parts + ([decoders.Strip(" ", 1, 0)] if strip else []))
	tok.add_special_tokens([AddedToken("<|user|>", rstrip=True, lstrip=lstrip, normalized=False)])
	tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
	return tok


def llama2():
	return sentencepiece(normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]), None, True, True)


def mistral():
	return sentencepiece(None, pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False), True)


def gemma():
	return sentencepiece(normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split(" ", "merged_with_previous"), False)


def charsmap(pairs):
	"""A map of texts in SentencePiece's packing: a double array, then what its keys become."""
	root, texts, units, bases = {}, b"", {0: 0}, set()
	for key, text in pairs:
		node = root
		for byte in key.encode():
			node = node.setdefault(byte, {})
		node[0] = len(texts)
		texts += text.encode() + b"\0"

	def fill(node, at, label):
		base = next(b for b in itertools.count(1) if b not in bases and all(b ^ c not in units for c in node))
		bases.add(base)
		units.update((base ^ c, 0) for c in node)
		units[at] = label | (0 in node) << 8 | (at ^ base) << 10
		for c in sorted(node):
			if c:
				fill(node[c], base ^ c, c)
			else:
				units[base] = 1 << 31 | node[0]

	fill(root, 0, 0)
	array = b"".join(struct.pack("<I", units.get(i, 0)) for i in range((max(units) | 255) + 1))
	return struct.pack("<I", len(array)) + array + texts


PAIRS = [("\r", " "), ("\n", " "), ("\t", " "), ("\r\n", " "), ("\u00a0", " "), ("\u3000", " "), ("\u200d", ""), ("\ufb01", "fi"),
	("\uff26", "F"), ("\uff45", "e"), ("\uff13", "3"), ("\u2460", "1"), ("\uff76", "\u30ab"), ("\uff76\uff9e", "\u30ac"), ("e\u0301", "\u00e9"),
	("a\u0316", "a\u0316"), ("\u00b2", "2"), ("\ufdfa", "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647")]
CHARSMAP = charsmap(PAIRS)
CHARSMAP_OF_CHARACTERS = charsmap([p for p in PAIRS if len(p[0]) == 1])


def falcon():
	"""Steps after ByteLevel see its letters."""
	tok = byte_level(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
		pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated", invert=False)]),
		size=300, specials=[">>TITLE<<", "<|endoftext|>"])
	tok.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), (">>TITLE<<", 0))
	return tok


def aya():
	"""Digits in threes from the right; an added token that the normalizer changes."""
	tok = byte_level(pre_tokenizers.Sequence([split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(r"\s+$"),
		pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)]), size=290)
	tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip(), normalizers.Prepend(" ")])
	tok.add_tokens([AddedToken("Ferry", normalized=True)])
	return tok


def pieces():
	"""Substrings of words with the logarithms of how often they come. The library's own training differs from run to run."""
	counts = collections.Counter(word[i:j] for w in PROSE.read_text(encoding="utf-8").split() for word in ["\u2581" + w]
		for i in range(len(word)) for j in range(i + 1, min(len(word), i + 7) + 1))
	best = sorted(counts, key=lambda p: (len(p) > 1, -counts[p] * len(p), p))
	return [(p, round(math.log(counts[p] / counts.total()), 6)) for p in best[:300]]


def unigram(normalizer, pre, decoder, first=(), **options):
	data = json.loads(Tokenizer(models.Unigram([(t, 0.0) for t in ["<s>", "</s>", "<unk>"] + list(first)] + pieces(), 2,
		options.get("byte_fallback", False))).to_str())
	data["normalizer"] = normalizer
	tok = Tokenizer.from_str(json.dumps(data))
	if pre is not None:
		tok.pre_tokenizer = pre
	tok.decoder = decoder
	tok.add_special_tokens(["<s>", "</s>", "<unk>"])
	return tok


def t5():
	"""Unigram behind a character map, as XLM-R and T5 have it."""
	tok = unigram({"type": "Sequence", "normalizers": [
		{"type": "Precompiled", "precompiled_charsmap": base64.b64encode(CHARSMAP).decode()}, {"type": "Strip", "strip_left": False, "strip_right": True},
		{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]},
		pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always"), decoders.Metaspace())
	tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="$A $B", special_tokens=[("<s>", 0), ("</s>", 1)])
	return tok


def albert():
	tok = unigram({"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "``"}, "content": '"'}, {"type": "NFKD"},
		{"type": "StripAccents"}, {"type": "Lowercase"}]}, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(),
		pre_tokenizers.Metaspace(prepend_scheme="first")]), decoders.Metaspace(prepend_scheme="first"))
	tok.add_tokens([AddedToken("Ferry", normalized=True, special=False), AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
	return tok


def unigram_bytes():
	return unigram({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Prepend", "prepend": "\u2581"},
		{"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}, None,
		decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]),
		["<0x%02X>" % b for b in range(256)], byte_fallback=True)


def encoded(tok, text):
	ids = tok.encode(text, add_special_tokens=False).ids
	case = {"text": text, "ids": ids}
	decoded, bare = tok.decode(ids, skip_special_tokens=False), tok.decode(ids, skip_special_tokens=True)
	if decoded != text:
		case["decoded"] = decoded
	if bare != decoded:
		case["decoded_skip_special"] = bare
	return case


def goldens(tok, rng):
	added = [t.content for t in tok.get_added_tokens_decoder().values()]
	pool = [t for t in TEXTS if t] + 4 * added
	texts = TEXTS + ["a " + t + " b" for t in added] + [t + t for t in added] + \
		["".join(rng.choice(pool)[:12] for _ in range(rng.randint(2, 6))) for _ in range(14)]
	cases = [encoded(tok, t) for t in dict.fromkeys(texts)]
	for raw in (b"\xff\xfea", b"\xe4\xb8", b"\xed\xa0\x80x", b"\xf0\x9f\x98", b"a\xc0\xaf\xe4\xb8\xadb"):
		cases.append(encoded(tok, raw.decode("utf-8", "replace")) | {"raw_bytes_hex": raw.hex()})
	size = tok.get_vocab_size()
	only = [[rng.randrange(size) for _ in range(rng.randint(1, 14))] for _ in range(16)]
	streams = [tok.encode(t, add_special_tokens=False).ids for t in ("\U0001f469\u200d\U0001f4bb ok", "\u6cb3 na\u00efve")] + only[:3]
	around = tok.encode("a").ids
	bare = tok.encode("a", add_special_tokens=False).ids
	before = next(i for i in range(len(around) + 1) if around[i:i + len(bare)] == bare)
	return {"prefix_ids": around[:before], "suffix_ids": around[before + len(bare):], "cases": cases,
		"decode_only": [{"ids": i, "decoded": tok.decode(i, skip_special_tokens=False),
			"decoded_skip_special": tok.decode(i, skip_special_tokens=True)} for i in only],
		"decode_prefixes": [{"ids": i, "decoded_after_each": [tok.decode(i[:n + 1], skip_special_tokens=False)
			for n in range(len(i))]} for i in streams]}


def lists(tok, model, pre):
	"""The same vocabulary as a GGUF file has it. Scores fall with the rank of the merge that makes a token."""
	data = json.loads(tok.to_str())
	added = {a["id"]: a for a in data["added_tokens"]}
	vocab = data["model"]["vocab"]
	names = {i: t for t, i in vocab.items()} if isinstance(vocab, dict) else {i: t for i, (t, _) in enumerate(vocab)}
	names |= {i: a["content"] for i, a in added.items()}
	tokens = [names[i] for i in range(len(names))]
	merges = [" ".join(m) for m in data["model"].get("merges", ())]
	types = [3 if added.get(i, {}).get("special") else 4 if i in added else 1 for i in range(len(tokens))]
	made = {"model": model, "pre": pre, "tokens": tokens, "types": types, "bos": 1, "eos": 2, "unk": 0}
	if model == "t5":
		named = {i: 2 if t == "<unk>" else 3 if a["special"] else 4 for i, a in added.items() for t in [a["content"]]}
		return {"model": model, "tokens": tokens, "types": [named.get(i, 1) for i in range(len(tokens))], "bos": 0, "eos": 1, "unk": 2,
			"scores": [s for _, s in vocab], "remove_extra_whitespaces": True, "add_bos": True,
			"charsmap": CHARSMAP_OF_CHARACTERS.hex()}
	if model == "gpt2":
		return made | {"merges": merges, "add_bos": False}
	rank = {"".join(m): -float(i) for i, m in enumerate(data["model"]["merges"])}
	made["types"] = [2 if i == 0 else 6 if t.startswith("<0x") else types[i] for i, t in enumerate(tokens)]
	return made | {"scores": [rank.get(t, -1e4 if len(t) == 1 else 0.0) for t in tokens]}


def main():
	out = pathlib.Path(sys.argv[1])
	out.mkdir(parents=True, exist_ok=True)
	for make in (smollm, gpt2, llama3, qwen2, o200k, deepseek, llama2, mistral, gemma, falcon, aya, t5, albert, unigram_bytes):
		tok = make()
		record = goldens(tok, random.Random(make.__name__))
		(out / ("tok_%s.json" % make.__name__)).write_text(json.dumps({"tokenizer": json.loads(tok.to_str())} | record,
			separators=(",", ":")) + "\n", encoding="ascii")
		if make in (smollm, llama2, t5):
			if make is t5:
				data = json.loads(tok.to_str())
				steps = data["normalizer"]["normalizers"]
				steps[0]["precompiled_charsmap"] = base64.b64encode(CHARSMAP_OF_CHARACTERS).decode()
				steps[1:] = [{"type": "Strip", "strip_left": True, "strip_right": True},
					{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]
				data["pre_tokenizer"]["split"] = False
				tok = Tokenizer.from_str(json.dumps(data))
				tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
				record = goldens(tok, random.Random("lists"))
				record["cases"] = [c for c in record["cases"] if not set(c["text"]) & set("\u2581\u2028")]
			if make is llama2:
				data = json.loads(tok.to_str())
				data["added_tokens"] = [a | {"lstrip": False, "rstrip": False} for a in data["added_tokens"]]
				tok = Tokenizer.from_str(json.dumps(data))
				record = goldens(tok, random.Random("lists"))
			made = lists(tok, {smollm: "gpt2", llama2: "llama", t5: "t5"}[make], "smollm" if make is smollm else "default")
			(out / ("tok_lists_%s.json" % make.__name__)).write_text(json.dumps({"lists": made} | record,
				separators=(",", ":")) + "\n", encoding="ascii")


if __name__ == "__main__":
	main()
