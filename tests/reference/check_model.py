# SPDX-License-Identifier: MIT
"""Comparing one model of a running host with its golden record. Python 3 alone."""

import base64
import math
import re
import struct

FLOAT_GAP = 0.02
QUANT_GAP = 0.3
TOP = 20
MARK = re.compile(r"<\|?\w+\|?>")  # what special tokens look like


class Tolerance:
	"""How far a host may differ: `gap` on greedy choices, `logprob` on log-probabilities, `mean` on their mean."""

	def __init__(self, record, kind):
		shift = record.get("eight_bit_activation_max_abs_logit_diff", 0)
		self.kind = kind
		self.gap = max(QUANT_GAP, 1.5 * shift) if kind == "quantised" else FLOAT_GAP
		self.logprob = 1e-3
		if kind == "half":
			self.logprob = 2e-2 * max(logit_range(c) for c in record["cases"] if "last_logits_f32_b64" in c)
		elif kind == "quantised":
			self.logprob = 1.5 * self.gap

	def mean(self, want, count):
		"""Allowed difference of a mean of `count` values, which is `want`: fewer of them even out less."""
		return 0.005 * abs(want) if self.kind != "quantised" else max(self.gap / 4, self.gap / count ** 0.5, 0.005 * abs(want))


def logits_of(case):
	raw = base64.b64decode(case["last_logits_f32_b64"])
	return struct.unpack("<%df" % (len(raw) // 4), raw)


def logit_range(case):
	values = logits_of(case)
	return max(values) - min(values)


def log_softmax(values):
	top = max(values)
	total = top + math.log(math.fsum(math.exp(v - top) for v in values))
	return [v - total for v in values]


def agree(got, want, gaps, limit):
	"""(True when equal up to the first close call, how many were compared, words)."""
	for n, (w, gap) in enumerate(zip(want, gaps)):
		if gap < limit:
			return True, n, "%d of %d tokens, then a gap of %.3f" % (n, len(want), gap)
		if n >= len(got) or got[n] != w:
			have = got[n] if n < len(got) else None
			return False, n, "token %d is %s, not %s (gap %.3f)" % (n, have, w, gap)
	return len(got) >= len(want), len(want), "all %d tokens" % len(want)


def bare(text):
	"""Without a cut-off character at the end, which a stream may leave out."""
	return text.rstrip("\ufffd")


def check_greedy(tally, host, name, case, tol):
	label = "%s greedy %s" % (name, case["name"])
	reply = host.run(name, case["prompt"], len(case["greedy"]), "--ignore-eos")
	if "failed" in reply:
		return tally.check(False, label, reply["failed"])
	good, _, words = agree(reply["tokens"], case["greedy"], case["greedy_gap"], tol.gap)
	tally.check(good and reply["prompt_tokens"] == case["prompt"] and reply["finish_reason"] == "length", label, words)
	if "greedy_text" in case and reply["tokens"] == case["greedy"]:
		same = bare(reply["text"]) == bare(case["greedy_text"])
		tally.check(same, label + " text", "" if same else "%r, not %r" % (reply["text"], case["greedy_text"]))
	return reply


def check_logprobs(tally, host, name, case, tol):
	"""The best TOP of the last position against all logits."""
	label = "%s logits %s" % (name, case["name"])
	reply = host.run(name, case["prompt"], 1, "--ignore-eos", "--logprobs", str(TOP))
	if "failed" in reply or len(reply.get("logprobs", [])) != 1:
		return tally.check(False, label, reply.get("failed", "no logprobs"))
	want, one = log_softmax(logits_of(case)), reply["logprobs"][0]
	top = one["top"]
	worst = max(abs(t["logprob"] - want[t["id"]]) for t in top + [one])
	ids = [t["id"] for t in top]
	floor = sorted(want, reverse=True)[len(ids) - 1] - 2 * tol.logprob
	falling = all(a["logprob"] >= b["logprob"] for a, b in zip(top, top[1:]))
	fair = len(set(ids)) == min(TOP, len(want)) and falling and all(want[i] >= floor for i in ids)
	return tally.check(fair and worst <= tol.logprob, label, "worst of %d: %.2g, allowed %.2g%s" % (len(ids), worst,
		tol.logprob, "" if fair else "; not the best ones in order"))


def check_score(tally, host, name, case, tol):
	label = "%s score %s" % (name, case["name"])
	ids = case["prompt"] + case["score"]["tokens"]
	reply = host.score(name, ids)
	if "failed" in reply:
		return tally.check(False, label, reply["failed"])
	got = reply["logprobs"]
	if reply["tokens"] != ids or len(got) != len(ids) or got[0] is not None:
		return tally.check(False, label, "tokens or logprobs are not one for one, null first")
	want = case.get("prompt_logprobs", [])
	want = want + case["score"]["logprob_each"]
	return compare_scores(tally, label, got, want, reply["sum_logprob"], tol)


def compare_scores(tally, label, got, want, total, tol):
	"""`want` holds the last log-probabilities; `total` must be the sum of all."""
	tail = got[-len(want):]
	worst = max(abs(a - b) for a, b in zip(tail, want))
	mean, right = sum(tail) / len(tail), sum(want) / len(want)
	summed = abs(total - math.fsum(got[1:])) <= 1e-3 * max(1, abs(total))
	good = worst <= tol.logprob and abs(mean - right) <= tol.mean(right, len(want)) and summed
	return tally.check(good, label, "worst of %d: %.2g, allowed %.2g; mean %.5f, not %.5f%s" % (len(want), worst, tol.logprob,
		mean, right, "" if summed else "; sum_logprob is wrong"))


def check_stop(tally, host, name, case, tol):
	"""Ends by itself at an end-of-text token, which the reply may hold or leave out."""
	label = "%s %s" % (name, case["name"])
	want = case["greedy"]
	if min(case["greedy_gap"]) < tol.gap:
		return tally.skip(label, "a gap of %.3f" % min(case["greedy_gap"]))
	reply = host.run(name, case["prompt"], len(want) + 16)
	if "failed" in reply:
		return tally.check(False, label, reply["failed"])
	good = reply["tokens"] in (want, want[:-1]) and reply["finish_reason"] == "stop"
	return tally.check(good, label, "%s after %d tokens, %d expected" % (reply["finish_reason"], len(reply["tokens"]), len(want)))


def check_text(tally, host, name, case, tol):
	"""A prompt as text becomes the ids of the golden, with what the tokenizer puts in front."""
	label = "%s prompt %s" % (name, case["name"])
	reply = host.json("run", "-n", "1", "--temperature", "0", "--json", "--", name, case["text"].encode("utf-8"))
	if "failed" in reply:
		return tally.check(False, label, reply["failed"])
	same = reply["prompt_tokens"] == case["prompt"]
	return tally.check(same, label, "" if same else "%s, not %s" % (reply["prompt_tokens"], case["prompt"]))


def check_reply(tally, host, name, case):
	"""The keys that scripts depend on."""
	reply = host.run(name + "@1.0.0", case["prompt"], 2, "--ignore-eos", "--logprobs", "2")
	if "failed" in reply:
		return tally.check(False, name + " reply", reply["failed"])
	timings = {"queue_ms", "prefill_ms", "decode_ms", "tokens_per_s"}
	wrong = [k for k, good in (("model", reply.get("model") == name), ("version", reply.get("version") == "1.0.0"),
		("content_hash", bool(reply.get("content_hash"))), ("adapters", reply.get("adapters") == []),
		("tokens", len(reply.get("tokens", [])) == 2), ("timings", timings <= set(reply.get("timings", {}))),
		("logprobs", [x["id"] for x in reply.get("logprobs", [])] == reply.get("tokens")),
		("finish_reason", reply.get("finish_reason") == "length")) if not good]
	return tally.check(not wrong, name + " reply", "wrong: " + ", ".join(wrong) if wrong else "")


def check_record(tally, host, name, record, kind):
	"""All cases of one model, as far as the record knows them."""
	tol = Tolerance(record, kind)
	check_reply(tally, host, name, record["cases"][0])
	for case in record["cases"]:
		if case.get("stops"):
			check_stop(tally, host, name, case, tol)
			continue
		for key, check in (("greedy", check_greedy), ("last_logits_f32_b64", check_logprobs), ("score", check_score),
				("text", check_text)):
			if key in case:
				check(tally, host, name, case, tol)


def first_wrong(pairs):
	"""(count of wrong ones, words on the first)."""
	wrong = [p for p in pairs if p[1] != p[2]]
	return len(wrong), "%d of %d wrong, first %r: %r, not %r" % (len(wrong), len(pairs), *wrong[0]) if wrong else "%d" % len(pairs)


def check_encode(tally, host, name, golden, cases):
	pairs = []
	for case in cases:
		reply = host.tokenize(name, case["text"], "--no-special")
		pairs.append((case["text"][:60], reply.get("tokens", reply.get("failed")), case["ids"]))
	bad, words = first_wrong(pairs)
	tally.check(not bad, name + " tokenize", words)
	front = golden["prefix_ids"]
	pairs = [(c["text"][:60], host.tokenize(name, c["text"]).get("tokens"), front + c["ids"]) for c in cases[:40:5]]
	bad, words = first_wrong(pairs)
	tally.check(not bad, name + " tokenize with specials", words)


def decode_pairs(host, name, ids, whole, skipped):
	"""Special tokens may be shown or left out: either is a decoding."""
	got = host.detokenize(name, ids)
	got = got.get("text", got.get("failed"))
	return (ids[:12], got, got if got is not None and bare(got) in (bare(whole), bare(skipped)) else whole)


def check_decode(tally, host, name, golden, cases):
	pairs = []
	for case in list(cases) + golden["decode_only"]:
		if not case["ids"]:
			continue
		whole = case.get("decoded", case.get("text"))
		pairs.append(decode_pairs(host, name, case["ids"], whole, case.get("decoded_skip_special", whole)))
	for case in golden["decode_prefixes"]:
		after = case["decoded_after_each"]
		pairs += [decode_pairs(host, name, case["ids"][:n + 1], t, MARK.sub("", t)) for n, t in enumerate(after)]
	bad, words = first_wrong(pairs)
	tally.check(not bad, name + " detokenize", words)


def check_tokenizer(tally, host, name, golden, positions=None):
	cases = golden["cases"] if positions is None else [golden["cases"][i] for i in positions]
	cases = [c for c in cases if "raw_bytes_hex" not in c]
	check_encode(tally, host, name, golden, cases)
	check_decode(tally, host, name, golden, cases)
