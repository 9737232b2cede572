# SPDX-License-Identifier: MIT
"""Damaged Hugging Face folders. A case holds only the files that differ from its base, a good folder."""

import copy
import json
import struct

import numpy as np

from ref_gguf_wrong import END, LFS, MERGES, SPECIALS, START, TOKENS, WIDTH

VOCAB = len(TOKENS)
Q = "model.layers.0.self_attn.q_proj.weight"
NORM = "model.norm.weight"
EMBED = "model.embed_tokens.weight"


def config():
	return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": WIDTH,
		"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": WIDTH // 2, "vocab_size": VOCAB,
		"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 64,
		"tie_word_embeddings": True, "bos_token_id": START, "eos_token_id": END, "torch_dtype": "float16"}


def tokenizer():
	level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
	added = [{"id": END + n, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
		"special": True} for n, s in enumerate(SPECIALS)]
	return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
		"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]},
		"post_processor": None, "decoder": level,
		"model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
			"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
			"vocab": {t: i for i, t in enumerate(TOKENS)}, "merges": [list(m) for m in MERGES]}}


def tensors(rng):
	"""name -> (shape, F16 bytes)"""
	half, at = WIDTH // 2, "model.layers.0."
	shapes = {EMBED: [VOCAB, WIDTH], at + "input_layernorm.weight": [WIDTH], Q: [WIDTH, WIDTH],
		at + "self_attn.k_proj.weight": [half, WIDTH], at + "self_attn.v_proj.weight": [half, WIDTH],
		at + "self_attn.o_proj.weight": [WIDTH, WIDTH], at + "post_attention_layernorm.weight": [WIDTH],
		at + "mlp.gate_proj.weight": [WIDTH, WIDTH], at + "mlp.up_proj.weight": [WIDTH, WIDTH],
		at + "mlp.down_proj.weight": [WIDTH, WIDTH], NORM: [WIDTH]}
	return {n: (s, (rng.standard_normal(int(np.prod(s))) * 0.5 + (len(s) == 1)).astype("<f2").tobytes())
		for n, s in shapes.items()}


def header_of(parts):
	"""A right header for tensors laid out in order."""
	head, at = {}, 0
	for name, (shape, data) in parts.items():
		head[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + len(data)]}
		at += len(data)
	return head


def container(head, body, length=None):
	"""8 bytes of length, header, data. `head` is a dictionary or raw bytes."""
	raw = head if isinstance(head, bytes) else json.dumps(head, separators=(",", ":")).encode()
	return struct.pack("<Q", len(raw) if length is None else length) + raw + body


def nested(depth):
	return "[" * depth + "]" * depth


class Safetensors:
	"""A file whose header and data can be changed apart."""

	def __init__(self, parts):
		self.parts = dict(parts)
		self.head = header_of(self.parts)
		self.body = b"".join(d for _, d in self.parts.values())
		self.raw_head = self.length = None

	def build(self):
		return container(self.head if self.raw_head is None else self.raw_head, self.body, self.length)

	def again(self, parts):
		self.__init__(parts)

	def text(self):
		return json.dumps(self.head, separators=(",", ":")).encode()

	def entry(self, name, **changes):
		self.head[name].update(changes)

	def offsets(self, name, begin, end):
		low, high = self.head[name]["data_offsets"]
		self.head[name]["data_offsets"] = [low + begin, high + end]

	def replace(self, name, shape, data, dtype=None):
		self.again(self.parts | {name: (shape, data)})
		if dtype:
			self.head[name]["dtype"] = dtype

	def less(self, *names):
		self.again({n: p for n, p in self.parts.items() if n not in names})


def set_raw(f, raw, length=None):
	f.raw_head, f.length = raw, length


def hole(f):
	"""Sixteen bytes that belong to no tensor, in the middle."""
	at = f.head[Q]["data_offsets"][0]
	for name, one in f.head.items():
		if one["data_offsets"][0] >= at:
			f.offsets(name, 16, 16)
	f.body = f.body[:at] + bytes(16) + f.body[at:]


def twice(f):
	one = json.dumps({NORM: f.head[NORM]}, separators=(",", ":"))[1:-1]
	set_raw(f, b"{" + one.encode() + b"," + f.text()[1:])


