# SPDX-License-Identifier: MIT
"""Adapters out of a trainer's memory into a host, without a file."""

from __future__ import annotations

import ctypes
import enum
import errno
import importlib
import json
import math
import os
import re
from typing import Any, Mapping, NamedTuple, Optional, Union, cast

from . import _abi, _safetensors
from ._request import real, text
from ._session import Path
from .errors import ControlError, InvalidRequest, Refused, WaitTimeout, from_code

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
# "lora_A.pirate.weight", "lora_embedding_A.pirate": as a model has it, and hotswap_adapter_from_state_dict().
_NAMED = re.compile(r"^(.*\.lora_(?:[AB](?=\.[^.]+\.)|embedding_[AB]))\.[^.]+(|\.weight|\.bias)$")
MS_MAX = (1 << 31) - 1

# A state dict, a PEFT folder or safetensors file, the bytes of such a file, or a PeftModel.
Weights = Union[Mapping[str, Any], Path, bytes, bytearray, memoryview, Any]
# adapter_config.json as a dict or a text, or a LoraConfig.
Config = Union[Mapping[str, Any], str, Any]


class Pushed(NamedTuple):
	"""A version of an adapter that is in the host's memory now."""

	version: str
	content_hash: str  # as in the stamp of replies that are made with it
	epoch: int  # of its flip; 0 with load_only
	load_s: float  # from the bytes to sealed memory


def push(
	socket: Optional[Path],
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
	"""See Host.adapter_push()."""
	weights, config = _peft_model(weights, config)
	request = _abi.Push(**_abi.PUSH_INIT)
	request.socket = None if socket is None else os.fsencode(socket)
	request.model = text("model", model)
	request.adapter, request.version = _name(name, version)
	request.config = text("config", _config_text(_config_of(weights) if config is None else config))
	request.flags = _abi.PUSH_FLAGS["LOAD_ONLY"] * load_only | _abi.PUSH_FLAGS["KEEP"] * keep
	if timeout is not None:
		request.timeout_ms = min(MS_MAX, max(0, math.ceil(real("timeout", timeout) * 1000)))
	request.weights_fd = _descriptor(weights)
	try:
		return _send(request)
	finally:
		os.close(request.weights_fd)


def _name(name: str, version: Optional[str]) -> tuple[bytes, Optional[bytes]]:
	bare, at, written = name.partition("@") if isinstance(name, str) else (name, "", "")
	if at and version is not None:
		raise InvalidRequest(f"version {version!r}: the name has one already")
	version = written if at else version
	return text("name", bare), None if version is None else text("version", version)


def _send(request: _abi.Push) -> Pushed:
	pushed = _abi.Pushed()
	code = _abi.library().mhost_adapter_push(ctypes.byref(request), ctypes.byref(pushed))
	if not code:
		return Pushed(pushed.version.decode(), bytes(pushed.content_hash).hex(), pushed.epoch, pushed.load_ns / 1e9)
	message = pushed.message.decode("utf-8", "replace")
	if code == Refused.code:
		raise ControlError(message)
	if code == -errno.ETIMEDOUT:
		raise WaitTimeout(message)
	raise from_code(code, message)


def _descriptor(weights: Weights) -> int:
	"""Sealed memory; or the file, which the host reads itself."""
	if isinstance(weights, (str, os.PathLike)):
		return os.open(_weights_path(weights), os.O_RDONLY | os.O_CLOEXEC)
	fd = _safetensors.memory()
	try:
		_fill(fd, weights)
		_safetensors.seal(fd)
	except BaseException:
		os.close(fd)
		raise
	return fd


def _fill(fd: int, weights: Weights) -> None:
	if isinstance(weights, Mapping):
		_safetensors.write(fd, _as_saved(weights))
	elif isinstance(weights, (bytes, bytearray, memoryview)):
		_safetensors.write_all(fd, memoryview(weights))
	else:
		raise TypeError(f"weights must be a state dict, a path or bytes, not {type(weights).__name__}")


def _as_saved(state: Mapping[str, Any]) -> dict[str, Any]:
	"""Under the names that save_pretrained() gives, which have no adapter's name in them."""
	saved: dict[str, Any] = {}
	for key, tensor in state.items():
		name = _NAMED.sub(r"\1\2", key) if isinstance(key, str) else key
		if name in saved:
			raise InvalidRequest(f"{key}: there are tensors of two adapters: give one's")
		saved[name] = tensor
	return saved


def _weights_path(path: Path) -> str:
	return os.path.join(path, WEIGHTS_FILE) if os.path.isdir(path) else os.fspath(path)


def _config_of(weights: Weights) -> str:
	if not isinstance(weights, (str, os.PathLike)):
		raise TypeError("config is needed with weights that are no path: a dict, a JSON text or a LoraConfig")
	with open(os.path.join(os.path.dirname(_weights_path(weights)), CONFIG_FILE), encoding="utf-8") as file:
		return file.read()


def _config_text(config: Config) -> str:
	if isinstance(config, str):
		return config
	values = config if isinstance(config, Mapping) else getattr(config, "to_dict", dict)()
	if not values:
		raise TypeError(f"config must be a dict, a JSON text or a LoraConfig, not {type(config).__name__}")
	return json.dumps(values, default=_plain, allow_nan=False)


def _plain(value: object) -> object:
	"""What PEFT has in a LoraConfig and writes otherwise."""
	if isinstance(value, (set, frozenset)):
		return sorted(value)
	if isinstance(value, enum.Enum):
		return value.value
	raise TypeError(f"config: {type(value).__name__} has no JSON")


def _peft_model(weights: Weights, config: Optional[Config]) -> tuple[Weights, Optional[Config]]:
	"""Of a PeftModel its active adapter, as PEFT saves it."""
	model = cast(Any, weights)
	configs = getattr(model, "peft_config", None)
	if configs is None:
		return weights, config
	active = model.active_adapter
	if not isinstance(active, str):
		raise TypeError(f"the model has {len(active)} active adapters: set_adapter() one of them")
	state = importlib.import_module("peft").get_peft_model_state_dict(model, adapter_name=active)
	return cast("Mapping[str, Any]", state), configs[active] if config is None else config
