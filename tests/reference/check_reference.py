#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare an mhost build with the reference data. Needs Python 3 alone.

    check_reference.py --mhost BIN --mhostd BIN [--data DIR]... [--smollm2 GGUF] [--isa X] [--only PART] [-v]
    check_reference.py --mhost BIN --mhostd BIN --whole DIR    a whole folder of such data: all of it must pass; with a table
    check_reference.py --mhost BIN --socket S --store DIR      with a daemon that runs already
    check_reference.py --unpack DIR                            write the damaged files out

Prints a line for each check and `N passed, N failed`; exits 1 when one failed.
"""

import argparse
import json
import pathlib
import re
import sys

import check_adapters
import check_bad
import check_embed
import check_host
import check_model
import check_shadow

HERE = pathlib.Path(__file__).resolve().parent
GGUF_TYPES = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
	"Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"}


FAMILIES = {"llama", "mistral", "qwen2", "qwen3", "gpt2", "gemma2", "gemma3_text", "phi3", "smollm3",
	"qwen3_moe", "mixtral"}
ARCHITECTURES = {"llama", "qwen2", "qwen3", "gpt2", "gemma2", "gemma3", "phi3", "smollm3", "qwen3moe"}


def load(path):
	return json.loads(path.read_text(encoding="utf-8"))


def safe_name(text):
	"""A model name of the store."""
	return re.sub(r"[^a-z0-9]+", "-", text.lower())


def config_of(folder):
	return load(folder / "config.json")


def folder_in_scope(folder):
	"""None for a family that is served with byte-level BPE, else what it is."""
	if config_of(folder).get("model_type") not in FAMILIES:
		return config_of(folder).get("model_type", "unknown")
	tokenizer = load(folder / "tokenizer.json")
	level = '"ByteLevel"' in json.dumps(tokenizer.get("pre_tokenizer"))
	return None if tokenizer["model"].get("type") == "BPE" and level else "a tokenizer that is not byte-level BPE"


def gguf_text(raw, key):
	"""A text value of GGUF metadata, found by its key."""
	at = raw.find(key) + len(key)
	length = int.from_bytes(raw[at + 4:at + 12], "little")
	return raw[at + 12:at + 12 + length].decode()


def gguf_in_scope(path, record):
	"""None for what the importer promises to read, else what it is."""
	raw = path.read_bytes()[:1 << 16]
	if gguf_text(raw, b"general.architecture") not in ARCHITECTURES:
		return gguf_text(raw, b"general.architecture")
	if gguf_text(raw, b"tokenizer.ggml.model") != "gpt2":
		return "a tokenizer of kind " + gguf_text(raw, b"tokenizer.ggml.model")
	odd = set(record["tensor_types"].values()) - GGUF_TYPES
	return "tensors of type " + ", ".join(sorted(odd)) if odd else None


def kind_of_types(types):
	"""float, half or quantised."""
	if any(t.startswith(("Q", "IQ", "MX")) for t in types):
		return "quantised"
	return "float" if set(types) == {"F32"} else "half"


def kind_of_folder(folder):
	config = config_of(folder)
	return "float" if config.get("torch_dtype", config.get("dtype", "float32")) == "float32" else "half"


def bring(tally, host, name, path, outside):
	"""Import and activate; True when the model can be asked."""
	tally.begin(name)
	if not outside:
		failed = host.add(name, path)
		return tally.check(not failed, name + " import", failed or "")
	done = host.call("import", name + "@1.0.0", str(path), "--store", host.store)
	line = check_host.one_line(done.stderr)
	tally.check(done.returncode == 0 or done.returncode == 1 and line, name + " refused in one line",
		"%s (%s)" % (line or "exit %d: %r" % (done.returncode, done.stderr[-200:]), outside))
	return done.returncode == 0 and tally.check(not host.activate(name), name + " activate")


def name_of_folder(host):
	"""From a model's folder to its name in the store, None when it is not there."""
	def name_of(path):
		name = "hf-" + safe_name(pathlib.Path(path).name)
		return name if (pathlib.Path(host.store) / "models" / name / "1.0.0").is_dir() else None
	return name_of


def check_folders(tally, host, data, whole):
	for file in sorted((data / "goldens/models").glob("*.json")):
		record = load(file)
		folder, name = data / record["path"], "hf-" + safe_name(file.stem)
		if not bring(tally, host, name, folder, None if whole else folder_in_scope(folder)):
			continue
		check_model.check_record(tally, host, name, record, kind_of_folder(folder))
		for golden in (data / "goldens/tokenizers").glob("*.json"):
			golden = load(golden)
			if golden.get("path") == record["path"]:
				check_model.check_tokenizer(tally, host, name, golden)


def check_files(tally, host, data, whole):
	for file in sorted((data / "goldens/gguf").glob("*.json")):
		record = load(file)
		if "tensor_types" not in record:
			continue
		path, name = data / record["file"], "gguf-" + safe_name(file.stem)
		if not bring(tally, host, name, path, None if whole else gguf_in_scope(path, record)):
			continue
		check_model.check_record(tally, host, name, record, kind_of_types(record["tensor_types"].values()))
		golden = data / record["tokenizer_goldens"]
		if golden.is_file():
			check_gguf_tokenizer(tally, host, data, name, load(golden))


