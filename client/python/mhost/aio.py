# SPDX-License-Identifier: MIT
"""A connection to a local mhost, for asyncio."""

from __future__ import annotations

import asyncio
import functools
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Generator, Iterable, Optional, Sequence

from ._call import Call
from ._request import Options, Prepared, Prompt, best, prepare, prepare_many
from ._session import Path, Session
from ._stream import StreamBase, drain
from .adapters import Config, Pushed, Weights, push
from .errors import Closed, Error, InvalidRequest
from .reply import Embedding, Reply, Scores, Token

if TYPE_CHECKING:
	from typing_extensions import Unpack

EVENTS_A_TURN = 256  # then the others in the loop have theirs
PATIENCE_S = 0.05  # of a submit, which holds the loop up


def connect_async(socket: Optional[Path] = None) -> Connecting:
	"""`async with mhost.connect_async() as host`, or `host = await mhost.connect_async()` and host.close()."""
	return Connecting(socket)


class Connecting:
	"""An AsyncHost to be."""

	def __init__(self, socket: Optional[Path]) -> None:
		self._socket = socket
		self._host: Optional[AsyncHost] = None

	def __await__(self) -> Generator[Any, None, AsyncHost]:
		return self._connect().__await__()

	async def _connect(self) -> AsyncHost:
		loop = asyncio.get_running_loop()
		return AsyncHost(await loop.run_in_executor(None, Session, self._socket, None))

	async def __aenter__(self) -> AsyncHost:
		self._host = await self._connect()
		return self._host

	async def __aexit__(
		self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
	) -> None:
		if self._host is not None:
			self._host.close()


class AsyncStream(StreamBase):
	"""As Stream, for `async for`. Leaving it early cancels the request: aclose(), the end of an `async with` block, or
	no reference left, as when the task that read it was cancelled.
	"""

	def __init__(self, host: AsyncHost, call: Call) -> None:
		super().__init__(host._session, call)
		self._host = host
		self._news = asyncio.Event()
		call.wake = self._news.set

	def __aiter__(self) -> AsyncStream:
		return self

	async def __anext__(self) -> Token:
		while True:
			token = self._take()
			if token is not None:
				return token
			if self._is_over():
				self._raise_failure()
				raise StopAsyncIteration
			await self._wait()

	async def _wait(self) -> None:
		self._news.clear()
		self._host._check()
		await self._news.wait()
		self._host._check()

	async def __aenter__(self) -> AsyncStream:
		return self

	async def __aexit__(
		self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
	) -> None:
		await self.aclose()

	async def aclose(self) -> None:
		"""Cancel, and want nothing more of it. Fine when it has ended."""
		self._session.forget(self._call)
		self._news.set()  # whoever waits sees that it is over

	async def result(self) -> Reply:
		"""Wait for the end and return the whole reply, with the tokens that were read before."""
		while not self._is_over():
			await self._wait()
		return self._result()


