#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Perplexity of two real models over plain English, against transformers on the same weights, dequantised.

    check_perplexity.py --mhost BIN --mhostd BIN SMOLLM2.gguf GEMMA3.gguf     needs requirements.txt

The text is that of the licences that each Debian carries, in windows of 512 tokens. SmolLM2 is also written as a Hugging Face
folder, in F32, and answers questions from there and from the file.
"""

import argparse
import json
import math
import os
import pathlib
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
import transformers

import check_divergence
import check_host
import make_smollm2
import ref_gguf
import ref_model

TEXTS = ("GPL-3", "GPL-2")
TOKENS = 10240
WINDOW = 512
LIMIT = {"smol": 0.005, "gemma": 0.005, "folder": 1e-4}  # of the perplexity
SYSTEM = "You are a helpful assistant."
QUESTIONS = {"What is the capital of France?": "Paris", "Which planet is known as the red planet?": "Mars",
	"What is the largest ocean on Earth?": "Pacific", "What do bees make?": "honey"}


def windows(ids):
	return [ids[at:at + WINDOW] for at in range(0, TOKENS, WINDOW)]


def said_by_transformers(model, ids):
	"""Sum of the log-probabilities of a window's tokens but the first."""
	with torch.no_grad():
		rows = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].double(), dim=-1)
	return float(rows[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].sum())


def said_by_mhost(host, name, ids):
	return host.json("score", name, "--tokens", check_host.join(ids), "--json")["sum_logprob"]


def check(tally, host, name, model, ids):
	total, count = [0.0, 0.0], 0
	for window in windows(ids):
		total[0] += said_by_mhost(host, name, window)
		total[1] += said_by_transformers(model, window)
		count += len(window) - 1
	got, want = (math.exp(-t / count) for t in total)
	off = got / want - 1
	tally.check(abs(off) <= LIMIT[name], "perplexity " + name, "%.4f over %d tokens, transformers says %.4f: %+.3f %%, allowed %g %%"
		% (got, count, want, 100 * off, 100 * LIMIT[name]))


def chat(tally, host, name, folder):
	for question, word in QUESTIONS.items():
		file = folder / "chat.json"
		file.write_text(json.dumps({"messages": [{"role": "system", "content": SYSTEM},
			{"role": "user", "content": question}], "add_generation_prompt": True}))
		reply = host.json("run", name, "--messages", str(file), "-n", "40", "--json")
		tally.check(word in reply.get("text", ""), "%s, %s" % (name, question), " ".join(reply.get("text", "no answer").split()))


def tokens_of(host, name, text):
	return host.json("tokenize", name, text, "--json")["tokens"][:TOKENS]


def prepare(host, opt, folder, arrays, shape, tok):
	check_divergence.write_folder(folder / "hf", arrays, shape, tok)
	template = folder / "chatml.jinja"
	template.write_text("{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
		"{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
	failed = host.steps([("import", "smol@1.0.0", str(opt.smol), "--store", host.store),
		("import", "gemma@1.0.0", str(opt.gemma), "--store", host.store),
		("import", "folder@1.0.0", str(folder / "hf"), "--template", str(template), "--store", host.store)])
	return failed or host.steps([("activate", name + "@1.0.0") for name in ("smol", "gemma", "folder")])


def check_all(tally, host, opt, folder):
	arrays, shape, _, _ = ref_gguf.read_arrays(opt.smol)
	text = "".join((pathlib.Path("/usr/share/common-licenses") / name).read_text() for name in TEXTS)
	failed = prepare(host, opt, folder, arrays, shape, make_smollm2.tokenizer_of(opt.smol))
	if not tally.check(not failed, "three versions", failed or ""):
		return
	for name in ("smol", "folder"):
		chat(tally, host, name, folder)
	ids = tokens_of(host, "smol", text)
	model = ref_model.from_arrays(shape, arrays)
	for name in ("smol", "folder"):
		check(tally, host, name, model, ids)
	model = transformers.AutoModelForCausalLM.from_pretrained(opt.gemma.parent, gguf_file=opt.gemma.name,
		attn_implementation="eager", dtype=torch.float32).eval()
	check(tally, host, "gemma", model, tokens_of(host, "gemma", text))


def main():
	args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	args.add_argument("--mhost", required=True)
	args.add_argument("--mhostd", required=True)
	args.add_argument("smol", type=pathlib.Path)
	args.add_argument("gemma", type=pathlib.Path)
	opt = args.parse_args()
	tally = check_host.Tally(False)
	folder = pathlib.Path(check_host.tempfile.mkdtemp(prefix="mhost-perplexity-"))
	host = check_host.Host(opt.mhost, opt.mhostd, options=["--workers", "1"])
	try:
		check_all(tally, host, opt, folder)
	finally:
		tally.check(host.stop(), "mhostd stops cleanly")
		host.remove()
		check_host.shutil.rmtree(folder, ignore_errors=True)
	print("%d passed, %d failed" % (tally.passed, tally.failed))
	return 1 if tally.failed else 0


if __name__ == "__main__":
	sys.exit(main())
