# SPDX-License-Identifier: MIT
"""A small GGUF file whose every field can be made wrong."""

import struct

import numpy as np

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
PACK = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q", I64: "<q", F64: "<d"}
TYPE_F32, TYPE_F16, TYPE_Q4_0 = 0, 1, 2
ONES = 2**64 - 1
LFS = (b"version https://git-lfs.github.com/spec/v1\n"
	b"oid sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\nsize 269060552\n")

LETTERS = list("aeinorsthzd019.") + ["\u0120", "\u010a"]
MERGES = [("\u0120", "t"), ("h", "e"), ("\u0120t", "he"), ("i", "n"), ("e", "r"), ("a", "n"), ("o", "n"), ("r", "e")]
SPECIALS = ["<|end|>", "<|start|>"]
TOKENS = LETTERS + [a + b for a, b in MERGES] + ["\u0120" + c for c in "asoih"] + SPECIALS
COUNT = len(TOKENS)
END, START = COUNT - 2, COUNT - 1
ODD = COUNT - 4  # a token that no merge names
WIDTH = 8


def text(value, length=None):
	raw = value if isinstance(value, bytes) else value.encode("utf-8")
	return struct.pack("<Q", len(raw) if length is None else length) + raw


def scalar(kind, value):
	return struct.pack(PACK[kind], value)


def array(kind, items, count=None):
	body = b"".join(text(i) if kind == STR else scalar(kind, i) for i in items)
	return struct.pack("<IQ", kind, len(items) if count is None else count) + body


class Gguf:
	"""A GGUF file whose every field can be made wrong."""

	def __init__(self, rng, width=WIDTH, kind=TYPE_F16):
		self.magic, self.version, self.align, self.tail = b"GGUF", struct.pack("<I", 3), 32, b""
		self.tensor_count = self.kv_count = None
		self.marks = []
		self.kv = {}
		self.more_kv = []
		self.fill_numbers(width)
		self.fill_tokenizer()
		self.tensors = self.make_tensors(rng, width, kind)

	def fill_numbers(self, width):
		self.set("general.architecture", STR, text("llama"))
		for key, value in (("context_length", 64), ("embedding_length", width), ("block_count", 1), ("feed_forward_length", width),
				("attention.head_count", 2), ("attention.head_count_kv", 1), ("rope.dimension_count", width // 2)):
			self.num("llama." + key, U32, value)
		self.num("llama.rope.freq_base", F32, 10000.0)
		self.num("llama.attention.layer_norm_rms_epsilon", F32, 1e-5)

	def fill_tokenizer(self):
		self.set("tokenizer.ggml.model", STR, text("gpt2"))
		self.set("tokenizer.ggml.pre", STR, text("smollm"))
		self.set("tokenizer.ggml.tokens", ARR, array(STR, TOKENS))
		self.set("tokenizer.ggml.token_type", ARR, array(I32, [1] * END + [3, 3]))
		self.set("tokenizer.ggml.merges", ARR, array(STR, [" ".join(m) for m in MERGES]))
		self.num("tokenizer.ggml.bos_token_id", U32, START)
		self.num("tokenizer.ggml.eos_token_id", U32, END)

	def make_tensors(self, rng, width, kind):
		half = width // 2
		shapes = [("token_embd", width, len(TOKENS)), ("blk.0.attn_norm", width, None), ("blk.0.attn_q", width, width),
			("blk.0.attn_k", width, half), ("blk.0.attn_v", width, half), ("blk.0.attn_output", width, width),
			("blk.0.ffn_norm", width, None), ("blk.0.ffn_gate", width, width), ("blk.0.ffn_up", width, width),
			("output_norm", width, None), ("blk.0.ffn_down", width, width)]
		out = []
		for name, cols, rows in shapes:
			dims = [cols] if rows is None else [cols, rows]
			one = TYPE_F32 if rows is None else kind
			out.append({"name": name + ".weight", "dims": dims, "type": one, "data": weights(rng, dims, one)})
		return out

	def set(self, key, kind, payload):
		self.kv[key] = (kind, payload)
		return self

	def num(self, key, kind, value):
		return self.set(key, kind, scalar(kind, value))

	def add(self, key, kind, payload):
		"""A key in front of the others, which may be one of them again."""
		self.more_kv.append((key, kind, payload))
		return self

	def drop(self, key):
		del self.kv[key]
		return self

	def tensor(self, name, **changes):
		"""Change fields of one tensor: name, dims, n_dims, type, offset, data."""
		next(t for t in self.tensors if t["name"] == name + ".weight").update(changes)
		return self

	def extra(self, **fields):
		self.tensors.append({"name": "extra.weight", "dims": [8], "type": TYPE_F32, "data": bytes(32)} | fields)
		return self

	def without(self, name):
		self.tensors = [t for t in self.tensors if t["name"] != name + ".weight"]
		return self

	def put(self, out, raw):
		"""Append one field and remember where it ends."""
		out += raw
		self.marks.append(len(out))

	def build(self):
		out = bytearray()
		pairs = self.more_kv + [(k, *v) for k, v in self.kv.items()]
		counts = (len(self.tensors) if self.tensor_count is None else self.tensor_count,
			len(pairs) if self.kv_count is None else self.kv_count)
		for raw in (self.magic, self.version, struct.pack("<Q", counts[0]), struct.pack("<Q", counts[1])):
			self.put(out, raw)
		for key, kind, payload in pairs:
			for raw in (key if isinstance(key, bytes) else text(key), struct.pack("<I", kind), payload):
				self.put(out, raw)
		at = 0
		for t in self.tensors:
			self.put_info(out, t, at)
			at += len(t["data"]) + -len(t["data"]) % self.align
		out += bytes(-len(out) % self.align)
		for t in self.tensors:
			out += bytes(-len(out) % self.align)
			self.put(out, t["data"])
		return bytes(out) + self.tail

	def put_info(self, out, t, at):
		name = t["name"]
		self.put(out, name if t.get("raw_name") else text(name))
		self.put(out, struct.pack("<I", t.get("n_dims", len(t["dims"]))))
		for dim in t["dims"]:
			self.put(out, struct.pack("<Q", dim % 2**64))
		self.put(out, struct.pack("<I", t["type"] % 2**32))
		self.put(out, struct.pack("<Q", t.get("offset", at) % 2**64))


def weights(rng, dims, kind):
	"""Bytes of one tensor."""
	count = int(np.prod(dims))
	if len(dims) == 1:
		return np.ones(count, dtype="<f4").tobytes()
	if kind == TYPE_Q4_0:
		return b"".join(np.array(0.1, dtype="<f2").tobytes() + rng.bytes(16) for _ in range(count // 32))
	return (rng.standard_normal(count) * 0.5).astype("<f2").tobytes()


def nested(depth):
	return struct.pack("<IQ", ARR, 1) * depth + array(U8, [7])


def nan_block(value):
	"""A Q4_0 matrix of 32 x 32 in which one scale is `value`."""
	block = np.array(0.1, dtype="<f2").tobytes() + bytes(range(16))
	bad = np.array(value, dtype="<f2").tobytes() + bytes(range(16))
	return block * 17 + bad + block * 14
