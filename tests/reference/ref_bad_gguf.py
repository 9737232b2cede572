# SPDX-License-Identifier: MIT
"""Damaged GGUF files, each one step away from a control that is good."""

import difflib
import struct

import numpy as np

from ref_gguf_wrong import (ARR, BOOL, COUNT, END, F32, Gguf, I32, I8, LFS, MERGES, ODD, ONES, STR, TOKENS, TYPE_F16,
	TYPE_Q4_0, U32, U64, U8, array, nan_block, nested, scalar, text)

HEADER = [
	("magic_ggml", "the magic is that of an older format", lambda f: vars(f).update(magic=b"GGML")),
	("magic_swapped", "the magic is in the other byte order", lambda f: vars(f).update(magic=b"FUGG")),
	("version_0", "version 0", lambda f: vars(f).update(version=struct.pack("<I", 0))),
	("version_1", "version 1, whose lengths have 32 bits", lambda f: vars(f).update(version=struct.pack("<I", 1))),
	("version_4", "a future version", lambda f: vars(f).update(version=struct.pack("<I", 4))),
	("version_all_ones", "version 2^32-1", lambda f: vars(f).update(version=b"\xff" * 4)),
	("big_endian", "the version is in big-endian order", lambda f: vars(f).update(version=struct.pack(">I", 3))),
	("tensors_all_ones", "2^64-1 tensors", lambda f: vars(f).update(tensor_count=ONES)),
	("tensors_wrap", "a tensor count that times the size of a record wraps 64 bits", lambda f: vars(f).update(tensor_count=2**60 + 11)),
	("tensors_one_more", "one tensor more than there is", lambda f: vars(f).update(tensor_count=12)),
	("tensors_none", "no tensors", lambda f: vars(f).update(tensors=[])),
	("kv_all_ones", "2^64-1 metadata entries", lambda f: vars(f).update(kv_count=ONES)),
	("kv_wrap", "a metadata count that times the size of a record wraps 64 bits", lambda f: vars(f).update(kv_count=2**59 + 17)),
	("kv_one_more", "one metadata entry more than there is", lambda f: vars(f).update(kv_count=18)),
	("kv_one_less", "one metadata entry less than there is", lambda f: vars(f).update(kv_count=16)),
	("trailing", "a zip archive behind the last tensor", lambda f: vars(f).update(tail=b"PK\x03\x04" + bytes(range(96)))),
]

METADATA = [
	("key_length_all_ones", "a key length of 2^64-1", lambda f: f.add(text("a.b", ONES), U32, scalar(U32, 1))),
	("key_length_2_63", "a key length of 2^63", lambda f: f.add(text("a.b", 2**63), U32, scalar(U32, 1))),
	("key_length_past_end", "a key that ends behind the file", lambda f: f.add(text("a.b", 9000), U32, scalar(U32, 1))),
	("key_empty", "a key without text", lambda f: f.add("", U32, scalar(U32, 1))),
	("key_twice", "a key that is given twice", lambda f: f.add("llama.block_count", U32, scalar(U32, 1))),
	("key_nul", "a key that holds a NUL", lambda f: f.add("a\0b", U32, scalar(U32, 1))),
	("key_newline", "a key that holds a newline", lambda f: f.add("a\nb", U32, scalar(U32, 1))),
	("key_not_utf8", "a key that is not UTF-8", lambda f: f.add(text(b"a\xffb"), U32, scalar(U32, 1))),
	("string_length_all_ones", "a text of length 2^64-1", lambda f: f.add("general.name", STR, text("x", ONES))),
	("string_length_past_end", "a text that ends behind the file", lambda f: f.add("general.name", STR, text("x", 9000))),
	("item_length_all_ones", "a token of length 2^64-1", lambda f: f.set("tokenizer.ggml.tokens", ARR,
		struct.pack("<IQ", STR, COUNT) + b"".join(text(t, ONES if t == "z" else None) for t in TOKENS))),
	("value_type_13", "a value of type 13", lambda f: f.add("a.b", 13, bytes(8))),
	("value_type_all_ones", "a value of type 2^32-1", lambda f: f.add("a.b", 2**32 - 1, bytes(8))),
	("item_type_13", "an array of type 13", lambda f: f.add("a.b", ARR, struct.pack("<IQ", 13, 1) + bytes(8))),
	("array_nested", "arrays in arrays, 300 deep", lambda f: f.add("a.b", ARR, nested(300))),
	("array_bytes_wrap", "items times their size wraps to 8", lambda f: f.add("a.b", ARR, array(U64, [1], 2**61 + 1))),
	("array_count_all_ones", "2^64-1 items of one byte", lambda f: f.add("a.b", ARR, array(U8, [1], ONES))),
	("array_strings_huge", "2^60 texts", lambda f: f.add("a.b", ARR, array(STR, ["x"], 2**60))),
	("align_0", "alignment 0", lambda f: f.num("general.alignment", U32, 0)),
	("align_1", "alignment 1", lambda f: f.num("general.alignment", U32, 1)),
	("align_13", "alignment 13", lambda f: f.num("general.alignment", U32, 13)),
	("align_2_31", "alignment 2^31", lambda f: f.num("general.alignment", U32, 2**31)),
	("align_int32", "alignment as INT32", lambda f: f.num("general.alignment", I32, 32)),
	("align_text", "alignment as text", lambda f: f.set("general.alignment", STR, text("32"))),
	("arch_absent", "no general.architecture", lambda f: f.drop("general.architecture")),
	("arch_unknown", "an unknown architecture", lambda f: f.set("general.architecture", STR, text("lama"))),
	("arch_number", "the architecture is a number", lambda f: f.num("general.architecture", U32, 1)),
]

