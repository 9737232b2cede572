# SPDX-License-Identifier: MIT
"""Damaged files: each refused in one line, in time, in little memory, with nothing left in the store. Python 3 alone."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

LIMIT_S = 10
LIMIT_MIB = 512


def edit(path, ops):
	"""Apply splice, insert and extend to a file in place."""
	for op, *rest in ops:
		if op == "extend":
			os.truncate(path, rest[0])
			continue
		raw = path.read_bytes()
		at = rest[0]
		if op == "splice":
			raw = raw[:at] + bytes.fromhex(rest[2]) + raw[at + rest[1]:]
		else:
			raw = raw[:at] + bytes.fromhex(rest[1]) * rest[2] + raw[at:]
		path.write_bytes(raw)


def overlay(bad, case, path):
	"""A folder from its base and the files that differ."""
	shutil.copytree(bad / case.get("base", "control"), path)
	own = bad / case["path"] if "path" in case else None
	if own and own.is_dir():
		for file in own.iterdir():
			shutil.copyfile(file, path / file.name)
	for name in case.get("drop", []):
		(path / name).unlink()


def place(kind, path, target=None):
	"""Something that is not a plain file."""
	if kind == "fifo":
		os.mkfifo(path)
	elif kind == "folder":
		path.mkdir()
	elif kind == "socket":
		with socket.socket(socket.AF_UNIX) as s:
			s.bind(str(path))
	elif kind != "absent":
		path.symlink_to(target or kind)


def nest(path, depth):
	path.write_text('{"a":' + "[" * depth + "]" * depth + "," + path.read_text()[1:])


def member_case(bad, case, work):
	"""A folder one of whose files is strange."""
	path = work / case["name"]
	overlay(bad, case, path)
	file = path / case["member"]
	if "ops" in case:
		edit(file, case["ops"])
	elif case["special"] == "nested":
		nest(file, case["depth"])
	else:
		file.unlink()
		place(case["what"], file)
	return path


def build(bad, case, work):
	"""The path to import."""
	if "member" in case:
		return member_case(bad, case, work)
	if case.get("special") == "path":
		return pathlib.Path(case["target"])
	path = work / (case["name"] + ".gguf")
	if "special" in case:
		place(case["special"], path, case.get("target"))
		return path
	if "ops" in case:
		path.write_bytes((bad / case["base"]).read_bytes() if "base" in case else b"")
		edit(path, case["ops"])
		return path
	if "base" in case or (bad / case["path"]).is_dir():
		path = work / case["name"]
		if "base" in case:
			overlay(bad, case, path)
			return path
	return bad / case["path"]


def attempt(mhost, store, path):
	"""(exit status or None when it took too long, stderr, MiB at most)."""
	words = [mhost, "import", "bad@1.0.0", str(path), "--store", str(store)]
	with tempfile.TemporaryFile() as err:
		child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
		until, status = time.monotonic() + LIMIT_S, None
		while True:
			pid, raw, usage = os.wait4(child.pid, os.WNOHANG)
			if pid:
				child.returncode = os.waitstatus_to_exitcode(raw)
				break
			if time.monotonic() > until:
				child.kill()
			time.sleep(0.001)
		status = child.returncode if time.monotonic() <= until else None
		err.seek(0)
		return status, err.read(4096).decode("utf-8", "replace"), usage.ru_maxrss // 1024


def leftovers(store):
	"""Files with something in them that an import left behind."""
	return [str(p) for p in store.rglob("*") if p.is_file() and p.stat().st_size] if store.is_dir() else []


def names(path):
	"""What a message may call the file."""
	members = [p.name for p in path.iterdir()] if path.is_dir() else []
	return [path.name, str(path)] + members + ["config.json", "tokenizer.json", "model.safetensors"] * path.is_dir()


def judge(case, path, status, stderr, mib, left):
	"""What is wrong, or ''."""
	lines = stderr.splitlines()
	if status is None:
		return "not done in %d s" % LIMIT_S
	if status not in (0, 1):
		return "exit %d: %s" % (status, stderr[-200:])
	if mib > LIMIT_MIB:
		return "took %d MiB" % mib
	if status == 0:
		return "accepted" if case["expect"] == "refuse" else ""
	if len(lines) != 1:
		return "%d lines of error: %r" % (len(lines), stderr[:300])
	if not any(n in lines[0] for n in names(path)):
		return "does not name the file: " + lines[0]
	return "left behind: %s" % left if left else ""


def check_case(tally, mhost, bad, case, verbose):
	work = pathlib.Path(tempfile.mkdtemp(prefix="mhost-bad-"))
	try:
		path, store = build(bad, case, work), work / "store"
		status, stderr, mib = attempt(mhost, store, path)
		wrong = judge(case, path, status, stderr, mib, leftovers(store) if status else [])
		detail = wrong and "%s (%s)" % (wrong, case["reason"])
		said = stderr.strip().replace(str(work) + "/", "") if verbose else ""
		tally.check(not wrong, "bad %s" % case["name"], detail or (said or "accepted" if verbose else ""))
	except OSError as error:
		tally.skip("bad " + case["name"], "cannot be made here: %s" % error)
	finally:
		shutil.rmtree(work, ignore_errors=True)


def check_control(tally, mhost, bad, one):
	work = pathlib.Path(tempfile.mkdtemp(prefix="mhost-bad-"))
	status, stderr, _ = attempt(mhost, work / "store", bad / one["path"])
	tally.check(status == 0, "control %s" % one["path"], "" if status == 0 else "exit %s: %s" % (status, stderr.strip()))
	shutil.rmtree(work, ignore_errors=True)


def check_cuts(tally, mhost, bad, cuts):
	"""The base cut at each length."""
	raw, wrong = (bad / cuts["base"]).read_bytes(), []
	work = pathlib.Path(tempfile.mkdtemp(prefix="mhost-bad-"))
	for length in cuts["lengths"]:
		path = work / "cut.gguf"
		path.write_bytes(raw[:length])
		status, stderr, mib = attempt(mhost, work / "store", path)
		said = judge({"expect": "refuse"}, path, status, stderr, mib, leftovers(work / "store"))
		wrong += ["at %d: %s" % (length, said)] if said else []
	shutil.rmtree(work, ignore_errors=True)
	tally.check(not wrong, "bad cuts of %s" % cuts["base"], wrong[0] if wrong else "%d" % len(cuts["lengths"]))


def check_all(tally, mhost, bad, verbose):
	"""Everything that bad.json lists."""
	mhost = os.path.abspath(mhost)
	plan = json.loads((bad / "bad.json").read_text())
	for one in plan["controls"]:
		check_control(tally, mhost, bad, one)
	for case in plan["cases"] + plan.get("made", []):
		check_case(tally, mhost, bad, case, verbose)
	if "cuts" in plan:
		check_cuts(tally, mhost, bad, plan["cuts"])


def unpack(bad, out):
	"""Write every case that can be stored as a file or a folder."""
	out.mkdir(parents=True)
	plan = json.loads((bad / "bad.json").read_text())
	for case in plan["cases"]:
		path = build(bad, case, out)
		if path.parent != out:
			shutil.copyfile(path, out / path.name)
