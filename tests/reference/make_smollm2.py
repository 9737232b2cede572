#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write data/smollm2.json: what transformers says in float32 about the dequantised weights of one real GGUF file.

    make_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf [--out FILE]
"""

import argparse
import hashlib
import json
import os
import pathlib
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import gguf
import torch

import ref_gguf
import ref_model
import ref_text
import ref_tok

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
STEPS = 64
SCORED = 1000
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
RAW = [
	"The old lighthouse keeper climbed the stairs every evening because",
	"Water boils at a lower temperature on a mountain than at the sea. The reason is",
	"def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
	"Ingredients: 200 g flour, 2 eggs, 300 ml milk, a pinch of salt.\n\nMethod:\n1.",
	"Dear Ms. Andersen,\n\nThank you for your letter of 14 March. I am writing to",
	"Paris is the capital of France, Oslo is the capital of Norway, and Lisbon is the capital of",
]
# (system or None for the template's own, user)
CHATS = [
	(None, "What is the tallest mountain in the world?"),
	(None, "Write a short poem about the sea in winter."),
	(None, "Explain in simple words how a bicycle stays upright."),
	("You answer in one sentence.", "Why is the sky blue?"),
	("You are a careful translator.", "Translate to French: The boat leaves at seven o'clock."),
	(None, "Give me three tips for learning a new language, as a numbered list."),
]


def chatml(system, user):
	return "<|im_start|>system\n%s<|im_end|>\n<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n" % (system or SYSTEM, user)


@torch.no_grad()
def greedy(model, prompt):
	"""Tokens and gaps; a float32 cache gives what a full pass gives, to a few units of the last place."""
	out = model(torch.tensor([prompt]), use_cache=True)
	tokens, gaps = [], []
	while True:
		best = torch.topk(out.logits[0, -1], 2)
		tokens.append(int(best.indices[0]))
		gaps.append(round(float(best.values[0] - best.values[1]), 4))
		if len(tokens) == STEPS:
			return tokens, gaps
		out = model(torch.tensor([tokens[-1:]]), past_key_values=out.past_key_values, use_cache=True)


def tokenizer_of(path):
	"""The vocabulary of the file, with its control tokens as special ones."""
	fields = gguf.GGUFReader(path).fields
	tokens = fields["tokenizer.ggml.tokens"].contents()
	tok = ref_tok.from_gguf_lists(tokens, fields["tokenizer.ggml.merges"].contents())
	kinds = fields["tokenizer.ggml.token_type"].contents()
	tok.add_special_tokens([t for t, kind in zip(tokens, kinds) if kind == 3])
	return tok


def cases(model, tok):
	out = []
	for kind, texts in (("raw", RAW), ("chat", [chatml(*c) for c in CHATS])):
		for n, text in enumerate(texts):
			prompt = tok.encode(text).ids
			tokens, gaps = greedy(model, prompt)
			out.append({"name": "%s_%d" % (kind, n), "text": text, "prompt": prompt, "greedy": tokens, "greedy_gap": gaps,
				"greedy_text": tok.decode(tokens, skip_special_tokens=False)})
			print("%s: %r" % (out[-1]["name"], out[-1]["greedy_text"][:100]))
	return out


def main():
	args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	args.add_argument("gguf", type=pathlib.Path)
	args.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("data") / "smollm2.json")
	opt = args.parse_args()
	torch.set_num_threads(1)
	if hashlib.sha256(opt.gguf.read_bytes()).hexdigest() != SHA256:
		sys.exit("%s: not the file of SHA-256 %s" % (opt.gguf, SHA256))
	model, _, _ = ref_gguf.read_model(opt.gguf)
	tok = tokenizer_of(opt.gguf)
	ids = tok.encode(ref_text.prose()).ids[:SCORED]
	each = ref_model.logprobs_along(model, ids)
	head = {"model": "SmolLM2-135M-Instruct.Q4_1", "sha256": SHA256, "steps": STEPS, "quantized": True,
		"compute": "dequantised to float32, eager attention", "score_source": "the first %d tokens of prose.txt" % SCORED,
		"score_mean_logprob": round(sum(each) / len(each), 7), "score_tokens": ids,
		"score_logprobs": [round(x, 4) for x in each]}
	text = ",\n".join("%s: %s" % (json.dumps(k), json.dumps(v, separators=(",", ":"))) for k, v in head.items())
	rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases(model, tok))
	opt.out.write_text("{\n%s,\n\"cases\": [\n%s\n]\n}\n" % (text, rows), encoding="ascii")
	print("mean log-probability over %d tokens: %.5f" % (len(each), sum(each) / len(each)))


if __name__ == "__main__":
	main()
