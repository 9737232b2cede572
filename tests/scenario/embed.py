# SPDX-License-Identifier: MIT
"""Vectors of tiny@1.0.0 and tiny@1.1.0 in company and through changes of the route: embed.py PART MHOST."""

import subprocess
import sys
import threading

import mhost

PROMPTS = [[(i * 37 + k * 11) % 300 for k in range(1 + i * 29 % 400)] for i in range(40)]


def need(good, why):
	if not good:
		raise SystemExit("# " + why)


class Aside:
	"""Runs work(host), on a connection of its own, again and again until the end of the block."""

	def __init__(self, work):
		self.over, self.failure = threading.Event(), None
		self.thread = threading.Thread(target=self.run, args=(work,))

	def run(self, work):
		try:
			with mhost.connect() as host:
				while not self.over.is_set():
					work(host)
		except BaseException as failure:
			self.failure = failure

	def __enter__(self):
		self.thread.start()

	def __exit__(self, *_):
		self.over.set()
		self.thread.join()
		need(self.failure is None, repr(self.failure))


def replies(host):
	host.complete("tiny", [5, 6, 7], max_tokens=20, ignore_eos=True)


def known(host, **options):
	"""The vectors of each version, one by one."""
	return {v: [host.embed("tiny@" + v, p, **options).values for p in PROMPTS] for v in ("1.0.0", "1.1.0")}


def check(found, wanted):
	for n, one in enumerate(found):
		need(one.values == wanted[one.version][n], "prompt %d is not what %s makes of it" % (n, one.version))
	return {one.version for one in found}


def company(host, _):
	for pooling in ("mean", "last", "cls"):
		wanted = known(host, pooling=pooling)
		with Aside(replies):
			check(host.embed_many("tiny", PROMPTS, pooling=pooling), wanted)


def flips(host, command):
	wanted, seen = known(host), set()
	with Aside(lambda other: seen.update(check(other.embed_many("tiny", PROMPTS), wanted))):
		for n in range(30):
			subprocess.run([command, "activate", "tiny@1.%d.0" % ((n + 1) % 2)], check=True, stdout=subprocess.DEVNULL)
	need(seen == set(wanted), "both versions were to answer, not %s" % seen)


def ends(host, _):
	"""A deadline of a millisecond behind long prompts, and a connection that goes away amid them."""
	with Aside(lambda other: other.embed_many("tiny", PROMPTS * 4)):
		late = 0
		for _ in range(20):
			try:
				host.embed("tiny", PROMPTS[13], deadline=0.001)
			except mhost.DeadlinePassed:
				late += 1
		need(late > 0, "no deadline passed")
	with mhost.connect() as other:
		streams = [other._session.submit(mhost._request.prepare("EMBED", "tiny", p, {})) for p in PROMPTS]
		need(len(streams) == len(PROMPTS), "submitted")
	check(host.embed_many("tiny", PROMPTS), known(host))


def canary(host, _):
	wanted, seen = known(host), set()
	for key in range(12):
		mine = check(host.embed_many("tiny", PROMPTS, session_key="user %d" % key), wanted)
		need(len(mine) == 1, "a session was on both sides")
		seen |= mine
	need(seen == set(wanted), "both versions were to answer, not %s" % seen)


def shadow(host, _):
	for _ in range(3):
		need(check(host.embed_many("tiny", PROMPTS), known(host)) == {"1.0.0"}, "a shadow answered")


def main():
	with mhost.connect(timeout=60) as host:
		globals()[sys.argv[1]](host, sys.argv[2])


main()