NUMBERS = [
	("blocks_0", "block_count", U32, 0), ("blocks_2", "block_count", U32, 2), ("blocks_513", "block_count", U32, 513),
	("blocks_all_ones", "block_count", U32, 2**32 - 1), ("blocks_float", "block_count", F32, 1.0),
	("heads_0", "attention.head_count", U32, 0), ("heads_3", "attention.head_count", U32, 3),
	("heads_all_ones", "attention.head_count", U32, 2**32 - 1), ("kv_heads_0", "attention.head_count_kv", U32, 0),
	("kv_heads_4", "attention.head_count_kv", U32, 4), ("width_0", "embedding_length", U32, 0),
	("width_16", "embedding_length", U32, 16), ("ffn_16", "feed_forward_length", U32, 16),
	("ffn_0", "feed_forward_length", U32, 0), ("context_0", "context_length", U32, 0),
	("context_2_31", "context_length", U32, 2**31), ("rope_base_0", "rope.freq_base", F32, 0.0),
	("rope_base_nan", "rope.freq_base", F32, float("nan")), ("rope_base_negative", "rope.freq_base", F32, -1.0),
	("rope_dims_odd", "rope.dimension_count", U32, 3), ("rope_dims_8", "rope.dimension_count", U32, 8),
	("eps_nan", "attention.layer_norm_rms_epsilon", F32, float("nan")),
	("eps_negative", "attention.layer_norm_rms_epsilon", F32, -1e-5), ("key_length_0", "attention.key_length", U32, 0),
	("key_length_6", "attention.key_length", U32, 6), ("vocab_larger", "vocab_size", U32, COUNT + 1),
]

