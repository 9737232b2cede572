# SPDX-License-Identifier: MIT
"""Vectors against those of transformers, one by one and in company: embed.py SOCKET DATA."""

import array
import base64
import json
import sys
import threading

import mhost

LIMIT = 1e-4  # of the largest value


def values(text):
	return array.array("f", base64.b64decode(text))


def differs(got, want):
	most = max(abs(x) for x in want)
	return len(got) != len(want) or max(abs(a - b) for a, b in zip(got, want)) > LIMIT * most


def check(host, name, record):
	for pooling in ("mean", "last", "cls"):
		want = values(record[pooling])
		raw = host.embed(name, record["ids"], pooling=pooling, normalize=False)
		if differs(raw.values, want):
			raise SystemExit(f"# {name}, {len(record['ids'])} tokens, {pooling}: not what transformers makes")
		length = sum(x * x for x in want) ** 0.5
		if differs(host.embed(name, record["ids"], pooling=pooling).values, [x / length for x in want]):
			raise SystemExit(f"# {name}: not of length 1")


def stream(socket, over):
	"""Replies beside, so that vectors share their steps."""
	with mhost.connect(socket) as host:
		while not over.is_set():
			host.complete("tied_f32", [5, 6, 7], max_tokens=20, ignore_eos=True)


def company(host, socket):
	"""The same bits alone, beside others and beside replies."""
	prompts = [[(i * 37 + k * 11) % 300 for k in range(1 + i * 29 % 140)] for i in range(40)]
	alone = [host.embed("tied_f32", prompt).values for prompt in prompts]
	over = threading.Event()
	beside = threading.Thread(target=stream, args=(socket, over))
	beside.start()
	found = [one.values for one in host.embed_many("tied_f32", prompts)]
	over.set()
	beside.join()
	if found != alone:
		raise SystemExit("# other bits in company")


def main():
	socket = sys.argv[1]
	with open(sys.argv[2] + "/embeddings.json", encoding="ascii") as file:
		known = json.load(file)
	with mhost.connect(socket) as host:
		for name, records in known.items():
			for record in records:
				check(host, name, record)
		company(host, socket)


main()
