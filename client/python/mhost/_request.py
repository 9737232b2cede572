# SPDX-License-Identifier: MIT
"""From Python's arguments to struct mhost_request. ctypes cuts numbers silently, so each is checked here."""

from __future__ import annotations

import array
import ctypes
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Callable, Iterable, Optional, Sequence, TypedDict, Union

from . import _abi
from .errors import InvalidRequest
from .reply import Reply

U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1
MANY_MAX = 64  # MHOST_MANY_MAX
FLOAT_MAX = 3.4028234663852886e38

# Text; token ids; a list of chat messages, which an answer follows; or a whole chat request, with "messages" and what
# else the version's chat template takes.
Prompt = Union[str, Sequence[int], "Sequence[Mapping[str, Any]]", "Mapping[str, Any]"]
# "pirate", "pirate@1.2.0", or one of these with a scale.
AdapterWanted = Union[str, "tuple[str, float]"]


class Options(TypedDict, total=False):
	"""What generate() and complete() take by name.

	version         "1.2.0"; without it, as routed (a model may be given as "smol@1.2.0" too)
	max_tokens      0: as many as the context allows
	temperature     0: always the likeliest token
	top_k, top_p, min_p, repeat_penalty, repeat_last
	                as in mhost run: 0, 1, 0, 1 and 64 change nothing
	seed            of the drawn tokens
	stop            a text or up to 16: the reply ends before it
	logprobs        True: the log-probability of each token; a number up to 64: and so many of the likeliest
	ignore_eos      go on after the end of the text
	special         False: no special tokens are put around a prompt given as text
	deadline        seconds that the host has, its queue included
	session_key     a number or a text: requests of one key stay on one side of a canary
	adapters        a list of up to 8, added in this order: "pirate", "pirate@1.2.0", ("pirate", 0.5) with a scale
	frequency_penalty, presence_penalty, dry_multiplier, dry_base, dry_allowed, dry_last, dynatemp_range,
	dynatemp_exponent, top_n_sigma, typical_p, xtc_probability, xtc_threshold, mirostat_tau, mirostat_eta
	                further ways to choose tokens, see mhost run
	bias            {token: number}; -inf: never
	stop_tokens     ids that end the reply
	min_tokens      nothing ends it before
	schema          a JSON schema as dict, text, or a class with model_json_schema() (pydantic): the reply is a
	                document that is valid under it
	regex           the whole reply matches it
	grammar         GBNF text
	json_object     True: the reply is a JSON object
	replay          False: a request whose worker dies before its first event is not sent to another one
	speculate       False: one token a step; the reply is the same
	show_special    True: special tokens of the reply are in its text, as parse_message() wants it
	pooling         of embed(): "mean" of all hidden states, the "last" token's or the first's ("cls")
	normalize       of embed(): False: the vector as it is, not of length 1
	"""

	version: Optional[str]
	max_tokens: int
	temperature: float
	top_k: int
	top_p: float
	min_p: float
	repeat_penalty: float
	repeat_last: int
	seed: int
	stop: Union[str, Sequence[str], None]
	logprobs: Union[bool, int]
	ignore_eos: bool
	special: bool
	deadline: Optional[float]
	session_key: Union[int, str, None]
	adapters: Union[str, Sequence[AdapterWanted], None]
	frequency_penalty: float
	presence_penalty: float
	dry_multiplier: float
	dry_base: float
	dry_allowed: int
	dry_last: int
	dynatemp_range: float
	dynatemp_exponent: float
	top_n_sigma: float
	typical_p: float
	xtc_probability: float
	xtc_threshold: float
	mirostat_tau: float
	mirostat_eta: float
	bias: Mapping[int, float]
	stop_tokens: Sequence[int]
	min_tokens: int
	schema: Any
	regex: Optional[str]
	grammar: Optional[str]
	json_object: bool
	replay: bool
	speculate: bool
	show_special: bool
	pooling: str
	normalize: bool


