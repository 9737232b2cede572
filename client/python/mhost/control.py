# SPDX-License-Identifier: MIT
"""The control socket: what an operator does. daemon/supervisor/CONTROL.md tells the keys of each answer."""

from __future__ import annotations

import json
import os
import socket as sockets
from typing import Any, Callable, Iterator, Optional, Sequence, TypedDict, Union, cast

from . import _abi
from ._request import text
from ._session import Path
from .errors import CannotConnect, ControlError, HostGone, InvalidRequest, WaitTimeout

Progress = Callable[[int, int], None]


class VersionEntry(TypedDict):
	model: str
	version: str
	state: str
	bytes: int


class Loaded(TypedDict, total=False):
	model: str
	adapter: str
	version: str
	already: bool
	active: bool  # of an adapter
	bytes: int
	read_bytes: int
	load_ns: int
	attach_ns: int
	rung: str


Flipped = TypedDict(
	"Flipped",
	{
		"model": str,
		"adapter": str,
		"from": Optional[str],
		"version": str,
		"epoch": int,
		"generation": int,
		"read_bytes": int,
		"load_ns": int,
		"flip_ns": int,
		"flip_wall_ns": int,
		"workers": int,
		"workers_pending": int,
	},
	total=False,
)


class Unloaded(TypedDict, total=False):
	model: str
	adapter: str
	version: str
	freed_bytes: int
	wait_ns: int


class Release(TypedDict, total=False):
	model: str
	adapter: str
	stable: str
	version: str
	mode: str
	state: str
	step: int
	steps: list[float]
	weight: float
	interval_s: float
	spent_s: float
	compared: int
	missed: int
	stable_cohort: dict[str, Any]
	candidate_cohort: dict[str, Any]
	verdict: Optional[dict[str, Any]]


class AdapterEntry(TypedDict, total=False):
	model: str
	adapter: str
	version: str
	state: str
	routed: bool
	by_hand: bool
	bytes: int
	rank_min: int
	rank_max: int
	uses: int
	unused_s: float


class ModelStatus(TypedDict, total=False):
	name: str
	active: Optional[str]
	candidate: Optional[str]
	weight: float
	resident: list[str]
	history: list[str]
	release: Optional[Release]


class Status(TypedDict, total=False):
	version: str
	pid: int
	uptime_s: float
	store: str
	socket: str
	epoch: int
	isa: str
	workers: int
	threads: int
	clients: int
	pages: dict[str, Any]
	loader: dict[str, Any]
	numa: dict[str, Any]
	memory: dict[str, int]
	history: dict[str, Any]
	adapters: dict[str, int]
	models: list[ModelStatus]


class Worker(TypedDict, total=False):
	pid: int
	state: str
	node: int
	running: int
	queued: int
	seen_epoch: Optional[int]
	steps: int
	restarts: int
	pins: dict[str, int]
	stats: Any


