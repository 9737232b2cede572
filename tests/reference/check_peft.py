#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mhost's adapters on SmolLM2 against PEFT's, in one run on one machine.

    check_peft.py --mhost BIN --mhostd BIN [--fixtures DIR] [--only PART,...] SmolLM2-135M-Instruct.Q4_1.gguf

needs requirements.txt and requirements-peft.txt. The file is dequantised; PEFT runs on it in float32. Parts:

    values    adapters of many ranks, scales, targets and types, made by PEFT with random weights: greedy tokens, and the best
              log-probabilities of each step. Bases: F32 and F16 folders, and the file itself, where integer kernels leave less.
    swaps     one name that holds A, then B, then A again, of other ranks, scales and targets: each step as a fresh PEFT load
    merged    `mhost adapter merge` of one, against merge_and_unload()
    refused   DIR/adapters_refuse of the fixtures: each is refused by its field or tensor; the good ones are taken
    time      from PEFT's file in the page cache to a swap, and to the first token on it: mhost and hotswap_adapter in turns
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
import warnings

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import peft
import torch
from peft.utils.hotswap import hotswap_adapter
from safetensors.torch import load_file, save_file

import check_divergence
import check_host
import make_peft
import make_smollm2
import mhost
import ref_gguf
import ref_model

STEPS = 12
TOP = 20
RELATIVE = 1e-3    # of the range of the logits, for float bases
CLOSE = 0.02    # a gap below is a tie
QUANT_CLOSE = 0.5
LINEAR = make_peft.ATTENTION + make_peft.MLP
PROMPTS = ["The capital of France is", "Once upon a time there was a small robot who", "def fibonacci(n):\n"]
# name: (arguments of LoraConfig, type of the file)
ADAPTERS = {
	"r1": (dict(r=1, lora_alpha=2, target_modules=LINEAR), torch.float32),
	"r4-f16": (dict(r=4, lora_alpha=8, target_modules="all-linear"), torch.float16),
	"r8": (dict(r=8, lora_alpha=16, target_modules=LINEAR), torch.float32),
	"r16-bf16": (dict(r=16, lora_alpha=8, target_modules=["q_proj", "v_proj"]), torch.bfloat16),
	"r64": (dict(r=64, lora_alpha=16, target_modules=["o_proj", "gate_proj"]), torch.float32),
	"rslora": (dict(r=8, lora_alpha=6, use_rslora=True, target_modules=make_peft.MLP), torch.float32),
	"patterns": (dict(r=4, lora_alpha=8, target_modules=LINEAR, rank_pattern={"down_proj": 2, "layers.7.self_attn.q_proj": 12},
		alpha_pattern={"gate_proj": 5, "layers.3.mlp.up_proj": 24}), torch.float32),
	"some-layers": (dict(r=6, lora_alpha=12, target_modules=LINEAR, layers_to_transform=[0, 13, 29], layers_pattern="layers"), torch.float32),
	"embeddings": (dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "lm_head", "k_proj"]), torch.float32),
}
FASTER = 10
SWAPS = ["r8", "r64", "r8", "embeddings", "rslora", "r8"]


# -- models ----------------------------------------------------------------------------------------