def whole(name: str, value: Any, limit: int) -> int:
	"""An int in 0..limit. Types that are used as an index (numpy's) are welcome, bool is not."""
	if isinstance(value, bool) or not hasattr(value, "__index__"):
		raise TypeError(f"{name} must be an int, not {type(value).__name__}")
	number = int(value.__index__())
	if not 0 <= number <= limit:
		raise InvalidRequest(f"{name} {number}: limit 0..{limit}")
	return number


def real(name: str, value: Any) -> float:
	if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, (str, bytes)):
		raise TypeError(f"{name} must be a float, not {type(value).__name__}")
	number = float(value)
	if not abs(number) <= FLOAT_MAX:
		raise InvalidRequest(f"{name} {number}: must be a finite float of 32 bits")
	return number


def text(name: str, value: Any, *, empty: bool = False) -> bytes:
	"""UTF-8 that C takes up to its first zero byte."""
	if not isinstance(value, str):
		raise TypeError(f"{name} must be a str, not {type(value).__name__}")
	if "\0" in value or not (value or empty):
		raise InvalidRequest(f"{name} {value[:60]!r}: must have no zero byte and not be empty")
	return utf8(name, value)


def utf8(name: str, value: str) -> bytes:
	try:
		return value.encode()
	except UnicodeEncodeError as error:
		raise InvalidRequest(f"{name}: {error.reason} at {error.start}: it has no UTF-8") from None


def token_array(name: str, tokens: Any) -> "array.array[int]":
	"""Token ids as C has them. Tensors and numpy arrays come by their tolist()."""
	if isinstance(tokens, (str, bytes)) or not (hasattr(tokens, "tolist") or isinstance(tokens, Iterable)):
		raise TypeError(f"{name} must be token ids, not {type(tokens).__name__}")
	ids = tokens.tolist() if hasattr(tokens, "tolist") else tokens
	try:
		return array.array("I", ids)
	except OverflowError:
		raise InvalidRequest(f"{name}: a token id is not in 0..{U32_MAX}") from None
	except TypeError:
		raise TypeError(f"{name} must be a flat sequence of ints") from None


def adapter(wanted: Any) -> _abi.Adapter:
	name, scale = (wanted, 1.0) if isinstance(wanted, str) else _pair(wanted)
	name, at, version = name.partition("@")
	return _abi.Adapter(text("adapter", name), text("adapter version", version) if at else None, real("scale", scale))


def _pair(wanted: Any) -> tuple[str, Any]:
	if not (isinstance(wanted, tuple) and len(wanted) == 2 and isinstance(wanted[0], str)):
		raise TypeError(f"an adapter must be a str or (str, scale), not {wanted!r}")
	return wanted


def _plain(value: Any) -> Any:
	"""What json does not know by itself."""
	if isinstance(value, Mapping):
		return dict(value)
	raise TypeError(f"messages: {type(value).__name__} cannot be in JSON")


