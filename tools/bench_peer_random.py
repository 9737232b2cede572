#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a Llama of about 1 B random weights as GGUF: speed does not depend on what they say.

    bench_peer_random.py FILE [--type q4_0|q8_0|...] [--layers N] [--width N] [--ffn N] [--vocab N]

The shape is that of Llama 3.2 1B with a vocabulary of 32,000: the bytes, and pairs of them. The
file is written as a stream, a few MB in memory; the same arguments give the same bytes.
"""
import argparse
import math
import os
import random
import struct

U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5
# type: number in the format, file_type, weights and bytes per block, where its f16 scales stand and
# the largest weight by each; mxfp4's scale is one byte, a power of two
TYPES = {"q4_0": (2, 2, 32, 18, {0: 8}), "q8_0": (8, 7, 32, 34, {0: 127}),
         "q2_k": (10, 10, 256, 84, {80: 45, 82: 15}), "q3_k": (11, 11, 256, 110, {108: 128}),
         "iq4_nl": (20, 25, 32, 18, {0: 127}), "iq4_xs": (23, 30, 256, 136, {0: 4064}),
         "mxfp4": (39, 38, 32, 17, {})}
ALIGN, PIECE = 32, 1 << 16


def byte_symbols():
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [table[b] for b in range(256)]


def vocabulary(count):
    """Bytes, then pairs of bytes in a fixed order with their merges, then the end token."""
    symbols = byte_symbols()
    pairs = [(a, b) for a in symbols for b in symbols][:count - 257]
    return symbols + [a + b for a, b in pairs] + ["<|end|>"], [f"{a} {b}" for a, b in pairs]


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def array(kind, values):
    body = b"".join(text(v) if kind == STRING else struct.pack("<i", v) for v in values)
    return struct.pack("<IQ", kind, len(values)) + body


def metadata(a):
    tokens, merges = vocabulary(a.vocab)
    heads, kv_heads = a.width // 64, max(a.width // 256, 1)
    numbers = {"llama.block_count": a.layers, "llama.context_length": 8192,
               "llama.embedding_length": a.width, "llama.feed_forward_length": a.ffn,
               "llama.attention.head_count": heads,
               "llama.attention.head_count_kv": kv_heads, "llama.rope.dimension_count": 64,
               "llama.vocab_size": len(tokens), "general.file_type": TYPES[a.type][1],
               "tokenizer.ggml.bos_token_id": len(tokens) - 1,
               "tokenizer.ggml.eos_token_id": len(tokens) - 1}
    floats = {"llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 500000.0}
    texts = {"general.architecture": "llama", "general.name": f"random {a.type}",
             "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2"}
    kv = [entry(k, STRING, text(v)) for k, v in texts.items()]
    kv += [entry(k, U32, struct.pack("<I", v)) for k, v in numbers.items()]
    kv += [entry(k, F32, struct.pack("<f", v)) for k, v in floats.items()]
    kv += [entry("tokenizer.ggml.tokens", ARRAY, array(STRING, tokens)),
           entry("tokenizer.ggml.merges", ARRAY, array(STRING, merges)),
           entry("tokenizer.ggml.token_type", ARRAY, array(I32, [1] * (len(tokens) - 1) + [3]))]
    return kv


def tensors(a):
    """(name, rows, columns); rows 0: a norm."""
    kv_width = max(a.width // 256, 1) * 64
    yield "token_embd.weight", a.vocab, a.width  # also the output matrix
    yield "output_norm.weight", 0, a.width
    for layer in range(a.layers):
        for name, rows, cols in (("attn_norm", 0, a.width), ("attn_q", a.width, a.width),
                                 ("attn_k", kv_width, a.width), ("attn_v", kv_width, a.width),
                                 ("attn_output", a.width, a.width), ("ffn_norm", 0, a.width),
                                 ("ffn_gate", a.ffn, a.width), ("ffn_up", a.ffn, a.width),
                                 ("ffn_down", a.width, a.ffn)):
            yield f"blk.{layer}.{name}.weight", rows, cols


def tensor_bytes(kind, rows, cols):
    return rows * cols // TYPES[kind][2] * TYPES[kind][3] if rows else cols * 4


def write_tensor(out, rng, kind, rows, cols):
    if not rows:
        out.write(struct.pack("<f", 1.0) * cols)
        return
    block_bytes, tops = TYPES[kind][3:]
    gain = 1.7 / cols ** 0.5  # about unit gain
    scales = {at: struct.pack("<e", gain / top) for at, top in tops.items()}
    scales = scales or {0: bytes([128 + round(math.log2(gain / 12))])}
    left = rows * cols // TYPES[kind][2]
    while left:
        n = min(left, PIECE)
        blocks = bytearray(rng.randbytes(n * block_bytes))
        for at, scale in scales.items():
            for i in range(len(scale)):
                blocks[at + i::block_bytes] = scale[i:i + 1] * n
        out.write(blocks)
        left -= n


def write(out, a):
    kv, infos, offset = metadata(a), b"", 0
    shapes = list(tensors(a))
    for name, rows, cols in shapes:
        dims = [cols, rows] if rows else [cols]
        infos += text(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        infos += struct.pack("<IQ", TYPES[a.type][0] if rows else 0, offset)
        offset += -(-tensor_bytes(a.type, rows, cols) // ALIGN) * ALIGN
    out.write(b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(kv)) + b"".join(kv) + infos)
    rng = random.Random(1)
    for _, rows, cols in shapes:
        out.write(b"\0" * (-out.tell() % ALIGN))
        write_tensor(out, rng, a.type, rows, cols)


def main():
    p = argparse.ArgumentParser(description="Write a Llama with random weights as GGUF.")
    p.add_argument("file")
    p.add_argument("--type", choices=TYPES, default="q4_0")
    p.add_argument("--layers", type=int, default=16)
    p.add_argument("--width", type=int, default=2048)
    p.add_argument("--ffn", type=int, default=8192)
    p.add_argument("--vocab", type=int, default=32000)
    a = p.parse_args()
    if a.width % 256 or a.ffn % 256 or not 300 <= a.vocab <= 65793 or a.layers < 1:
        p.error("width and ffn are multiples of 256, vocab is 300 to 65793, layers at least 1")
    part = a.file + ".part"
    try:
        with open(part, "wb") as out:
            write(out, a)
        os.replace(part, a.file)
    finally:
        if os.path.exists(part):
            os.unlink(part)


main()
