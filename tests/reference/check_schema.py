#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random JSON schemas on a real model: every reply must be valid under its schema, by the jsonschema package.

    check_schema.py --mhost BIN --mhostd BIN [--library SO] [--count 1000] [--seed 1] MODEL.gguf

Schemas that mhost refuses by name are counted and shown; prompts, lengths, seeds and temperatures vary.
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import jsonschema

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "client" / "python"))
AT_ONCE, START_S, REPLY_S = 16, 60, 300
PATTERNS = ["^[a-z]+$", "\\d{3}", "^(foo|bar)", "x\\.y$", "^\\w+@\\w+\\.com$", "[^a-z]", '^"q"$', "\\s", "\\S\\W",
            "^[A-Z][a-z]{1,8}( [A-Z][a-z]{1,8})?$"]
FORMATS = ["date", "time", "date-time", "email", "uuid", "ipv4", "ipv6", "uri", "hostname", "duration"]
VALUES = ["a", "é", 'x"y', "\\", "\n", "", 1, 1.5, None, True, [1], {"k": 2}]
NAMES = ["name", "age", "city", "items", "id", "note", "price", "tags", "ok", "next-step", "größe", 'q"']
PROMPTS = ["A record as JSON:", "Describe a cat as JSON.", "List three cities of Europe:", "{", "Once upon a time", "1, 2, 3,"]


