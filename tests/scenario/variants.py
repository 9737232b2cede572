#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a Llama of random BF16 weights, or a variant of it, as a Hugging Face directory.

    variants.py DIR TOKENIZER_DIR [--layers N] [--hidden N] [--inter N] [--seed N]
                                  [--variant K --percent P | --chain K]

--variant K draws matrices that make up P percent of the bytes anew, which ones by K; --chain K draws
all of the first K layers anew. The same arguments give the same bytes. Python 3 alone.
"""
import argparse
import json
import os
import random
import shutil
import struct

VOCAB = 768	# of tools/tiny/model
ONE = b"\x80\x3f"
# second bytes of small numbers of both signs: no NaN, nothing large
SMALL = bytes((0x3b, 0xbb, 0x3a, 0xba, 0x39, 0xb9, 0x3b, 0xbb)[i % 8] for i in range(256))


def matrix(seed, count):
	"""count BF16 values of about 0.001 to 0.008."""
	source = random.Random(seed)
	out = bytearray(2 * count)
	out[0::2] = source.randbytes(count)
	out[1::2] = source.randbytes(count).translate(SMALL)
	return bytes(out)


def shapes(layers, hidden, inter):
	"""Name, rows, columns; vectors have no rows."""
	yield "model.embed_tokens.weight", VOCAB, hidden
	for i in range(layers):
		at = f"model.layers.{i}."
		yield at + "input_layernorm.weight", 0, hidden
		yield at + "self_attn.q_proj.weight", hidden, hidden
		yield at + "self_attn.k_proj.weight", hidden // 2, hidden
		yield at + "self_attn.v_proj.weight", hidden // 2, hidden
		yield at + "self_attn.o_proj.weight", hidden, hidden
		yield at + "post_attention_layernorm.weight", 0, hidden
		yield at + "mlp.gate_proj.weight", inter, hidden
		yield at + "mlp.up_proj.weight", inter, hidden
		yield at + "mlp.down_proj.weight", hidden, inter
	yield "model.norm.weight", 0, hidden


def changed(args, tensors):
	"""Names of what is drawn anew."""
	if args.chain:
		return {name for name, rows, _ in tensors
			if rows and name.startswith(tuple(f"model.layers.{i}." for i in range(args.chain)))}
	matrices = [(name, rows * cols) for name, rows, cols in tensors if rows]
	wanted = sum(count for _, count in matrices) * args.percent / 100 if args.variant else 0
	names, have = set(), 0
	random.Random(f"order {args.variant}").shuffle(matrices)
	for name, count in matrices:
		if have + count <= wanted * 1.02:
			names.add(name)
			have += count
	return names


def write(args):
	tensors = list(shapes(args.layers, args.hidden, args.inter))
	again = changed(args, tensors)
	head, at = {}, 0
	for name, rows, cols in tensors:
		end = at + 2 * (rows or 1) * cols
		head[name] = {"dtype": "BF16", "shape": [rows, cols] if rows else [cols], "data_offsets": [at, end]}
		at = end
	raw = json.dumps(head).encode()
	with open(os.path.join(args.dir, "model.safetensors"), "wb") as out:
		out.write(struct.pack("<Q", len(raw)) + raw)
		for name, rows, cols in tensors:
			seed = f"{args.seed} {name}" + (f" {args.variant} chain" if name in again else "")
			out.write(matrix(seed, rows * cols) if rows else ONE * cols)


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("dir")
	parser.add_argument("tokenizer_dir")
	for name, usual in (("layers", 10), ("hidden", 512), ("inter", 1024), ("seed", 1), ("variant", 0),
			("percent", 10), ("chain", 0)):
		parser.add_argument("--" + name, type=int, default=usual)
	args = parser.parse_args()
	os.makedirs(args.dir, exist_ok=True)
	for name in os.listdir(args.tokenizer_dir):
		if name != "model.safetensors":
			shutil.copy(os.path.join(args.tokenizer_dir, name), args.dir)
	path = os.path.join(args.dir, "config.json")
	with open(path) as f:
		config = json.load(f)
	config.update(hidden_size=args.hidden, intermediate_size=args.inter, num_hidden_layers=args.layers,
		num_attention_heads=args.hidden // 32, num_key_value_heads=args.hidden // 64)
	with open(path, "w") as f:
		json.dump(config, f)
	write(args)


main()
