#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write pack_vectors.h: source blocks with the floats that the gguf package reads from them, and
floats with the blocks that it makes of them. Needs: pip install gguf numpy. Usage:
    python3 tests/unit/make_pack_vectors.py > tests/unit/pack_vectors.h"""
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

READ = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K,
        T.Q6_K, T.IQ4_NL, T.IQ4_XS, T.MXFP4]
WRITE = [T.Q8_0, T.Q4_0, T.Q4_1, T.F16, T.BF16]
# Where the f16 scales of a block stand; everything else may be any byte.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2],
          T.Q5_K: [0, 2], T.Q6_K: [208], T.Q2_K: [80, 82], T.Q3_K: [108], T.IQ4_NL: [0],
          T.IQ4_XS: [0], T.MXFP4: []}
BYTES = {T.Q4_0: 18, T.Q4_1: 20, T.Q5_0: 22, T.Q5_1: 24, T.Q8_0: 34, T.Q4_K: 144, T.Q5_K: 176,
         T.Q6_K: 210, T.Q2_K: 84, T.Q3_K: 110, T.IQ4_NL: 18, T.IQ4_XS: 136, T.MXFP4: 17}


def blocks(rng, kind):
    if kind not in SCALES:
        values = (rng.standard_normal(32) * 10.0 ** rng.integers(-6, 4, 32)).astype(np.float32)
        return quants.quantize(values, kind).view(np.uint8).reshape(-1)
    count = 1 if BYTES[kind] > 80 else 2
    raw = rng.integers(0, 256, (count, BYTES[kind]), dtype=np.uint8)
    for at in SCALES[kind]:
        raw[:, at:at + 2] = (rng.standard_normal((count, 1)) / 30).astype("<f2").view(np.uint8)
    if kind == T.Q8_0:
        raw[0, 2:4] = 0x80, 0x7f
    if kind == T.MXFP4:                                     # the scale, from the least to the greatest
        raw = np.concatenate([raw, raw[::-1]])
        raw[:, 0] = 0, 1, 126, 252
    return raw.reshape(-1)


def array(kind, name, values, fmt, per_line):
    print(f"static const {kind} {name}[] = {{")
    for at in range(0, len(values), per_line):
        print("\t" + " ".join(fmt % v + "," for v in values[at:at + per_line]))
    print("};")


def bits(floats):
    return np.ascontiguousarray(floats, dtype=np.float32).view(np.uint32)


def main():
    rng = np.random.default_rng(20)
    print("/* SPDX-License-Identifier: MIT */")
    print("/* Made by make_pack_vectors.py; floats as their bits. */")
    for kind in READ:
        raw = blocks(rng, kind)
        floats = quants.dequantize(raw.view(np.float32 if kind == T.F32 else np.uint8), kind)
        array("uint8_t", f"read_{kind.name}", raw, "0x%02x", 16)
        array("uint32_t", f"floats_{kind.name}", bits(floats.reshape(-1)), "0x%08x", 8)
    floats = rng.standard_normal(160).astype(np.float32)
    floats[32:64] *= 1e-4
    floats[64:96] = rng.integers(-127, 128, 32)             # exact in Q8_0 once 127 is among them
    floats[64] = 127
    floats[96:128] = 0
    floats[128:160] = np.abs(floats[128:160]) + 3
    array("uint32_t", "write_floats", bits(floats), "0x%08x", 8)
    for kind in WRITE:
        raw = quants.quantize(floats, kind).view(np.uint8).reshape(-1)
        array("uint8_t", f"write_{kind.name}", raw, "0x%02x", 16)


main()