class Smol:
	"""The file, dequantised: a model for PEFT, and folders for mhost."""

	def __init__(self, path, work):
		self.path, self.work = path, work
		self.arrays, self.shape, self.divisor, _ = ref_gguf.read_arrays(path)
		self.tok = make_smollm2.tokenizer_of(path)
		self.prompts = [self.tok.encode(text).ids for text in PROMPTS]
		self.model = ref_model.from_arrays(self.shape, self.arrays, self.divisor)

	def fresh(self):
		"""A model of its own, for what changes the base."""
		return ref_model.from_arrays(self.shape, self.arrays, self.divisor)

	def folder(self, dtype):
		"""A Hugging Face folder; what F16 rounds, PEFT is given too."""
		folder = self.work / str(dtype).split(".")[-1]
		check_divergence.write_folder(folder, self.arrays, self.shape, self.tok)
		if dtype != torch.float32:
			file = folder / "model.safetensors"
			save_file({k: v.to(dtype) for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
		return folder

	def rounded(self, dtype):
		self.arrays = {k: torch.from_numpy(np.ascontiguousarray(v)).to(dtype).float().numpy() for k, v in self.arrays.items()}
		self.model = self.fresh()


def make_adapter(smol, name, folder):
	arguments, dtype = ADAPTERS[name]
	generator = torch.Generator().manual_seed(len(name) + sum(map(ord, name)))
	model = peft.get_peft_model(smol.model, peft.LoraConfig(task_type="CAUSAL_LM", **arguments))
	make_peft.fill(model, generator, 0.3)
	model.save_pretrained(str(folder), save_embedding_layers=False)
	file = str(folder / "adapter_model.safetensors")
	save_file({k: v.to(dtype).contiguous() for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
	model.unload()


def follow(model, prompt):
	"""Greedy tokens, the gap of each, and log-probabilities of each step."""
	tokens, gaps, rows, past = [], [], [], None
	ids = torch.tensor([prompt])
	with torch.no_grad():
		while len(tokens) < STEPS:
			out = model(input_ids=ids, past_key_values=past, use_cache=True)
			past, logits = out.past_key_values, out.logits[0, -1].double()
			best = torch.topk(logits, 2)
			tokens.append(int(best.indices[0]))
			gaps.append(float(best.values[0] - best.values[1]))
			rows.append((torch.log_softmax(logits, -1), float(logits.max() - logits.min())))
			ids = torch.tensor([tokens[-1:]])
	return tokens, gaps, rows


def answers_of(smol, folder):
	model = peft.PeftModel.from_pretrained(smol.model, str(folder)).eval() if folder else smol.model
	answers = [follow(model, prompt) for prompt in smol.prompts]
	if folder:
		model.unload()
	return answers


# -- comparing -------------------------------------------------------------------------------------

def compare(reply, want, close, limit):
	"""(good, the greatest difference of a log-probability over the range of the logits, words)."""
	if "failed" in reply:
		return False, 0, reply["failed"]
	tokens, gaps, rows = want
	worst = 0
	for n, (token, gap) in enumerate(zip(tokens, gaps)):
		logprobs, span = rows[n]
		for top in reply["logprobs"][n]["top"]:
			worst = max(worst, abs(top["logprob"] - float(logprobs[top["id"]])) / span)
		if reply["tokens"][n] != token:
			if gap >= close:
				return False, worst, "token %d is %d, PEFT has %d (gap %.3f)" % (n, reply["tokens"][n], token, gap)
			break
	return limit is None or worst <= limit, worst, ""


def check_answers(tally, host, label, model, more, wanted, close=CLOSE, limit=RELATIVE, adapter=None):
	worst, told = 0, []
	for ids, want in zip(host.prompts, wanted):
		reply = host.run(model, ids, STEPS, "--ignore-eos", "--logprobs", str(TOP), *more)
		good, off, words = compare(reply, want, close, limit)
		if adapter and not words and [a["version"] for a in reply["adapters"]] != [adapter]:
			good, words = False, "made by %s, wanted %s" % (reply["adapters"], adapter)
		worst = max(worst, off)
		if not good:
			told.append(words or "too far")
	tally.check(not told, label, "%s%d prompts x %d tokens, off by %.1e of the logits' range" % ("; ".join(told) + " - " if told else "",
		len(wanted), STEPS, worst))


def importing(host, *words):
	failed = host.steps([("import", *words, "--store", host.store)])
	if failed:
		raise SystemExit(failed)


# -- parts -----------------------------------------------------------------------------------------

def check_values(tally, host, smol, folders, wanted):
	for name, folder in folders.items():
		importing(host, "f32/%s@1.0.0" % name, str(folder))
		check_answers(tally, host, "F32 base, " + name, "f32", ("--adapter", name + "@1.0.0"), wanted[name], adapter="1.0.0")
	check_answers(tally, host, "F32 base alone", "f32", (), wanted[None])
	for name in ("r8", "embeddings"):
		importing(host, "q4/%s@1.0.0" % name, str(folders[name]))
		check_answers(tally, host, "Q4_1 base, " + name, "q4", ("--adapter", name + "@1.0.0"), wanted[name], QUANT_CLOSE, None)


def check_half(tally, host, smol, folders):
	"""Last: what PEFT is given is rounded from now on."""
	folder = smol.folder(torch.float16)
	failed = host.add("f16", folder)
	shutil.rmtree(folder)
	if failed:
		raise SystemExit(failed)
	smol.rounded(torch.float16)
	for name in ("r8", "r16-bf16"):
		importing(host, "f16/%s@1.0.0" % name, str(folders[name]))
		check_answers(tally, host, "F16 base, " + name, "f16", ("--adapter", name + "@1.0.0"), answers_of(smol, folders[name]))


def check_swaps(tally, host, folders, wanted):
	for n, name in enumerate(dict.fromkeys(SWAPS)):
		importing(host, "f32/live@1.%d.0" % n, str(folders[name]))
	for n, name in enumerate(SWAPS):
		version = "1.%d.0" % list(dict.fromkeys(SWAPS)).index(name)
		failed = host.steps([("adapter", "swap", "f32", "live@" + version)])
		if failed:
			tally.check(False, "swap %d to %s" % (n, name), failed)
		else:
			check_answers(tally, host, "swap %d, to %s" % (n, name), "f32", ("--adapter", "live"), wanted[name], adapter=version)


def check_merged(tally, host, smol, folders):
	name = "patterns"
	failed = host.steps([("adapter", "merge", "f32@1.0.0", name + "@1.0.0:0.5", "--as", "f32@1.1.0", "--store", host.store),
		("load", "f32@1.1.0")])
	if failed:
		return tally.check(False, "merged", failed)
	model = make_peft.summed(folders[name].parent, [[name, 0.5]], smol.fresh()).merge_and_unload(adapter_names=[name]).eval()
	return check_answers(tally, host, "merged, %s at half its scale" % name, "f32@1.1.0", (), [follow(model, p) for p in smol.prompts])


# A word of the line for each case: the field or tensor that is wrong.
REFUSED = {"dora": "use_dora", "ia3": "peft_type", "prompt_tuning": "peft_type", "modules_to_save": "modules_to_save", "bias_all": "bias",
	"lora_bias": "lora_bias", "unknown_peft_type": "peft_type", "no_peft_type": "peft_type", "unknown_layers": "tensor",
	"unknown_modules": "target_modules", "wrong_in_features": "lora_A", "wrong_out_features": "lora_B",
	"rank_differs_from_config": "lora_A", "rank_a_b_differ": "lora_A", "b_missing": "lora_B", "all_tensors_missing": "no tensors",
	"three_dimensions": "lora_A", "integer_tensors": "dtype", "nan_values": "not finite", "inf_values": "not finite", "rank_zero": ": r:",
	"rank_negative": ": r:", "rank_absent_wrong_default": "lora_A", "alpha_text": "lora_alpha", "config_not_json": "JSON",
	"config_absent": "adapter_config.json", "truncated": "end of the file", "truncated_header": "header length",
	"weights_absent": "adapter_model.safetensors", "lfs_pointer": "Git-LFS", "pickle_only": "adapter_model.bin"}


def check_refused(tally, host, fixtures):
	for record in sorted(fixtures.glob("adapters_refuse/*/refuse.json")):
		model, cases = record.parent.name, json.loads(record.read_text())
		name = model.replace("_", "-")
		failed = host.steps([("import", name + "@1.0.0", str(fixtures / "models" / model), "--store", host.store)])
		if failed:
			tally.skip("refused, " + model, failed)
			continue
		good = cases["controls"] + [c["path"] for c in cases["adapters"] if c["expect"] != "refuse"]
		for n, path in enumerate(good + sorted(str(p.relative_to(fixtures)) for p in (fixtures / "adapters" / model).glob("*"))):
			done = host.call("import", "%s/good%d@1.0.0" % (name, n), str(fixtures / path), "--store", host.store)
			tally.check(done.returncode == 0, "taken, " + path, done.stderr.decode().strip())
		for case in cases["adapters"]:
			if case["expect"] != "refuse":
				continue
			done = host.call("import", name + "/bad@1.0.0", str(fixtures / case["path"]), "--store", host.store)
			line = check_host.one_line(done.stderr) or ""
			tally.check(done.returncode == 1 and REFUSED[case["name"]] in line, "refused, " + case["path"], line)


# -- time ------------------------------------------------------------------------------------------

def timed(work):
	begun = time.perf_counter()
	work()
	return (time.perf_counter() - begun) * 1e3


def medians(values):
	return "%.2f ms (%.2f..%.2f)" % (statistics.median(values), min(values), max(values))


def check_time(tally, host, smol, folders, turns):
	"""Two adapters of 9.8 MB take turns in both, the same file at the same time in the page cache."""
	pair = [folders["r8"], folders["r8"].parent / "r8-again"]
	model = peft.PeftModel.from_pretrained(smol.fresh(), str(pair[0])).eval()
	ids = torch.tensor([smol.prompts[0][:1]])
	theirs, ours, theirs_first, ours_first = [], [], [], []
	torch.set_num_threads(os.cpu_count() or 1)
	with mhost.connect(host.socket) as session, torch.no_grad():
		for n in range(turns):
			folder = pair[(n + 1) % 2]
			(folder / "adapter_model.safetensors").read_bytes()    # into the page cache, for both
			theirs.append(timed(lambda: hotswap_adapter(model, str(folder), "default", torch_device="cpu")))
			theirs_first.append(theirs[-1] + timed(lambda: model(input_ids=ids, use_cache=True)))
			ours.append(timed(lambda: session.adapter_push("q4", "pushed", folder)))
			ours_first.append(ours[-1] + timed(lambda: session.complete("q4", smol.prompts[0][:1], max_tokens=1, adapters="pushed")))
	torch.set_num_threads(1)
	print("     PEFT swaps in %s, with one token %s" % (medians(theirs), medians(theirs_first)))
	print("     mhost swaps in %s, with one token %s" % (medians(ours), medians(ours_first)))
	bytes_mb = (pair[0] / "adapter_model.safetensors").stat().st_size / 1e6
	for label, a, b in (("a swap", theirs, ours), ("a swap and the first token on it", theirs_first, ours_first)):
		ratio = statistics.median(a) / statistics.median(b)
		tally.check(ratio >= FASTER, "time", "%.1f MB out of the page cache, %s: PEFT takes %.1f times as long" % (bytes_mb, label, ratio))


# -- all of it -------------------------------------------------------------------------------------

def start(args, smol):
	host = check_host.Host(args.mhost, args.mhostd, options=args.option)
	host.prompts = smol.prompts
	folder = smol.folder(torch.float32)
	failed = host.add("q4", smol.path) or host.add("f32", folder)
	shutil.rmtree(folder)
	if failed:
		raise SystemExit(failed)
	return host


def run(args, tally, work):
	smol = Smol(args.model, work)
	folders = {}
	for name in ADAPTERS:
		folders[name] = work / "adapters" / name
		make_adapter(smol, name, folders[name])
	shutil.copytree(folders["r8"], work / "adapters" / "r8-again")
	parts = args.only.split(",")
	host = start(args, smol)
	try:
		if "refused" in parts and args.fixtures:
			check_refused(tally, host, args.fixtures)
		if "time" in parts:
			check_time(tally, host, smol, folders, args.turns)
		if {"values", "swaps"} & set(parts):
			wanted = {name: answers_of(smol, folder) for name, folder in [(None, None), *folders.items()]}
		if "values" in parts:
			check_values(tally, host, smol, folders, wanted)
		if "swaps" in parts:
			check_swaps(tally, host, folders, wanted)
		if "merged" in parts and "values" in parts:
			check_merged(tally, host, smol, folders)
		if "values" in parts:
			check_half(tally, host, smol, folders)
	finally:
		host.stop()
		host.remove()


def main():
	parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
	parser.add_argument("--mhost", required=True)
	parser.add_argument("--mhostd", required=True)
	parser.add_argument("--option", action="append", default=[], help="of mhostd; may be given more than once")
	parser.add_argument("--fixtures", type=pathlib.Path)
	parser.add_argument("--only", default="time,values,swaps,merged,refused")
	parser.add_argument("--turns", type=int, default=15)
	parser.add_argument("model", type=pathlib.Path)
	args = parser.parse_args()
	warnings.simplefilter("ignore")
	torch.set_num_threads(1)    # beside a host, threads that wait for each other take longer
	tally = check_host.Tally(False)
	with tempfile.TemporaryDirectory(prefix="mhost-peft-") as work:
		run(args, tally, pathlib.Path(work))
	print("%d passed, %d failed" % (tally.passed, tally.failed))
	return 1 if tally.failed else 0


if __name__ == "__main__":
	sys.exit(main())
