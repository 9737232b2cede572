#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stream one reply: example.py smol "Once upon a time" [ADAPTER[@VERSION]...]"""

import sys

import mhost

if len(sys.argv) < 3:
	sys.exit("usage: example.py MODEL PROMPT [ADAPTER[@VERSION]...]")
model, prompt, *adapters = sys.argv[1:]
try:
	with mhost.connect() as host:
		stream = host.generate(model, prompt, max_tokens=64, adapters=adapters)
		for token in stream:
			print(token, end="", flush=True)
		reply = stream.result()
		used = "".join(f" + {one.name}@{one.version}" for one in reply.adapters)
		print(f"\n[{reply.model}@{reply.version}{used}, {len(reply.tokens)} tokens, {reply.finish}]")
except mhost.Error as error:
	sys.exit(f"example.py: {error}")
