# SPDX-License-Identifier: MIT
"""A connection to a local mhost, for programs that wait."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Iterable, Iterator, Optional, Sequence

from ._call import Call
from ._request import Options, Prepared, Prompt, best, prepare, prepare_many
from ._session import Path, Session
from ._stream import StreamBase, drain
from .adapters import Config, Pushed, Weights, push
from .errors import InvalidRequest
from .reply import Embedding, Reply, Scores, Token

if TYPE_CHECKING:
	from typing_extensions import Unpack


EMBED_AHEAD = 16  # of embed_many(), under way


def connect(socket: Optional[Path] = None, *, timeout: Optional[float] = None) -> Host:
	"""Connect to the host at a socket; without one, $MHOST_SOCKET or the library's default.

	timeout is how many seconds a call waits for the next event before it raises WaitTimeout; None: for ever.
	"""
	return Host(socket, timeout=timeout)


class Stream(StreamBase):
	"""The tokens of one reply while they come. Leaving it early cancels the request: break out of the loop, close(),
	the end of a with block, or no reference left.
	"""

	def __iter__(self) -> Stream:
		return self

	def __next__(self) -> Token:
		while True:
			token = self._take()
			if token is not None:
				return token
			if self._is_over():
				self._raise_failure()
				raise StopIteration
			self._session.wait()

	def __enter__(self) -> Stream:
		return self

	def __exit__(
		self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
	) -> None:
		self.close()

	def close(self) -> None:
		"""Cancel, and want nothing more of it. Fine when it has ended."""
		self._session.forget(self._call)

	def result(self) -> Reply:
		"""Wait for the end and return the whole reply, with the tokens that were read before."""
		while not self._is_over():
			self._session.wait()
		return self._result()


def _embedding(stream: Stream) -> Embedding:
	with stream:
		stream.result()
		return stream._call.embedding()


class Host:
	"""One connection, used by the thread that opened it. Any number of requests run on it at a time."""

	def __init__(self, socket: Optional[Path] = None, *, timeout: Optional[float] = None) -> None:
		self._session = Session(socket, timeout)

	def __enter__(self) -> Host:
		return self

	def __exit__(
		self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
	) -> None:
		self.close()

	def close(self) -> None:
		"""Cancels what runs. Fine a second time."""
		self._session.close()

	@property
	def closed(self) -> bool:
		return self._session.closed

	@property
	def worker_count(self) -> int:
		"""Workers that this connection has lanes to now."""
		return self._session.worker_count()

	def generate(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> Stream:
		"""Begin a reply. The request is on its way when this returns; Options tells the options."""
		return Stream(self._session, self._session.submit(prepare("GENERATE", model, prompt, options)))

	def complete(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> Reply:
		"""A whole reply."""
		return self.generate(model, prompt, **options).result()

	def choices(
		self, model: str, prompt: Prompt, n: int, *, best_of: Optional[int] = None, **options: Unpack[Options]
	) -> list[Reply]:
		"""n whole replies with the seeds from `seed` on. They share the prompt's KV. With best_of so many are made, and
		those of the highest mean log-probability come back, the best first.
		"""
		prepared, count = prepare_many(model, prompt, n, best_of, options)
		streams = [Stream(self._session, call) for call in self._session.submit_many(prepared, count)]
		try:
			return best([stream.result() for stream in streams], n, best_of)
		finally:
			for stream in streams:
				stream.close()

	def score(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> Scores:
		"""The log-probability of each token of the prompt. Nothing is generated."""
		return self._finish(prepare("SCORE", model, prompt, options)).scores()

	def embed(self, model: str, prompt: Prompt, **options: Unpack[Options]) -> Embedding:
		"""A text as a vector of length 1, out of the hidden states after the final norm."""
		return self._finish(prepare("EMBED", model, prompt, options)).embedding()

	def embed_many(self, model: str, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Embedding]:
		"""The same of many; some are under way at a time, so that they share steps."""
		found: list[Embedding] = []
		waiting: deque[Stream] = deque()
		for prompt in prompts:
			waiting.append(Stream(self._session, self._session.submit(prepare("EMBED", model, prompt, options))))
			if len(waiting) == EMBED_AHEAD:
				found.append(_embedding(waiting.popleft()))
		while waiting:
			found.append(_embedding(waiting.popleft()))
		return found

	def tokenize(self, model: str, text: str, **options: Unpack[Options]) -> list[int]:
		return self._finish(prepare("TOKENIZE", model, text, options)).prompt

	def detokenize(self, model: str, tokens: Sequence[int], **options: Unpack[Options]) -> str:
		return self._finish(prepare("DETOKENIZE", model, tokens, options)).plain_text()

	def ping(self) -> None:
		"""A round trip through one worker."""
		self._finish(Prepared("PING"))

	def _finish(self, prepared: Prepared) -> Call:
		call = self._session.submit(prepared)
		with Stream(self._session, call) as stream:
			stream.result()
		return call

	def adapter_push(
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
		"""Make the next version of an adapter out of a state dict and route to it: each request that begins afterwards gets
		these weights, those that run keep theirs. Nothing is written to a disk.

		weights   a state dict as PEFT saves it, a PEFT folder, a safetensors file or its bytes, or a PeftModel (its active
		          adapter)
		config    adapter_config.json as a dict or a text, or a LoraConfig; read beside a path, taken out of a PeftModel
		version   "1.2.0"; without it, the next patch (a name may be given as "pirate@1.2.0" too)
		load_only into memory, without traffic
		keep      into the store too: it outlives a restart of the host; slower
		timeout   seconds to wait for the host; it may still do it afterwards
		"""
		return push(
			self._session.socket, model, name, weights, config,
			version=version, load_only=load_only, keep=keep, timeout=timeout,
		)

	def merge(self, streams: Iterable[Stream]) -> Iterator[tuple[Stream, Optional[Token]]]:
		"""Tokens of many streams of this connection as they come. When one is over, (stream, None) comes once: its
		error is not raised, stream.error and stream.reply tell. What is left when the loop is left goes on.
		"""
		pending = list(streams)
		if any(stream._session is not self._session for stream in pending):
			raise InvalidRequest("merge: a stream belongs to another connection")
		while pending:
			yield from drain(pending)
			if pending:
				self._session.wait()