class Maker:
	def __init__(self, seed):
		self.random = random.Random(seed)

	def number(self):
		r, schema = self.random, {}
		integer = r.random() < 0.5

		def value():
			x = r.choice([r.randint(-1000, 1000), r.randint(-10, 10), round(r.uniform(-100, 100), r.randint(0, 3)),
			              10 ** r.randint(0, 9)])
			return int(x) if integer and r.random() < 0.8 else x

		low, high = sorted([value(), value()])
		if r.random() < 0.5:
			schema[r.choice(["minimum", "exclusiveMinimum"])] = low
		if r.random() < 0.5:
			schema[r.choice(["maximum", "exclusiveMaximum"])] = high + 2
		schema["type"] = "integer" if integer else "number"
		return schema

	def string(self):
		r = self.random
		kind = r.random()
		if kind < 0.3:
			return {"type": "string"}
		if kind < 0.5:
			low = r.randint(0, 5)
			return {"type": "string", "minLength": low, "maxLength": low + r.randint(0, 30)}
		if kind < 0.7:
			return {"type": "string", "pattern": r.choice(PATTERNS)}
		if kind < 0.85:
			return {"type": "string", "format": r.choice(FORMATS)}
		return {"enum": [r.choice(VALUES) for _ in range(3)]}

	def scalar(self):
		return self.random.choice([
			self.number, self.string, lambda: {"type": "boolean"}, lambda: {"type": "null"},
			lambda: {"const": self.random.choice(VALUES)}, lambda: {"type": ["string", "null", "integer"]}])()

	def object(self, depth):
		r = self.random
		names = r.sample(NAMES, r.randint(0, 5))
		schema = {"type": "object", "properties": {name: self.schema(depth - 1) for name in names},
		          "required": [name for name in names if r.random() < 0.6]}
		plain = all(name.isascii() and '"' not in name for name in names)
		if plain and r.random() < 0.3:
			schema["additionalProperties"] = r.choice([True, False, self.scalar()])
		return schema

	def array(self, depth):
		r, schema = self.random, {"type": "array"}
		if r.random() < 0.2:
			schema["prefixItems"] = [self.schema(depth - 1) for _ in range(r.randint(1, 3))]
		if r.random() < 0.8:
			schema["items"] = self.schema(depth - 1)
		if r.random() < 0.5:
			schema["minItems"] = r.randint(0, 3)
		if r.random() < 0.5:
			schema["maxItems"] = schema.get("minItems", 0) + r.randint(0, 4)
		return schema

	def cases(self, depth):
		tagged = [{"type": "object", "properties": {"t": {"const": tag}, "v": self.schema(depth - 1)}, "required": ["t"]}
		          for tag in "ab"]
		return self.random.choice([
			{"anyOf": [self.schema(depth - 1) for _ in range(2)]}, {"oneOf": [{"type": "null"}, *tagged]},
			{"allOf": [tagged[0], {"properties": {"w": self.scalar()}, "required": ["w"]}]}])

	def schema(self, depth=3):
		kind = self.random.random()
		if depth <= 0 or kind < 0.25:
			return self.scalar()
		if kind < 0.65:
			return self.object(depth)
		return self.array(depth) if kind < 0.85 else self.cases(depth)

	def whole(self):
		if self.random.random() < 0.9:
			return self.schema()
		node = {"type": "object", "properties": {"v": self.scalar(), "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
		        "required": ["v", "next"]}
		return {"$defs": {"n": node}, "$ref": "#/$defs/n"}


def verdict(schema, text):
	"""None, or what is wrong with the document."""
	validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
	try:
		error = next(validator.iter_errors(json.loads(text)), None)
	except ValueError as wrong:
		return str(wrong)
	return error and error.message


async def ask(mhost, host, gate, maker, tally):
	schema, r = maker.whole(), maker.random
	options = {"max_tokens": r.choice([60, 120, 250]), "temperature": r.choice([0.0, 0.7, 1.2]), "seed": r.randrange(1 << 32)}
	prompt = r.choice(PROMPTS)
	async with gate:
		try:
			reply = await asyncio.wait_for(host.complete("m", prompt, schema=schema, **options), REPLY_S)
		except mhost.InvalidRequest as refused:
			tally["refused"][str(refused).partition("schema")[2][:70] or str(refused)[:70]] += 1
			return
	wrong = verdict(schema, reply.text)
	tally["valid" if wrong is None else "wrong"].append(reply.text)
	if wrong is not None:
		print(f"not valid: {json.dumps(schema)} {options} {reply.text!r}: {wrong}", flush=True)


async def campaign(mhost, socket, count, seed):
	tally = {"valid": [], "wrong": [], "refused": collections.Counter()}
	gate = asyncio.Semaphore(AT_ONCE)
	async with mhost.connect_async(socket) as host:
		await asyncio.gather(*(ask(mhost, host, gate, Maker(f"{seed} {i}"), tally) for i in range(count)))
	return tally


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("--mhost", required=True)
	parser.add_argument("--mhostd", required=True)
	parser.add_argument("--library")
	parser.add_argument("--count", type=int, default=1000)
	parser.add_argument("--seed", default="1")
	parser.add_argument("model")
	args = parser.parse_args()
	os.environ["MHOST_LIBRARY"] = args.library or str(pathlib.Path(args.mhost).resolve().parent / "libmhost.so.2")
	import mhost

	with tempfile.TemporaryDirectory() as folder:
		socket, store = f"{folder}/s", f"{folder}/store"
		env = {**os.environ, "MHOST_SOCKET": socket}
		subprocess.run([args.mhost, "import", "m@1.0.0", args.model, "--store", store], check=True, stdout=subprocess.DEVNULL)
		host = subprocess.Popen([args.mhostd, "--store", store, "--socket", socket, "--workers", "1"], stderr=subprocess.DEVNULL)
		try:
			end = time.monotonic() + START_S
			while subprocess.run([args.mhost, "activate", "m@1.0.0"], env=env, capture_output=True).returncode:
				if time.monotonic() > end:
					sys.exit("mhostd does not serve")
				time.sleep(0.2)
			tally = asyncio.run(campaign(mhost, socket, args.count, args.seed))
		finally:
			host.terminate()
			host.wait()
	refused = sum(tally["refused"].values())
	for why, times in tally["refused"].most_common():
		print(f"# refused {times} times: {why}")
	print(f"{len(tally['valid'])} replies valid, {len(tally['wrong'])} not, {refused} schemas refused by name")
	sys.exit(bool(tally["wrong"]) or len(tally["valid"]) < args.count * 0.9)


if __name__ == "__main__":
	main()
