# SPDX-License-Identifier: MIT
"""A user's program, for mypy --strict alone: what it reveals of the package's types is asserted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Optional

import mhost

if TYPE_CHECKING:
	from typing_extensions import assert_type


def whole(path: Optional[str]) -> None:
	with mhost.connect(path, timeout=2.5) as host:
		for token in host.generate("smol", "Once", max_tokens=5, temperature=0.7, stop=["\n"], logprobs=3):
			assert_type(token, mhost.Token)
			assert_type(token.top, tuple[mhost.Top, ...])
		reply = host.complete("smol", [1, 2, 3], adapters=["pirate", ("legal@1.2.0", 0.5)], deadline=1)
		assert_type(reply, mhost.Reply)
		assert_type(reply.adapters[0].scale, float)
		assert_type(host.tokenize("smol", "x"), list[int])
		assert_type(host.score("smol", "x").perplexity, float)
		host.complete("smol", "x", max_token=3)  # type: ignore[call-arg]
		host.complete("smol", "x", max_tokens="3")  # type: ignore[arg-type]


async def streamed() -> None:
	async with mhost.connect_async() as host:
		async for token in host.generate("smol", "Once"):
			assert_type(token, mhost.Token)
		assert_type(await host.complete("smol", "Once"), mhost.Reply)
		try:
			await host.ping()
		except mhost.Error as error:
			assert_type(error.reply, Optional[mhost.Reply])


asyncio.run(streamed())
