# SPDX-License-Identifier: MIT
"""What is refused: by this package before it is sent, by the library, by the host. One class each."""

import ctypes
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import unittest

import mhost
from daemon import TREE, HostCase, wait_until
from mhost import _abi, _request, errors

WRONG_TYPES = {
	"version": (1, b"1.0.0"),
	"max_tokens": ("9", 9.0, True, [9]),
	"temperature": ("hot", b"1", True, [1.0], 1j),
	"top_k": (1.5, "1"),
	"top_p": ("1",),
	"seed": (1.0, "1"),
	"stop": ([1], [b"x"], 7),
	"logprobs": ("yes", 1.5),
	"ignore_eos": (1, "no"),
	"special": (0,),
	"adapters": (7, [7], [("a", "b")], [("a",)], [(1, 1.0)], ["a", None]),
	"deadline": ("soon", True),
	"session_key": (1.5, b"x"),
	"regex": (1, b"x"),
	"grammar": (1, b"x"),
	"json_object": (1, "yes"),
	"schema": (object(), {1, 2}),
	"replay": (1,),
	"speculate": ("",),
}
OUT_OF_RANGE = {
	"version": ("", "1.0\0.0", "1" * 48),
	"max_tokens": (-1, 1 << 32, 1 << 70),
	"temperature": (-1.0, float("nan"), float("inf"), 1e39, 101.0),
	"top_k": (-1, 1 << 32),
	"top_p": (0.0, -0.5, 1.5, float("nan")),
	"min_p": (-0.1, 1.0),
	"repeat_penalty": (0.0, -1.0),
	"repeat_last": (-1, 1 << 32),
	"seed": (-1, 1 << 64),
	"stop": ("", ["x"] * 17, "x" * 257, "a\0b", "\ud800"),
	"logprobs": (-1, 65),
	"adapters": (["a"] * 9, "", ["x" * 64], ["a@"], [("a", float("nan"))], [("a", 1e39)]),
	"deadline": (0.0, -1.0, 1e9),
	"session_key": (-1, 1 << 64),
	"regex": ("", "a\0", "("),
	"grammar": ("", "no rules"),
	"schema": ("{", {"type": "colour"}),
}