TENSORS = [
	("dims_0", "a matrix of no dimensions", lambda f: f.tensor("blk.0.attn_q", n_dims=0, dims=[])),
	("dims_5", "a tensor of five dimensions", lambda f: f.tensor("blk.0.attn_q", dims=[8, 8, 1, 1, 1])),
	("dims_all_ones", "2^32-1 dimensions", lambda f: f.tensor("blk.0.attn_q", n_dims=2**32 - 1)),
	("dim_negative", "a dimension of -8", lambda f: f.tensor("blk.0.attn_q", dims=[8, -8])),
	("dim_zero", "a dimension of 0", lambda f: f.tensor("blk.0.attn_q", dims=[8, 0])),
	("dims_wrap", "dimensions whose product wraps to 64", lambda f: f.tensor("blk.0.attn_q", dims=[8, 2**61 + 8])),
	("dims_wrap_bytes", "elements that fit 64 bits, bytes that do not", lambda f: f.tensor("blk.0.attn_q", dims=[2**32, 2**31 + 1])),
	("padded_sum_wraps", "sizes whose padded sum wraps 64 bits", lambda f: f.extra(dims=[2**31, 2**31], type=TYPE_F16)
		.extra(name="extra2.weight", dims=[2**31, 2**31], type=TYPE_F16)),
	("block_row", "Q4_0 with rows of 8", lambda f: f.tensor("blk.0.attn_q", type=TYPE_Q4_0)),
	("type_250", "type 250", lambda f: f.tensor("blk.0.attn_q", type=250)),
	("type_negative", "type -1", lambda f: f.tensor("blk.0.attn_q", type=-1)),
	("type_removed", "type 4, removed long ago", lambda f: f.tensor("blk.0.attn_q", type=4)),
	("type_i32", "a weight of type I32", lambda f: f.tensor("blk.0.attn_norm", type=26)),
	("offset_past_end", "data behind the end of the file", lambda f: f.tensor("blk.0.attn_q", offset=2**20)),
	("offset_wraps", "an offset of 2^64-32", lambda f: f.tensor("blk.0.attn_q", offset=-32)),
	("offset_unaligned", "an offset that is not aligned", lambda f: f.tensor("blk.0.attn_q", offset=4)),
	("overlap", "two tensors on the same bytes", lambda f: f.tensor("blk.0.attn_q", offset=0)),
	("missing", "attn_output is absent", lambda f: f.without("blk.0.attn_output")),
	("embedding_missing", "the embedding is absent", lambda f: f.without("token_embd")),
	("norm_missing", "the last norm is absent", lambda f: f.without("output_norm")),
	("extra", "a tensor that the architecture does not know", lambda f: f.extra()),
	("extra_block", "a tensor of a second block", lambda f: f.extra(name="blk.1.attn_norm.weight")),
	("twice", "a name that is given twice", lambda f: f.extra(name="output_norm.weight")),
	("name_long", "a name of 300 bytes", lambda f: f.extra(name="x" * 300)),
	("name_empty", "a name of no bytes", lambda f: f.extra(name="")),
	("name_not_utf8", "a name that is not UTF-8", lambda f: f.extra(name=b"a\xff.weight")),
	("name_length_all_ones", "a name of 2^64-1 bytes", lambda f: f.extra(name=text("x", ONES), raw_name=True)),
	("shape_half", "q has half its rows", lambda f: f.tensor("blk.0.attn_q", dims=[8, 4])),
	("shape_swapped", "k has its dimensions swapped", lambda f: f.tensor("blk.0.attn_k", dims=[4, 8])),
	("norm_matrix", "a norm of two dimensions", lambda f: f.tensor("blk.0.attn_norm", dims=[4, 2])),
	("one_byte_short", "the data is one byte short", lambda f: f.tensor("blk.0.ffn_down", data=bytes(127))),
	("all_nan", "every weight is NaN", lambda f: f.tensor("blk.0.attn_q", data=b"\x00\x7e" * 64)),
	("one_inf", "one weight is infinite", lambda f: f.tensor("blk.0.attn_norm", data=np.array([1] * 7 + [np.inf], dtype="<f4").tobytes())),
	("rope_freqs_short", "rope_freqs has one value of two", lambda f: f.extra(name="rope_freqs.weight", dims=[1], data=bytes(4))),
	("rope_freqs_zero", "rope_freqs divides by zero", lambda f: f.extra(name="rope_freqs.weight", dims=[2], data=bytes(8))),
]


def tokens_but(index, value):
	return array(STR, TOKENS[:index] + [value] + TOKENS[index + 1:])


def kinds_but(index, value):
	return array(I32, [1] * index + [value] + [1] * (END - index - 1) + [3, 3])


def merges_and(*more):
	return array(STR, [" ".join(m) for m in MERGES] + list(more))


