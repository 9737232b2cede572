# SPDX-License-Identifier: MIT
"""Lives of streams and connections: cancelled, interrupted, forked, abandoned; workers and hosts that die."""

import gc
import os
import select
import signal
import threading
import time
import unittest

import mhost
from daemon import Daemon, HostCase, descriptors, wait_until

COW = "A cow is"
LONG = {"max_tokens": 500, "ignore_eos": True}


class Cancelled(HostCase):
	def setUp(self):
		self.host = mhost.connect(self.daemon.socket, timeout=60)
		self.addCleanup(self.host.close)

	def fine(self):
		self.assertEqual(self.host.complete("tiny", COW, max_tokens=5).finish, "length")

	def ends(self):
		"""The host has nothing left, without a further call on the connection."""
		self.settled()
		self.fine()
		self.nothing_left()

	def nothing_left(self):
		self.drain()
		self.assertEqual((len(self.host._session._calls), len(self.host._session._dropped)), (0, 0))

	def drain(self):
		while self.host._session.look():
			pass

	def many(self):
		"""Enough to be still waiting when the first tokens come."""
		return [self.host.generate("tiny", COW, **LONG) for _ in range(60)]

	def test_break(self):
		for _ in range(5):
			for _ in self.host.generate("tiny", COW, **LONG):
				break
		self.ends()

	def test_references_go(self):
		streams = self.many()
		next(streams[0])
		self.assertGreater(self.daemon.running(), 0)
		del streams
		self.ends()

	def test_with_and_close(self):
		with self.host.generate("tiny", COW, **LONG) as stream:
			next(stream)
		self.assertEqual(list(stream), [])
		stream.close()
		with self.assertRaises(mhost.Closed):
			stream.result()
		self.ends()

	def test_generator_over_a_stream(self):
		def words():
			for token in self.host.generate("tiny", COW, **LONG):
				yield token.text

		generator = words()
		next(generator)
		generator.close()
		self.ends()

	def test_cancel_keeps_what_came(self):
		streams = self.many()
		for stream in streams:
			stream.cancel()
			stream.cancel()
		for stream in streams:
			reply = stream.result()
			self.assertEqual(reply.finish, "cancelled")
			self.assertEqual(reply.tokens, tuple(stream))
			stream.cancel()
		self.ends()

	def test_finalizer_in_another_thread(self):
		streams = self.many()
		next(streams[0])
		cycle = [streams]
		cycle.append(cycle)
		del streams, cycle
		thread = threading.Thread(target=gc.collect)
		thread.start()
		thread.join()
		self.fine()  # the cancels go now; what came before fills the rings
		wait_until("requests to end", lambda: self.drain() or self.daemon.running() == 0)
		self.nothing_left()

	def test_connection_goes_with_its_streams(self):
		with mhost.connect(self.daemon.socket) as other:
			streams = [other.generate("tiny", COW, **LONG) for _ in range(30)]
			next(streams[0])
		self.settled()
		del streams

	def test_timeout(self):
		with mhost.connect(self.daemon.socket, timeout=0.05) as other:
			pids = [worker["pid"] for worker in self.daemon.workers()]
			try:
				for pid in pids:
					os.kill(pid, signal.SIGSTOP)
				stream = other.generate("tiny", COW, max_tokens=5)
				begin = time.monotonic()
				with self.assertRaises(mhost.WaitTimeout):
					list(stream)
				self.assertGreaterEqual(time.monotonic() - begin, 0.05)
			finally:
				for pid in pids:
					os.kill(pid, signal.SIGCONT)
			other._session.timeout = 60
			self.assertEqual(len(stream.result().tokens), 5)

	def test_signal_handler_uses_the_connection(self):
		"""It may, between two steps; never amid one, and then it is told so."""
		heard = []

		def on_alarm(number, frame):
			try:
				heard.append(self.host.complete("tiny", "Once", max_tokens=3).text)
			except mhost.WrongThread:
				heard.append(None)

		old = signal.signal(signal.SIGALRM, on_alarm)
		self.addCleanup(signal.signal, signal.SIGALRM, old)
		wanted = self.host.complete("tiny", COW, **LONG).text
		once = self.host.complete("tiny", "Once", max_tokens=3).text
		signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0015)
		try:
			texts = {self.host.complete("tiny", COW, **LONG).text for _ in range(20)}
		finally:
			signal.setitimer(signal.ITIMER_REAL, 0)
		self.assertEqual(texts, {wanted})
		self.assertEqual(set(heard) - {None}, {once})