class Prepared:
	"""A struct mhost_request. ctypes keeps alive what is assigned to its pointers."""

	def __init__(self, kind: str) -> None:
		self.c = _abi.Request(kind=_abi.KINDS[kind], **_abi.REQUEST_INIT)

	def _set_model(self, model: str) -> None:
		name, at, version = model.partition("@") if isinstance(model, str) else (model, "", "")
		self.c.model = text("model", name)
		if at:
			self.c.version = text("version", version)

	def _set_prompt(self, prompt: Prompt) -> None:
		if isinstance(prompt, str):
			encoded = utf8("prompt", prompt)
			self.c.text = encoded
			self.c.text_bytes = len(encoded)
			return
		if isinstance(prompt, (list, tuple)) and prompt and isinstance(prompt[0], Mapping):
			prompt = {"messages": prompt, "add_generation_prompt": True}
		if isinstance(prompt, Mapping):
			self._set_messages(prompt)
			return
		ids = token_array("prompt", prompt)
		self.c.token_count = len(ids)
		# An array without elements has no address, and NULL would mean that there are no tokens.
		self.c.tokens = (ctypes.c_uint32 * len(ids)).from_buffer(ids) if ids else (ctypes.c_uint32 * 1)()

	def _set_messages(self, request: Mapping[str, Any]) -> None:
		try:
			encoded = json.dumps(request, ensure_ascii=False, allow_nan=False, default=_plain)
		except ValueError as error:
			raise InvalidRequest(f"messages: {error}") from None
		self.c.messages = utf8("messages", encoded)
		self.c.messages_bytes = len(self.c.messages)

	def _version(self, name: str, value: Any) -> None:
		if self.c.version is not None:
			raise InvalidRequest(f"version {value!r}: the model names one already")
		self.c.version = text(name, value)

	def _u32(self, name: str, value: Any) -> None:
		setattr(self.c, name, whole(name, value, U32_MAX))

	def _float(self, name: str, value: Any) -> None:
		setattr(self.c, name, real(name, value))

	def _seed(self, name: str, value: Any) -> None:
		self.c.seed = whole(name, value, U64_MAX)

	def _stop(self, name: str, value: Any) -> None:
		stops = [value] if isinstance(value, str) else list(value)
		self.c.stops = (ctypes.c_char_p * len(stops))(*[text(name, stop) for stop in stops])
		self.c.stop_count = len(stops)

	def _logprobs(self, name: str, value: Any) -> None:
		count = 0 if isinstance(value, bool) else whole(name, value, U32_MAX)
		if value:
			self.c.flags |= _abi.FLAGS["LOGPROBS"]
		self.c.top_count = count

	def _deadline(self, name: str, value: Any) -> None:
		ms = math.ceil(real(name, value) * 1000)
		if not 1 <= ms <= U32_MAX:
			raise InvalidRequest(f"deadline {value} s: limit 0.001..{U32_MAX // 1000}")
		self.c.deadline_ms = ms

	def _session_key(self, name: str, value: Any) -> None:
		if isinstance(value, str):
			digest = hashlib.blake2b(utf8(name, value), digest_size=8).digest()
			self.c.session_key = int.from_bytes(digest, "little") or 1
			return
		self.c.session_key = whole(name, value, U64_MAX)

	def _adapters(self, name: str, value: Any) -> None:
		wanted = [adapter(item) for item in ([value] if isinstance(value, str) else value)]
		self.c.adapters = (_abi.Adapter * len(wanted))(*wanted)
		self.c.adapter_count = len(wanted)

	def _bias(self, name: str, value: Any) -> None:
		pairs = [(whole(name, token, U32_MAX), x if x == -math.inf else real(name, x)) for token, x in value.items()]
		self.c.bias = (_abi.Bias * len(pairs))(*pairs)
		self.c.bias_count = len(pairs)

	def _stop_tokens(self, name: str, value: Any) -> None:
		ids = token_array(name, value)
		self.c.stop_tokens = (ctypes.c_uint32 * len(ids))(*ids)
		self.c.stop_token_count = len(ids)

	def _grammar(self, name: str, value: Any) -> None:
		if name == "json_object" and not isinstance(value, bool):
			raise TypeError(f"json_object must be a bool, not {type(value).__name__}")
		if value is False:
			return
		if self.c.grammar_kind:
			raise InvalidRequest(f"{name}: a reply follows one of {', '.join(_GRAMMARS)}")
		self.c.grammar_kind = _abi.GRAMMARS[_GRAMMARS[name]]
		if name != "json_object":
			self.c.grammar = text(name, _schema_text(value) if name == "schema" else value)

	def _pooling(self, name: str, value: Any) -> None:
		if value not in _POOLINGS:
			raise InvalidRequest(f"pooling {value!r}: must be {', '.join(_POOLINGS)}")
		self.c.pooling = _abi.POOLINGS[_POOLINGS[value]]

	def _flag(self, name: str, value: Any) -> None:
		if not isinstance(value, bool):
			raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
		flag, wanted = _FLAGS[name]
		if value is wanted:
			self.c.flags |= _abi.FLAGS[flag]