SAFETENSORS = [
	("length_past_end", "the header ends behind the file", lambda f: set_raw(f, f.text(), 2**20)),
	("length_2_63", "a header length of 2^63", lambda f: set_raw(f, f.text(), 2**63)),
	("length_all_ones", "a header length of 2^64-1", lambda f: set_raw(f, f.text(), 2**64 - 1)),
	("length_0", "a header length of 0", lambda f: set_raw(f, f.text(), 0)),
	("length_1_less", "a header length that is one too small", lambda f: set_raw(f, f.text(), len(f.text()) - 1)),
	("not_json", "a header that is not JSON", lambda f: set_raw(f, b"tensors: none" + b" " * 20)),
	("array", "a header that is an array", lambda f: set_raw(f, b"[" + f.text() + b"]")),
	("not_utf8", "a header that is not UTF-8", lambda f: set_raw(f, f.text().replace(b"model.norm", b"model.n\xffrm"))),
	("nested", "metadata of 1500 arrays", lambda f: set_raw(f, b'{"__metadata__":' + nested(1500).encode() + b"," + f.text()[1:])),
	("nul_padding", "a header padded with NUL", lambda f: set_raw(f, f.text() + b"\0" * 8)),
	("twice", "a tensor that is listed twice", twice),
	("reversed", "a begin behind its end", lambda f: f.entry(Q, data_offsets=f.head[Q]["data_offsets"][::-1])),
	("overlap", "two tensors that share bytes", lambda f: f.offsets(Q, -2, -2)),
	("hole", "bytes that belong to no tensor", hole),
	("past_end", "offsets behind the end of the file", lambda f: f.offsets(NORM, 4096, 4096)),
	("end_2_63", "an end of 2^63", lambda f: f.entry(NORM, data_offsets=[f.head[NORM]["data_offsets"][0], 2**63])),
	("negative", "a begin of -16", lambda f: f.entry(EMBED, data_offsets=[-16, 16 * VOCAB])),
	("float_offset", "offsets that are not whole", lambda f: f.entry(EMBED, data_offsets=[0.5, 16 * VOCAB + 0.5])),
	("text_offset", "offsets that are text", lambda f: f.entry(EMBED, data_offsets=["0", str(16 * VOCAB)])),
	("one_offset", "one offset of two", lambda f: f.entry(EMBED, data_offsets=[0])),
	("dtype_unknown", "a dtype that does not exist", lambda f: f.entry(Q, dtype="F17")),
	("dtype_absent", "no dtype", lambda f: f.head[Q].pop("dtype")),
	("dtype_size", "a dtype of twice the size", lambda f: f.entry(Q, dtype="F32")),
	("dtype_integer", "weights of I16", lambda f: f.entry(Q, dtype="I16")),
	("dtype_bool", "weights of BOOL", lambda f: f.replace(Q, [8, 8], bytes(64), "BOOL")),
	("shape_absent", "no shape", lambda f: f.head[Q].pop("shape")),
	("shape_negative", "a negative dimension", lambda f: f.entry(Q, shape=[-8, -8])),
	("shape_wraps", "dimensions whose product wraps", lambda f: f.entry(Q, shape=[8, 2**61 + 8])),
	("shape_bytes_wrap", "elements that fit 64 bits, bytes that do not", lambda f: f.entry(Q, shape=[2**32, 2**31 + 1])),
	("shape_differs", "a shape of another size than the bytes", lambda f: f.entry(Q, shape=[8, 7])),
	("shape_rank_3", "a matrix of three dimensions", lambda f: f.entry(Q, shape=[8, 8, 1])),
	("shape_half", "q has half its rows", lambda f: f.replace(Q, [4, 8], bytes(64))),
	("shape_swapped", "k has its dimensions swapped",
		lambda f: f.entry("model.layers.0.self_attn.k_proj.weight", shape=[8, 4])),
	("trailing", "bytes behind the last tensor", lambda f: vars(f).update(body=f.body + b"PK\x03\x04" + bytes(60))),
	("one_byte_short", "the last byte is absent", lambda f: vars(f).update(body=f.body[:-1])),
	("no_tensors", "no tensors", lambda f: f.again({})),
	("q_missing", "q is absent", lambda f: f.less(Q)),
	("embedding_missing", "the embedding is absent", lambda f: f.less(EMBED)),
	("norm_missing", "the last norm is absent", lambda f: f.less(NORM)),
	("all_nan", "every weight of q is NaN", lambda f: f.replace(Q, [8, 8], b"\x00\x7e" * 64)),
	("one_inf", "one weight is infinite", lambda f: f.replace(NORM, [8], b"\x00\x3c" * 7 + b"\x00\x7c")),
]

