# SPDX-License-Identifier: MIT
"""What streams have in common, whether their reader blocks or awaits."""

from __future__ import annotations

from typing import Iterator, Optional, TypeVar

from ._call import Call
from ._session import Session
from .errors import Closed
from .reply import Reply, Stamp, Token


class StreamBase:
	def __init__(self, session: Session, call: Call) -> None:
		self._session = session
		self._call = call
		self._given = 0

	def __del__(self) -> None:
		if hasattr(self, "_given"):
			self._session.forget(self._call)

	def _take(self) -> Optional[Token]:
		"""A token that has come and was not given yet."""
		if self._given == len(self._call.tokens) or self._call.dropped:
			return None
		token = self._call.tokens[self._given]
		self._given += 1
		return token

	def _is_over(self) -> bool:
		"""Nothing more will come."""
		return self._call.ended or self._call.dropped

	def _result(self) -> Reply:
		if not self._call.ended:
			raise Closed("this stream was closed before its end")
		self._raise_failure()
		return self._call.reply()

	def _raise_failure(self) -> None:
		if self.error is not None:
			raise self.error

	def cancel(self) -> None:
		"""Ask for its end. What comes before it can still be read; its reply's finish is "cancelled"."""
		self._session.cancel(self._call)

	@property
	def stamp(self) -> Optional[Stamp]:
		"""Which weights answer; None until the request is admitted."""
		return self._call.stamp

	@property
	def text(self) -> str:
		"""What has come so far."""
		return "".join(token.text for token in self._call.tokens)

	@property
	def ended(self) -> bool:
		return self._call.ended

	@property
	def error(self) -> Optional[Exception]:
		"""Why it failed, when it did."""
		return self._call.failure()

	@property
	def reply(self) -> Optional[Reply]:
		"""The whole reply, once it has ended well."""
		return self._call.reply() if self._call.ended and self._call.error is None else None


AnyStream = TypeVar("AnyStream", bound=StreamBase)


def drain(pending: list[AnyStream]) -> Iterator[tuple[AnyStream, Optional[Token]]]:
	"""What has come of these streams; those that are over leave the list, each with a None."""
	for stream in pending[:]:
		token = stream._take()
		while token is not None:
			yield stream, token
			token = stream._take()
		if stream._is_over():
			pending.remove(stream)
			yield stream, None
