# SPDX-License-Identifier: MIT
"""Replies: streamed, whole, many at once; scores and tokens; what every option does."""

import array
import gc
import json
import time
import unittest

import mhost
from daemon import HostCase
from mhost import _request

COW = "A cow is"
COW_REPLY = " a calm farm animal. It lives on a farm and eats grass."


class Replies(HostCase):
	def setUp(self):
		self.host = mhost.connect(self.daemon.socket, timeout=60)
		self.addCleanup(self.host.close)

	def test_stream_and_whole_reply_agree(self):
		stream = self.host.generate("tiny", COW, max_tokens=18, logprobs=3)
		tokens = list(stream)
		reply = stream.result()
		self.assertEqual(reply.tokens, tuple(tokens))
		self.assertEqual(reply.text, "".join(str(token) for token in tokens))
		self.assertTrue(reply.text.startswith(COW_REPLY[:20]), reply.text)
		self.assertEqual((reply.model, reply.version, reply.finish, reply.adapters), ("tiny", "1.0.0", "length", ()))
		shown = self.daemon.mhost("show", "tiny@1.0.0", "--json")
		self.assertIn(reply.content_hash, shown)
		self.assertEqual(len(reply.content_hash), 64)
		self.assertEqual(list(reply.prompt_tokens), self.host.tokenize("tiny", COW))
		self.assertGreater(reply.timing.prefill_s + reply.timing.decode_s, 0)
		self.assertEqual(stream.reply, reply)
		self.assertEqual(list(stream), [])
		for token in tokens:
			self.assertEqual(len(token.top), 3)
			self.assertEqual(token.top[0], (token.token, token.logprob))
			self.assertLess(token.logprob, 0)

	def test_no_logprobs_unless_asked(self):
		for token in self.host.generate("tiny", COW, max_tokens=3):
			self.assertIsNone(token.logprob)
			self.assertEqual(token.top, ())
		for token in self.host.generate("tiny", COW, max_tokens=3, logprobs=True):
			self.assertIsNotNone(token.logprob)
			self.assertEqual(token.top, ())

	def test_stamp_comes_before_the_end(self):
		stream = self.host.generate("tiny@1.0.0", COW, max_tokens=50, ignore_eos=True)
		next(stream)
		self.assertFalse(stream.ended)
		self.assertIsNone(stream.reply)
		self.assertEqual(stream.stamp.version, "1.0.0")
		self.assertGreater(stream.stamp.epoch, 0)

	def test_a_short_prompt_does_not_wait_for_long_ones(self):
		"""24 prompts of 400 tokens take many steps; the last one, of three, is in one of the next."""
		prompts = [[5 + (i * 31 + j * 7) % 600 for j in range(400)] for i in range(24)] + [[5, 6, 7]]
		streams = [self.host.generate("tiny", prompt, max_tokens=1, ignore_eos=True) for prompt in prompts]
		order = [streams.index(stream) for stream, token in self.host.merge(streams) if token is not None]
		self.assertEqual(sorted(order), list(range(25)))
		self.assertLess(order.index(24), 16, order)

	def test_a_slow_reader_hears_all_workers(self):
		"""Eight streams over two workers, read more slowly than they come: none is kept for the others' ends."""
		streams = [self.host.generate("tiny", COW, max_tokens=200, ignore_eos=True) for _ in range(8)]
		heard = dict.fromkeys(streams, 0)
		for stream, token in self.host.merge(streams):
			if token is None:
				break
			heard[stream] += 1
			time.sleep(0.0005)
		self.assertGreater(min(heard.values()), 50, list(heard.values()))

	def test_options_reach_the_host(self):
		greedy = self.host.complete("tiny", COW, max_tokens=20)
		drawn = [self.host.complete("tiny", COW, max_tokens=20, temperature=3.0, seed=seed).text for seed in (1, 1, 2, 3, 4)]
		self.assertEqual(drawn[0], drawn[1])
		self.assertGreater(len(set(drawn)), 2)
		self.assertEqual(self.host.complete("tiny", COW, max_tokens=20, temperature=5.0, top_k=1).text, greedy.text)
		self.assertEqual(self.host.complete("tiny", COW, max_tokens=20, temperature=5.0, top_p=1e-6).text, greedy.text)
		self.assertEqual(self.host.complete("tiny", COW, max_tokens=20, temperature=5.0, min_p=0.9999).text, greedy.text)
		self.assertEqual(self.host.complete("tiny", COW, max_tokens=20, speculate=False).text, greedy.text)
		self.assertNotEqual(self.host.complete("tiny", COW, max_tokens=60, repeat_penalty=5.0, repeat_last=60).text,
			self.host.complete("tiny", COW, max_tokens=60).text)
		self.assertEqual(len(self.host.complete("tiny", COW, max_tokens=300, ignore_eos=True).tokens), 300)
		stopped = self.host.complete("tiny", COW, max_tokens=20, stop=["never", "farm"])
		self.assertEqual((stopped.text, stopped.finish), (greedy.text[:greedy.text.index("farm")], "stop"))
		self.assertEqual(self.host.complete("tiny", COW, max_tokens=20, stop="farm").text, stopped.text)
		self.host.complete("tiny", COW, max_tokens=2, session_key="user 7", replay=False, special=False, deadline=60.0)

	def test_structured_replies(self):
		schema = {"type": "object", "properties": {"legs": {"type": "integer"}}, "required": ["legs"], "additionalProperties": False}
		for wanted in (schema, json.dumps(schema)):
			self.assertEqual(list(json.loads(self.host.complete("tiny", COW, max_tokens=60, schema=wanted).text)), ["legs"])

		class Cow:
			@staticmethod
			def model_json_schema():
				return schema

		self.assertIn("legs", json.loads(self.host.complete("tiny", COW, max_tokens=60, schema=Cow).text))
		self.assertRegex(self.host.complete("tiny", COW, max_tokens=20, regex="[0-9]{3}-[a-f]+").text, "^[0-9]{3}-[a-f]+$")
		self.assertIn(self.host.complete("tiny", COW, max_tokens=20, grammar='root ::= "yes" | "no"').text, ("yes", "no"))
		self.assertIsInstance(json.loads(self.host.complete("tiny", COW, max_tokens=100, json_object=True).text), dict)
		self.assertEqual(self.host.complete("tiny", COW, max_tokens=8, json_object=False).text,
			self.host.complete("tiny", COW, max_tokens=8).text)
		with self.assertRaises(mhost.InvalidRequest):
			self.host.complete("tiny", COW, regex="a", grammar='root ::= "a"')

	def test_none_is_the_default(self):
		options = dict.fromkeys(_request.Options.__annotations__)
		options["max_tokens"] = 8
		self.assertEqual(self.host.complete("tiny", COW, **options).text, self.host.complete("tiny", COW, max_tokens=8).text)

	def test_prompts_as_ids(self):
		ids = self.host.tokenize("tiny", COW)
		text = self.host.complete("tiny", COW, max_tokens=8).text
		for prompt in (ids, tuple(ids), array.array("I", ids), array.array("q", ids), iter(ids)):
			self.assertEqual(self.host.complete("tiny", prompt, max_tokens=8).text, text)

	def test_numpy_ids(self):
		try:
			import numpy
		except ImportError:
			self.skipTest("no numpy")
		ids = numpy.array(self.host.tokenize("tiny", COW))
		self.assertEqual(list(self.host.complete("tiny", ids, max_tokens=numpy.int64(8)).prompt_tokens), ids.tolist())

	def test_tokens_and_text(self):
		for text in ("Hello, world! 123", "süße 👍🏽 日本", "", "\0 zero", "\n\n  x"):
			self.assertEqual(self.host.detokenize("tiny", self.host.tokenize("tiny", text)), text)
		long = "word and 👍 " * 8000
		self.assertEqual(self.host.detokenize("tiny", self.host.tokenize("tiny", long)), long)
		self.assertEqual(self.host.detokenize("tiny", []), "")

	def test_messages(self):
		call = '<tool_call>{"name": "now", "arguments": {"zone": "ä"}}</tool_call>'
		reply = self.host.complete("tiny", [{"role": "user", "content": "x"}], max_tokens=200, show_special=True,
			regex="<think>No\\.</think>\\s?Yes\\." + call.replace("{", "\\{").replace("}", "\\}"))
		function = {"name": "now", "arguments": '{"zone": "ä"}'}
		self.assertEqual(mhost.parse_message(reply, "hermes"), {"role": "assistant", "content": "Yes.",
			"reasoning_content": "No.", "tool_calls": [{"id": "call_0", "type": "function", "function": function}]})
		self.assertEqual(mhost.parse_message(reply, "none")["content"], reply.text)
		self.assertEqual(mhost.parse_message(reply)["content"], reply.text)  # its template tells of no form
		self.assertRaises(mhost.InvalidRequest, mhost.parse_message, reply, "nonesuch")

	def test_choices(self):
		drawn = {"max_tokens": 10, "temperature": 1.5}
		replies = self.host.choices("tiny", COW, 5, seed=(1 << 64) - 2, **drawn)  # seeds go round at 2^64
		alone = [self.host.complete("tiny", COW, seed=seed % (1 << 64), **drawn) for seed in range((1 << 64) - 2, (1 << 64) + 3)]
		self.assertEqual([reply.text for reply in replies], [reply.text for reply in alone])
		best = self.host.choices("tiny", COW, 2, best_of=6, seed=3, **drawn)
		mean = [sum(token.logprob for token in reply.tokens) / len(reply.tokens) for reply in best]
		self.assertEqual(mean, sorted(mean, reverse=True))
		self.assertEqual(len(best), 2)
		for wrong in ({"n": 0}, {"n": 65}, {"n": 3, "best_of": 2}):
			self.assertRaises(mhost.InvalidRequest, self.host.choices, "tiny", COW, **wrong)

	def test_scores(self):
		scores = self.host.score("tiny", COW + COW_REPLY)
		self.assertIsNone(scores.logprobs[0])
		self.assertEqual(list(scores.token_ids), self.host.tokenize("tiny", COW + COW_REPLY))
		self.assertEqual(len(scores.logprobs), len(scores.token_ids))
		self.assertLess(scores.perplexity, self.host.score("tiny", "grass and on eats farm It lives a").perplexity)
		self.assertEqual((scores.model, scores.version), ("tiny", "1.0.0"))
		reply = self.host.complete("tiny", COW, max_tokens=6, logprobs=True)
		again = self.host.score("tiny", [*reply.prompt_tokens, *reply.token_ids])
		for token, logprob in zip(reply.tokens, again.logprobs[-6:]):
			self.assertAlmostEqual(token.logprob, logprob, 4)

	def test_characters_are_whole(self):
		"""Hot draws give bytes that make characters together: no token has a part of one."""
		late = 0
		for seed in range(12):
			reply = self.host.complete("tiny", COW, max_tokens=300, temperature=100.0, seed=seed, ignore_eos=True)
			late += sum(not a.text and b.text[:1] > "\x7f" for a, b in zip(reply.tokens, reply.tokens[1:]))
			plain = self.host.detokenize("tiny", reply.token_ids)
			for mark in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"):
				plain = plain.replace(mark, "")
			self.assertEqual(reply.text.replace("\ufffd", ""), plain.replace("\ufffd", ""))
		self.assertGreater(late, 0)

	def test_many_at_once(self):
		wanted = {n: self.host.complete("tiny", COW, max_tokens=n).text for n in range(1, 41)}
		streams = {self.host.generate("tiny", COW, max_tokens=n): n for n in wanted}
		texts, ended = dict.fromkeys(streams, ""), []
		for stream, token in self.host.merge(streams):
			if token is None:
				ended.append(stream)
			else:
				texts[stream] += token.text
		self.assertEqual({streams[stream]: text for stream, text in texts.items()}, wanted)
		self.assertEqual(len(ended), len(set(ended)))
		self.assertTrue(all(stream.reply.text == texts[stream] for stream in ended))

	def test_streams_interleave_as_they_are_read(self):
		first = self.host.generate("tiny", COW, max_tokens=30)
		second = self.host.generate("tiny", "Once", max_tokens=30)
		text = "".join(a.text for a, _ in zip(first, second))
		self.assertEqual(second.result().text, self.host.complete("tiny", "Once", max_tokens=30).text)
		self.assertEqual(text, self.host.complete("tiny", COW, max_tokens=30).text)

	def test_more_than_the_ring_holds(self):
		"""40 prompts of 100 KB are 4 MB; a ring is one. The submits wait for room."""
		prompt = "word " * 20000
		streams = [self.host.generate("tiny", prompt, max_tokens=1) for _ in range(40)]
		kinds = {type(stream.error) for stream, token in self.host.merge(streams) if token is None}
		self.assertLessEqual(kinds, {mhost.TooLong, mhost.Busy})

	def test_memory_of_requests(self):
		"""What a request points to lives until it is sent, and no longer."""
		for round_number in range(300):
			stop = ["".join(("stop", str(round_number), str(i))) for i in range(16)]
			prompt = "".join(("A cow", " is"))
			prepared = _request.prepare("GENERATE", "".join(("ti", "ny")), prompt, {
				"stop": [str(one) for one in stop], "max_tokens": 3, "adapters": ["".join(("a", str(i))) for i in range(8)]})
			del prompt
			gc.collect(0)
			junk = [bytes(range(64)) * 4 for _ in range(50)]
			self.assertEqual([prepared.c.stops[i].decode() for i in range(16)], stop)
			self.assertEqual([prepared.c.adapters[i].name for i in range(8)], [b"a%d" % i for i in range(8)])
			self.assertEqual((prepared.c.model, prepared.c.text), (b"tiny", b"A cow is"))
			del junk
		gc.collect()
		before = len(gc.get_objects())
		for _ in range(200):
			self.host.complete("tiny", COW, max_tokens=4, stop=["x", "y"], logprobs=2)
		gc.collect()
		self.assertLess(len(gc.get_objects()) - before, 50)


if __name__ == "__main__":
	unittest.main()