class Refused(HostCase):
	def setUp(self):
		self.host = mhost.connect(self.daemon.socket, timeout=60)
		self.addCleanup(self.host.close)

	def still_good(self):
		self.assertEqual(self.host.complete("tiny", "A cow is", max_tokens=2).finish, "length")
		self.assertEqual(len(self.host._session._calls), 0)

	def test_wrong_types(self):
		for name, values in WRONG_TYPES.items():
			for value in values:
				with self.subTest(name=name, value=value), self.assertRaises(TypeError):
					self.host.complete("tiny", "x", **{name: value})
		for prompt in (None, 7, b"bytes", ["a"], [1.5], [[1, 2]], object()):
			with self.subTest(prompt=prompt), self.assertRaises(TypeError):
				self.host.complete("tiny", prompt)
		for model in (None, 7, b"tiny"):
			with self.subTest(model=model), self.assertRaises(TypeError):
				self.host.complete(model, "x")
		with self.assertRaisesRegex(TypeError, "'max_token' is no option"):
			self.host.complete("tiny", "x", max_token=4)
		self.still_good()

	def test_out_of_range(self):
		for name, values in OUT_OF_RANGE.items():
			for value in values:
				with self.subTest(name=name, value=value), self.assertRaises(mhost.InvalidRequest) as caught:
					self.host.complete("tiny", "x", **{name: value})
				self.assertIsInstance(caught.exception, ValueError)
				self.assertFalse(caught.exception.retriable)
		for prompt in ([-1], [1 << 32], "\ud800"):
			with self.subTest(prompt=prompt), self.assertRaises(mhost.InvalidRequest):
				self.host.complete("tiny", prompt)
		for model in ("", "x" * 64, "a\0b", "tiny@", "@1.0.0"):
			with self.subTest(model=model), self.assertRaises(mhost.InvalidRequest):
				self.host.complete(model, "x")
		with self.assertRaises(mhost.InvalidRequest):
			self.host.complete("tiny@1.0.0", "x", version="1.0.0")
		self.still_good()

	def test_what_the_host_refuses(self):
		for kind, code, arguments, options in (
			(mhost.NoModel, -5002, ("nobody", "x"), {}),
			(mhost.NoVersion, -5003, ("tiny@9.9.9", "x"), {}),
			(mhost.TooLong, -5004, ("tiny", "word " * 20000), {}),
			(mhost.TooLong, -5004, ("tiny", "word " * 200000), {}),
			(mhost.InvalidRequest, -5001, ("tiny", [1 << 30]), {}),
		):
			with self.subTest(kind=kind), self.assertRaises(kind) as caught:
				self.host.complete(*arguments, **options)
			self.assertEqual((caught.exception.code, caught.exception.retriable), (code, False))
			self.assertIn(" ", str(caught.exception))
		self.still_good()

	def test_no_adapter(self):
		with self.assertRaises(mhost.NoAdapter) as caught:
			self.host.complete("tiny", "x", adapters=["nobody"])
		self.assertIn("nobody", str(caught.exception))
		self.still_good()

	def test_sizes_and_flags(self):
		"""A program of an earlier minor sends less, and what it does not know is left alone."""
		prepared = _request.prepare("GENERATE", "tiny", "A cow is", {"max_tokens": 3})
		prepared.c.size = _abi.Request.adapters.offset
		prepared.c.adapter_count = 99
		prepared.c.grammar_kind = 99
		call = self.host._session.submit(prepared)
		while not call.ended:
			self.host._session.wait()
		self.assertEqual((call.finish, len(call.tokens)), ("length", 3))
		for size in (0, 8, _abi.Request.adapters.offset - 8, ctypes.sizeof(_abi.Request) + 8):
			prepared.c.size = size
			with self.assertRaisesRegex(mhost.InvalidRequest, "size"):
				self.host._session.submit(prepared)
		prepared = _request.prepare("GENERATE", "tiny", "A cow is", {})
		prepared.c.flags |= 1 << 31
		with self.assertRaisesRegex(mhost.InvalidRequest, "flags"):
			self.host._session.submit(prepared)
		self.still_good()

	def test_deadline(self):
		stream = self.host.generate("tiny", "x", max_tokens=0, ignore_eos=True, deadline=0.001)
		with self.assertRaises(mhost.DeadlinePassed) as caught:
			for _ in range(20):
				list(stream)
				stream = self.host.generate("tiny", "x " * 200, ignore_eos=True, deadline=0.001)
		self.assertIsInstance(caught.exception, TimeoutError)
		self.assertEqual(caught.exception.reply.finish, "error")
		with self.assertRaises(mhost.DeadlinePassed):
			stream.result()
		self.still_good()

	def test_errors_of_one_spare_the_others(self):
		bad = self.host.generate("nobody", "x")
		good = self.host.generate("tiny", "A cow is", max_tokens=5)
		over = {stream for stream, token in self.host.merge([bad, good]) if token is None}
		self.assertEqual(over, {bad, good})
		self.assertIsInstance(bad.error, mhost.NoModel)
		self.assertIsNone(bad.reply)
		self.assertIsNone(good.error)
		with self.assertRaises(mhost.InvalidRequest), mhost.connect(self.daemon.socket) as other:
			list(self.host.merge([other.generate("tiny", "x")]))

	def test_closed(self):
		stream = self.host.generate("tiny", "x", max_tokens=500, ignore_eos=True)
		next(stream)
		self.host.close()
		self.host.close()
		self.assertTrue(self.host.closed)
		for use in (lambda: list(stream), stream.result, lambda: self.host.complete("tiny", "x"), lambda: self.host.worker_count):
			with self.assertRaises(mhost.Closed):
				use()
		stream.close()

	def test_another_thread(self):
		caught = []

		def use():
			for call in (lambda: self.host.complete("tiny", "x"), self.host.close, lambda: self.host.worker_count):
				try:
					call()
				except mhost.WrongThread as error:
					caught.append(error)

		thread = threading.Thread(target=use)
		thread.start()
		thread.join()
		self.assertEqual(len(caught), 3)
		self.assertIsInstance(caught[0], RuntimeError)
		self.still_good()

	def test_quota(self):
		with self.assertRaises(mhost.Refused) as caught:
			hosts = []
			for _ in range(100):
				hosts.append(mhost.connect(self.daemon.socket))
		self.assertIsInstance(caught.exception, PermissionError)
		for host in hosts:
			host.close()
		wait_until("the connections to end", lambda: json.loads(self.daemon.mhost("status", "--json"))["clients"] <= 1)

	def test_exceptions_travel(self):
		for kind in errors._BY_CODE.values():
			there = pickle.loads(pickle.dumps(kind("words", retriable=True)))
			self.assertEqual((type(there), str(there), there.retriable, there.code), (kind, "words", True, kind.code))


class NoHost(unittest.TestCase):
	def test_nobody_there(self):
		for path in ("/nowhere/at/all", "x" * 200, ""):
			with self.subTest(path=path), self.assertRaises(mhost.CannotConnect) as caught:
				mhost.connect(path)
			self.assertLess(caught.exception.code, 0)
			self.assertIsInstance(caught.exception, ConnectionError)

	def test_somebody_else_there(self):
		path = "/tmp/mhost-python-%d" % os.getpid()
		with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
			listener.bind(path)
			self.addCleanup(os.unlink, path)
			listener.listen()

			def answer():
				with listener.accept()[0] as peer:
					peer.send(b"hello" * 100)

			thread = threading.Thread(target=answer)
			thread.start()
			with self.assertRaises((mhost.ProtocolMismatch, mhost.HostGone)):
				mhost.connect(path)
			thread.join()

	def library(self, path):
		code = "import mhost\ntry:\n\tmhost.connect('/nowhere')\nexcept Exception as e:\n\tprint(type(e).__name__, e)"
		environment = dict(os.environ, MHOST_LIBRARY=path, PYTHONPATH=str(TREE / "client/python"))
		return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout

	def test_no_library(self):
		self.assertRegex(self.library("/nowhere/libmhost.so"), "^ImportError .*MHOST_LIBRARY")
		self.assertRegex(self.library("libc.so.6"), "^ImportError .*no mhost_abi_version")
		self.assertRegex(self.library(os.environ["MHOST_LIBRARY"]), "^CannotConnect .*mhostd")


if __name__ == "__main__":
	unittest.main()
