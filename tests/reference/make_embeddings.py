#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What transformers makes of prompts as vectors: data/embeddings.json, for the float models of data/models.

    /some/where/bin/python make_embeddings.py    a venv as for make_reference.py

The base is upcast to float32; a vector is the mean, last or first row of last_hidden_state, which the final norm has seen.
"""
import base64
import json
import pathlib
import random

import torch
import transformers

DATA = pathlib.Path(__file__).resolve().parent / "data"
MODELS = ("tied_f32", "gpt2_f32", "gemma3_f32", "mistral_f32", "smollm3_f32", "qwen3_moe_f32")
VOCAB = 300


def vector(values):
	return base64.b64encode(values.numpy().astype("<f4").tobytes()).decode("ascii")


def record(model, ids):
	with torch.no_grad():
		hidden = model(torch.tensor([ids])).last_hidden_state[0]
	return {"ids": ids, "mean": vector(hidden.mean(0)), "last": vector(hidden[-1]), "cls": vector(hidden[0])}


def main():
	chosen, found = random.Random(20), {}
	for name in MODELS:
		model = transformers.AutoModel.from_pretrained(DATA / "models" / name, attn_implementation="eager", dtype=torch.float32).eval()
		found[name] = [record(model, [chosen.randrange(VOCAB) for _ in range(n)]) for n in (1, 33, 100)]
	(DATA / "embeddings.json").write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="ascii")


if __name__ == "__main__":
	main()