class Control:
	"""Commands to a host. A target is "smol" or, for an adapter of it, "smol/pirate"; its version is written behind it
	("smol@1.2.0") or given by itself.

	Each command has a connection of its own, so a Control may be used by any thread and after fork(), and Ctrl-C leaves
	nothing behind. timeout is how many seconds to wait for each line of an answer; None: as long as it takes.
	"""

	def __init__(self, socket: Optional[Path] = None, *, timeout: Optional[float] = None) -> None:
		if socket is None:
			socket = os.environ.get("MHOST_SOCKET") or _abi.DEFAULT_SOCKET
		self.path = os.fspath(socket) + ".ctl"
		self.timeout = timeout

	def call(self, command: str, progress: Optional[Progress] = None, **keys: Optional[str]) -> dict[str, Any]:
		"""Any command with its keys, those that are None left out. The final line, without "ok"."""
		for name, value in keys.items():
			if value is not None:
				text(name, value, empty=True)
		request = {"command": command, **{name: value for name, value in keys.items() if value is not None}}
		with self._connect() as connection:
			try:
				connection.sendall(json.dumps(request).encode() + b"\n")
				with connection.makefile("rb") as lines:
					return _final(lines, progress)
			except sockets.timeout:
				raise WaitTimeout(f"{command}: no answer within {self.timeout} s") from None
			except (ConnectionError, ValueError) as error:
				raise HostGone(f"the host at {self.path} gave no answer to {command}: {error}; see its log") from None

	def _connect(self) -> sockets.socket:
		connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
		connection.settimeout(self.timeout)
		try:
			connection.connect(self.path)
		except OSError as error:
			connection.close()
			raise CannotConnect(
				f"cannot reach the host at {self.path}: {error.strerror or error}; is mhostd running?",
				code=-(error.errno or 0),
			) from None
		return connection

	def status(self) -> Status:
		return cast(Status, self.call("status"))

	def workers(self) -> list[Worker]:
		return cast("list[Worker]", self.call("workers")["workers"])

	def versions(self) -> list[VersionEntry]:
		"""All in the store, with their states."""
		return cast("list[VersionEntry]", self.call("list")["versions"])

	def show(self, target: str, version: Optional[str] = None) -> dict[str, Any]:
		return self.call("show", None, **_named(target, version))

	def load(self, target: str, version: Optional[str] = None, *, progress: Optional[Progress] = None) -> Loaded:
		"""Into memory. progress is called with the bytes read and all bytes. Of an adapter without a version: that of its
		route, else the latest.
		"""
		return cast(Loaded, self.call("load", progress, **_named(target, version)))

	def unload(self, target: str, version: Optional[str] = None) -> Unloaded:
		"""Out of memory. Of an adapter its route goes too, and without a version all of it."""
		return cast(Unloaded, self.call("unload", None, **_named(target, version)))

	def activate(self, target: str, version: Optional[str] = None, *, progress: Optional[Progress] = None) -> Flipped:
		"""All new requests get this version; loaded first, if it must be. Of an adapter without a version: the latest."""
		return cast(Flipped, self.call("activate", progress, **_named(target, version)))

	def rollback(self, target: str, to: Optional[str] = None, *, progress: Optional[Progress] = None) -> Flipped:
		"""Back to the version before, or to that one. Ends a release in progress."""
		return cast(Flipped, self.call("rollback", progress, model=target, to=to))

	def release(
		self,
		target: str,
		version: Optional[str] = None,
		*,
		mode: Optional[str] = None,
		steps: Union[str, Sequence[float], None] = None,
		shadow: Union[str, float, None] = None,
		interval: Union[str, int, None] = None,
		why: Optional[str] = None,
		progress: Optional[Progress] = None,
	) -> Release:
		"""Begin to give a version traffic: mode "canary", "shadow" or "shadow,canary", steps and shadow in per cent,
		interval in seconds or as "5m".
		"""
		keys = {
			"mode": mode,
			"steps": steps if steps is None or isinstance(steps, str) else ",".join(f"{step:g}" for step in steps),
			"shadow": shadow if shadow is None or isinstance(shadow, str) else f"{shadow:g}",
			"interval": interval if interval is None or isinstance(interval, str) else f"{interval}s",
			"why": why,
		}
		return cast(Release, self.call("release", progress, **_named(target, version), **keys))

	def releases(self, model: Optional[str] = None) -> list[Release]:
		"""Those in progress."""
		return cast("list[Release]", self.call("releases", model=model)["releases"])

	def hold(self, target: str, why: Optional[str] = None) -> Release:
		return cast(Release, self.call("hold", model=target, why=why))

	def resume(self, target: str, why: Optional[str] = None) -> Release:
		return cast(Release, self.call("resume", model=target, why=why))

	def promote(self, target: str, why: Optional[str] = None) -> Flipped:
		return cast(Flipped, self.call("promote", model=target, why=why))

	def abort(self, target: str, why: Optional[str] = None) -> dict[str, Any]:
		return self.call("abort", model=target, why=why)

	def adapter_list(self, model: Optional[str] = None) -> list[AdapterEntry]:
		"""In memory or routed; the store has more."""
		return cast("list[AdapterEntry]", self.call("adapters", model=model)["adapters"])

	def adapter_load(self, model: str, name: str, version: Optional[str] = None) -> Loaded:
		return self.load(_adapter(model, name), version)

	def adapter_swap(self, model: str, name: str, version: Optional[str] = None) -> Flipped:
		"""New requests get this version, those that run end with theirs; without one the latest in the store."""
		return self.activate(_adapter(model, name), version)

	def adapter_rollback(self, model: str, name: str, to: Optional[str] = None) -> Flipped:
		return self.rollback(_adapter(model, name), to)

	def adapter_unload(self, model: str, name: str, version: Optional[str] = None) -> Unloaded:
		return self.unload(_adapter(model, name), version)

	def stop(self) -> None:
		"""A clean end of the host."""
		self.call("stop")


def _adapter(model: str, name: str) -> str:
	if "@" in model or "/" in model:
		raise InvalidRequest(f"model {model!r}: give its name alone, an adapter is one of the model's")
	return f"{model}/{name}"


def _named(target: str, version: Optional[str]) -> dict[str, Optional[str]]:
	if not isinstance(target, str):
		raise TypeError(f"a target must be a str, not {type(target).__name__}")
	name, at, written = target.partition("@")
	if at and version is not None:
		raise InvalidRequest(f"{target}: names a version already, and {version} is given too")
	return {"model": name, "version": written if at else version}


def _final(lines: Iterator[bytes], progress: Optional[Progress]) -> dict[str, Any]:
	for line in lines:
		answer = cast("dict[str, Any]", json.loads(line))
		if "progress" not in answer:
			break
		if progress is not None:
			progress(answer["progress"].get("bytes", 0), answer["progress"].get("total", 0))
	else:
		raise ConnectionError("it closed the connection")
	if not answer.pop("ok", False):
		raise ControlError(str(answer.get("error", "refused without a reason")))
	return answer
