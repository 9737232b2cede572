# SPDX-License-Identifier: MIT
"""A state dict as a safetensors file in sealed memory: eight bytes with the length of a JSON text, the text, the data.

Tensors of torch are read where they lie, by data_ptr(), and other arrays by the buffer protocol, so nothing of either
is imported here.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
from typing import Any, Mapping, Sequence, Union

from .errors import InvalidRequest

SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_ALIGN = 8

_TORCH_TYPES = {"torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16"}
_BUFFER_TYPES = {"f": "F32", "e": "F16"}

Bytes = Union[bytes, memoryview, "ctypes.Array[ctypes.c_ubyte]"]


class Piece:
	"""One tensor: its bytes, row by row."""

	def __init__(self, kind: str, shape: Sequence[int], data: Bytes, owner: object) -> None:
		self.kind = kind
		self.shape = [int(size) for size in shape]
		self.data = data
		self.bytes = memoryview(data).nbytes
		self.owner = owner  # of the memory


def piece(name: str, tensor: Any) -> Piece:
	if hasattr(tensor, "data_ptr"):
		return _from_torch(name, tensor)
	try:
		view = memoryview(tensor)
	except TypeError:
		raise TypeError(f"{name}: {type(tensor).__name__} is neither a tensor nor an array") from None
	kind = _BUFFER_TYPES.get(view.format.lstrip("<=@"))
	if kind is None:
		raise InvalidRequest(f"{name}: type {view.format!r}: float32 and float16 are taken, and bfloat16 from torch")
	data: Bytes = view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()
	return Piece(kind, view.shape or (), data, tensor)


def _from_torch(name: str, tensor: Any) -> Piece:
	kind = _TORCH_TYPES.get(str(tensor.dtype))
	if kind is None:
		raise InvalidRequest(f"{name}: {tensor.dtype}: float32, float16 and bfloat16 are taken")
	if str(tensor.layout) != "torch.strided" or tensor.device.type == "meta":
		raise InvalidRequest(f"{name}: it is {tensor.layout} on {tensor.device}: it must have all its values")
	plain = tensor.detach().cpu().contiguous()  # itself, when it is all of that
	count = plain.numel() * plain.element_size()
	data = (ctypes.c_ubyte * count).from_address(plain.data_ptr()) if count else b""
	return Piece(kind, plain.shape, data, plain)


def header(pieces: Mapping[str, Piece]) -> bytes:
	entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
	at = 0
	for name, one in pieces.items():
		entries[name] = {"dtype": one.kind, "shape": one.shape, "data_offsets": [at, at + one.bytes]}
		at += one.bytes
	text = json.dumps(entries, separators=(",", ":")).encode()
	text += b" " * (-len(text) % _ALIGN)
	return len(text).to_bytes(8, "little") + text


def write_all(fd: int, data: Bytes) -> None:
	view = memoryview(data).cast("B")
	while view.nbytes:
		view = view[os.write(fd, view) :]


def memory() -> int:
	"""An empty memfd that can be sealed. The caller closes it."""
	return os.memfd_create("mhost-push", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seal(fd: int) -> None:
	fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)


def write(fd: int, tensors: Mapping[str, Any]) -> None:
	"""Each value is copied once, from where it lies into the memory behind fd."""
	pieces: dict[str, Piece] = {}
	for name, tensor in tensors.items():
		if not isinstance(name, str):
			raise TypeError(f"a tensor's name must be a str, not {type(name).__name__}")
		pieces[name] = piece(name, tensor)
	write_all(fd, header(pieces))
	for one in pieces.values():
		write_all(fd, one.data)
