#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a release in shadow reports about SmolLM2, against what transformers says about the same weights and tokens.

    check_divergence.py --mhost BIN --mhostd BIN SmolLM2-135M-Instruct.Q4_1.gguf     needs requirements.txt

Two pairs. `float`: the file dequantised to F32, and the same with noise in a tenth of its matrices. `smol`: the file as it
is, and requantised to Q4_0 by mhost import. Replies are compared in a few releases each. transformers takes both models
through the same tokens in float32: KL(stable || candidate) in nats per output token, agreement on the best token, and the
candidate's perplexity over the stable one's.

Float kernels leave no room: 1e-4. Integer kernels round the input of every matrix to 8 bits, which moves the log-probability
of a token by about 0.08 and makes any divergence some per cent larger. Rounding the same way in transformers comes no closer
token by token: with it, a change of 1e-6 in the embeddings moves them by as much again. It shows over all tokens together.
"""

import argparse
import json
import math
import os
import pathlib
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch

import check_host
import make_smollm2
import ref_gguf
import ref_hf
import ref_model
import ref_tok

WAIT_S = 300
TOKENS = 40
SEED = 11
NOISE = 0.1    # of a matrix's own deviation
SHARE = 0.1    # of the matrices
# How far a figure may be off: KL and perplexity ratio by such a part, agreement by so many tokens of a release.
FLOAT = {"shadow_kl": 1e-4, "shadow_perplexity": 1e-4, "tokens": 1}
QUANT = {"shadow_kl": 0.05, "shadow_perplexity": 0.03, "tokens": 12}
EIGHT_BIT = {"shadow_kl": 0.02, "shadow_perplexity": 0.03, "tokens": 30}    # of all releases together
# Any divergence passes, once all replies of a release are compared; times of a busy machine say nothing.
LIMITS = """[release]
probe_count = 0
shadow_samples_min = %d
kl_max = 1000
top1_min = 0
perplexity_ratio_max = 1e6
slowdown_tolerated = 3
slowdown_excluded = 3
first_token_p95_ms = 0
"""


# -- weights -------------------------------------------------------------------------------------

def q4_0(array):
	"""Rounded to Q4_0 as ggml does: blocks of 32, the value farthest from zero becomes -8."""
	x = array.reshape(-1, 32)
	far = np.take_along_axis(x, np.abs(x).argmax(-1)[:, None], -1)
	step = far / np.float32(-8)
	inverse = np.divide(np.float32(1), step, out=np.zeros_like(step), where=step != 0)
	quants = np.trunc(x.astype(np.float64) * inverse + 8.5).clip(0, 15).astype(np.float32)
	return (step.astype(np.float16).astype(np.float32) * (quants - 8)).reshape(array.shape)


def requantised(arrays):
	return {name: q4_0(a) if a.ndim == 2 else a for name, a in arrays.items()}


def noisy(arrays, rng):
	"""Noise in a tenth of the matrices, and which they are."""
	matrices = sorted(name for name, a in arrays.items() if a.ndim == 2)
	chosen = set(rng.choice(matrices, round(SHARE * len(matrices)), replace=False).tolist())
	out = dict(arrays)
	for name in sorted(chosen):
		deviation = np.float32(NOISE * arrays[name].std())
		out[name] = arrays[name] + deviation * rng.standard_normal(arrays[name].shape, dtype=np.float32)
	return out, chosen


def write_folder(folder, arrays, shape, tok):
	"""A Hugging Face folder in F32."""
	folder.mkdir(parents=True)
	spec = {"shape": shape, "rope": None, "dtype": "float32", "spelling": "old"}
	ref_hf.write_weights(folder, {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}, 1)
	ref_hf.dump(folder / "config.json", ref_hf.config_json(spec, 1, [2]))
	(folder / "tokenizer.json").write_text(json.dumps(ref_tok.to_json(tok, False)), encoding="ascii")


# -- what transformers says ----------------------------------------------------------------------

def log_probabilities(model, reply):
	"""Rows at the places where a token of the reply is next."""
	ids = reply["prompt_tokens"] + reply["tokens"]
	logits = ref_model.logits_of(model, [ids])[0]
	return torch.log_softmax(logits[len(reply["prompt_tokens"]) - 1:-1].double(), dim=-1)


def sums_of(models, reply):
	"""(tokens, KL, agreements, log-probabilities of stable less those of the candidate) of one reply."""
	p, q = (log_probabilities(m, reply) for m in models)
	at = torch.arange(len(reply["tokens"])), torch.tensor(reply["tokens"])
	return np.array([len(p), float((p.exp() * (p - q)).sum()), int((p.argmax(-1) == q.argmax(-1)).sum()),
		float((p[at] - q[at]).sum())])


def figures(sums):
	"""What a release reports of them."""
	tokens, kl, agree, gap = sums
	return {"shadow_kl": kl / tokens, "shadow_top1": agree / tokens, "shadow_perplexity": math.exp(gap / tokens)}


class EightBit:
	"""Within it, the input of every matrix of these models is rounded to blocks of 8 bits."""

	def __init__(self, models):
		self.models = models

	def __enter__(self):
		self.hooks = [m.register_forward_pre_hook(lambda _, args: (ref_model.int8_rows(args[0]),))
			for model in self.models for m in model.modules() if isinstance(m, torch.nn.Linear)]

	def __exit__(self, *_):
		for hook in self.hooks:
			hook.remove()


# -- what mhost says -----------------------------------------------------------------------------

def release_of(host, name):
	return host.json("release", name, "--json").get("release")


def wait_compared(host, name, count):
	"""True when `count` replies are compared, or the release is over, which takes all of them."""
	until = time.monotonic() + WAIT_S
	while time.monotonic() < until:
		release = release_of(host, name)
		if not release or release["compared"] >= count:
			return True
		time.sleep(0.05)
	return False


def ended(host, name):
	"""The last event of the history that ended a release, once it has."""
	until = time.monotonic() + WAIT_S
	while release_of(host, name) and time.monotonic() < until:
		time.sleep(0.2)
	lines = host.call("history", name, "--store", host.store, "--json").stdout.decode().splitlines()
	return [e for e in map(json.loads, lines) if e["event"] in ("release", "pass", "fail", "abort")][-1]


def replies_to(host, name, prompts, options):
	"""One after another, each compared before the next one is asked. SystemExit when one fails."""
	out = []
	for i, ids in enumerate(prompts):
		reply = host.json("run", name, "--tokens", check_host.join(ids), "-n", str(TOKENS), "--seed", str(SEED + i), "--json",
			*options)
		if "failed" in reply or reply["version"] != "1.0.0" or not wait_compared(host, name, i + 1):
			raise SystemExit("%s, reply %d: %s" % (name, i, reply.get("failed", "not compared")))
		out.append(reply)
	return out


def reported(host, name, prompts, options):
	"""(replies, figures of the verdict that ended a release of 1.1.0 in shadow)."""
	failed = host.steps([("release", name + "@1.1.0", "--shadow", "100", "--interval", "5s")])
	if failed:
		raise SystemExit(failed)
	replies = replies_to(host, name, prompts, options)
	event = ended(host, name)
	if event["event"] != "pass":
		raise SystemExit("%s: the release ended in %s: %s" % (name, event["event"], event.get("why")))
	return replies, {f["metric"]: f["candidate"] for f in event["verdict"]["findings"]}


# -- both ----------------------------------------------------------------------------------------

def compare(tally, label, got, sums, limits):
	"""One line for each figure."""
	want, tokens = figures(sums), sums[0]
	for key in ("shadow_kl", "shadow_perplexity"):
		off = got[key] / want[key] - 1
		tally.check(abs(off) <= limits[key], "%s %s" % (label, key[7:]), "%.6f, transformers says %.6f: %+.4f %%, allowed %g %%"
			% (got[key], want[key], 100 * off, 100 * limits[key]))
	off = round((got["shadow_top1"] - want["shadow_top1"]) * tokens)
	tally.check(abs(off) <= limits["tokens"], label + " top1", "%.4f, transformers says %.4f: %+d of %d tokens, allowed %d"
		% (got["shadow_top1"], want["shadow_top1"], off, tokens, limits["tokens"]))


def sums_reported(got, tokens):
	"""Those behind the figures of a release."""
	return tokens * np.array([1, got["shadow_kl"], got["shadow_top1"], math.log(got["shadow_perplexity"])])


def check_pair(tally, host, name, models, groups, limits):
	"""A release for each group of prompts. (replies, sums that mhost reported) of all."""
	everything, total = [], np.zeros(4)
	for group, prompts, options in groups:
		replies, got = reported(host, name, prompts, options)
		sums = sum(sums_of(models, r) for r in replies)
		compare(tally, "%s %s" % (name, group), got, sums, limits)
		everything += replies
		total += sums_reported(got, sums[0])
	return everything, total


def check_eight_bit(tally, models, replies, total):
	"""All tokens together, the rounding of integer kernels included."""
	with EightBit(models):
		compare(tally, "smol in 8 bits", figures(total), sum(sums_of(models, r) for r in replies), EIGHT_BIT)


def check_weights(tally, host, arrays, again):
	"""Whether what import has written is what q4_0() makes, by the norms of the differences that mhost diff finds."""
	said = host.json("diff", "smol@1.0.0", "smol@1.1.0", "--store", host.store, "--json")
	changed, worst = said.get("tensors", {}).get("changed", []), 0.0
	mine = {ref_gguf.gguf_name(n): np.linalg.norm((again[n] - a).astype(np.float64)) / np.linalg.norm(a.astype(np.float64))
		for n, a in arrays.items() if a.ndim == 2}
	named = {t["tensor"]: t["relative"] for t in changed}
	if set(named) == set(mine):
		worst = max(abs(named[n] / mine[n] - 1) for n in mine)
	tally.check(set(named) == set(mine) and worst <= 1e-6, "requantised weights", "%d matrices of %d, norms off by %.2g at most"
		% (len(named), len(mine), worst))


def prepare(host, gguf, folder, pair, shape, tok):
	"""Import all four and activate two; None or what failed."""
	for name, arrays in zip(("stable", "noisy"), pair):
		write_folder(folder / name, arrays, shape, tok)
	imports = [("float@1.0.0", folder / "stable"), ("float@1.1.0", folder / "noisy"), ("smol@1.0.0", gguf), ("smol@1.1.0", gguf)]
	failed = host.steps([("import", v, str(path), "--store", host.store, *(["--quantize", "q4_0"] if v == "smol@1.1.0" else []))
		for v, path in imports])
	return failed or host.steps([("activate", "float@1.0.0"), ("activate", "smol@1.0.0")])


def groups_of(tok):
	"""(name, prompts, options of run): greedy and drawn replies to prose and to questions."""
	raw = [tok.encode(t).ids for t in make_smollm2.RAW]
	chats = [tok.encode(make_smollm2.chatml(*c)).ids for c in make_smollm2.CHATS]
	greedy, drawn = ("--temperature", "0"), ("--temperature", "0.9")
	return [("prose", raw, greedy), ("chat", chats, greedy), ("prose drawn", raw, drawn), ("chat drawn", chats, drawn)]


def check(tally, opt, folder):
	arrays, shape, _, _ = ref_gguf.read_arrays(opt.gguf)
	tok, again = make_smollm2.tokenizer_of(opt.gguf), requantised(arrays)
	other, chosen = noisy(arrays, np.random.default_rng(SEED))
	groups, conf = groups_of(tok), folder / "ini"
	conf.write_text(LIMITS % len(groups[0][1]), encoding="ascii")
	host = check_host.Host(opt.mhost, opt.mhostd, options=["--config", str(conf), "--workers", "1", "--threads", "1"])
	try:
		failed = prepare(host, opt.gguf, folder, (arrays, other), shape, tok)
		if not tally.check(not failed, "four versions, noise in %d matrices" % len(chosen), failed or ""):
			return
		check_weights(tally, host, arrays, again)
		stable = ref_model.from_arrays(shape, arrays)
		check_pair(tally, host, "float", (stable, ref_model.from_arrays(shape, other)), groups, FLOAT)
		pair = stable, ref_model.from_arrays(shape, again)
		check_eight_bit(tally, pair, *check_pair(tally, host, "smol", pair, groups, QUANT))
	finally:
		tally.check(host.stop(), "mhostd stops cleanly")
		host.remove()


def main():
	args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	args.add_argument("--mhost", required=True)
	args.add_argument("--mhostd", required=True)
	args.add_argument("gguf", type=pathlib.Path)
	opt = args.parse_args()
	torch.set_num_threads(1)
	tally = check_host.Tally(False)
	folder = pathlib.Path(check_host.tempfile.mkdtemp(prefix="mhost-divergence-"))
	try:
		check(tally, opt, folder)
	finally:
		check_host.shutil.rmtree(folder, ignore_errors=True)
	print("%d passed, %d failed" % (tally.passed, tally.failed))
	return 1 if tally.failed else 0


if __name__ == "__main__":
	sys.exit(main())