VOCABULARY = [
	("tokenizer_absent", "no tokenizer", lambda f: f.drop("tokenizer.ggml.model")),
	("tokenizer_unknown", "an unknown kind of tokenizer", lambda f: f.set("tokenizer.ggml.model", STR, text("gpt9"))),
	("pre_unknown", "an unknown pre-tokenizer", lambda f: f.set("tokenizer.ggml.pre", STR, text("no-such-split"))),
	("tokens_absent", "no tokens", lambda f: f.drop("tokenizer.ggml.tokens")),
	("tokens_fewer", "fewer tokens than rows of the embedding", lambda f: f.set("tokenizer.ggml.tokens", ARR, array(STR, TOKENS[:-4]))),
	("tokens_more", "more tokens than rows of the embedding", lambda f: f.set("tokenizer.ggml.tokens", ARR, array(STR, TOKENS + ["zz"]))),
	("tokens_numbers", "tokens that are numbers", lambda f: f.set("tokenizer.ggml.tokens", ARR, array(I32, range(COUNT)))),
	("token_empty", "a token without text", lambda f: f.set("tokenizer.ggml.tokens", ARR, tokens_but(ODD, ""))),
	("token_not_utf8", "a token that is not UTF-8", lambda f: f.set("tokenizer.ggml.tokens", ARR, tokens_but(ODD, b"\xc3\x28"))),
	("token_byte_negative", "a byte token <0x-1>", lambda f: f.set("tokenizer.ggml.tokens", ARR, tokens_but(ODD, "<0x-1>"))
		.set("tokenizer.ggml.token_type", ARR, kinds_but(ODD, 6))),
	("token_byte_zz", "a byte token <0xZZ>", lambda f: f.set("tokenizer.ggml.tokens", ARR, tokens_but(ODD, "<0xZZ>"))
		.set("tokenizer.ggml.token_type", ARR, kinds_but(ODD, 6))),
	("types_short", "fewer token types than tokens", lambda f: f.set("tokenizer.ggml.token_type", ARR, array(I32, [1] * (COUNT - 1)))),
	("types_bytes", "token types of one byte each", lambda f: f.set("tokenizer.ggml.token_type", ARR, array(I8, [1] * COUNT))),
	("types_value", "a token type of 99", lambda f: f.set("tokenizer.ggml.token_type", ARR, kinds_but(3, 99))),
	("scores_short", "fewer scores than tokens", lambda f: f.set("tokenizer.ggml.scores", ARR, array(F32, [0.0] * 3))),
	("merges_absent", "no merges", lambda f: f.drop("tokenizer.ggml.merges")),
	("merges_numbers", "merges that are numbers", lambda f: f.set("tokenizer.ggml.merges", ARR, array(U32, range(8)))),
	("merge_unknown", "a merge of a token that does not exist", lambda f: f.set("tokenizer.ggml.merges", ARR, merges_and("Q Z"))),
	("merge_result_unknown", "a merge to a token that does not exist", lambda f: f.set("tokenizer.ggml.merges", ARR, merges_and("z z"))),
	("merge_one_part", "a merge of one part", lambda f: f.set("tokenizer.ggml.merges", ARR, merges_and("the"))),
	("merge_empty", "a merge without text", lambda f: f.set("tokenizer.ggml.merges", ARR, merges_and(""))),
	("eos_past_end", "eos is the number of tokens", lambda f: f.num("tokenizer.ggml.eos_token_id", U32, COUNT)),
	("bos_all_ones", "bos is 2^32-1", lambda f: f.num("tokenizer.ggml.bos_token_id", U32, 2**32 - 1)),
	("eos_text", "eos is text", lambda f: f.set("tokenizer.ggml.eos_token_id", STR, text("<|end|>"))),
	("rope_scaling_unknown", "an unknown rope scaling", lambda f: f.set("llama.rope.scaling.type", STR, text("spiral"))),
	("rope_factor_0", "a rope scaling factor of 0", lambda f: f.set("llama.rope.scaling.type", STR, text("linear"))
		.num("llama.rope.scaling.factor", F32, 0.0)),
	("rope_factor_nan", "a rope scaling factor of NaN", lambda f: f.set("llama.rope.scaling.type", STR, text("linear"))
		.num("llama.rope.scaling.factor", F32, float("nan"))),
]

HARMLESS = [
	("bool_2", "a truth value of 2", lambda f: f.add("a.b", BOOL, b"\x02")),
	("template_walk", "a chat template that walks attributes", lambda f: f.set("tokenizer.chat_template", STR,
		text("{{ ''.__class__.__mro__[1].__subclasses__() }}"))),
	("template_loop", "a chat template with a huge loop", lambda f: f.set("tokenizer.chat_template", STR,
		text("{% for i in range(1000000000) %}{% for j in range(1000000000) %}x{% endfor %}{% endfor %}"))),
	("template_broken", "a chat template that does not parse", lambda f: f.set("tokenizer.chat_template", STR, text("{% if %}{{"))),
	("token_twice", "two tokens of the same text", lambda f: f.set("tokenizer.ggml.tokens", ARR, tokens_but(ODD, "a"))),
]

