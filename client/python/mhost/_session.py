# SPDX-License-Identifier: MIT
"""One struct mhost: its calls in the right order, its events to their requests."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import threading
import time
import weakref
from collections import deque
from typing import Callable, Optional, Union

from . import _abi
from ._call import Call
from ._request import Prepared
from .errors import Busy, Closed, WaitTimeout, WrongThread, from_code

SLICE_MS = 100  # of a wait; Ctrl-C is heard between two
Path = Union[str, "os.PathLike[str]"]
_END = _abi.EVENTS["END"]
_NOTHING = (-errno.EAGAIN, -errno.ENODATA)


class Session:
	"""The event that mhost_next() gave lies in the session's memory until the next call of the library, and Ctrl-C
	may come between any two steps here. So the event is handed over before anything else is called, and handing it
	over twice does no harm.
	"""

	def __init__(self, socket: Optional[Path], timeout: Optional[float]) -> None:
		self._lib = _abi.library()
		self._handle = ctypes.c_void_p()
		self._event = (_abi.EventPointer * 1)()  # one place for ever: a call may be on its way to fill it
		# Weakly: a request whose reader is gone, by Ctrl-C amid its making too, is cancelled at its next event.
		self._calls: weakref.WeakValueDictionary[int, Call] = weakref.WeakValueDictionary()
		self._submitting: list[tuple[ctypes.c_uint64, Call]] = []
		self._unwanted: deque[int] = deque()  # to be cancelled at the next call
		self._dropped: set[int] = set()  # nobody waits for their end
		self._reading = False
		self._pid = os.getpid()
		self._thread = threading.get_ident()
		self.socket = socket
		self.timeout = timeout
		path = None if socket is None else os.fsencode(socket)
		code = self._lib.mhost_connect(ctypes.byref(self._handle), path)
		if code:
			error = self._failure(code)
			self._lib.mhost_close(ctypes.byref(self._handle))
			raise error

	def adopt(self) -> None:
		"""The calling thread is the one from now on."""
		self._thread = threading.get_ident()

	def close(self) -> None:
		"""In a forked child too: it drops the child's copy, the parent's goes on."""
		if self._handle:
			if self._pid == os.getpid():
				self._check()
			self._lib.mhost_close(ctypes.byref(self._handle))
			self._calls.clear()

	@property
	def closed(self) -> bool:
		return not self._handle

	def __del__(self) -> None:
		if getattr(self, "_handle", None):  # nobody refers to it, so nobody is in a call
			self._lib.mhost_close(ctypes.byref(self._handle))

	@property
	def is_ours(self) -> bool:
		return self._thread == threading.get_ident() and self._pid == os.getpid()

	def _check(self) -> None:
		if self._pid != os.getpid():
			raise WrongThread("this connection belongs to the parent process: open another one after fork()")
		if self._thread != threading.get_ident():
			raise WrongThread("this connection belongs to another thread: each thread opens its own")
		if self._reading:
			raise WrongThread("this connection is being read: a signal handler or finalizer cannot use it now")

	def _enter(self) -> None:
		"""Before each call of the library."""
		if not self._handle:
			raise Closed("this connection is closed")
		self._check()
		self._register()
		self._settle()
		for _ in range(len(self._unwanted)):
			number = self._unwanted.popleft()
			if self._lib.mhost_cancel(self._handle, number) == Busy.code:
				self._unwanted.append(number)

	def _settle(self) -> None:
		if not self._event[0]:
			return
		self._reading = True
		try:
			event = self._event[0].contents
			call = self._calls.get(event.id)
			if call is not None:
				call.take(event)
			if event.type == _END:
				self._calls.pop(event.id, None)
				self._dropped.discard(event.id)
			elif call is None and event.id not in self._dropped:
				self._drop(event.id)
			self._event[0] = _abi.EventPointer()
		finally:
			self._reading = False

	def _failure(self, code: int) -> Exception:
		return from_code(code, self._lib.mhost_errmsg(self._handle).decode("utf-8", "replace"))

	def submit(self, prepared: Prepared, patience_s: float = 1.0) -> Call:
		"""Queue a request. While the ring is full or no worker is there, events are read for so long."""
		until = time.monotonic() + patience_s
		call, number = Call(), ctypes.c_uint64()
		self._submitting.append((number, call))
		try:
			while not call.id:
				self._enter()
				code = self._lib.mhost_submit(self._handle, ctypes.byref(prepared.c), ctypes.byref(number))
				self._register()
				if code and (code != Busy.code or time.monotonic() > until):
					raise self._failure(code)
				if code and not self.look(1):
					time.sleep(0.001)
		finally:
			self._submitting.remove((number, call))
		return call

	def submit_many(self, prepared: Prepared, count: int, patience_s: float = 1.0) -> list[Call]:
		"""The same of replies that differ in their seeds; one worker takes all that the ring has room for."""
		until = time.monotonic() + patience_s
		numbers = (ctypes.c_uint64 * count)()
		pairs = [(ctypes.c_uint64.from_buffer(numbers, 8 * i), Call()) for i in range(count)]
		done = 0
		self._submitting.extend(pairs)
		try:
			while done < count:
				self._enter()
				at = ctypes.cast(ctypes.byref(numbers, 8 * done), ctypes.POINTER(ctypes.c_uint64))
				code = self._lib.mhost_submit_many(self._handle, ctypes.byref(prepared.c), count - done, at)
				self._register()
				if code > 0:
					done += code
					prepared.c.seed = (prepared.c.seed + code) % (1 << 64)
					continue
				if code != Busy.code or time.monotonic() > until:
					raise self._failure(code)
				if not self.look(1):
					time.sleep(0.001)
		finally:
			for pair in pairs:
				self._submitting.remove(pair)
		return [call for _, call in pairs]

	def _register(self) -> None:
		"""What was submitted; by a signal handler too, that came before the one it interrupted could."""
		for number, call in self._submitting:
			if number.value:
				self._calls[number.value] = call
				call.id = number.value

	def _next(self, wait_ms: int) -> int:
		self._enter()
		code = int(self._lib.mhost_next(self._handle, wait_ms, self._event))
		if not code:
			self._settle()
		elif code not in _NOTHING:
			raise self._failure(code)
		return code

	def look(self, wait_ms: int = 0) -> bool:
		"""Hand over one event of any request. False: nothing came in time."""
		return self._next(wait_ms) == 0

	def wait(self) -> None:
		"""Hand over the next event, however long it takes, up to the timeout."""
		until = math.inf if self.timeout is None else time.monotonic() + self.timeout
		while True:
			left_ms = max(0.0, (until - time.monotonic()) * 1000)
			code = self._next(math.ceil(min(SLICE_MS, left_ms)))
			if not code or code == -errno.ENODATA:  # ended meanwhile, read by a signal handler
				return
			if time.monotonic() >= until:
				raise WaitTimeout(f"nothing came in {self.timeout} s; the request is still open")

	def _drop(self, number: int) -> None:
		self._dropped.add(number)
		self._unwanted.append(number)

	def cancel(self, call: Call) -> None:
		"""Ask for its end, which still comes."""
		if not call.ended:
			self._unwanted.append(call.id)
			self._enter()

	def forget(self, call: Call) -> None:
		"""Nobody wants what may still come. From finalizers too, so it never raises."""
		call.dropped = True
		if call.ended or self._calls.pop(call.id, None) is None:
			return
		self._drop(call.id)
		if self._handle and not self._reading and self.is_ours:
			self._enter()

	def wakers(self) -> list[Callable[[], None]]:
		"""Of who waits for something."""
		return [call.wake for call in self._calls.values() if call.wake is not None]

	def descriptor(self) -> int:
		"""Readable when look() may have something; to be asked again until it says no."""
		self._enter()
		fd = int(self._lib.mhost_fd(self._handle))
		if fd < 0:
			raise OSError(-fd, os.strerror(-fd))
		return fd

	def worker_count(self) -> int:
		self._enter()
		return int(self._lib.mhost_worker_count(self._handle))
