# SPDX-License-Identifier: MIT
"""Embeddings of the committed models against transformers' (make_embeddings.py). Python 3 alone."""

import base64
import json
import math
import pathlib
import shutil
import struct
import tempfile

import check_adapters
import check_host

POOLINGS = ("mean", "last", "cls")
FAR = {"float": 1e-3, "half": 2e-2}  # the difference, by the length of what is expected
AWRY = {"float": 1e-4, "half": 1e-3}  # 1 less the cosine


def floats(text):
	raw = base64.b64decode(text)
	return struct.unpack("<%df" % (len(raw) // 4), raw)


def length(vector):
	return math.sqrt(math.fsum(x * x for x in vector))


def distance(a, b):
	return length([x - y for x, y in zip(a, b)]) / length(b)


def cosine(a, b):
	return math.fsum(x * y for x, y in zip(a, b)) / (length(a) * length(b))


def ids_of(case, vocab):
	return case.get("prompt") or [(37 * n * n + 11 * n + 5) % vocab for n in range(case["count"])]


def changed(folder, config, to):
	"""A copy of the model @folder in @to, with these values in its config.json."""
	copy = pathlib.Path(to) / pathlib.Path(folder).name
	shutil.copytree(folder, copy)
	file = copy / "config.json"
	file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | config), encoding="utf-8")
	return copy


def embed(host, model, case, ids, *more):
	"""As a text where there is one, so that the tokenizer has its say."""
	what = ("--", model, case["text"]) if "text" in case else (model, "--tokens", check_host.join(ids))
	return host.json("embed", "--json", *more, *what)


def check_vector(tally, host, model, record, case, pooling, kind):
	ids = ids_of(case, record["vocab"])
	words = ("--pooling", pooling) + (("--adapter", adapter_of(record) + "@1.0.0") if "adapter" in record else ())
	label = "%s embed %s %s of %d" % (record.get("adapter", model), pooling, "text" if "text" in case else "ids", len(ids))
	raw, normed = (embed(host, model, case, ids, *words, *more) for more in (("--raw",), ()))
	if "failed" in raw or "failed" in normed:
		return tally.check(False, label, raw.get("failed", normed.get("failed")))
	want, got, unit = floats(case[pooling]), raw["embedding"], normed["embedding"]
	if len(got) != len(want) or raw["prompt_tokens"] != ids or (raw["normalized"], normed["normalized"]) != (False, True):
		return tally.check(False, label, "%d values, not %d, or other tokens" % (len(got), len(want)))
	far, awry = distance(got, want), 1 - cosine(unit, want)
	same = abs(length(unit) - 1) < 1e-6 and distance(unit, [x / length(got) for x in got]) < 1e-6
	return tally.check(far <= FAR[kind] and awry <= AWRY[kind] and same, label, "off by %.2g, allowed %.2g; 1 - cosine %.2g%s" % (
		far, FAR[kind], awry, "" if same else "; the normed one is not the raw one at length 1"))


def adapter_of(record):
	return check_adapters.safe_name(record["adapter"].split("/")[1])


def bring_context(tally, host, data, record):
	"""The model for a longer context than it has by itself; its name in the store, or None."""
	name, longest = "long-%d" % record["context"], 1 << 20
	with tempfile.TemporaryDirectory() as folder:
		path = changed(data / record["model"], record["config"], folder) if record["config"] else data / record["model"]
		words = ("import", name + "@1.0.0", str(path), "--store", host.store, "--context")
		done = host.call(*words, str(longest))
		tally.check(done.returncode == 1 and b"limit" in done.stderr, name + ": more than its positions reach is refused",
			done.stderr.decode().strip())
		failed = host.steps([(*words, str(record["context"]))]) or host.activate(name)
	return name if tally.check(not failed, "%s for %d tokens" % (record["model"], record["context"]), failed or "") else None


def check_contexts(tally, host, data, records, kind_of):
	for record in records:
		name = bring_context(tally, host, data, record)
		for pooling in POOLINGS if name else ():
			check_vector(tally, host, name, record, record["cases"][0], pooling,
				kind_of(data / record["model"]) if (data / record["model"]).is_dir() else "float")


def check_all(tally, host, data, name_of, kind_of):
	"""@name_of: of a model's folder in the store, or None; its adapters are there too."""
	file = data / "embeddings.json"
	records = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
	check_contexts(tally, host, data, [r for r in records if "context" in r], kind_of)
	for record in (r for r in records if "context" not in r):
		model = name_of(record["model"])
		if not tally.check(model is not None, "embeddings of %s" % record["model"], "" if model else "it is not there"):
			continue
		tally.begin(model + " embeddings")
		for case in record["cases"]:
			for pooling in POOLINGS:
				check_vector(tally, host, model, record, case, pooling, kind_of(data / record["model"]))