def check_gguf_tokenizer(tally, host, data, name, golden):
	"""Cases of its own, or positions in those of the folder that it was made from."""
	if golden["cases"] and isinstance(golden["cases"][0], int):
		check_model.check_tokenizer(tally, host, name, load(data / golden["tokenizer"]), golden["cases"])
	else:
		check_model.check_tokenizer(tally, host, name, golden)


def check_tiny(tally, host, tiny):
	"""The models that the repository carries, whose BF16 weights are exact in F32."""
	for record in load(tiny / "golden.json"):
		name = "tiny-" + record["folder"]
		if bring(tally, host, name, tiny / record["folder"], None):
			check_model.check_record(tally, host, name, record, "float")


def check_smollm2(tally, host, data, gguf):
	record, name = load(data / "smollm2.json"), "smollm2"
	if not bring(tally, host, name, gguf, None):
		return
	tol = check_model.Tolerance(record, "quantised")
	for case in record["cases"]:
		check_model.check_greedy(tally, host, name, case, tol)
		check_model.check_text(tally, host, name, case, tol)
	ids = record["score_tokens"]
	reply = host.score(name, ids)
	if "failed" in reply:
		tally.check(False, "smollm2 score", reply["failed"])
		return
	got, want = sum(reply["logprobs"][1:]) / (len(ids) - 1), record["score_mean_logprob"]
	off = abs(got / want - 1)
	tally.check(off <= 0.005, "smollm2 score", "mean %.5f, not %.5f: %.3f %%, allowed 0.5 %%" % (got, want, 100 * off))
	prose = (HERE / "prose.txt").read_bytes()
	tally.check(host.tokenize(name, prose).get("tokens", [])[:len(ids)] == ids, "smollm2 tokenize prose.txt")


def arguments():
	args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	args.add_argument("--mhost")
	args.add_argument("--mhostd")
	args.add_argument("--socket")
	args.add_argument("--store")
	args.add_argument("--isa")
	args.add_argument("--hugepages")
	args.add_argument("--data", "--public", type=pathlib.Path, action="append")
	args.add_argument("--whole", type=pathlib.Path)
	args.add_argument("--tiny", type=pathlib.Path, default=HERE.parents[1] / "tools/tiny")
	args.add_argument("--smollm2", type=pathlib.Path)
	args.add_argument("--only", choices=["models", "adapters", "embed", "gguf", "tiny", "shadow", "bad", "smollm2"])
	args.add_argument("--unpack", type=pathlib.Path)
	args.add_argument("-q", "--quiet", action="store_true", help="print failures only")
	args.add_argument("-v", "--verbose", action="store_true", help="print what was said of damaged files")
	opt = args.parse_args()
	opt.data = [opt.whole] if opt.whole else opt.data or [HERE / "data"]
	if not opt.unpack and (not opt.mhost or not (opt.mhostd or (opt.socket and opt.store))):
		args.error("--mhost and either --mhostd or both --socket and --store are needed")
	return opt


def daemon_options(opt):
	out = ["--workers", "1", "--threads", "1"]
	for key in ("isa", "hugepages"):
		out += ["--" + key, getattr(opt, key)] if getattr(opt, key) else []
	return out


def check_isa(tally, host, wanted):
	"""The level that runs, which is the one forced."""
	isa = host.json("status", "--json").get("isa")
	print("# ran: isa %s" % isa, flush=True)
	tally.check(wanted in (None, "auto", isa), "isa %s" % wanted, "it runs %s" % isa)


def check_served(tally, opt):
	"""All that needs a daemon."""
	for data in opt.data:
		host = check_host.Host(opt.mhost, opt.mhostd, opt.socket, opt.store, daemon_options(opt))
		try:
			check_isa(tally, host, opt.isa)
			if opt.only in (None, "models", "adapters", "embed"):
				check_folders(tally, host, data, opt.whole)
			if opt.only in (None, "models", "adapters", "embed"):
				check_adapters.check_adapters(tally, host, data, name_of_folder(host), kind_of_folder)
				check_adapters.check_refused(tally, host, data, name_of_folder(host))
			if opt.only in (None, "embed"):
				check_embed.check_all(tally, host, data, name_of_folder(host), kind_of_folder)
			if opt.only in (None, "gguf"):
				check_files(tally, host, data, opt.whole)
			if not opt.whole and opt.only in (None, "tiny"):
				check_tiny(tally, host, opt.tiny)
			if opt.smollm2 and opt.only in (None, "smollm2") and (data / "smollm2.json").is_file():
				check_smollm2(tally, host, data, opt.smollm2)
		finally:
			mine = host.daemon is not None
			clean = host.stop()
			if mine:
				tally.check(clean, "mhostd stops cleanly")
			host.remove()


def main():
	opt = arguments()
	if opt.unpack:
		check_bad.unpack(opt.data[0] / "bad", opt.unpack)
		return 0
	tally = check_host.Tally(opt.quiet)
	if opt.only not in ("bad", "shadow"):
		check_served(tally, opt)
	if opt.mhostd and not opt.whole and opt.only in (None, "shadow"):
		check_shadow.check(tally, opt.mhost, opt.mhostd, opt.tiny, daemon_options(opt))
	tally.begin("bad")
	if opt.only in (None, "bad"):
		for data in opt.data:
			check_bad.check_all(tally, opt.mhost, data / "bad", opt.verbose)
	if opt.whole:
		tally.table()
	print("%d passed, %d failed" % (tally.passed, tally.failed))
	return 1 if tally.failed else 0


if __name__ == "__main__":
	sys.exit(main())
