# SPDX-License-Identifier: MIT
"""Tokenizers of the kinds that models carry, made of the script's own text."""

import collections
import json
import math

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import ref_text

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
	r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SMOLLM_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"]
PIECE_SPECIALS = ["<unk>", "<s>", "</s>"]
LLAMA3_SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
	"<|eot_id|>", "<|eom_id|>"]


def train(tok, rng, vocab_size, specials_first=()):
	"""Learn merges; all 256 byte letters are always in the vocabulary."""
	trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, special_tokens=list(specials_first),
		initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
	tok.train_from_iterator(ref_text.corpus(rng), trainer)
	tok.decoder = decoders.ByteLevel()


def smollm(rng, vocab_size):
	"""Digits one by one, then ByteLevel; special tokens at the first ids; nothing put in front."""
	tok = Tokenizer(models.BPE())
	tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
		pre_tokenizers.ByteLevel(add_prefix_space=False)])
	train(tok, rng, vocab_size, SMOLLM_SPECIALS)
	return tok


def llama3(rng, vocab_size):
	"""Split by regex, whole words first, special tokens after the vocabulary, BOS in front."""
	tok = Tokenizer(models.BPE(ignore_merges=True))
	tok.pre_tokenizer = pre_tokenizers.Sequence([
		pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated", invert=False),
		pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
	train(tok, rng, vocab_size - len(LLAMA3_SPECIALS) - 1)
	tok.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in LLAMA3_SPECIALS])
	tok.add_tokens([AddedToken("<|tool|>", special=False, normalized=False)])
	bos = LLAMA3_SPECIALS[0]
	tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
		processors.TemplateProcessing(single=bos + " $A", pair="%s $A %s $B:1" % (bos, bos + ":1"),
			special_tokens=[(bos, tok.token_to_id(bos))])])
	return tok


def gpt2(rng, vocab_size):
	"""ByteLevel's own regex; one special token at the end."""
	tok = Tokenizer(models.BPE())
	tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
	train(tok, rng, vocab_size - 1)
	tok.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=True)])
	tok.post_processor = processors.ByteLevel(trim_offsets=False)
	return tok


def strips(rng, vocab_size):
	"""gpt2 with added tokens that eat spaces or want to be whole words."""
	tok = gpt2(rng, vocab_size - 4)
	tok.add_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False),
		AddedToken("<sep>", rstrip=True, special=True, normalized=False),
		AddedToken("<both>", lstrip=True, rstrip=True, special=False, normalized=False),
		AddedToken("ferry", single_word=True, special=False, normalized=False)])
	return tok


def begins(tok, bos):
	"""What encoding puts in front."""
	tok.post_processor = processors.TemplateProcessing(single=bos + " $A", pair="%s $A %s $B:1" % (bos, bos + ":1"),
		special_tokens=[(bos, tok.token_to_id(bos))])


def pieces(rng, vocab_size):
	"""BPE over characters as SentencePiece has it: spaces are U+2581, what is unknown becomes bytes; as of Llama 2."""
	first = PIECE_SPECIALS + ["<0x%02X>" % b for b in range(256)]
	words = [" " + w for line in ref_text.corpus(rng) for w in line.split()]
	tok = Tokenizer(models.BPE())
	tok.normalizer = normalizers.Replace(" ", "\u2581")
	tok.train_from_iterator(words, trainers.BpeTrainer(vocab_size=vocab_size - len(first), show_progress=False))
	data = json.loads(tok.to_str())
	vocab = first + sorted(data["model"]["vocab"], key=data["model"]["vocab"].get)
	tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(vocab)}, merges=[tuple(m) for m in data["model"]["merges"]],
		unk_token="<unk>", fuse_unk=True, byte_fallback=True))
	tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
	tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
	tok.add_special_tokens(PIECE_SPECIALS)
	begins(tok, "<s>")
	return tok


