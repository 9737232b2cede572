# SPDX-License-Identifier: MIT
"""mhost: talk to a local mhost through shared memory.

	with mhost.connect() as host:
		for token in host.generate("smol", "Once upon a time", max_tokens=50):
			print(token, end="", flush=True)
"""

from __future__ import annotations

from ._request import Options, Prompt
from .adapters import Pushed
from .aio import AsyncHost, AsyncStream, connect_async
from .control import Control
from .errors import (
	Busy,
	CannotConnect,
	Closed,
	ControlError,
	DeadlinePassed,
	Error,
	HostGone,
	InternalError,
	InvalidRequest,
	NoAdapter,
	NoModel,
	NotFinite,
	NoVersion,
	ProtocolMismatch,
	Refused,
	SlowReader,
	Stopping,
	TooLong,
	WaitTimeout,
	WorkerLost,
	WrongThread,
)
from .host import Host, Stream, connect
from .message import parse_message
from .reply import AdapterUsed, Embedding, Reply, Scores, Stamp, Timing, Token, Top

__version__ = "0.1.0"

__all__ = [
	"AdapterUsed",
	"AsyncHost",
	"AsyncStream",
	"Busy",
	"CannotConnect",
	"Closed",
	"Control",
	"ControlError",
	"DeadlinePassed",
	"Embedding",
	"Error",
	"Host",
	"HostGone",
	"InternalError",
	"InvalidRequest",
	"NoAdapter",
	"NoModel",
	"NoVersion",
	"NotFinite",
	"Options",
	"Prompt",
	"ProtocolMismatch",
	"Pushed",
	"Refused",
	"Reply",
	"Scores",
	"SlowReader",
	"Stamp",
	"Stopping",
	"Stream",
	"Timing",
	"Token",
	"TooLong",
	"Top",
	"WaitTimeout",
	"WorkerLost",
	"WrongThread",
	"connect",
	"connect_async",
	"parse_message",
]
