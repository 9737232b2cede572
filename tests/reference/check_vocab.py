#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the compiled vocabularies of a folder with the ids beside them.

    check_vocab.py TOK_CHECK FOLDER

FOLDER has ggml-vocab-NAME.gguf, and for most of them .gguf.inp (texts) and .gguf.out (a line of ids for each). Python 3 alone.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

SEPARATOR = "\n__ggml_vocab_test__\n"
REFUSED = 'tokenizer.ggml.model: "bert" is not supported'
LEAST = 14	# vocabularies with ids; fewer mean that this is not the folder


def golden(path):
	"""What tok_check reads. Ids around a text and decoding are not in these files."""
	texts = path.with_name(path.name + ".inp").read_bytes().decode().split(SEPARATOR)
	if not texts[-1]:
		texts.pop()
	ids = [[int(i) for i in line.split()] for line in path.with_name(path.name + ".out").read_text().splitlines()]
	if len(texts) != len(ids):
		raise SystemExit("%s: %d texts, %d lines of ids" % (path.name, len(texts), len(ids)))
	return {"cases": [{"text": t, "ids": i, "decoded": None} for t, i in zip(texts, ids)]}


def run(tok_check, *args):
	return subprocess.run([tok_check, *map(str, args)], capture_output=True, encoding="utf-8", errors="replace")


def check(tok_check, path, folder):
	"""(good, compared)"""
	compared = path.with_name(path.name + ".out").exists()
	made = folder / "golden.json"
	if compared:
		made.write_text(json.dumps(golden(path)), encoding="ascii")
	done = run(tok_check, path, made) if compared else run(tok_check, "--open", path)
	refused = REFUSED in done.stderr
	if done.returncode and not refused:
		print("%s:\n%s%s" % (path.name, done.stdout, done.stderr))
	print("# %s: %s" % (path.name, "refused, as it should be" if refused
		else done.stdout.strip().rsplit(": ", 1)[-1] if compared else "opens"))
	return refused or not done.returncode, compared and not refused


def main():
	tok_check, vocabs = sys.argv[1], sorted(pathlib.Path(sys.argv[2]).glob("ggml-vocab-*.gguf"))
	with tempfile.TemporaryDirectory() as folder:
		results = [check(tok_check, path, pathlib.Path(folder)) for path in vocabs]
	compared = sum(r[1] for r in results)
	if compared < LEAST:
		print("only %d vocabularies have ids beside them; there should be %d" % (compared, LEAST))
	return not all(r[0] for r in results) or compared < LEAST


if __name__ == "__main__":
	sys.exit(main())
