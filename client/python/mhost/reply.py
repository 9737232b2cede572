# SPDX-License-Identifier: MIT
"""What comes back: tokens while they stream, and whole replies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Optional


class Top(NamedTuple):
	"""One of the likeliest tokens at a place."""

	token: int
	logprob: float


class Token(NamedTuple):
	"""One token of a reply. str() of it is its text."""

	text: str  # whole characters: "" while one is incomplete, all of it with the token that ends it
	token: int  # its id
	logprob: Optional[float]  # natural logarithm; None unless asked for
	top: tuple[Top, ...]  # the likeliest first; empty unless asked for

	def __str__(self) -> str:
		return self.text


class AdapterUsed(NamedTuple):
	"""An adapter that a reply was made with."""

	name: str
	version: str
	content_hash: str
	scale: float


@dataclass(frozen=True)
class Stamp:
	"""Which weights answer, known from the first event to the last."""

	model: str
	version: str
	content_hash: str  # SHA-256 in hex
	adapters: tuple[AdapterUsed, ...]
	epoch: int  # of the host, when the request was admitted


@dataclass(frozen=True)
class Timing:
	"""Seconds in the worker."""

	queue_s: float  # from its arrival to its admission
	prefill_s: float  # to the first token
	decode_s: float  # to the end


@dataclass(frozen=True)
class Reply(Stamp):
	"""A reply that has ended."""

	text: str
	tokens: tuple[Token, ...]
	finish: str  # "stop" (end of text or a stop string), "length", "cancelled" or "error"
	prompt_tokens: tuple[int, ...]
	cached_count: int  # prompt tokens that need not be computed again
	ahead_count: int  # tokens that were guessed ahead, and right
	timing: Timing
	form: int = 0  # of a chat, for parse_message()
	form_flags: int = 0

	@property
	def token_ids(self) -> tuple[int, ...]:
		return tuple(token.token for token in self.tokens)

	def __str__(self) -> str:
		return self.text


@dataclass(frozen=True)
class Embedding(Stamp):
	"""A text as a vector."""

	values: tuple[float, ...]
	token_ids: tuple[int, ...]
	timing: Timing


@dataclass(frozen=True)
class Scores(Stamp):
	"""Log-probabilities of a text's own tokens."""

	token_ids: tuple[int, ...]
	logprobs: tuple[Optional[float], ...]  # natural logarithms; the first has nothing before it: None
	timing: Timing

	@property
	def sum_logprob(self) -> float:
		return math.fsum(value for value in self.logprobs if value is not None)

	@property
	def perplexity(self) -> float:
		"""Over the tokens that have something before them; NaN without any."""
		count = sum(value is not None for value in self.logprobs)
		return math.exp(-self.sum_logprob / count) if count else math.nan
