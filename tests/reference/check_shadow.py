# SPDX-License-Identifier: MIT
"""A release in shadow of one tiny model beside the other: its figures against those of transformers. Python 3 alone."""

import json
import math
import os
import time

import check_host

WAIT_S = 30
TOLERANCE = 1e-4  # of each figure
# Any divergence is welcome here, and few replies are enough to be weighed.
LIMITS = "[release]\nshadow_samples_min = 5\nkl_max = 1000\ntop1_min = 0\nperplexity_ratio_max = 1e6\n"


def wanted(cases):
	"""What the release should report of all tokens together."""
	def total(key):
		return math.fsum(v for c in cases for v in c[key])
	count = sum(len(c["reply"]) for c in cases)
	return {"shadow_kl": total("kl") / count, "shadow_top1": total("same_best") / count,
		"shadow_perplexity": math.exp((total("logprob") - total("candidate_logprob")) / count)}


def release_of(host):
	return host.json("release", "pair", "--json").get("release") or {}


def findings(release):
	return {f["metric"]: f["candidate"] for f in (release.get("verdict") or {}).get("findings", [])}


def agree(got, want):
	return all(abs(got.get(key, math.inf) - value) <= TOLERANCE * value for key, value in want.items())


def wait_for(host, count, want):
	"""The release's figures: those wanted, or the last ones. A look may be older than the last comparison."""
	until, got = time.monotonic() + WAIT_S, {}
	while time.monotonic() < until and not agree(got, want):
		time.sleep(0.1)
		release = release_of(host)
		got = findings(release) if release.get("compared") == count else {}
	return got


def begin(host, tiny, record):
	"""None, or what failed."""
	steps = [("import", "pair@1.%d.0" % i, str(tiny / record[key]), "--store", host.store)
		for i, key in enumerate(("active", "candidate"))]
	return host.steps(steps + [("activate", "pair@1.0.0"), ("release", "pair@1.1.0", "--shadow", "100", "--interval", "1s"),
		("hold", "pair")])


def compare(tally, host, record):
	cases = record["cases"]
	for i, case in enumerate(cases):
		reply = host.run("pair", case["prompt"], len(case["reply"]), "--ignore-eos")
		if not tally.check(reply.get("tokens") == case["reply"] and reply.get("version") == "1.0.0", "shadow reply %d" % i,
				reply.get("failed", "")):
			return
	want = wanted(cases)
	got = wait_for(host, len(cases), want)
	for key, value in want.items():
		have = got.get(key, math.nan)
		tally.check(agree({key: have}, {key: value}), "shadow %s of %d replies" % (key[7:], len(cases)),
			"%.6f, transformers says %.6f" % (have, value))


def check(tally, mhost, mhostd, tiny, options):
	record = json.loads((tiny / "divergence.json").read_text(encoding="utf-8"))
	folder = check_host.tempfile.mkdtemp(prefix="mhost-shadow-")
	conf = os.path.join(folder, "ini")
	with open(conf, "w", encoding="utf-8") as file:
		file.write(LIMITS)
	host = check_host.Host(mhost, mhostd, options=["--config", conf, *options])
	try:
		failed = begin(host, tiny, record)
		if tally.check(not failed, "shadow release", failed or ""):
			compare(tally, host, record)
	finally:
		tally.check(host.stop(), "mhostd with a release stops cleanly")
		host.remove()
		check_host.shutil.rmtree(folder, ignore_errors=True)