INDEX = [
	("traversal", "a shard outside the folder", "../../etc/passwd"), ("traversal_inside", "a path that climbs", "a/../../x.safetensors"),
	("absolute", "a shard with an absolute path", "/etc/passwd"), ("nul", "a shard name with a NUL", "model\0.safetensors"),
	("no_name", "a shard without a name", ""), ("folder", "a shard that is the folder", "."),
	("itself", "a shard that is the index", "model.safetensors.index.json"), ("absent", "a shard that does not exist", "gone.safetensors"),
	("number", "a shard that is a number", 7), ("null", "a shard that is null", None),
	("wrong_shard", "a tensor that is in another shard", "second.safetensors"),
]

CONFIG = [
	("model_type_unknown", {"model_type": "lama", "architectures": ["LamaForCausalLM"]}), ("encoder", {"model_type": "bert",
		"architectures": ["BertModel"]}), ("classifier", {"architectures": ["LlamaForSequenceClassification"]}),
	("vocab_larger", {"vocab_size": VOCAB + 1}), ("vocab_smaller", {"vocab_size": VOCAB - 1}), ("vocab_negative", {"vocab_size": -1}),
	("vocab_2_40", {"vocab_size": 2**40}), ("hidden_16", {"hidden_size": 16}), ("hidden_0", {"hidden_size": 0}),
	("hidden_text", {"hidden_size": "8"}), ("inter_16", {"intermediate_size": 16}), ("heads_0", {"num_attention_heads": 0}),
	("heads_3", {"num_attention_heads": 3, "head_dim": None}), ("kv_0", {"num_key_value_heads": 0}), ("kv_4", {"num_key_value_heads": 4}),
	("kv_float", {"num_key_value_heads": 1.5}), ("head_dim_3", {"head_dim": 3}), ("head_dim_0", {"head_dim": 0}),
	("head_dim_8", {"head_dim": 8}), ("layers_0", {"num_hidden_layers": 0}), ("layers_2", {"num_hidden_layers": 2}),
	("layers_513", {"num_hidden_layers": 513}), ("layers_all_ones", {"num_hidden_layers": 2**32 - 1}),
	("layers_negative", {"num_hidden_layers": -1}), ("layers_text", {"num_hidden_layers": "one"}), ("act_unknown", {"hidden_act": "relu9"}),
	("rope_unknown", {"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}), ("theta_0", {"rope_theta": 0}),
	("theta_negative", {"rope_theta": -1.0}), ("theta_text", {"rope_theta": "big"}), ("theta_infinite", {"rope_theta": float("inf")}),
	("rope_factor_0", {"rope_scaling": {"rope_type": "linear", "factor": 0.0}}), ("rope_text", {"rope_scaling": "linear"}),
	("rope_factor_absent", {"rope_scaling": {"rope_type": "linear"}}), ("llama3_incomplete", {"rope_scaling": {"rope_type": "llama3",
		"factor": 8.0}}), ("llama3_equal", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
		"high_freq_factor": 1.0, "original_max_position_embeddings": 32}}), ("eps_nan", {"rms_norm_eps": float("nan")}),
	("eps_negative", {"rms_norm_eps": -1e-5}), ("positions_0", {"max_position_embeddings": 0}),
	("eos_past_end", {"eos_token_id": VOCAB}), ("bos_negative", {"bos_token_id": -1}), ("eos_text", {"eos_token_id": "end"}),
	("untied", {"tie_word_embeddings": False}), ("tie_text", {"tie_word_embeddings": "yes"}), ("bias_absent", {"attention_bias": True}),
]