class Interrupted(HostCase):
	"""SIGINT at any instant of a stream: KeyboardInterrupt, and the connection goes on with right replies."""

	def test_at_any_instant(self):
		interrupts = 0
		with mhost.connect(self.daemon.socket, timeout=60) as host:
			wanted = host.complete("tiny", COW, **LONG)
			for i in range(60):
				streams = []
				try:
					signal.setitimer(signal.ITIMER_REAL, 0.0001 + i % 30 * 0.0006)
					streams = [host.generate("tiny", COW, **LONG) for _ in range(2)]
					for stream in streams:
						list(stream)
				except KeyboardInterrupt:
					interrupts += 1
				signal.setitimer(signal.ITIMER_REAL, 0)
				for stream in streams:
					self.assertEqual(stream.result().tokens, wanted.tokens)
			self.settled()
			while host._session.look():
				pass
			self.assertEqual((len(host._session._calls), len(host._session._dropped)), (0, 0))
		self.assertGreater(interrupts, 20)

	def setUp(self):
		def interrupt(number, frame):
			raise KeyboardInterrupt

		old = signal.signal(signal.SIGALRM, interrupt)
		self.addCleanup(signal.signal, signal.SIGALRM, old)

	def test_while_nothing_comes(self):
		pids = [worker["pid"] for worker in self.daemon.workers()]
		with mhost.connect(self.daemon.socket) as host:
			try:
				for pid in pids:
					os.kill(pid, signal.SIGSTOP)
				signal.setitimer(signal.ITIMER_REAL, 0.2)
				begin = time.monotonic()
				with self.assertRaises(KeyboardInterrupt):
					host.complete("tiny", COW, max_tokens=5)
				self.assertLess(time.monotonic() - begin, 5)
			finally:
				for pid in pids:
					os.kill(pid, signal.SIGCONT)
			self.assertEqual(len(host.complete("tiny", COW, max_tokens=5).tokens), 5)


class Forked(HostCase):
	def test_child_is_refused_and_parent_goes_on(self):
		with mhost.connect(self.daemon.socket, timeout=60) as host:
			stream = host.generate("tiny", COW, **LONG)
			first = next(stream)
			pid = os.fork()
			if not pid:
				status = 1
				try:
					for use in (lambda: next(stream), lambda: host.complete("tiny", "x"), lambda: host.generate("tiny", "x")):
						try:
							use()
						except mhost.WrongThread:
							status += 1
					del stream
					host.close()
					with mhost.connect(self.daemon.socket) as own:
						status += own.complete("tiny", COW, max_tokens=3).finish == "length"
				finally:
					os._exit(status)
			self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 5)
			self.assertEqual((first, *stream), stream.result().tokens)
			self.assertEqual(len(stream.result().tokens), 500)


class Dying(HostCase):
	options = ("--workers", "1", "--threads", "1")

	def worker(self):
		wait_until("a worker", lambda: self.daemon.all_ready(1))
		return self.daemon.workers()[0]["pid"]

	def test_worker_killed(self):
		"""Replies that had begun end with the error and what came; others are made by the next worker."""
		pid = self.worker()
		with mhost.connect(self.daemon.socket, timeout=60) as host:
			wanted = host.complete("tiny", COW, **LONG).tokens
			streams = [host.generate("tiny", COW, **LONG) for _ in range(40)]  # more than the ring holds
			next(streams[0])
			os.kill(pid, signal.SIGKILL)
			for _ in host.merge(streams):
				pass
			lost = [stream.error for stream in streams if stream.error is not None]
			self.assertEqual({type(error) for error in lost}, {mhost.WorkerLost})
			for error in lost:
				self.assertEqual((error.retriable, error.code, error.reply.finish), (True, -5009, "error"))
				self.assertEqual(error.reply.tokens, wanted[:len(error.reply.tokens)])
				self.assertIsInstance(error, ConnectionError)
			self.assertTrue(all(stream.reply.tokens == wanted for stream in streams if stream.error is None))
			self.worker()
			self.assertEqual(host.complete("tiny", COW, **LONG).tokens, wanted)

	def test_replayed_when_nothing_was_told(self):
		"""A request that waits at a worker that is killed is sent to the next one, unless that is not wanted."""
		pid = self.worker()
		with mhost.connect(self.daemon.socket, timeout=60) as host:
			os.kill(pid, signal.SIGSTOP)
			kept = host.generate("tiny", COW, max_tokens=5, replay=False)
			again = host.generate("tiny", COW, max_tokens=5)
			os.kill(pid, signal.SIGKILL)
			with self.assertRaises(mhost.WorkerLost):
				list(kept)
			try:
				self.assertEqual(len(again.result().tokens), 5)
			except mhost.WorkerLost:  # no other worker was there yet
				self.worker()
				self.assertEqual(len(host.complete("tiny", COW, max_tokens=5).tokens), 5)


