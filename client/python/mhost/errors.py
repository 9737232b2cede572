# SPDX-License-Identifier: MIT
"""What can go wrong: one class for each code of libmhost, all of them mhost.Error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
	from .reply import Reply


class Error(Exception):
	"""Anything that mhost or this package reports.

	code       enum mhost_error or -errno; 0: it is this package's own
	retriable  the same request may succeed elsewhere or later
	reply      what had come of the reply before it failed, or None
	"""

	code: int = 0
	retriable: bool = False
	reply: Optional[Reply] = None

	def __init__(self, message: str, *, code: Optional[int] = None, retriable: Optional[bool] = None) -> None:
		super().__init__(message)
		if code is not None:
			self.code = code
		if retriable is not None:
			self.retriable = retriable


class InvalidRequest(Error, ValueError):
	"""A field is out of its range; the message names it."""

	code = -5001


class NoModel(Error, LookupError):
	"""No such model, or it has no active version."""

	code = -5002


class NoVersion(Error, LookupError):
	"""That version is not in memory."""

	code = -5003


class TooLong(Error, ValueError):
	"""Prompt and max_tokens against the context."""

	code = -5004


class Busy(Error):
	"""A queue is full, or no worker is ready: try again later."""

	code = -5005
	retriable = True


class DeadlinePassed(Error, TimeoutError):
	"""The request's deadline passed in the host."""

	code = -5006


class NotFinite(Error, ArithmeticError):
	"""The model produced numbers that are not finite."""

	code = -5007


class Stopping(Error):
	"""The host is shutting down."""

	code = -5008
	retriable = True


class WorkerLost(Error, ConnectionError):
	"""The worker died during the reply; the connection is good, and the request may be sent again."""

	code = -5009
	retriable = True


class SlowReader(Error):
	"""Events were not read in time, so the host ended the request."""

	code = -5010


class ProtocolMismatch(Error):
	"""Host and library are of different releases."""

	code = -5011


class InternalError(Error):
	"""A mistake in the host."""

	code = -5012


class Refused(Error, PermissionError):
	"""The host does not let this user in, or not any more of his connections."""

	code = -5013


class HostGone(Error, ConnectionError):
	"""The host has ended. The connection is dead: open another one."""

	code = -5014
	retriable = True


class NoAdapter(Error, LookupError):
	"""Not in the store, not loadable, or not for this version of the model."""

	code = -5015


class CannotConnect(Error, ConnectionError):
	"""Nobody answers at the socket. code is -errno."""

	retriable = True


class WaitTimeout(Error, TimeoutError):
	"""Nothing came within the connection's timeout. The request is still open: wait on, or close it."""

	retriable = True


class Closed(Error):
	"""This connection was closed."""


class WrongThread(Error, RuntimeError):
	"""A connection is used by the thread and the process that opened it, one call at a time."""


class ControlError(Error):
	"""The host answered a command on the control socket with an error."""


_BY_CODE = {
	kind.code: kind
	for kind in (
		InvalidRequest, NoModel, NoVersion, TooLong, Busy, DeadlinePassed, NotFinite, Stopping, WorkerLost,
		SlowReader, ProtocolMismatch, InternalError, Refused, HostGone, NoAdapter,
	)
}


def from_code(code: int, message: str, retriable: Optional[bool] = None) -> Exception:
	"""The exception for a code of libmhost."""
	known = _BY_CODE.get(code)
	if known is not None:
		return known(message, retriable=retriable)
	if code == -12:
		return MemoryError(message)
	if -4096 < code < 0:
		return CannotConnect(message or os.strerror(-code), code=code)
	return Error(message, code=code, retriable=retriable)