CONFIG_HARMLESS = [
	("positions_2_40", {"max_position_embeddings": 2**40}), ("quantized", {"quantization_config": {"quant_method": "gptq", "bits": 4}}),
	("hidden_8_0", {"hidden_size": 8.0}), ("unknown_key", {"no_such_key": [1, {"a": None}]}),
]


def put(t, path, value):
	"""Set a value deep in tokenizer.json."""
	for key in path[:-1]:
		t = t[key]
	t[path[-1]] = value


def renumber(t, value):
	t["model"]["vocab"]["z"] = value


def more_merge(t, merge):
	t["model"]["merges"].append(merge)


TOKENIZER = [
	("model_absent", "no model", lambda t: t.pop("model")), ("model_unknown", "an unknown model", lambda t: put(t, ["model", "type"], "BPX")),
	("vocab_list", "a vocabulary that is a list", lambda t: put(t, ["model", "vocab"], TOKENS)),
	("vocab_empty", "an empty vocabulary", lambda t: put(t, ["model", "vocab"], {})),
	("vocab_larger", "more tokens than vocab_size", lambda t: t["model"]["vocab"].update({"zz": VOCAB, "zx": VOCAB + 1})),
	("id_hole", "an id past the vocabulary", lambda t: renumber(t, 5000)), ("id_negative", "an id of -1", lambda t: renumber(t, -1)),
	("id_2_40", "an id of 2^40", lambda t: renumber(t, 2**40)), ("id_text", "an id that is text", lambda t: renumber(t, "9")),
	("id_float", "an id of 9.5", lambda t: renumber(t, 9.5)), ("id_null", "an id of null", lambda t: renumber(t, None)),
	("merges_absent", "no merges", lambda t: t["model"].pop("merges")), ("merges_text", "merges that are text",
		lambda t: put(t, ["model", "merges"], "t h")),
	("merge_unknown", "a merge of an unknown token", lambda t: more_merge(t, ["Q", "Z"])),
	("merge_result_unknown", "a merge to an unknown token", lambda t: more_merge(t, ["z", "z"])),
	("merge_one_part", "a merge of one part", lambda t: more_merge(t, ["the"])),
	("merge_three_parts", "a merge of three parts", lambda t: more_merge(t, ["t", "h", "e"])),
	("merge_number", "a merge that is a number", lambda t: more_merge(t, 7)),
	("added_object", "added tokens that are an object", lambda t: put(t, ["added_tokens"], {"a": 1})),
	("added_no_id", "an added token without an id", lambda t: t["added_tokens"][0].pop("id")),
	("added_id_negative", "an added token of id -1", lambda t: put(t, ["added_tokens", 0, "id"], -1)),
	("added_content_number", "an added token whose text is a number", lambda t: put(t, ["added_tokens", 0, "content"], 5)),
	("pre_unknown", "an unknown pre-tokenizer", lambda t: put(t, ["pre_tokenizer"], {"type": "Scatter"})),
	("pre_number", "a pre-tokenizer that is a number", lambda t: put(t, ["pre_tokenizer"], 3)),
	("normalizer_unknown", "an unknown normalizer", lambda t: put(t, ["normalizer"], {"type": "Shout"})),
	("decoder_unknown", "an unknown decoder", lambda t: put(t, ["decoder"], {"type": "Rot13"})),
	("regex_broken", "a Split of a broken expression", lambda t: put(t, ["pre_tokenizer", "pretokenizers", 0],
		{"type": "Split", "pattern": {"Regex": "(a+"}, "behavior": "Isolated", "invert": False})),
	("post_unknown", "an unknown post-processor", lambda t: put(t, ["post_processor"], {"type": "Staple"})),
]

TOKENIZER_HARMLESS = [
	("id_shared", "two tokens of one id", lambda t: renumber(t, 0)),
	("added_empty", "an added token without text", lambda t: put(t, ["added_tokens", 0, "content"], "")),
	("token_empty", "a token without text", lambda t: t["model"]["vocab"].update({"": t["model"]["vocab"].pop("z")})),
	("byte_outside", "a token of letters that stand for no byte", lambda t: t["model"]["vocab"].update({"\u65e5": t["model"]["vocab"].pop("z")})),
	("regex_slow", "a Split that backtracks for ever", lambda t: put(t, ["pre_tokenizer", "pretokenizers", 0],
		{"type": "Split", "pattern": {"Regex": "(a|a)+$"}, "behavior": "Isolated", "invert": False})),
	("template_unknown", "a post-processor that names an undefined token", lambda t: put(t, ["post_processor"],
		{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}], "pair": [], "special_tokens": {}})),
]


