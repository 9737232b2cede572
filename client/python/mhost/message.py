# SPDX-License-Identifier: MIT
"""Chat replies as messages: reasoning and tool calls apart from content."""

from __future__ import annotations

import ctypes
from typing import Any, Optional

from . import _abi
from .errors import InvalidRequest, from_code
from .reply import Reply

_CONTENT, _REASONING, _CALL = range(3)


class _Parts:
	def __init__(self) -> None:
		self.texts = {_CONTENT: bytearray(), _REASONING: bytearray()}
		self.calls: list[dict[str, Any]] = []

	def take(self, _: Any, pointer: Any) -> int:
		part = pointer.contents
		text = ctypes.string_at(part.text, part.bytes) if part.bytes else b""
		if part.kind != _CALL:
			self.texts[part.kind] += text
			return 0
		function = {"name": ctypes.string_at(part.name, part.name_bytes).decode("utf-8", "replace"), "arguments": text.decode("utf-8", "replace")}
		self.calls.append({"id": f"call_{len(self.calls)}", "type": "function", "function": function})
		return 0


def parse_message(reply: Reply, form: Optional[str] = None) -> dict[str, Any]:
	"""A chat's reply as the message that it is: role, content, and where there is any, reasoning_content and tool_calls
	(with arguments as JSON text). Ask for the reply with show_special=True: marks may be special tokens. form is how
	the model writes them ("hermes", "llama3", "mistral", "deepseek", "function", "list", "command", "none"); without it,
	as the version's chat template tells.
	"""
	library = _abi.library()
	number = reply.form if form is None else library.mhost_form(form.encode())
	if number < 0:
		raise InvalidRequest(f"form {form!r} is not known")
	parts, parser, text = _Parts(), _abi.Parser(), reply.text.encode("utf-8", "surrogatepass")
	take = _abi.PART_FUNCTION(parts.take)
	code = library.mhost_parser_new(ctypes.byref(parser), number, reply.form_flags, take, None)
	try:
		code = code or library.mhost_parser_feed(parser, text, len(text)) or library.mhost_parser_end(parser)
	finally:
		library.mhost_parser_free(ctypes.byref(parser))
	if code:
		raise from_code(code, "the reply cannot be parsed")
	message: dict[str, Any] = {"role": "assistant", "content": parts.texts[_CONTENT].decode("utf-8", "replace")}
	if parts.texts[_REASONING]:
		message["reasoning_content"] = parts.texts[_REASONING].decode("utf-8", "replace")
	if parts.calls:
		message["tool_calls"] = parts.calls
	return message
