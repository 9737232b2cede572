# SPDX-License-Identifier: MIT
"""The same with asyncio: many streams in one loop, cancelled tasks, deaths."""

import asyncio
import gc
import os
import signal
import threading
import time
import unittest

import mhost
from daemon import Daemon, HostCase, descriptors, wait_until

COW = "A cow is"
LONG = {"max_tokens": 500, "ignore_eos": True}


class Async(HostCase):
	def run_with_host(self, use):
		async def whole():
			async with mhost.connect_async(self.daemon.socket) as host:
				await asyncio.wait_for(use(host), 120)
			self.assertTrue(host.closed)

		before = descriptors()
		asyncio.run(whole())
		gc.collect()
		self.assertEqual(descriptors(), before)
		self.settled()

	def test_every_verb(self):
		async def use(host):
			stream = host.generate("tiny", COW, max_tokens=18, logprobs=1)
			tokens = [token async for token in stream]
			reply = await stream.result()
			self.assertEqual((reply.tokens, reply.version), (tuple(tokens), "1.0.0"))
			self.assertEqual(reply, stream.reply)
			self.assertEqual((await host.complete("tiny", COW, max_tokens=18)).text, reply.text)
			ids = await host.tokenize("tiny", COW)
			self.assertEqual(await host.detokenize("tiny", ids), COW)
			self.assertEqual(list((await host.score("tiny", COW)).token_ids), ids)
			drawn = {"max_tokens": 8, "temperature": 1.5, "seed": 9}
			choices = await host.choices("tiny", COW, 3, **drawn)
			self.assertEqual(choices[0].text, (await host.complete("tiny", COW, **drawn)).text)
			self.assertEqual(len((await host.embed("tiny", COW)).values), 96)
			await host.ping()
			self.assertEqual(host.worker_count, 2)

		self.run_with_host(use)

	def test_connect_by_await(self):
		async def whole():
			host = await mhost.connect_async(self.daemon.socket)
			reply = await host.complete("tiny", COW, max_tokens=3)
			host.close()
			host.close()
			return reply

		self.assertEqual(len(asyncio.run(whole()).tokens), 3)

	def test_many_tasks(self):
		async def use(host):
			async def one(count):
				text = ""
				async for token in host.generate("tiny", COW, max_tokens=count):
					text += token.text
				return text

			counts = [1 + n % 40 for n in range(100)]
			texts = await asyncio.gather(*map(one, counts))
			wanted = {n: (await host.complete("tiny", COW, max_tokens=n)).text for n in set(counts)}
			self.assertEqual(texts, [wanted[n] for n in counts])

		self.run_with_host(use)

	def test_the_loop_goes_on(self):
		"""While tokens stream, and while the loop slept so long that events wait."""
		async def use(host):
			ticks = 0

			async def tick():
				nonlocal ticks
				while True:
					await asyncio.sleep(0)
					ticks += 1

			ticker = asyncio.create_task(tick())
			streams = [host.generate("tiny", COW, **LONG) for _ in range(20)]
			time.sleep(0.2)
			counts = [len((await stream.result()).tokens) for stream in streams]
			self.assertEqual(counts, [500] * 20)
			self.assertGreater(ticks, 10)
			ticker.cancel()

		self.run_with_host(use)

	def test_idle_then_again(self):
		async def use(host):
			for _ in range(20):
				await asyncio.sleep(0.01)
				await asyncio.wait_for(host.complete("tiny", COW, max_tokens=3), 20)

		self.run_with_host(use)

	def test_merge(self):
		async def use(host):
			streams = {host.generate("tiny", COW, max_tokens=n): n for n in range(1, 30)}
			bad = host.generate("nobody", COW)
			counts, over = dict.fromkeys(streams, 0), set()
			async for stream, token in host.merge([*streams, bad]):
				if token is None:
					over.add(stream)
				else:
					counts[stream] += 1
			self.assertEqual(counts, streams)
			self.assertEqual(over, {*streams, bad})
			self.assertIsInstance(bad.error, mhost.NoModel)

		self.run_with_host(use)

	def test_cancelled_tasks(self):
		async def use(host):
			async def read():
				async for _ in host.generate("tiny", COW, **LONG):
					pass

			tasks = [asyncio.create_task(read()) for _ in range(40)]
			await asyncio.sleep(0.01)
			for task in tasks:
				task.cancel()
			results = await asyncio.gather(*tasks, return_exceptions=True)
			self.assertTrue(any(isinstance(one, asyncio.CancelledError) for one in results))
			del tasks, results
			with self.assertRaises(asyncio.TimeoutError):
				streams = [host.generate("tiny", COW, **LONG) for _ in range(60)]
				await asyncio.wait_for(streams[-1].result(), 0.001)
			async with streams[0] as first:
				await first.__anext__()
			self.assertEqual([token async for token in first], [])
			streams[1].cancel()
			self.assertEqual((await streams[1].result()).finish, "cancelled")
			await streams[-2].aclose()
			with self.assertRaises(mhost.Closed):
				await streams[-2].result()
			del streams
			self.assertEqual(len((await host.complete("tiny", COW, max_tokens=4)).tokens), 4)

		self.run_with_host(use)

	def test_errors(self):
		async def use(host):
			for kind, model, options in ((mhost.NoModel, "nobody", {}), (mhost.InvalidRequest, "tiny", {"top_p": 7.0})):
				with self.assertRaises(kind):
					await host.complete(model, "x", **options)
			with self.assertRaises(TypeError):
				host.generate("tiny", "x", max_tokens="many")
			caught = []

			def elsewhere():
				for use in (lambda: host.generate("tiny", "x"), host.close):
					try:
						use()
					except mhost.WrongThread as error:
						caught.append(error)

			thread = threading.Thread(target=elsewhere)
			thread.start()
			thread.join()
			self.assertEqual(len(caught), 2)
			self.assertEqual(len((await host.complete("tiny", COW, max_tokens=4)).tokens), 4)

		self.run_with_host(use)

	def test_closed_under_a_reader(self):
		async def use(host):
			reader = asyncio.create_task(host.generate("tiny", COW, **LONG).result())
			await asyncio.sleep(0)
			host.close()
			with self.assertRaises(mhost.Closed):
				await reader
			with self.assertRaises(mhost.Closed):
				await host.complete("tiny", "x")

		self.run_with_host(use)

	def test_forgotten_connection(self):
		async def use():
			host = await mhost.connect_async(self.daemon.socket)
			await host.complete("tiny", COW, max_tokens=2)

		before = descriptors()
		asyncio.run(use())
		gc.collect()
		self.assertEqual(descriptors(), before)

	def test_fork_leaves_the_loop_alone(self):
		async def use(host):
			stream = host.generate("tiny", COW, **LONG)
			await stream.__anext__()
			pid = os.fork()
			if not pid:
				try:
					host.close()
				finally:
					os._exit(0)
			os.waitpid(pid, 0)
			self.assertEqual(len((await stream.result()).tokens), 500)

		self.run_with_host(use)