def unigram(rng, vocab_size):
	"""Pieces of words with the logarithms of how often they come, behind compatibility normalization; as of XLM-R."""
	words = ["\u2581" + w for line in ref_text.corpus(rng) for w in line.split()]
	counts = collections.Counter(w[i:j] for w in words for i in range(len(w)) for j in range(i + 1, min(len(w), i + 6) + 1))
	best = sorted(counts, key=lambda p: (len(p) > 1, -counts[p] * len(p), p))[:vocab_size - len(PIECE_SPECIALS)]
	vocab = [(t, 0.0) for t in PIECE_SPECIALS] + [(p, round(math.log(counts[p] / counts.total()), 7)) for p in best]
	tok = Tokenizer(models.Unigram(vocab, 0, False))
	tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
	tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
	tok.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
	tok.add_special_tokens(PIECE_SPECIALS)
	begins(tok, "<s>")
	return tok


MAKERS = {"smollm": smollm, "llama3": llama3, "gpt2": gpt2, "strips": strips, "pieces": pieces, "unigram": unigram}


def to_json(tok, old_merges):
	"""tokenizer.json as a dictionary; `old_merges` writes them as "a b", as files of some years ago do."""
	data = json.loads(tok.to_str())
	if old_merges:
		data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
	return data


def from_gguf_lists(tokens, merges):
	"""A smollm-like tokenizer from a GGUF vocabulary, special tokens being those of the form <...> at the front."""
	tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
	tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
		pre_tokenizers.ByteLevel(add_prefix_space=False)])
	tok.decoder = decoders.ByteLevel()
	return tok


def probe_texts(tok, rng):
	"""Fixed probes, random ones, and ones with the added tokens inside."""
	names = [t.content for _, t in sorted(tok.get_added_tokens_decoder().items())]
	texts = list(ref_text.PROBES) + ref_text.special_probes(names)
	texts += [ref_text.random_text(rng, int(n)) for n in rng.integers(1, 60, 24)]
	texts += [ref_text.sentence(rng) for _ in range(6)]
	return list(dict.fromkeys(texts))


def encode_case(tok, text):
	"""One text: ids without a prefix, and what they decode to where that differs."""
	ids = tok.encode(text, add_special_tokens=False).ids
	case = {"text": text, "ids": ids}
	decoded = tok.decode(ids, skip_special_tokens=False)
	bare = tok.decode(ids, skip_special_tokens=True)
	if decoded != text:
		case["decoded"] = decoded
	if bare != decoded:
		case["decoded_skip_special"] = bare
	return case


def decode_case(tok, ids):
	"""Ids that no encoder would make, such as halves of characters."""
	return {"ids": ids, "decoded": tok.decode(ids, skip_special_tokens=False),
		"decoded_skip_special": tok.decode(ids, skip_special_tokens=True)}


def prefix_case(tok, ids):
	"""The whole text after each token, for streaming."""
	after = [tok.decode(ids[:n + 1], skip_special_tokens=False) for n in range(len(ids))]
	return {"ids": ids, "decoded_after_each": after}


def golden(tok, rng, name):
	"""All that a host's tokenizer is compared with."""
	rows = tok.get_vocab_size()
	texts = probe_texts(tok, rng)
	whole = ["\U0001f469\u200d\U0001f4bb ok", "\u6cb3\u306f\u6d77\u3078", "\u0420\u0435\u043a\u0430 na\u00efve", "It's 12 spaces   \n"]
	return {"tokenizer": name, "vocab_size_with_added": rows, "prefix_ids": tok.encode("", add_special_tokens=True).ids,
		"cases": [encode_case(tok, t) for t in texts],
		"decode_only": [decode_case(tok, [int(i) for i in rng.integers(0, rows, n)]) for n in (1, 1, 2, 3, 5, 8, 13, 21)],
		"decode_prefixes": [prefix_case(tok, tok.encode(t, add_special_tokens=False).ids) for t in whole]
			+ [prefix_case(tok, [int(i) for i in rng.integers(0, rows, 9)])]}
