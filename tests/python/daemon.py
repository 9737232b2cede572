# SPDX-License-Identifier: MIT
"""A real mhostd with the tiny model, for the tests of the Python package."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("B", "build")) if os.path.isabs(os.environ.get("B", "")) else TREE / os.environ.get("B", "build")
TINY = TREE / "tools/tiny/model"
SHARED = TREE / "tests/reference/data"
WAIT_S = 60  # on a busy machine


def wait_until(what, is_so, seconds=WAIT_S):
	until = time.monotonic() + seconds
	while not is_so():
		if time.monotonic() > until:
			raise AssertionError("waited too long for: " + what)
		time.sleep(0.02)


def descriptors():
	return sorted(os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd))


class Daemon:
	def __init__(self, *options):
		self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mhost-python."))
		self.socket = str(self.folder / "s")
		self.store = str(self.folder / "store")
		self.options = options or ("--workers", "2", "--threads", "1")
		self.process = None
		# The library under test may want a preloaded sanitizer: that is for Python alone.
		self.environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
		self.environment.update(MHOST_SOCKET=self.socket, MHOST_STORE=self.store)

	def mhost(self, *arguments):
		"""The command line's standard output."""
		done = subprocess.run([BUILD / "mhost", *arguments], env=self.environment, capture_output=True, text=True, check=False)
		if done.returncode:
			raise AssertionError("mhost %s: %s" % (" ".join(map(str, arguments)), done.stderr))
		return done.stdout

	def start(self):
		with open(self.folder / "log", "ab") as log:
			self.process = subprocess.Popen([BUILD / "mhostd", "--store", self.store, "--socket", self.socket, *self.options],
				env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
		wait_until("mhostd", self.answers)

	def answers(self):
		if self.process.poll() is not None:
			raise AssertionError("mhostd ended: " + (self.folder / "log").read_text())
		return subprocess.run([BUILD / "mhost", "status"], env=self.environment, capture_output=True, check=False).returncode == 0

	def workers(self):
		return json.loads(self.mhost("workers", "--json"))

	def running(self):
		return sum(worker["running"] + worker["queued"] for worker in self.workers())

	def all_ready(self, count):
		return [worker["state"] for worker in self.workers()] == ["ready"] * count

	def kill(self):
		self.process.kill()
		self.process.wait()

	def stop(self):
		if self.process and self.process.poll() is None:
			self.process.send_signal(signal.SIGTERM)
			try:
				self.process.wait(WAIT_S)
			except subprocess.TimeoutExpired:
				self.kill()

	def remove(self):
		self.stop()
		shutil.rmtree(self.folder, ignore_errors=True)


class HostCase(unittest.TestCase):
	"""Tests that share a daemon with tiny@1.0.0 active."""

	options = ()

	@classmethod
	def setUpClass(cls):
		cls.daemon = Daemon(*cls.options)
		cls.addClassCleanup(cls.daemon.remove)
		cls.daemon.mhost("import", "tiny@1.0.0", TINY)
		cls.daemon.start()
		cls.daemon.mhost("activate", "tiny@1.0.0")

	def settled(self):
		"""Nothing runs any more."""
		wait_until("requests to end", lambda: self.daemon.running() == 0)