class HostDies(unittest.TestCase):
	def setUp(self):
		self.daemon = Daemon("--workers", "1", "--threads", "1")
		self.addCleanup(self.daemon.remove)
		self.daemon.mhost("import", "tiny@1.0.0", "tools/tiny/model")
		self.daemon.start()
		self.daemon.mhost("activate", "tiny@1.0.0")

	def test_killed(self):
		before = descriptors()
		host = mhost.connect(self.daemon.socket, timeout=60)
		host.complete("tiny", COW, max_tokens=1)
		self.daemon.kill()
		with self.assertRaises(mhost.HostGone) as caught:
			for _ in range(100):
				host.complete("tiny", COW, max_tokens=1)
				time.sleep(0.1)
		self.assertTrue(caught.exception.retriable)
		host.close()
		self.assertEqual(descriptors(), before)
		with self.assertRaises(mhost.CannotConnect):
			mhost.connect(self.daemon.socket)

	def test_descriptor_tells_of_the_end_without_spinning(self):
		"""The descriptor of the library: quiet while what still runs may come, then readable."""
		host = mhost.connect(self.daemon.socket, timeout=60)
		self.addCleanup(host.close)
		host.ping()  # the worker has the connection
		poll = select.poll()
		poll.register(host._session.descriptor(), select.POLLIN)
		worker = self.daemon.workers()[0]["pid"]
		streams = [host.generate("tiny", COW, **LONG) for _ in range(40)]
		self.daemon.kill()
		os.kill(worker, signal.SIGSTOP)  # after that: a stopped one would be hung up on
		try:
			begin = time.monotonic()
			self.assertLess(self.wakes(host, poll), 50)
			self.assertGreater(time.monotonic() - begin, 1)
			self.assertIsInstance(streams[-1].error, mhost.HostGone)
			self.assertTrue(poll.poll(1000))
		finally:
			os.kill(worker, signal.SIGKILL)

	def test_all_die(self):
		"""Nobody is left who could answer, and that is known at once."""
		for blocking in (False, True):
			host = mhost.connect(self.daemon.socket, timeout=60)
			host.ping()
			worker = self.daemon.workers()[0]["pid"]
			os.kill(worker, signal.SIGSTOP)
			poll = select.poll()
			if not blocking:
				poll.register(host._session.descriptor(), select.POLLIN)
			stream = host.generate("tiny", COW, max_tokens=1)
			self.daemon.kill()
			os.kill(worker, signal.SIGKILL)
			begin = time.monotonic()
			if blocking:
				with self.assertRaises(mhost.HostGone):
					stream.result()
			else:
				self.assertLess(self.wakes(host, poll), 50)
			self.assertLess(time.monotonic() - begin, 3)
			self.assertIsInstance(stream.error, mhost.HostGone)
			host.close()
			self.daemon.start()

	def wakes(self, host, poll):
		"""How often the descriptor wakes its reader until the host is known to be gone."""
		for count in range(1, 1000):
			poll.poll(10000)
			try:
				while host._session.look():
					pass
			except mhost.HostGone:
				break
		return count


class Descriptors(HostCase):
	def test_none_leaks(self):
		def life(end):
			host = mhost.connect(self.daemon.socket, timeout=60)
			host._session.descriptor()
			host.complete("tiny", COW, max_tokens=2)
			stream = host.generate("tiny", COW, **LONG)
			next(stream)
			if end:
				host.close()

		life(True)
		before = descriptors()
		for end in (True, False) * 10:
			life(end)
		gc.collect()
		self.assertEqual(descriptors(), before)
		with self.assertRaises(mhost.CannotConnect):
			mhost.connect("/nowhere")
		self.assertEqual(descriptors(), before)

	def test_poll_after_an_idle_time(self):
		"""The contract of mhost_fd() in C: it tells of a request that was sent after -ENODATA, too."""
		with mhost.connect(self.daemon.socket, timeout=60) as host:
			poll = select.poll()
			poll.register(host._session.descriptor(), select.POLLIN)
			for _ in range(20):
				self.assertFalse(host._session.look())
				stream = host.generate("tiny", COW, max_tokens=3)
				while not stream.ended:
					self.assertTrue(poll.poll(20000), "the descriptor stays quiet")
					while host._session.look():
						pass
				self.assertEqual(len(stream.result().tokens), 3)


if __name__ == "__main__":
	unittest.main()
