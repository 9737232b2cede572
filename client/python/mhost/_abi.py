# SPDX-License-Identifier: MIT
"""The structures, numbers and functions of client/mhost.h, and the library that has them.

Nothing here is typed by hand twice: tests/python/check_abi.py compiles a C program out of these declarations and
the header, and names each one that differs.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, c_char, c_char_p, c_float, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

ABI_MAJOR = 2
ABI_MINOR = 1  # the oldest that has all that is used here
DEFAULT_SOCKET = "/run/mhost/mhost.sock"

KINDS = {"GENERATE": 0, "SCORE": 1, "TOKENIZE": 2, "DETOKENIZE": 3, "PING": 4, "EMBED": 5}
FLAGS = {"IGNORE_EOS": 1, "NO_SPECIAL": 2, "LOGPROBS": 4, "NO_REPLAY": 8, "NO_SPECULATE": 16, "RAW": 32, "SHOW_SPECIAL": 64}
PUSH_FLAGS = {"LOAD_ONLY": 1, "KEEP": 2}
GRAMMARS = {"NONE": 0, "GBNF": 1, "REGEX": 2, "SCHEMA": 3, "JSON": 4}
EVENTS = {"BEGIN": 1, "PROMPT": 2, "SCORES": 3, "TOKEN": 4, "TEXT": 5, "END": 6, "VECTOR": 7}
POOLINGS = {"MEAN": 0, "LAST": 1, "FIRST": 2}
FINISHES = {"STOP": 1, "LENGTH": 2, "CANCELLED": 3, "ERROR": 4}


class Adapter(Structure):
	"""struct mhost_adapter"""

	_fields_ = [("name", c_char_p), ("version", c_char_p), ("scale", c_float)]


class Bias(Structure):
	"""struct mhost_bias"""

	_fields_ = [("token", c_uint32), ("bias", c_float)]


class Request(Structure):
	"""struct mhost_request"""

	_fields_ = [
		("size", c_size_t),
		("kind", c_uint32),
		("flags", c_uint32),
		("model", c_char_p),
		("version", c_char_p),
		("text", c_char_p),
		("text_bytes", c_size_t),
		("tokens", POINTER(c_uint32)),
		("token_count", c_uint32),
		("max_tokens", c_uint32),
		("temperature", c_float),
		("top_k", c_uint32),
		("top_p", c_float),
		("min_p", c_float),
		("repeat_penalty", c_float),
		("repeat_last", c_uint32),
		("seed", c_uint64),
		("top_count", c_uint32),
		("stops", POINTER(c_char_p)),
		("stop_count", c_uint32),
		("deadline_ms", c_uint32),
		("session_key", c_uint64),
		("adapters", POINTER(Adapter)),
		("adapter_count", c_uint32),
		("grammar_kind", c_uint32),
		("grammar", c_char_p),
		("grammar_bytes", c_size_t),
		("bias", POINTER(Bias)),
		("bias_count", c_uint32),
		("frequency_penalty", c_float),
		("presence_penalty", c_float),
		("dry_multiplier", c_float),
		("dry_base", c_float),
		("dry_allowed", c_uint32),
		("dry_last", c_uint32),
		("dynatemp_range", c_float),
		("dynatemp_exponent", c_float),
		("top_n_sigma", c_float),
		("typical_p", c_float),
		("xtc_probability", c_float),
		("xtc_threshold", c_float),
		("mirostat_tau", c_float),
		("mirostat_eta", c_float),
		("stop_tokens", POINTER(c_uint32)),
		("stop_token_count", c_uint32),
		("min_tokens", c_uint32),
		("messages", c_char_p),
		("messages_bytes", c_size_t),
		("pooling", c_uint32),
		("reserved0", c_uint32),
	]


# What MHOST_REQUEST_INIT sets to something other than zero.
REQUEST_INIT = {
	"size": ctypes.sizeof(Request), "top_p": 1.0, "repeat_penalty": 1.0, "repeat_last": 64, "dry_base": 1.75,
	"dry_allowed": 2, "dry_last": (1 << 32) - 1, "dynatemp_exponent": 1.0, "typical_p": 1.0,
	"xtc_threshold": c_float(0.1).value, "mirostat_eta": c_float(0.1).value,
}


class Top(Structure):
	"""struct mhost_top"""

	_fields_ = [("token", c_uint32), ("logprob", c_float)]


class AdapterUsed(Structure):
	"""struct mhost_adapter_used"""

	_fields_ = [("name", c_char_p), ("version", c_char_p), ("content_hash", POINTER(c_uint8)), ("scale", c_float)]


class Event(Structure):
	"""struct mhost_event. Text is a pointer, not c_char_p: it has no end mark."""

	_fields_ = [
		("id", c_uint64),
		("type", c_uint32),
		("epoch", c_uint64),
		("model", c_char_p),
		("version", c_char_p),
		("content_hash", POINTER(c_uint8)),
		("adapters", POINTER(AdapterUsed)),
		("adapter_count", c_uint32),
		("prompt_count", c_uint32),
		("first", c_uint32),
		("count", c_uint32),
		("tokens", POINTER(c_uint32)),
		("logprobs", POINTER(c_float)),
		("index", c_uint32),
		("token", c_uint32),
		("logprob", c_float),
		("top", POINTER(Top)),
		("top_count", c_uint32),
		("text", c_void_p),
		("text_bytes", c_uint32),
		("finish", c_uint32),
		("error", c_int),
		("retriable", c_int),
		("message", c_char_p),
		("output_count", c_uint32),
		("queue_ns", c_uint64),
		("prefill_ns", c_uint64),
		("decode_ns", c_uint64),
		("cached_count", c_uint32),
		("drafted_count", c_uint32),
		("ahead", c_uint32),
		("values", POINTER(c_float)),
		("form", c_uint32),
		("form_flags", c_uint32),
	]


class Part(Structure):
	"""struct mhost_part"""

	_fields_ = [("kind", c_uint32), ("text", c_void_p), ("bytes", c_size_t), ("name", c_void_p), ("name_bytes", c_size_t)]


class Parser(c_void_p):
	"""struct mhost_parser *"""


class Anything(c_void_p):
	"""void *"""


PART_FUNCTION = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(Part))


class Push(Structure):
	"""struct mhost_push"""

	_fields_ = [
		("size", c_size_t),
		("socket", c_char_p),
		("model", c_char_p),
		("adapter", c_char_p),
		("version", c_char_p),
		("config", c_char_p),
		("weights_fd", c_int),
		("weights", c_void_p),
		("weights_bytes", c_size_t),
		("flags", c_uint32),
		("timeout_ms", c_int),
	]


PUSH_INIT = {"size": ctypes.sizeof(Push), "weights_fd": -1, "timeout_ms": -1}


class Pushed(Structure):
	"""struct mhost_pushed"""

	_fields_ = [
		("version", c_char * 48),
		("content_hash", c_uint8 * 32),
		("epoch", c_uint64),
		("load_ns", c_uint64),
		("message", c_char * 512),
	]


STRUCTS = {
	"mhost_adapter": Adapter,
	"mhost_bias": Bias,
	"mhost_request": Request,
	"mhost_top": Top,
	"mhost_adapter_used": AdapterUsed,
	"mhost_event": Event,
	"mhost_part": Part,
	"mhost_push": Push,
	"mhost_pushed": Pushed,
}

# name: (result, arguments); a session is a void *
FUNCTIONS: dict[str, tuple[object, list[object]]] = {
	"mhost_abi_version": (c_uint32, []),
	"mhost_adapter_push": (c_int, [POINTER(Push), POINTER(Pushed)]),
	"mhost_cancel": (c_int, [c_void_p, c_uint64]),
	"mhost_close": (None, [POINTER(c_void_p)]),
	"mhost_connect": (c_int, [POINTER(c_void_p), c_char_p]),
	"mhost_errmsg": (c_char_p, [c_void_p]),
	"mhost_fd": (c_int, [c_void_p]),
	"mhost_next": (c_int, [c_void_p, c_int, POINTER(POINTER(Event))]),
	"mhost_open_count": (c_uint32, [c_void_p]),
	"mhost_strerror": (c_char_p, [c_int]),
	"mhost_submit": (c_int, [c_void_p, POINTER(Request), POINTER(c_uint64)]),
	"mhost_form": (c_int, [c_char_p]),
	"mhost_form_of_template": (c_uint32, [c_char_p, c_size_t]),
	"mhost_parser_end": (c_int, [Parser]),
	"mhost_parser_feed": (c_int, [Parser, c_char_p, c_size_t]),
	"mhost_parser_free": (None, [POINTER(Parser)]),
	"mhost_parser_new": (c_int, [POINTER(Parser), c_uint32, c_uint32, PART_FUNCTION, Anything]),
	"mhost_submit_many": (c_int, [c_void_p, POINTER(Request), c_uint32, POINTER(c_uint64)]),
	"mhost_worker_count": (c_uint32, [c_void_p]),
}

EventPointer = POINTER(Event)


def _open() -> ctypes.CDLL:
	name = os.environ.get("MHOST_LIBRARY") or f"libmhost.so.{ABI_MAJOR}"
	try:
		return ctypes.CDLL(name)
	except OSError as error:
		raise ImportError(
			f"the mhost client library cannot be loaded: {error}; install mhost (make install, ldconfig) "
			"or set MHOST_LIBRARY to the path of the file"
		) from None


def _bind(library: ctypes.CDLL) -> ctypes.CDLL:
	for name, (result, arguments) in FUNCTIONS.items():
		function = getattr(library, name, None)
		if function is None:
			raise ImportError(f"{library._name} has no {name}: it is no libmhost.so.{ABI_MAJOR}")
		function.restype = result
		function.argtypes = arguments
	found = library.mhost_abi_version()
	if found >> 16 != ABI_MAJOR or found & 0xFFFF < ABI_MINOR:
		raise ImportError(
			f"{library._name} has ABI {found >> 16}.{found & 0xFFFF}, this package wants {ABI_MAJOR}.{ABI_MINOR} "
			f"or a later {ABI_MAJOR}: use both of one release"
		)
	return library


_library: list[ctypes.CDLL] = []


def library() -> ctypes.CDLL:
	"""libmhost, loaded at the first call: the package can be imported where there is none."""
	if not _library:
		_library.append(_bind(_open()))
	return _library[0]