SCALES = [("scale_nan", "a Q4_0 scale of NaN", np.nan), ("scale_inf", "a Q4_0 scale of infinity", np.inf)]


def plain(out, good):
	"""Files that need no builder."""
	cases = [("empty", "no bytes", b""), ("one_byte", "one byte", b"G"), ("three_bytes", "three bytes", b"GGU"),
		("lfs", "a Git LFS pointer where the model should be", LFS), ("counts_cut", "cut inside the counts", good[:20]),
		("kv_cut", "cut inside the metadata", good[:300]), ("half", "cut in the middle", good[:len(good) // 2]),
		("text", "a text file", b"This is not a model.\n" * 20), ("zeros", "zeros", bytes(512))]
	return [save(out, "gg_" + name, reason, raw) for name, reason, raw in cases]


def save(out, name, reason, raw, expect="refuse"):
	(out / (name + ".gguf")).write_bytes(raw)
	return {"name": name, "kind": "gguf", "path": name + ".gguf", "expect": expect, "reason": reason}


def mutate(out, rng_of, group):
	"""Cases that are stored as whole files."""
	cases = []
	for name, reason, change in group:
		file = Gguf(rng_of())
		change(file)
		cases.append(save(out, "gg_" + name, reason, file.build()))
	return cases


def splices(good, bad):
	"""Edits [offset, bytes to take out, hex to put in] that make `bad` of `good`, the last one first."""
	same = [(0, 0, 0)] + [m for m in difflib.SequenceMatcher(None, good, bad, autojunk=False).get_matching_blocks()
		if m.size >= 12 or m.a == len(good)]
	edits = []
	for (a, b, size), after in zip(same, same[1:]):
		a, b = a + size, b + size
		if (a, b) != after[:2]:
			edits.append(["splice", a, after[0] - a, bad[b:after[1]].hex()])
	edits.reverse()
	assert apply(good, edits) == bad
	return edits


def apply(raw, edits):
	for _, at, length, put in edits:
		raw = raw[:at] + bytes.fromhex(put) + raw[at + length:]
	return raw


def edited(rng_of, good, group, change, expect):
	"""Cases that are stored as edits of the control, to keep the repository small."""
	cases = []
	for name, reason, *rest in group:
		file = Gguf(rng_of())
		change(file, *rest)
		cases.append({"name": "gg_" + name, "kind": "gguf", "base": "control.gguf", "ops": splices(good, file.build()),
			"expect": expect, "reason": reason})
	return cases


def quantised(out, rng_of):
	(out / "control_q4.gguf").write_bytes(Gguf(rng_of(), 32, TYPE_Q4_0).build())
	cases = []
	for name, reason, value in SCALES + [("scale_denormal", "a Q4_0 scale that is denormal", 6e-8)]:
		file = Gguf(rng_of(), 32, TYPE_Q4_0).tensor("blk.0.attn_q", data=nan_block(value))
		cases.append(save(out, "gg_" + name, reason, file.build(), "no_crash" if "denormal" in name else "refuse"))
	return cases


def make(out, rng_of):
	"""(controls, cases, where the fields of control.gguf end)."""
	control = Gguf(rng_of())
	good = control.build()
	(out / "control.gguf").write_bytes(good)
	cases = plain(out, good)
	for group in (HEADER, METADATA, VOCABULARY):
		cases += mutate(out, rng_of, group)
	tensors = [("tensor_" + n, reason, change) for n, reason, change in TENSORS]
	numbers = [(n, "llama.%s is wrong" % k, k, t, v) for n, k, t, v in NUMBERS]
	cases += edited(rng_of, good, tensors, lambda file, change: change(file), "refuse")
	cases += edited(rng_of, good, numbers, lambda file, key, kind, value: file.num("llama." + key, kind, value), "refuse")
	cases += edited(rng_of, good, HARMLESS, lambda file, change: change(file), "no_crash")
	cases += quantised(out, rng_of)
	controls = [{"path": p, "kind": "gguf"} for p in ("control.gguf", "control_q4.gguf")]
	return controls, cases, sorted(set(control.marks[:-1]))
