#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the reference data: small random models, tokenizers, damaged files, and what they should give.

    make_reference.py --out DIR [--seed N] [--only models|gguf|families|bad]
"""

import argparse
import base64
import json
import os
import pathlib
import shutil

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
import transformers

import ref_bad
import ref_families
import ref_gguf
import ref_hf
import ref_model
import ref_text
import ref_tok


def rng_of(seed, *words):
	"""A generator of its own for each thing, so that adding one changes no other."""
	return np.random.default_rng([seed] + [b for w in words for b in w.encode()])


def write_json(path, data):
	"""One line per case keeps differences readable."""
	path.parent.mkdir(parents=True, exist_ok=True)
	lists = [k for k, v in data.items() if isinstance(v, list) and v and isinstance(v[0], dict)]
	head = ["%s: %s" % (json.dumps(k), json.dumps(v)) for k, v in data.items() if k not in lists]
	for key in lists:
		rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in data[key])
		head.append("%s: [\n%s\n]" % (json.dumps(key), rows))
	path.write_text("{\n" + ",\n".join(head) + "\n}\n", encoding="ascii")


def texts_for(rng, count):
	"""Candidates for prompts as text, those of the last with characters beyond ASCII."""
	plain = [[ref_text.sentence(rng) for _ in range(40)] for _ in range(count - 1)]
	return plain + [["Caf\u00e9 %d, \U0001f600 it's\n\tfine." % n for n in range(80)]]


def make_models(out, seed):
	for name, spec in ref_hf.MODELS.items():
		rng = rng_of(seed, "hf", name)
		tok = ref_tok.MAKERS[spec["tok"]](rng, spec["shape"]["vocab"])
		folder = out / "models" / name
		ref_hf.write_folder(folder, spec, tok, rng)
		record = ref_model.golden(ref_model.from_folder(folder), rng, {"name": name, "vocab": spec["shape"]["vocab"],
			"tok": tok, "lengths": [1, 7, 33, 60], "texts": texts_for(rng, 2), "eos": ref_hf.ids_of(tok, spec)[1],
			"quantized": False, "stops": True})
		record |= {"path": "models/" + name, "dtype": spec["dtype"], "tokenizer_goldens": "goldens/tokenizers/%s.json" % name}
		write_json(out / "goldens/models" / (name + ".json"), record)
		write_json(out / "goldens/tokenizers" / (name + ".json"), ref_tok.golden(tok, rng, name) | {"path": "models/" + name})
		report(name, record)


def make_gguf(out, seed):
	(out / "gguf").mkdir(parents=True)
	for name, spec in ref_gguf.FILES.items():
		rng = rng_of(seed, "gguf", name)
		tok = ref_tok.MAKERS[spec["tok"]](rng_of(seed, "vocab", spec["tok"]), spec["shape"]["vocab"])
		path = ref_gguf.write_file(out / "gguf" / (name + ".gguf"), name, spec, tok, rng)
		model, shape, types = ref_gguf.read_model(path)
		quantized = spec["type"] is None or spec["type"].name.startswith("Q")
		record = ref_model.golden(model, rng, {"name": name, "vocab": shape["vocab"], "tok": tok,
			"lengths": [1, 20, 60], "texts": texts_for(rng, 1), "eos": ref_hf.ids_of(tok, spec)[1],
			"quantized": quantized, "stops": name in ("f32", "q8_0_linear")})
		file = "gguf/" + path.name
		record |= {"file": file, "tensor_types": types, "tokenizer_goldens": "goldens/tokenizers/gguf_%s.json" % name}
		write_json(out / "goldens/gguf" / (name + ".json"), record)
		if name in ("f32", "f16", "bf16_ropefreqs"):
			write_json(out / record["tokenizer_goldens"], ref_tok.golden(tok, rng, name) | {"file": file})
		report(name, record)


FAMILY_VOCAB = 320


def family_plan(rng, name, tok, letters, quantized):
	return {"name": name, "vocab": FAMILY_VOCAB, "tok": tok, "lengths": [1, 20, 60], "texts": texts_for(rng, 1), "quantized": quantized,
		"stops": False, "eos": [tok.token_to_id(ref_families.TOKENS[letters][1])]}


def make_families(out, seed):
	for name, spec in ref_families.MODELS.items():
		rng, folder = rng_of(seed, "family", name), out / "models" / name
		shutil.rmtree(folder, ignore_errors=True)
		tok = ref_tok.MAKERS[spec["tok"]](rng, FAMILY_VOCAB)
		ref_families.write_folder(folder, name, FAMILY_VOCAB, tok, rng)
		record = ref_model.golden(ref_model.from_folder(folder), rng, family_plan(rng, name, tok, spec["tok"], False))
		write_json(out / "goldens/models" / (name + ".json"), record | {"path": "models/" + name, "dtype": spec["dtype"]})
		report(name, record)
		if name in ref_families.ADAPTERS:
			record = ref_families.adapter_records(out, name, rng, FAMILY_VOCAB)
			write_json(out / "goldens/adapters" / (name + ".json"), record)
	(out / "gguf").mkdir(exist_ok=True)
	for name, (_, kind, letters) in ref_families.FILES.items():
		rng, file = rng_of(seed, "family gguf", name), "gguf/%s.gguf" % name
		tok = ref_tok.MAKERS[letters](rng, FAMILY_VOCAB)
		model, types = ref_families.write_file(out / file, name, FAMILY_VOCAB, tok, rng)
		record = ref_model.golden(model, rng, family_plan(rng, name, tok, letters, kind.name.startswith("Q")))
		record |= {"file": file, "tensor_types": types, "tokenizer_goldens": ""}
		write_json(out / "goldens/gguf" / (name + ".json"), record)
		report(name, record)


def report(name, record):
	worst = [min(c["greedy_gap"][:10]) for c in record["cases"]]
	spread = np.frombuffer(base64.b64decode(record["cases"][0]["last_logits_f32_b64"]), dtype="<f4").std()
	print("%-16s %d cases, logit deviation %.1f, smallest gaps in 10 steps %s, int8 shift %.3f" % (name, len(worst),
		spread, " ".join("%.2f" % w for w in worst), record.get("eight_bit_activation_max_abs_logit_diff", 0)))


def main():
	args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	args.add_argument("--out", type=pathlib.Path, required=True)
	args.add_argument("--seed", type=int, default=20)
	args.add_argument("--only", choices=["models", "gguf", "families", "bad"])
	opt = args.parse_args()
	torch.set_num_threads(1)
	transformers.utils.logging.disable_progress_bar()
	for part, folders, make in (("models", ["models", "goldens/models"], make_models),
			("gguf", ["gguf", "goldens/gguf"], make_gguf),
			("families", ["adapters", "goldens/adapters"], make_families), ("bad", ["bad"], ref_bad.make)):
		if opt.only not in (None, part):
			continue
		for folder in folders:
			shutil.rmtree(opt.out / folder, ignore_errors=True)
		make(opt.out, opt.seed)
	for path in opt.out.rglob("*"):
		path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
	main()