def _schema_text(value: Any) -> Any:
	if hasattr(value, "model_json_schema"):
		value = value.model_json_schema()
	return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def prepare_many(model: str, prompt: Prompt, n: int, best_of: Optional[int], options: Options) -> tuple[Prepared, int]:
	"""The request, and how many replies it takes to have the n best of best_of."""
	count = whole("best_of", n if best_of is None else best_of, MANY_MAX)
	if not 1 <= whole("n", n, MANY_MAX) <= count:
		raise InvalidRequest(f"n {n}, best_of {best_of}: limit 1..{MANY_MAX}, and best_of no less than n")
	if best_of is not None and not options.get("logprobs"):
		options["logprobs"] = True
	return prepare("GENERATE", model, prompt, options), count


def best(replies: list[Reply], n: int, best_of: Optional[int]) -> list[Reply]:
	"""Those with the highest mean log-probability first, if more were made than are wanted."""
	if best_of is not None:
		replies = sorted(replies, key=_mean_logprob, reverse=True)
	return replies[:n]


def _mean_logprob(reply: Reply) -> float:
	known = [token.logprob for token in reply.tokens if token.logprob is not None]
	return math.fsum(known) / len(known) if known else -math.inf


def prepare(kind: str, model: str, prompt: Prompt, options: Options) -> Prepared:
	prepared = Prepared(kind)
	prepared._set_model(model)
	prepared._set_prompt(prompt)
	for name, value in options.items():
		setter = _SETTERS.get(name)
		if setter is None:
			raise TypeError(f"{name!r} is no option; there are {', '.join(sorted(_SETTERS))}")
		if value is not None:
			setter(prepared, name, value)
	return prepared


# The flag of the header, and when it is set.
_FLAGS = {
	"ignore_eos": ("IGNORE_EOS", True),
	"special": ("NO_SPECIAL", False),
	"replay": ("NO_REPLAY", False),
	"speculate": ("NO_SPECULATE", False),
	"normalize": ("RAW", False),
	"show_special": ("SHOW_SPECIAL", True),
}

_FLOATS = ("frequency_penalty", "presence_penalty", "dry_multiplier", "dry_base", "dynatemp_range", "dynatemp_exponent",
           "top_n_sigma", "typical_p", "xtc_probability", "xtc_threshold", "mirostat_tau", "mirostat_eta")

# Of enum mhost_pooling.
_POOLINGS = {"mean": "MEAN", "last": "LAST", "cls": "FIRST"}

# Of enum mhost_grammar.
_GRAMMARS = {"grammar": "GBNF", "regex": "REGEX", "schema": "SCHEMA", "json_object": "JSON"}

_SETTERS: dict[str, Callable[[Prepared, str, Any], None]] = {
	"version": Prepared._version,
	"max_tokens": Prepared._u32,
	"temperature": Prepared._float,
	"top_k": Prepared._u32,
	"top_p": Prepared._float,
	"min_p": Prepared._float,
	"repeat_penalty": Prepared._float,
	"repeat_last": Prepared._u32,
	"seed": Prepared._seed,
	"stop": Prepared._stop,
	"logprobs": Prepared._logprobs,
	"adapters": Prepared._adapters,
	"deadline": Prepared._deadline,
	"session_key": Prepared._session_key,
	"bias": Prepared._bias,
	"stop_tokens": Prepared._stop_tokens,
	"pooling": Prepared._pooling,
	**dict.fromkeys(("min_tokens", "dry_allowed", "dry_last"), Prepared._u32),
	**dict.fromkeys(_FLOATS, Prepared._float),
	**dict.fromkeys(_GRAMMARS, Prepared._grammar),
	**dict.fromkeys(_FLAGS, Prepared._flag),
}