class Folder:
	"""Writes cases below the output folder."""

	def __init__(self, out):
		self.out, self.cases = out, []

	def case(self, name, kind, reason, files, expect="refuse", base="control", drop=()):
		(self.out / name).mkdir()
		for file, raw in files.items():
			(self.out / name / file).write_bytes(raw if isinstance(raw, bytes) else dumps(raw))
		one = {"name": name, "kind": kind, "path": name, "base": base, "expect": expect, "reason": reason}
		self.cases.append(one | ({"drop": list(drop)} if drop else {}))


def dumps(data):
	return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def control(out, rng):
	"""The good folders: plain, in two shards, and with things that real ones carry besides."""
	parts = tensors(rng)
	config_raw, tok_raw = dumps(config()), dumps(tokenizer())
	for name in ("control", "control_sharded", "control_extras"):
		(out / name).mkdir()
		(out / name / "config.json").write_bytes(config_raw)
		(out / name / "tokenizer.json").write_bytes(tok_raw)
	(out / "control/model.safetensors").write_bytes(Safetensors(parts).build())
	names = list(parts)
	first, second = {n: parts[n] for n in names[:4]}, {n: parts[n] for n in names[4:]}
	(out / "control_sharded/first.safetensors").write_bytes(Safetensors(first).build())
	(out / "control_sharded/second.safetensors").write_bytes(Safetensors(second).build())
	(out / "control_sharded/model.safetensors.index.json").write_bytes(dumps(index(parts)))
	extras = parts | {"model.layers.0.self_attn.rotary_emb.inv_freq": ([2], np.array([1, 0.01], dtype="<f2").tobytes()),
		"lm_head.weight": parts[EMBED]}
	padded = Safetensors(extras)
	set_raw(padded, b'{"__metadata__":{"format":"pt"},' + padded.text()[1:] + b" " * 5)
	(out / "control_extras/model.safetensors").write_bytes(padded.build())
	return parts


def index(parts):
	names = list(parts)
	return {"metadata": {"total_size": sum(len(d) for _, d in parts.values())},
		"weight_map": {n: "first.safetensors" if i < 4 else "second.safetensors" for i, n in enumerate(names)}}


def weight_cases(folder, parts):
	good = Safetensors(parts).build()
	for name, reason, raw in (("empty", "no bytes", b""), ("seven_bytes", "shorter than its length field", good[:7]),
			("header_cut", "cut inside the header", good[:200]), ("lfs", "a Git LFS pointer where the weights should be", LFS),
			("gguf", "a GGUF file by another name", b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(64)),
			("zip", "a PyTorch archive by another name", b"PK\x03\x04" + bytes(200))):
		folder.case("st_" + name, "safetensors", reason, {"model.safetensors": raw})
	for name, reason, change in SAFETENSORS:
		file = Safetensors(parts)
		change(file)
		folder.case("st_" + name, "safetensors", reason, {"model.safetensors": file.build()})
	folder.case("st_absent", "safetensors", "no weights", {}, drop=["model.safetensors"])
	folder.case("st_pickle", "safetensors", "only pytorch_model.bin", {"pytorch_model.bin": b"PK\x03\x04" + bytes(60)},
		drop=["model.safetensors"])


