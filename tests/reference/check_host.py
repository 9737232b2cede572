# SPDX-License-Identifier: MIT
"""Running mhost and mhostd for the check. Python 3 alone."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

CALL_S = 900  # a thousand tokens in plain C, on a busy machine
START_S = 30


class Tally:
	"""One line for each check."""

	def __init__(self, quiet):
		self.passed = self.failed = 0
		self.quiet = quiet
		self.records = {}  # by name: passed, failed
		self.begin("rest")

	def begin(self, record):
		"""What follows is of @record."""
		self.record = self.records.setdefault(record, [0, 0])

	def table(self):
		"""A line for each record."""
		wide = max(map(len, self.records))
		for name, (passed, failed) in self.records.items():
			if passed or failed:
				print("%-*s %4d passed %4d failed  %s" % (wide, name, passed, failed, "FAIL" if failed else "pass"))

	def check(self, good, name, detail=""):
		self.passed += bool(good)
		self.failed += not good
		self.record[not good] += 1
		if not good or not self.quiet:
			print("%s %s%s" % ("ok  " if good else "FAIL", name, ": " + detail if detail else ""), flush=True)
		return good

	def skip(self, name, why):
		print("skip %s: %s" % (name, why), flush=True)


def one_line(stderr):
	"""The only line of an error message, or None."""
	lines = stderr.decode("utf-8", "replace").splitlines()
	return lines[0] if len(lines) == 1 and lines[0].strip() else None


class Host:
	"""A daemon, ours or a running one, and the command line to talk to it."""

	def __init__(self, mhost, mhostd=None, socket=None, store=None, options=()):
		self.mhost = os.path.abspath(mhost)
		self.folder = tempfile.mkdtemp(prefix="mhost-check-")
		self.store = store or os.path.join(self.folder, "store")
		self.socket = socket or os.path.join(self.folder, "s")
		self.log = os.path.join(self.folder, "mhostd.log")
		self.daemon = None
		if not socket:
			os.makedirs(self.store, exist_ok=True)
			self.start(os.path.abspath(mhostd), options)

	def start(self, mhostd, options):
		with open(self.log, "wb") as log:
			self.daemon = subprocess.Popen([mhostd, "--store", self.store, "--socket", self.socket, *options],
				stdin=subprocess.DEVNULL, stdout=log, stderr=log)
		until = time.monotonic() + START_S
		while not self.is_ready():
			if self.daemon.poll() is not None or time.monotonic() > until:
				self.stop()
				with open(self.log, errors="replace") as log:
					said = log.read()
				self.remove()
				raise SystemExit("mhostd did not start:\n" + said)
			time.sleep(0.05)

	def is_ready(self):
		"""A worker is, so the level that it runs is known."""
		rows = self.json("workers", "--json")
		return "failed" not in rows and any(row["state"] == "ready" for row in rows)

	def stop(self):
		"""End the daemon; True when it ended by itself, with status 0."""
		clean = True
		if self.daemon:
			self.daemon.send_signal(signal.SIGTERM)
			try:
				clean = self.daemon.wait(20) == 0
			except subprocess.TimeoutExpired:
				self.daemon.kill()
				self.daemon.wait()
				clean = False
			self.daemon = None
		return clean

	def remove(self):
		shutil.rmtree(self.folder, ignore_errors=True)

	def call(self, *words, stdin=None):
		"""mhost with these words; words may be bytes."""
		return subprocess.run([self.mhost, "--socket", self.socket, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
			timeout=CALL_S, **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))

	def json(self, *words, stdin=None):
		"""The object that a command prints, or {"failed": why}."""
		done = self.call(*words, stdin=stdin)
		if done.returncode:
			return {"failed": "exit %d, %s" % (done.returncode, done.stderr.decode("utf-8", "replace").strip())}
		try:
			return json.loads(done.stdout)
		except ValueError as error:
			return {"failed": "not JSON (%s): %r" % (error, done.stdout[:80])}

	def add(self, name, path):
		"""Import, load and activate NAME@1.0.0; None or what failed."""
		return self.steps([("import", name + "@1.0.0", str(path), "--store", self.store)]) or self.activate(name)

	def activate(self, name):
		"""Load and activate NAME@1.0.0; None or what failed."""
		return self.steps([("load", name + "@1.0.0"), ("activate", name + "@1.0.0")])

	def steps(self, all_words):
		for words in all_words:
			done = self.call(*words)
			if done.returncode:
				return "%s: exit %d, %s" % (words[0], done.returncode, done.stderr.decode("utf-8", "replace").strip())
		return None

	def run(self, model, ids, count, *more):
		return self.json("run", model, "--tokens", join(ids), "-n", str(count), "--temperature", "0", "--json", *more)

	def score(self, model, ids, *more):
		return self.json("score", model, "--tokens", join(ids), "--json", *more)

	def tokenize(self, model, text, *more):
		raw = text if isinstance(text, bytes) else text.encode("utf-8")
		if b"\0" in raw or len(raw) > 100000:
			return self.json("tokenize", model, *more, "--json", stdin=raw)
		return self.json("tokenize", *more, "--json", "--", model, raw)

	def detokenize(self, model, ids):
		return self.json("detokenize", model, "--tokens", join(ids), "--json")


def join(ids):
	return ",".join(map(str, ids))
