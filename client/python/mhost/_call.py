# SPDX-License-Identifier: MIT
"""One request from its submission to its end: all that came of it."""

from __future__ import annotations

import ctypes
import math
from typing import Any, Callable, Optional

from . import _abi
from .errors import Error, from_code
from .reply import AdapterUsed, Embedding, Reply, Scores, Stamp, Timing, Token, Top

_FINISH = {number: name.lower() for name, number in _abi.FINISHES.items()}
_HASH_BYTES = 32


class Call:
	"""Events may be taken twice (see Session._settle), so each one says where it belongs, and goes there."""

	def __init__(self) -> None:
		self.id = 0
		self.stamp: Optional[Stamp] = None
		self.tokens: list[Token] = []
		self.ahead: set[int] = set()  # indices of tokens
		self.prompt: list[int] = []
		self.logprobs: list[Optional[float]] = []
		self.text = bytearray()  # of detokenize
		self.vector: list[float] = []
		self.ended = False
		self.dropped = False  # its reader wants no more
		self.finish = ""
		self.error: Optional[Exception] = None
		self.timing = Timing(0.0, 0.0, 0.0)
		self.cached_count = 0
		self.form = self.form_flags = 0
		self.wake: Optional[Callable[[], None]] = None

	def take(self, event: Any) -> None:
		taker = _TAKE.get(event.type)
		if taker is not None:
			taker(self, event)
		if self.wake is not None:
			self.wake()

	def _begin(self, event: Any) -> None:
		self.form, self.form_flags = event.form, event.form_flags
		self.stamp = Stamp(
			model=_str(event.model),
			version=_str(event.version),
			content_hash=_hex(event.content_hash),
			adapters=_adapters(event),
			epoch=event.epoch,
		)

	def _prompt(self, event: Any) -> None:
		self.prompt[event.first :] = event.tokens[: event.count]

	def _scores(self, event: Any) -> None:
		values = event.logprobs[: event.count]
		self.logprobs[event.first :] = [None if math.isnan(value) else value for value in values]

	def _vector(self, event: Any) -> None:
		self.vector[event.first :] = event.values[: event.count]

	def _token(self, event: Any) -> None:
		if event.index != len(self.tokens):
			return
		if event.ahead:
			self.ahead.add(event.index)
		logprob = event.logprob
		text = _str(ctypes.string_at(event.text, event.text_bytes)) if event.text_bytes else ""
		count = event.top_count
		top = tuple(Top(one.token, one.logprob) for one in event.top[:count]) if count else ()
		known = None if math.isnan(logprob) else logprob
		self.tokens.append(Token(text, event.token, known, top))

	def _text(self, event: Any) -> None:
		self.text[event.first :] = ctypes.string_at(event.text, event.text_bytes)

	def _end(self, event: Any) -> None:
		self.finish = _FINISH.get(event.finish, "error")
		self.cached_count = event.cached_count
		self.timing = Timing(event.queue_ns / 1e9, event.prefill_ns / 1e9, event.decode_ns / 1e9)
		if event.error:
			self.error = from_code(event.error, _str(event.message), bool(event.retriable))
		self.ended = True

	def _stamp_or_empty(self) -> Stamp:
		return self.stamp or Stamp("", "", "", (), 0)

	def reply(self) -> Reply:
		"""What came so far."""
		stamp = self._stamp_or_empty()
		return Reply(
			**vars(stamp),
			text="".join(token.text for token in self.tokens),
			tokens=tuple(self.tokens),
			finish=self.finish,
			prompt_tokens=tuple(self.prompt),
			cached_count=self.cached_count,
			ahead_count=len(self.ahead),
			timing=self.timing,
			form=self.form,
			form_flags=self.form_flags,
		)

	def scores(self) -> Scores:
		return Scores(
			**vars(self._stamp_or_empty()),
			token_ids=tuple(self.prompt),
			logprobs=tuple(self.logprobs),
			timing=self.timing,
		)

	def embedding(self) -> Embedding:
		return Embedding(**vars(self._stamp_or_empty()), values=tuple(self.vector), token_ids=tuple(self.prompt), timing=self.timing)

	def plain_text(self) -> str:
		return self.text.decode("utf-8", "replace")

	def failure(self) -> Optional[Exception]:
		"""Its error, with what came before it."""
		if isinstance(self.error, Error) and self.error.reply is None:
			self.error.reply = self.reply()
		return self.error


def _str(value: Optional[bytes]) -> str:
	return (value or b"").decode("utf-8", "replace")


def _hex(pointer: Any) -> str:
	return ctypes.string_at(pointer, _HASH_BYTES).hex() if pointer else ""


def _adapters(event: Any) -> tuple[AdapterUsed, ...]:
	if not event.adapter_count:
		return ()
	return tuple(
		AdapterUsed(_str(one.name), _str(one.version), _hex(one.content_hash), one.scale)
		for one in event.adapters[: event.adapter_count]
	)


_TAKE = {
	_abi.EVENTS["BEGIN"]: Call._begin,
	_abi.EVENTS["PROMPT"]: Call._prompt,
	_abi.EVENTS["SCORES"]: Call._scores,
	_abi.EVENTS["TOKEN"]: Call._token,
	_abi.EVENTS["VECTOR"]: Call._vector,
	_abi.EVENTS["TEXT"]: Call._text,
	_abi.EVENTS["END"]: Call._end,
}
