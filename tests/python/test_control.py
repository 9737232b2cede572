# SPDX-License-Identifier: MIT
"""The control socket: a version from the store to users and back, releases, adapters, refusals."""

import json
import os
import signal
import threading
import time
import unittest

import mhost
from daemon import TREE, HostCase, wait_until

PEFT = TREE / "tests/reference/data/peft"


class Commands(HostCase):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.daemon.mhost("import", "tiny@1.1.0", TREE / "tools/tiny/model-b")
		cls.control = mhost.Control(cls.daemon.socket, timeout=60)

	def test_status_is_what_the_command_line_has(self):
		ours, theirs = self.control.status(), json.loads(self.daemon.mhost("status", "--json"))
		self.assertEqual(set(ours), set(theirs))
		self.assertEqual((ours["pid"], ours["workers"]), (self.daemon.process.pid, 2))
		self.assertEqual([worker["state"] for worker in self.control.workers()], ["ready", "ready"])

	def test_versions_move(self):
		self.daemon.mhost("import", "tiny@1.2.0", TREE / "tools/tiny/model-b")
		seen = []
		loaded = self.control.load("tiny", "1.2.0", progress=lambda done, total: seen.append((done, total)))
		self.assertEqual((loaded["version"], loaded["already"]), ("1.2.0", False))
		self.assertTrue(all(0 <= done <= total for done, total in seen))
		flipped = self.control.activate("tiny@1.2.0")
		self.assertEqual((flipped["from"], flipped["version"], flipped["read_bytes"]), ("1.0.0", "1.2.0", 0))
		with mhost.connect(self.daemon.socket) as host:
			self.assertEqual(host.complete("tiny", "Hi", max_tokens=2).version, "1.2.0")
			back = self.control.rollback("tiny")
			self.assertEqual((back["version"], back["read_bytes"]), ("1.0.0", 0))
			self.assertEqual(host.complete("tiny", "Hi", max_tokens=2).version, "1.0.0")
			self.assertEqual(host.complete("tiny@1.2.0", "Hi", max_tokens=2).version, "1.2.0")
		states = {entry["version"]: entry["state"] for entry in self.control.versions()}
		self.assertEqual(states["1.0.0"], "active")
		self.assertEqual(self.control.show("tiny@1.2.0")["manifest"]["version"], "1.2.0")
		self.control.activate("tiny@1.0.0")
		wait_until("the end of the pins", lambda: not any(worker["pins"] for worker in self.control.workers()))

	def test_release(self):
		release = self.control.release("tiny@1.1.0", steps=[25, 100], interval=3600, why="to see")
		self.assertEqual((release["version"], release["stable"], release["weight"]), ("1.1.0", "1.0.0", 25))
		self.assertEqual(release["steps"], [25, 100])
		self.assertEqual([one["version"] for one in self.control.releases("tiny")], ["1.1.0"])
		self.assertEqual(self.control.hold("tiny", "lunch")["state"], "held")
		self.assertEqual(self.control.resume("tiny")["state"], "running")
		self.assertEqual(self.control.abort("tiny", why="seen")["active"], "1.0.0")
		self.assertEqual(self.control.releases(), [])
		self.control.release("tiny", "1.1.0", steps="50,100", interval="1h")
		self.assertEqual(self.control.promote("tiny")["version"], "1.1.0")
		self.control.rollback("tiny")
		wait_until("the history", lambda: "to see" in self.daemon.mhost("history", "tiny"))

	def test_adapters(self):
		self.daemon.mhost("import", "tiny/tone@1.0.0", PEFT / "r1_all")
		self.daemon.mhost("import", "tiny/tone@1.1.0", PEFT / "r4_all_linear")
		self.assertEqual(self.control.adapter_list("tiny"), [])
		self.assertEqual(self.control.adapter_load("tiny", "tone", "1.0.0")["version"], "1.0.0")
		self.assertEqual(self.control.adapter_swap("tiny", "tone")["version"], "1.1.0")
		with mhost.connect(self.daemon.socket) as host:
			for wanted in ("1.1.0", "1.0.0"):
				reply = host.complete("tiny", "Hi", max_tokens=2, adapters=["tone"])
				self.assertEqual([(one.name, one.version, one.scale) for one in reply.adapters], [("tone", wanted, 1.0)])
				if wanted == "1.1.0":
					self.assertEqual(self.control.adapter_rollback("tiny", "tone", to="1.0.0")["version"], "1.0.0")
		routed = [one["version"] for one in self.control.adapter_list("tiny") if one["routed"]]
		self.assertEqual(routed, ["1.0.0"])
		self.control.adapter_unload("tiny", "tone")
		self.assertEqual(self.control.adapter_list("tiny"), [])
		self.assertEqual(self.control.load("tiny/tone@1.1.0")["version"], "1.1.0")
		self.control.unload("tiny/tone@1.1.0")
		with self.assertRaises(mhost.InvalidRequest):
			self.control.adapter_load("tiny@1.0.0", "tone")

	def test_refusals(self):
		for call, words in (
			(lambda: self.control.load("tiny@9.9.9"), "not in the store"),
			(lambda: self.control.load("tiny"), "needs model and version"),
			(lambda: self.control.call("load", model="tiny", version="1.0.0", colour="red"), "unknown key"),
			(lambda: self.control.call("dance"), "unknown command"),
			(lambda: self.control.release("tiny@1.1.0", steps="lots"), "per cents"),
		):
			with self.assertRaisesRegex(mhost.ControlError, words):
				call()
		with self.assertRaises(mhost.InvalidRequest):
			self.control.load("tiny@1.0.0", "1.1.0")
		for wrong in (lambda: self.control.load(7), lambda: self.control.call("load", model=7)):
			with self.assertRaises(TypeError):
				wrong()

	def test_threads(self):
		pids = []
		threads = [threading.Thread(target=lambda: pids.append(self.control.status()["pid"])) for _ in range(8)]
		for thread in threads:
			thread.start()
		for thread in threads:
			thread.join()
		self.assertEqual(pids, [self.daemon.process.pid] * 8)

	def test_no_answer(self):
		with self.assertRaises(mhost.CannotConnect):
			mhost.Control("/nowhere").status()
		self.daemon.process.send_signal(signal.SIGSTOP)
		try:
			begin = time.monotonic()
			with self.assertRaises(mhost.WaitTimeout):
				mhost.Control(self.daemon.socket, timeout=0.1).status()
			self.assertLess(time.monotonic() - begin, 10)
		finally:
			self.daemon.process.send_signal(signal.SIGCONT)
		os.environ["MHOST_SOCKET"] = self.daemon.socket
		self.addCleanup(os.environ.pop, "MHOST_SOCKET")
		self.assertEqual(mhost.Control().status()["pid"], self.daemon.process.pid)
		with mhost.connect() as host:
			host.ping()


class Stopping(HostCase):
	def test_stop(self):
		control = mhost.Control(self.daemon.socket)
		control.stop()
		self.assertEqual(self.daemon.process.wait(30), 0)
		with self.assertRaises(mhost.CannotConnect):
			control.status()


if __name__ == "__main__":
	unittest.main()
