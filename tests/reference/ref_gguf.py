# SPDX-License-Identifier: MIT
"""Small GGUF files of the llama architecture, and reading them back into transformers."""

import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

import ref_hf
import ref_model

# Hugging Face name within a layer -> GGUF name within a block
BLOCK = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
	"self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
	"lm_head.weight": "output.weight"}
KMIX = {"token_embd": Q.Q4_K, "attn_q": Q.Q4_K, "attn_k": Q.Q5_K, "attn_v": Q.Q6_K, "attn_output": Q.Q5_K,
	"ffn_gate": Q.Q4_K, "ffn_up": Q.Q5_K, "ffn_down": Q.Q6_K}
FEW_BITS = {"token_embd": Q.IQ4_XS, "attn_q": Q.Q2_K, "attn_k": Q.Q3_K, "attn_v": Q.IQ4_NL, "attn_output": Q.MXFP4,
	"ffn_gate": Q.Q3_K, "ffn_up": Q.Q2_K, "ffn_down": Q.IQ4_NL}

_SMALL = ref_hf.shape(inter=64, vocab=320)
_WIDE = ref_hf.shape(hidden=256, inter=256, layers=1, head_dim=64, kv_heads=1, vocab=288)
_SMOL = {"tok": "smollm", "pre": "smollm", "bos": "<|im_start|>", "eos": ["<|im_end|>"], "add_bos": False}
_LLAMA3 = {"tok": "llama3", "pre": "llama-bpe", "bos": "<|begin_of_text|>", "eos": ["<|eot_id|>"], "add_bos": True}
_GPT2 = {"tok": "gpt2", "pre": "gpt-2", "bos": None, "eos": ["<|endoftext|>"], "add_bos": False}

FILES = {
	"f32": {"type": Q.F32, "shape": ref_hf.shape(layers=1, inter=64, vocab=288)} | _SMOL,
	"f16": {"type": Q.F16, "shape": ref_hf.shape(layers=1, inter=64, tied=False, vocab=288), "version": 2} | _GPT2,
	"bf16_ropefreqs": {"type": Q.BF16, "shape": ref_hf.shape(layers=1, head_dim=24, vocab=384, theta=500000.0),
		"rope_freqs": True} | _LLAMA3,
	"q8_0_linear": {"type": Q.Q8_0, "shape": _SMALL, "linear": 4.0} | _SMOL,
	"q4_0": {"type": Q.Q4_0, "shape": _SMALL} | _SMOL,
	"q4_1_align64": {"type": Q.Q4_1, "shape": _SMALL, "align": 64} | _GPT2,
	"q5_0": {"type": Q.Q5_0, "shape": _SMALL} | _LLAMA3,
	"q5_1": {"type": Q.Q5_1, "shape": ref_hf.shape(tied=False, vocab=320), "rms_first": True} | _SMOL,
	"k_quants": {"type": None, "mix": KMIX, "shape": _WIDE} | _SMOL,
	"split": {"type": Q.Q4_1, "split": 9, "shape": _SMALL} | _GPT2,
	"few_bits": {"type": None, "mix": FEW_BITS, "shape": _WIDE} | _SMOL,
}


def gguf_name(name):
	"""model.layers.0.mlp.up_proj.weight -> blk.0.ffn_up.weight"""
	if name in TOP:
		return TOP[name]
	_, _, layer, rest = name.split(".", 3)
	return "blk.%s.%s.weight" % (layer, BLOCK[rest.removesuffix(".weight")])