def index_cases(folder, parts):
	file = "model.safetensors.index.json"
	for name, reason, shard in INDEX:
		bad = index(parts)
		bad["weight_map"][EMBED] = shard
		folder.case("ix_" + name, "index", reason, {file: bad}, base="control_sharded")
	whole = index(parts)
	for name, reason, raw in (("list", "weight_map is a list", whole | {"weight_map": list(parts)}),
			("map_absent", "no weight_map", {"metadata": {}}), ("cut", "cut short", dumps(whole)[:300]), ("empty", "no bytes", b""),
			("array", "an array", [whole]), ("twice", "a tensor that is listed twice", dumps(whole).replace(b'"weight_map":{',
			b'"weight_map":{"model.norm.weight":"first.safetensors",'))):
		folder.case("ix_" + name, "index", reason, {file: raw}, base="control_sharded")
	folder.case("ix_shard_lfs", "index", "one shard is a Git LFS pointer", {"second.safetensors": LFS}, base="control_sharded")
	less = copy.deepcopy(whole)
	del less["weight_map"][NORM]
	folder.case("ix_not_listed", "index", "a tensor that the index leaves out", {file: less}, "no_crash", "control_sharded")


def config_cases(folder):
	good = dumps(config())
	folder.case("cf_absent", "config", "no config.json", {}, drop=["config.json"])
	for name, reason, raw in (("empty", "no bytes", b""), ("cut", "cut short", good[:100]), ("array", "an array", b"[" + good + b"]"),
			("nested", "3000 arrays", b'{"a":' + nested(3000).encode() + b"," + good[1:]), ("behind", "text behind the object", good + b"x"),
			("lfs", "a Git LFS pointer", LFS), ("not_utf8", "not UTF-8", good.replace(b"silu", b"sil\xff")),
			("nul", "a NUL in the middle", good.replace(b'"hidden_act"', b'\0"hidden_act"'))):
		folder.case("cf_" + name, "config", "config.json: " + reason, {"config.json": raw})
	for name, changes in CONFIG:
		folder.case("cf_" + name, "config", "config.json: %s" % json.dumps(changes), {"config.json": config() | changes})
	none = {k: v for k, v in config().items() if k not in ("model_type", "architectures")}
	folder.case("cf_model_type_absent", "config", "neither model_type nor architectures", {"config.json": none})
	folder.case("cf_layers_absent", "config", "no num_attention_heads", {"config.json":
		{k: v for k, v in config().items() if k != "num_attention_heads"}}, "no_crash")
	for name, changes in CONFIG_HARMLESS:
		folder.case("cf_" + name, "config", "config.json: %s" % json.dumps(changes), {"config.json": config() | changes}, "no_crash")
	folder.case("cf_twice", "config", "hidden_size is given twice", {"config.json": b'{"hidden_size":16,' + good[1:]}, "no_crash")
	folder.case("cf_bom", "config", "a byte order mark", {"config.json": b"\xef\xbb\xbf" + good}, "no_crash")
	folder.case("gc_broken", "config", "generation_config.json is cut short", {"generation_config.json": b'{"eos_token'}, "no_crash")
	folder.case("gc_eos_text", "config", "generation_config.json: eos is text", {"generation_config.json": {"eos_token_id": ["x"]}}, "no_crash")


def tokenizer_cases(folder):
	good = dumps(tokenizer())
	folder.case("tk_absent", "tokenizer", "no tokenizer.json", {}, drop=["tokenizer.json"])
	for name, reason, raw in (("empty", "no bytes", b""), ("cut", "cut short", good[:400]), ("lfs", "a Git LFS pointer", LFS),
			("array", "an array", b"[]"), ("not_utf8", "not UTF-8", good.replace(b'"z":', b'"\xff":')),
			("lone_surrogate", "a token that is half a character", good.replace(b'"z":', b'"\\ud800":')),
			("nested", "3000 arrays", b'{"a":' + nested(3000).encode() + b"," + good[1:])):
		folder.case("tk_" + name, "tokenizer", "tokenizer.json: " + reason, {"tokenizer.json": raw})
	for group, expect in ((TOKENIZER, "refuse"), (TOKENIZER_HARMLESS, "no_crash")):
		for name, reason, change in group:
			data = tokenizer()
			change(data)
			folder.case("tk_" + name, "tokenizer", "tokenizer.json: " + reason, {"tokenizer.json": data}, expect)


def make(out, rng):
	"""(controls, cases)"""
	parts = control(out, rng)
	folder = Folder(out)
	weight_cases(folder, parts)
	index_cases(folder, parts)
	config_cases(folder)
	tokenizer_cases(folder)
	controls = [{"path": p, "kind": "folder"} for p in ("control", "control_sharded", "control_extras")]
	return controls, folder.cases
