# SPDX-License-Identifier: MIT
"""Adapters of a folder of reference data on their models, and those that must be refused. Python 3 alone."""

import json
import re

import check_host
import check_model


class Adapted:
	"""A host whose model has an adapter on top."""

	def __init__(self, host, adapter):
		self.host = host
		self.words = ("--adapter", adapter)

	def run(self, model, ids, count, *more):
		return self.host.run(model, ids, count, *self.words, *more)

	def score(self, model, ids):
		return self.host.score(model, ids, *self.words)


def safe_name(text):
	"""An adapter's name of the store."""
	return re.sub(r"[^a-z0-9]+", "-", text.lower())


def import_adapter(host, model, name, path):
	"""None, or what was said of it in one line; anything else raises no error here but fails the check."""
	done = host.call("import", "%s/%s@1.0.0" % (model, name), str(path), "--store", host.store)
	if done.returncode == 0:
		return None
	return check_host.one_line(done.stderr) or "exit %d: %r" % (done.returncode, done.stderr[-200:])


def check_one(tally, host, data, model, record, kind):
	name = safe_name(record["adapter"])
	label = "%s/%s" % (model, name)
	tally.begin(label)
	said = import_adapter(host, model, name, data / record["path"])
	if not tally.check(said is None, label + " import", said or ""):
		return
	adapted, tol = Adapted(host, name + "@1.0.0"), check_model.Tolerance(record, kind)
	for case in record["cases"]:
		case = dict(case, name="%s %s" % (record["adapter"], case["name"]))
		check_model.check_greedy(tally, adapted, model, case, tol)
		check_model.check_logprobs(tally, adapted, model, case, tol)
		check_model.check_score(tally, adapted, model, case, tol)


def check_swaps(tally, host, model, hotswap, kind):
	"""After each step that PEFT took, the outputs of the adapter in place."""
	for sequence in hotswap["sequences"]:
		for n, step in enumerate(sequence["steps"]):
			if "refused" in step:
				continue
			adapted = Adapted(host, safe_name(step["adapter"]) + "@1.0.0")
			for k, (prompt, want) in enumerate(zip(hotswap["prompts"], step["outputs"])):
				case = dict(want, prompt=prompt, name="%s %d.%d" % (sequence["name"], n, k))
				check_model.check_greedy(tally, adapted, model, case, check_model.Tolerance({"cases": [case]}, kind))


def check_adapters(tally, host, data, name_of, kind_of):
	"""@name_of: of a model's folder in the store, or None when it is not there."""
	for file in sorted((data / "goldens/adapters").glob("*.json")):
		golden = json.loads(file.read_text(encoding="utf-8"))
		model = name_of(golden["model"])
		if not tally.check(model is not None, "adapters of %s" % file.stem, "" if model else "the model is not there"):
			continue
		kind = kind_of(data / golden["model"])
		for record in golden["adapters"]:
			check_one(tally, host, data, model, record, kind)
		if "hotswap" in golden:
			tally.begin(model + " hotswap")
			check_swaps(tally, host, model, golden["hotswap"], kind)


def check_refused(tally, host, data, name_of):
	for file in sorted((data / "adapters_refuse").glob("*/refuse.json")):
		plan = json.loads(file.read_text(encoding="utf-8"))
		model = name_of(plan["model"])
		if not tally.check(model is not None, "refused adapters of %s" % plan["model"]):
			continue
		tally.begin(model + " refused adapters")
		for n, path in enumerate(plan["controls"]):
			said = import_adapter(host, model, "control-%d" % n, data / path)
			tally.check(said is None, "control %s" % path, said or "")
		for one in plan["adapters"]:
			if one["expect"] != "refuse":
				continue
			said = import_adapter(host, model, "bad-" + safe_name(one["name"]), data / one["path"])
			good = said is not None and not said.startswith("exit")
			tally.check(good, "bad adapter %s" % one["name"], said if good else "%s (%s)" % (said or "accepted", one["reason"]))