def interleave(rows, heads):
	"""Rows of q or k from two halves per head to neighbouring pairs, the order in which llama.cpp rotates."""
	dim = rows.shape[0] // heads
	order = [h * dim + half * dim // 2 + i for h in range(heads) for i in range(dim // 2) for half in (0, 1)]
	return rows[order]


def deinterleave(rows, heads):
	"""Back to halves."""
	dim = rows.shape[0] // heads
	order = [h * dim + 2 * i + half for h in range(heads) for half in (0, 1) for i in range(dim // 2)]
	return rows[order]


def pair_six_bits(scales, mins):
	"""Eight 6-bit scales and minima in the 12 bytes of a Q4_K or Q5_K block."""
	low = [scales[j] | (scales[j + 4] >> 4) << 6 for j in range(4)]
	low += [mins[j] | (mins[j + 4] >> 4) << 6 for j in range(4)]
	return bytes(low + [scales[j] & 15 | (mins[j] & 15) << 4 for j in range(4, 8)])


def half(x):
	return np.array(x, dtype="<f2").tobytes()


def few_bits_block(rng, kind, deviation):
	"""The same for the types of 2 and 3 bits and those of 4 bits with a table."""
	turn = 1 if rng.integers(2) else -1
	if kind == Q.Q2_K:
		scales = rng.integers(8, 16, 16)
		mins = np.clip(scales + rng.integers(-1, 2, 16), 0, 15)
		scale = deviation / (1.12 * 11.5)
		return (scales | mins << 4).astype(np.uint8).tobytes() + rng.bytes(64) + half(scale) + half(1.5 * scale)
	if kind == Q.Q3_K:
		return rng.bytes(32 + 64 + 12) + half(turn * deviation / (18.5 * 2.35))
	if kind == Q.MXFP4:
		return bytes([128 + round(np.log2(deviation / 5.85)) + int(rng.integers(-1, 2))]) + rng.bytes(16)
	if kind == Q.IQ4_NL:
		return half(turn * deviation / 67.6) + rng.bytes(16)
	return half(turn * deviation / (18.5 * 67.6)) + rng.bytes(2 + 4 + 128)


def k_block(rng, kind, deviation):
	"""One block of 256 weights with the wanted standard deviation and a mean near zero."""
	if kind == Q.Q6_K:
		scales = rng.integers(-127, 128, 16).astype(np.int8)
		return rng.bytes(192) + scales.tobytes() + half(deviation / (73.6 * 18.5))
	scales = rng.integers(16, 60, 8).tolist()
	mins = [min(63, max(0, s + int(rng.integers(-2, 3)))) for s in scales]
	steps, bits = (4.61, 128) if kind == Q.Q4_K else (9.23, 160)
	scale = deviation / (steps * 40)
	middle = scale * (7.5 if kind == Q.Q4_K else 15.5)
	return half(scale) + half(middle) + pair_six_bits(scales, mins) + rng.bytes(bits)


def k_matrix(rng, like, kind):
	"""Random blocks in the place of a float matrix, with its deviation. The gguf package reads them, it cannot make them."""
	count = like.size // gguf.GGML_QUANT_SIZES[kind][0]
	block = few_bits_block if kind in FEW_BITS.values() else k_block
	raw = b"".join(block(rng, kind, float(like.std())) for _ in range(count))
	return np.frombuffer(raw, dtype=np.uint8).reshape(like.shape[0], -1)


def llama3_divisors(shape):
	"""What llama3 scaling divides each rope frequency by, as llama.cpp's converter stores it."""
	rope, half = ref_hf.LLAMA3_ROPE, shape["head_dim"] // 2
	wave = 2 * np.pi * shape["theta"] ** (np.arange(half) / half)
	turns = rope["original_max_position_embeddings"] / wave
	low, high = rope["low_freq_factor"], rope["high_freq_factor"]
	share = np.clip((turns - low) / (high - low), 0, 1)
	return (1 / ((1 - share) / rope["factor"] + share)).astype(np.float32)


def add_tokenizer(writer, spec, tok):
	"""The gpt2-style vocabulary in metadata."""
	added = tok.get_added_tokens_decoder()
	vocab = sorted(tok.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
	kinds = [1 if i not in added else 3 if added[i].special else 4 for _, i in vocab]
	merges = ref_hf.ref_tok.to_json(tok, True)["model"]["merges"]
	writer.add_tokenizer_model("gpt2")
	writer.add_tokenizer_pre(spec["pre"])
	writer.add_token_list([t for t, _ in vocab])
	writer.add_token_types(kinds)
	writer.add_token_merges(merges)
	bos, eos = ref_hf.ids_of(tok, spec)
	if bos is not None:
		writer.add_bos_token_id(bos)
	writer.add_eos_token_id(eos[0])
	writer.add_add_bos_token(spec["add_bos"])
	if spec["tok"] == "smollm":
		writer.add_chat_template(ref_hf.CHATML)


def add_numbers(writer, spec):
	"""Hyper-parameters, in an order that differs between files."""
	s = spec["shape"]
	calls = [lambda: writer.add_context_length(s["context"]), lambda: writer.add_embedding_length(s["hidden"]),
		lambda: writer.add_block_count(s["layers"]), lambda: writer.add_feed_forward_length(s["inter"]),
		lambda: writer.add_head_count(s["heads"]), lambda: writer.add_head_count_kv(s["kv_heads"]),
		lambda: writer.add_rope_freq_base(s["theta"]), lambda: writer.add_rope_dimension_count(s["head_dim"]),
		lambda: writer.add_layer_norm_rms_eps(s["eps"]), lambda: writer.add_vocab_size(s["vocab"])]
	for call in reversed(calls) if spec.get("rms_first") else calls:
		call()
	if s["heads"] * s["head_dim"] != s["hidden"]:
		writer.add_key_length(s["head_dim"])
		writer.add_value_length(s["head_dim"])
	if "linear" in spec:
		writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
		writer.add_rope_scaling_factor(spec["linear"])


def stored(rng, name, array, spec):
	"""(bytes or floats to store, type) of one matrix or vector."""
	if array.ndim == 1:
		return array, Q.F32
	if spec["type"] is None:
		kind = spec["mix"][name.split(".")[-2]]
		return k_matrix(rng, array, kind), kind
	return gguf.quantize(array, spec["type"]), spec["type"]


def write_file(path, name, spec, tok, rng):
	"""One GGUF file, or the parts of a split one; the path of the first."""
	writer = gguf.GGUFWriter(path, "llama", split_max_tensors=spec.get("split", 0))
	if "align" in spec:
		writer.add_custom_alignment(spec["align"])
	writer.add_name(name)
	add_numbers(writer, spec)
	add_tokenizer(writer, spec, tok)
	s = spec["shape"]
	if spec.get("rope_freqs"):
		writer.add_tensor("rope_freqs.weight", llama3_divisors(s))
	for hf_name, array in ref_model.random_weights(rng, s).items():
		heads = {"q_proj": s["heads"], "k_proj": s["kv_heads"]}.get(hf_name.split(".")[-2])
		array = interleave(array, heads) if heads else array
		data, kind = stored(rng, gguf_name(hf_name), array, spec)
		writer.add_tensor(gguf_name(hf_name), data, raw_dtype=kind)
	writer.write_header_to_file()
	writer.write_kv_data_to_file()
	writer.write_tensors_to_file()
	writer.close()
	if "version" in spec:
		with open(path, "r+b") as handle:
			handle.seek(4)
			handle.write(struct.pack("<I", spec["version"]))
	return writer.format_shard_names(path)[0]


def shape_of(reader, names):
	"""The numbers of a model from a file's metadata and the names of its tensors."""
	get = lambda key, other=None: reader.fields["llama." + key].contents() if "llama." + key in reader.fields else other
	heads, hidden = get("attention.head_count"), get("embedding_length")
	return {"hidden": hidden, "inter": get("feed_forward_length"), "layers": get("block_count"), "heads": heads,
		"kv_heads": get("attention.head_count_kv", heads), "head_dim": get("attention.key_length", hidden // heads),
		"vocab": len(reader.fields["tokenizer.ggml.tokens"].contents()), "tied": "output.weight" not in names,
		"theta": get("rope.freq_base", 10000.0), "eps": get("attention.layer_norm_rms_epsilon"),
		"context": get("context_length"), "linear": get("rope.scaling.factor", 1.0)}


def read_arrays(path):
	"""(dequantised float32 weights by Hugging Face name, shape, rope divisor or None, types by tensor)."""
	readers = [gguf.GGUFReader(p) for p in sorted(path.parent.glob(path.name.replace("-00001-", "-*-")))]
	tensors = [t for reader in readers for t in reader.tensors]
	shape, arrays, divisor = shape_of(readers[0], {t.name for t in tensors}), {}, None
	back = {gguf_name("model.layers.%d.%s.weight" % (n, hf)): "model.layers.%d.%s.weight" % (n, hf)
		for n in range(shape["layers"]) for hf in BLOCK} | {v: k for k, v in TOP.items()}
	for t in tensors:
		data = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
		if t.name == "rope_freqs.weight":
			divisor = data
			continue
		data = data.reshape([int(n) for n in reversed(t.shape)])
		heads = {"attn_q": shape["heads"], "attn_k": shape["kv_heads"]}.get(t.name.split(".")[-2])
		arrays[back[t.name]] = deinterleave(data, heads) if heads else data
	if shape["linear"] != 1.0:
		divisor = np.float32(shape["linear"])
	return arrays, shape, divisor, {t.name: t.tensor_type.name for t in tensors}


def read_model(path):
	"""(transformers model on dequantised float32 weights, shape, types by tensor)."""
	arrays, shape, divisor, types = read_arrays(path)
	return ref_model.from_arrays(shape, arrays, divisor), shape, types
