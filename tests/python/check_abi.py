#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare client/python/mhost/_abi.py with client/mhost.h: a C program is made out of the Python declarations, and
the compiler and the program itself say what differs.

    check_abi.py CLIENT_FOLDER [CC]     exit 1 and a line for each difference
"""

import ctypes
import pathlib
import re
import subprocess
import sys
import tempfile

from mhost import _abi, errors

# Without const, which ctypes does not know.
C_TYPES = {
	None: "void",
	ctypes.c_char: "char",
	ctypes.c_char_p: "char *",
	ctypes.c_float: "float",
	ctypes.c_int: "int",
	ctypes.c_size_t: "size_t",
	ctypes.c_uint8: "uint8_t",
	ctypes.c_uint32: "uint32_t",
	ctypes.c_uint64: "uint64_t",
	_abi.Anything: "void *",
	_abi.PART_FUNCTION: "mhost_part_fn",
	_abi.Parser: "struct mhost_parser *",
	**{cls: "struct " + name for name, cls in _abi.STRUCTS.items()},
}
VOID_FIELDS = {"mhost_part.name": "char *", "mhost_part.text": "char *", "mhost_event.text": "char *", "mhost_push.weights": "void *"}  # what a void * of Python is in a structure; elsewhere a session
ENUMS = {"KINDS": "", "EVENTS": "EVENT_", "FINISHES": "FINISH_", "FLAGS": "", "GRAMMARS": "GRAMMAR_",
	"PUSH_FLAGS": "PUSH_"}


def c_type(kind, void="struct mhost *"):
	if kind is ctypes.c_void_p:
		return void
	if hasattr(kind, "_length_"):
		return "%s[%d]" % (c_type(kind._type_), kind._length_)
	return C_TYPES[kind] if kind in C_TYPES else c_type(kind._type_) + " *"


def same_type(expression, wanted, what):
	return '_Static_assert(__builtin_types_compatible_p(__typeof__(%s), %s), "%s is not %s in C");' % (
		expression, wanted, what, wanted)


def type_checks():
	"""What the compiler compares."""
	for name, cls in _abi.STRUCTS.items():
		for field, kind in cls._fields_:
			where = "%s.%s" % (name, field)
			yield same_type("((struct %s *)0)->%s" % (name, field), c_type(kind, VOID_FIELDS.get(where)), where)
	for name, (result, arguments) in _abi.FUNCTIONS.items():
		yield same_type(name, "%s(%s)" % (c_type(result), ", ".join(map(c_type, arguments)) or "void"), name)


def numbers():
	"""(C expression, Python's value)"""
	for table, prefix in ENUMS.items():
		for name, value in getattr(_abi, table).items():
			yield "MHOST_%s%s" % (prefix, name), value
	yield "MHOST_ABI_MAJOR", _abi.ABI_MAJOR
	for name, value in _abi.REQUEST_INIT.items():
		yield "init." + name, value
	for name, value in _abi.PUSH_INIT.items():
		yield "push." + name, value
	for name, cls in _abi.STRUCTS.items():
		yield "sizeof(struct %s)" % name, ctypes.sizeof(cls)
		for field, _ in cls._fields_:
			yield "offsetof(struct %s, %s)" % (name, field), getattr(cls, field).offset


def program():
	return "\n".join([
		"#include <stddef.h>", "#include <stdint.h>", "#include <stdio.h>",
		"#define const", '#include "mhost.h"', *type_checks(),
		"int main(void)", "{", "\tstruct mhost_request init = MHOST_REQUEST_INIT;",
		"\tstruct mhost_push push = MHOST_PUSH_INIT;",
		*['\tprintf("%%.17g\\n", (double)(%s));' % expression for expression, _ in numbers()],
		"\treturn 0;", "}", ""])


def fields_of(header, struct):
	"""Names in the order of the header."""
	body = re.search(r"^struct %s \{(.*?)^\};" % struct, header, re.M | re.S).group(1)
	return re.findall(r"(\w+)(?:\[\w+\])?\s*(?=[,;])", re.sub(r"/\*.*?\*/", "", body, flags=re.S))


def names(header, exports):
	"""(what, names of the header, names in Python)"""
	enum = {kind: re.search(r"enum mhost_%s \{(.*?)\};" % kind, header, re.S).group(1)
		for kind in ("error", "kind", "event_type", "finish", "grammar")}
	yield "functions", re.findall(r"^\t(mhost_\w+);", exports, re.M), list(_abi.FUNCTIONS)
	yield "structs", re.findall(r"^struct (mhost_\w+) \{", header, re.M), list(_abi.STRUCTS)
	yield "FLAGS", re.findall(r"#define MHOST_(?!PUSH_|FORM_)([A-Z_]+)\s+\(1u <<", header), list(_abi.FLAGS)
	yield "PUSH_FLAGS", re.findall(r"#define MHOST_PUSH_([A-Z_]+)\s+\(1u <<", header), list(_abi.PUSH_FLAGS)
	yield "EVENTS", re.findall(r"MHOST_EVENT_(\w+) =", enum["event_type"]), list(_abi.EVENTS)
	yield "FINISHES", re.findall(r"MHOST_FINISH_(\w+) =", enum["finish"]), list(_abi.FINISHES)
	yield "GRAMMARS", re.findall(r"MHOST_GRAMMAR_(\w+) =", enum["grammar"]), list(_abi.GRAMMARS)
	yield "KINDS", re.findall(r"MHOST_(\w+) =", enum["kind"]), list(_abi.KINDS)
	yield "errors", re.findall(r"MHOST_E_\w+ = (-\d+)", enum["error"]), [str(code) for code in errors._BY_CODE]
	yield "DEFAULT_SOCKET", re.findall(r'MHOST_DEFAULT_SOCKET\s+"(.*)"', header), [_abi.DEFAULT_SOCKET]
	for struct, cls in _abi.STRUCTS.items():
		order = enumerate(fields_of(header, struct))
		yield struct, ["%d %s" % one for one in order], ["%d %s" % (i, one[0]) for i, one in enumerate(cls._fields_)]


def run(folder, compiler):
	"""The lines that the program prints; RuntimeError with the compiler's words."""
	with tempfile.TemporaryDirectory() as place:
		(pathlib.Path(place) / "abi.c").write_text(program())
		built = subprocess.run([compiler, "-std=gnu11", "-I", folder, place + "/abi.c", "-o", place + "/abi"],
			capture_output=True, text=True, check=False)
		if built.returncode:
			raise RuntimeError("\n".join(re.findall(r"error: (.*)", built.stderr)) or built.stderr)
		return subprocess.run([place + "/abi"], capture_output=True, text=True, check=True).stdout.splitlines()


def differences(folder, compiler):
	header = (pathlib.Path(folder) / "mhost.h").read_text()
	for what, in_c, in_python in names(header, (pathlib.Path(folder) / "libmhost.map").read_text()):
		for name in sorted(set(in_c) ^ set(in_python)):
			yield "%s: %s is in %s only" % (what, name, "C" if name in in_c else "Python")
	try:
		lines = run(folder, compiler)
	except RuntimeError as error:
		yield str(error)
		return
	for (expression, value), line in zip(numbers(), lines):
		if float(line) != value:
			yield "%s: %s in C, %s in Python" % (expression, line, value)


def main(folder, compiler="cc"):
	found = list(differences(folder, compiler))
	if found:
		found.insert(0, "client/python/mhost/_abi.py and client/mhost.h differ:")
	print("\n\t".join(found) or "%d numbers and %d types are the same" % (len(list(numbers())), len(list(type_checks()))))
	return 1 if found else 0


if __name__ == "__main__":
	sys.exit(main(*sys.argv[1:]))