class AsyncDeaths(unittest.TestCase):
	def test_worker_then_host(self):
		daemon = Daemon("--workers", "1", "--threads", "1")
		self.addCleanup(daemon.remove)
		daemon.mhost("import", "tiny@1.0.0", "tools/tiny/model")
		daemon.start()
		daemon.mhost("activate", "tiny@1.0.0")

		async def use():
			async with mhost.connect_async(daemon.socket) as host:
				pid = daemon.workers()[0]["pid"]
				streams = [host.generate("tiny", COW, **LONG) for _ in range(40)]  # more than the ring holds
				await streams[0].__anext__()
				os.kill(pid, signal.SIGKILL)
				results = await asyncio.gather(*(stream.result() for stream in streams), return_exceptions=True)
				lost = [one for one in results if isinstance(one, Exception)]
				self.assertEqual({(type(error), error.retriable) for error in lost}, {(mhost.WorkerLost, True)})
				wait_until("a worker", lambda: daemon.all_ready(1))
				await asyncio.sleep(0.1)
				self.assertEqual(len((await host.complete("tiny", COW, max_tokens=4)).tokens), 4)
				daemon.kill()
				with self.assertRaises(mhost.HostGone):
					for _ in range(1000):
						await asyncio.wait_for(host.complete("tiny", COW, max_tokens=1), 30)
						await asyncio.sleep(0.01)
				with self.assertRaises(mhost.HostGone):
					host.generate("tiny", COW)

		asyncio.run(use())


if __name__ == "__main__":
	unittest.main()