class AsyncHost:
	"""One connection, used in the event loop that opened it. Any number of requests run on it at a time."""

	def __init__(self, session: Session) -> None:
		session.adopt()
		self._session = session
		self._failure: Optional[Exception] = None
		self._news = asyncio.Event()
		self._is_due = False  # a turn, by the loop
		self._loop = asyncio.get_running_loop()
		self._fd = session.descriptor()
		self._loop.add_reader(self._fd, _turn_of, weakref.ref(self))

	async def __aenter__(self) -> AsyncHost:
		return self

	async def __aexit__(
		self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
	) -> None:
		self.close()

	def close(self) -> None:
		"""Cancels what runs; who waits for it gets Closed. Fine a second time."""
		waiting = self._session.wakers()
		self._leave_loop()
		self._session.close()
		self._fail(Closed("this connection is closed"), waiting)

	def __del__(self) -> None:
		if hasattr(self, "_fd"):
			self._leave_loop()

	@property
	def closed(self) -> bool:
		return self._session.closed

	@property
	def worker_count(self) -> int:
		"""Workers that this connection has lanes to now."""
		return self._session.worker_count()

	def _leave_loop(self) -> None:
		"""A forked child has its parent's epoll, which must not be touched."""
		if self._fd >= 0 and self._session.is_ours:
			if not self._loop.is_closed():
				self._loop.remove_reader(self._fd)
			self._fd = -1

	def _fail(self, failure: Exception, waiting: list[Callable[[], None]]) -> None:
		"""Nothing will come any more."""
		self._leave_loop()
		self._failure = self._failure or failure
		self._news.set()
		for wake in waiting:
			wake()

	def _check(self) -> None:
		if self._failure is not None:
			raise self._failure

	def _turn(self) -> None:
		"""Hand over what has come, until there is nothing: only then does the descriptor tell of more."""
		if self._fd < 0:
			return
		try:
			for _ in range(EVENTS_A_TURN):
				if not self._session.look():
					return
				self._news.set()
			self._turn_soon()
		except Error as error:
			self._fail(error, self._session.wakers())

	def _turn_soon(self) -> None:
		if not self._is_due:
			self._is_due = True
			self._loop.call_soon(self._due_turn)

	def _due_turn(self) -> None:
		self._is_due = False
		self._turn()

	def _submit(self, prepared: Prepared) -> AsyncStream:
		self._check()
		stream = AsyncStream(self, self._session.submit(prepared, PATIENCE_S))
		self._turn_soon()
		return stream

	def generate(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> AsyncStream:
		"""Begin a reply. The request is on its way when this returns, without an await; Options tells the options."""
		return self._submit(prepare("GENERATE", model, prompt, options))

	async def complete(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> Reply:
		"""A whole reply."""
		return await self.generate(model, prompt, **options).result()

	async def choices(
		self, model: str, prompt: Prompt, n: int, *, best_of: Optional[int] = None, **options: Unpack[Options]
	) -> list[Reply]:
		"""As Host.choices()."""
		prepared, count = prepare_many(model, prompt, n, best_of, options)
		self._check()
		streams = [AsyncStream(self, call) for call in self._session.submit_many(prepared, count, PATIENCE_S)]
		self._turn_soon()
		try:
			return best([await stream.result() for stream in streams], n, best_of)
		finally:
			for stream in streams:
				stream.cancel()

	async def score(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> Scores:
		"""The log-probability of each token of the prompt. Nothing is generated."""
		return (await self._finish(prepare("SCORE", model, prompt, options))).scores()

	async def embed(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> Embedding:
		"""A text as a vector of length 1, out of the hidden states after the final norm. Many at once: asyncio.gather()."""
		return (await self._finish(prepare("EMBED", model, prompt, options))).embedding()

	async def tokenize(self, model: str, text: str, **options: Unpack[Options]) -> list[int]:
		return (await self._finish(prepare("TOKENIZE", model, text, options))).prompt

	async def detokenize(self, model: str, tokens: Sequence[int], **options: Unpack[Options]) -> str:
		return (await self._finish(prepare("DETOKENIZE", model, tokens, options))).plain_text()

	async def ping(self) -> None:
		"""A round trip through one worker."""
		await self._finish(Prepared("PING"))

	async def _finish(self, prepared: Prepared) -> Call:
		async with self._submit(prepared) as stream:
			await stream.result()
			return stream._call

	async def adapter_push(
		self,
		model: str,
		name: str,
		weights: Weights,
		config: Optional[Config] = None,
		*,
		version: Optional[str] = None,
		load_only: bool = False,
		keep: bool = False,
		timeout: Optional[float] = None,
	) -> Pushed:
		"""As Host.adapter_push(). The weights must stay as they are until it is done."""
		call = functools.partial(
			push, self._session.socket, model, name, weights, config,
			version=version, load_only=load_only, keep=keep, timeout=timeout,
		)
		return await self._loop.run_in_executor(None, call)

	async def merge(self, streams: Iterable[AsyncStream]) -> AsyncIterator[tuple[AsyncStream, Optional[Token]]]:
		"""Tokens of many streams of this connection as they come. When one is over, (stream, None) comes once: its
		error is not raised, stream.error and stream.reply tell. What is left when the loop is left goes on.
		"""
		pending = list(streams)
		if any(stream._host is not self for stream in pending):
			raise InvalidRequest("merge: a stream belongs to another connection")
		while pending:
			self._news.clear()
			for pair in drain(pending):
				yield pair
			if pending:
				self._check()
				await self._news.wait()


def _turn_of(host: weakref.ref[AsyncHost]) -> None:
	"""The loop keeps no connection alive."""
	known = host()
	if known is not None:
		known._turn()
