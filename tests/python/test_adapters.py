# SPDX-License-Identifier: MIT
"""Adapters from memory: state dicts of arrays and of torch, PEFT models and folders, against the same imported."""

import asyncio
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import unittest

import mhost
from daemon import BUILD, TREE, HostCase, descriptors, wait_until
from mhost import _safetensors, adapters

PEFT = TREE / "tests/reference/data/peft"
PROMPT = "A cow is"


def config_of(name):
	return json.loads((PEFT / name / "adapter_config.json").read_text())


def arrays_of(name):
	"""A state dict of memoryviews, of F32 weights."""
	raw = (PEFT / name / "adapter_model.safetensors").read_bytes()
	length = int.from_bytes(raw[:8], "little")
	data = memoryview(raw)[8 + length:]
	arrays = {}
	for key, entry in json.loads(raw[8:8 + length]).items():
		if key != "__metadata__":
			begin, end = entry["data_offsets"]
			arrays[key] = data[begin:end].cast("f", entry["shape"])
	return arrays


def torch_and_peft():
	try:
		import peft
		import torch
		return torch, peft
	except ImportError:
		raise unittest.SkipTest("no torch and peft here") from None


class Pushed(HostCase):
	options = ("--workers", "2", "--threads", "1")

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		for name in ("r1_all", "r4_all_linear", "r8_rslora", "r16_bf16", "embeddings"):
			cls.daemon.mhost("import", "tiny/%s@1.0.0" % name.replace("_", "-"), PEFT / name)

	def setUp(self):
		self.host = mhost.connect(self.daemon.socket, timeout=60)
		self.addCleanup(self.host.close)

	def scores(self, adapter, scale=1.0):
		return self.host.score("tiny", PROMPT + " a calm farm animal.", adapters=[(adapter, scale)])

	def same(self, pushed_name, pushed, imported):
		"""Bit for bit what the importer makes of the file."""
		ours, theirs = self.scores(pushed_name), self.scores(imported)
		self.assertEqual(ours.logprobs, theirs.logprobs)
		self.assertNotEqual(ours.logprobs, self.host.score("tiny", PROMPT + " a calm farm animal.").logprobs)
		self.assertEqual((ours.adapters[0].version, ours.adapters[0].content_hash), (pushed.version, pushed.content_hash))

	def test_arrays(self):
		before = descriptors()
		pushed = self.host.adapter_push("tiny", "one", arrays_of("r1_all"), config_of("r1_all"))
		self.assertGreater(pushed.epoch, 0)
		self.assertGreater(pushed.load_s, 0)
		self.same("one", pushed, "r1-all")
		again = self.host.adapter_push("tiny", "one", arrays_of("r8_rslora"), config_of("r8_rslora"))
		self.assertNotEqual(again.version, pushed.version)
		self.same("one", again, "r8-rslora")
		self.assertEqual(descriptors(), before)

	def test_paths_and_bytes(self):
		for number, (weights, config) in enumerate((
			(PEFT / "r16_bf16", None),
			(str(PEFT / "r16_bf16/adapter_model.safetensors"), None),
			((PEFT / "r16_bf16/adapter_model.safetensors").read_bytes(), config_of("r16_bf16")),
			(PEFT / "r16_bf16", json.dumps(config_of("r16_bf16"))),
		)):
			with self.subTest(number):
				pushed = self.host.adapter_push("tiny", "two@1.0.%d" % number, weights, config)
				self.assertEqual(pushed.version, "1.0.%d" % number)
				self.same("two", pushed, "r16-bf16")

	def test_load_only_and_keep(self):
		pushed = self.host.adapter_push("tiny", "three", PEFT / "r1_all", version="1.0.0")
		waiting = self.host.adapter_push("tiny", "three", PEFT / "r4_all_linear", version="2.0.0", load_only=True)
		self.assertEqual(waiting.epoch, 0)
		self.same("three", pushed, "r1-all")
		self.same("three@2.0.0", waiting, "r4-all-linear")
		self.assertEqual(mhost.Control(self.daemon.socket).adapter_swap("tiny", "three", "2.0.0")["from"], "1.0.0")
		self.same("three", waiting, "r4-all-linear")
		self.host.adapter_push("tiny", "four", PEFT / "r1_all", version="1.0.0", keep=True)
		kept = json.loads(self.daemon.mhost("list", "--adapters", "tiny", "--json"))["adapters"]
		names = [one["adapter"] for one in kept]
		self.assertIn("four", names)
		self.assertNotIn("three", names)

	def test_running_replies_keep_their_weights(self):
		self.host.adapter_push("tiny", "five", PEFT / "r1_all", version="1.0.0")
		long = {"max_tokens": 480, "ignore_eos": True, "adapters": ["five"]}
		wanted = self.host.complete("tiny", PROMPT, **long)
		streams = [self.host.generate("tiny", PROMPT, **long) for _ in range(6)]
		firsts = [next(stream) for stream in streams]
		self.host.adapter_push("tiny", "five", PEFT / "r4_all_linear", version="1.1.0")
		after = self.host.complete("tiny", PROMPT, **long)
		self.assertEqual(after.adapters[0].version, "1.1.0")
		self.assertNotEqual(after.text, wanted.text)
		for first, stream in zip(firsts, streams):
			reply = stream.result()
			self.assertEqual((first, reply.adapters[0].version, reply.text), (reply.tokens[0], "1.0.0", wanted.text))

	def test_scale_and_several(self):
		plain = self.host.score("tiny", PROMPT + " a calm farm animal.").logprobs
		self.assertEqual(self.scores("r1-all", 0.0).logprobs, plain)
		self.assertNotEqual(self.scores("r1-all", 0.5).logprobs, self.scores("r1-all").logprobs)
		reply = self.host.complete("tiny", PROMPT, max_tokens=3, adapters=[("r1-all", 0.5), "r4-all-linear@1.0.0", ("embeddings", -1)])
		self.assertEqual([(one.name, one.version, one.scale) for one in reply.adapters],
			[("r1-all", "1.0.0", 0.5), ("r4-all-linear", "1.0.0", 1.0), ("embeddings", "1.0.0", -1.0)])
		self.assertTrue(all(len(one.content_hash) == 64 for one in reply.adapters))
		with self.assertRaises(mhost.InvalidRequest):
			self.host.complete("tiny", "x", adapters=["r1-all", "r1-all"])

	def test_refused(self):
		good, config = arrays_of("r1_all"), config_of("r1_all")
		before = descriptors()
		key = next(iter(good))
		cut = dict(good)
		del cut[key]
		for error, words, weights, settings in (
			(mhost.ControlError, ".", cut, config),
			(mhost.ControlError, ".", good, {**config, "peft_type": "IA3"}),
			(mhost.ControlError, ".", b"no safetensors", config),
			(mhost.ControlError, ".", {}, config),
			(mhost.InvalidRequest, "float32", {**good, key: memoryview(bytes(64)).cast("d")}, config),
			(TypeError, "neither", {**good, key: [1.0, 2.0]}, config),
			(TypeError, "name must", {7: good[key]}, config),
			(TypeError, "config is needed", good, None),
			(TypeError, "state dict", 7, config),
			(TypeError, "config must", good, 7),
			(TypeError, "no JSON", good, {**config, "thing": object()}),
			(FileNotFoundError, ".", PEFT / "nothing", None),
		):
			with self.subTest(words, weights=str(weights)[:60]), self.assertRaisesRegex(error, words):
				self.host.adapter_push("tiny", "six", weights, settings)
		for model, name, version in (("nobody", "a", None), ("tiny", "Bad Name", None), ("tiny", "a", "one")):
			with self.subTest(model=model, name=name, version=version), self.assertRaises(mhost.ControlError):
				self.host.adapter_push(model, name, good, config, version=version)
		for error, model, name, version in (
			(mhost.InvalidRequest, "", "a", None), (TypeError, None, "a", None), (TypeError, "tiny", 7, None),
			(mhost.InvalidRequest, "tiny", "a@1.0.0", "1.0.0"),
		):
			with self.subTest(model=model, name=name, version=version), self.assertRaises(error):
				self.host.adapter_push(model, name, good, config, version=version)
		self.assertEqual(descriptors(), before)
		self.assertNotIn("six", [one["adapter"] for one in mhost.Control(self.daemon.socket).adapter_list("tiny")])

	def test_async(self):
		async def use():
			async with mhost.connect_async(self.daemon.socket) as host:
				pushed = await host.adapter_push("tiny", "seven", arrays_of("r1_all"), config_of("r1_all"))
				reply = await host.complete("tiny", PROMPT, max_tokens=3, adapters=["seven"])
				self.assertEqual(reply.adapters[0].content_hash, pushed.content_hash)

		asyncio.run(use())

	def test_memory_is_given_back(self):
		control = mhost.Control(self.daemon.socket)
		arrays, config = arrays_of("r1_all"), config_of("r1_all")
		for _ in range(30):
			self.host.adapter_push("tiny", "eight", arrays, config)
		control.adapter_unload("tiny", "eight")
		wait_until("its end", lambda: not [one for one in control.adapter_list("tiny") if one["adapter"] == "eight"])

	def test_torch(self):
		torch, _ = torch_and_peft()
		state = {key: torch.tensor(value.tolist()) for key, value in arrays_of("r8_rslora").items()}
		self.same("t1", self.host.adapter_push("tiny", "t1", state, config_of("r8_rslora")), "r8-rslora")
		turned = {key: value.t().contiguous().t() for key, value in state.items()}
		self.assertTrue(any(not value.is_contiguous() for value in turned.values()))
		self.same("t1", self.host.adapter_push("tiny", "t1", turned, config_of("r8_rslora")), "r8-rslora")
		parameters = {key: torch.nn.Parameter(value) for key, value in state.items()}
		self.same("t1", self.host.adapter_push("tiny", "t1", parameters, config_of("r8_rslora")), "r8-rslora")
		for wrong in (torch.float64, torch.int8):
			with self.assertRaisesRegex(mhost.InvalidRequest, "torch"):
				self.host.adapter_push("tiny", "t1", {key: value.to(wrong) for key, value in state.items()}, config_of("r8_rslora"))
		with self.assertRaisesRegex(mhost.InvalidRequest, "meta"):
			self.host.adapter_push("tiny", "t1", {key: value.to("meta") for key, value in state.items()}, config_of("r8_rslora"))

	def test_peft_model(self):
		"""A model in training: its active adapter, as PEFT would save it."""
		torch, peft = torch_and_peft()
		import transformers

		base = transformers.AutoModelForCausalLM.from_pretrained(TREE / "tools/tiny/model", dtype=torch.float32)
		model = peft.PeftModel.from_pretrained(base, PEFT / "r4_all_linear", adapter_name="first")
		self.same("t2", self.host.adapter_push("tiny", "t2", model), "r4-all-linear")
		model.load_adapter(PEFT / "r1_all", adapter_name="second")
		model.set_adapter("second")
		self.same("t2", self.host.adapter_push("tiny", "t2", model), "r1-all")
		state = peft.get_peft_model_state_dict(model, adapter_name="first")
		self.same("t2", self.host.adapter_push("tiny", "t2", state, model.peft_config["first"]), "r4-all-linear")

	def test_equivalents(self):
		"""The calls of PEFT.md: PEFT's log-probabilities are the host's."""
		torch, peft = torch_and_peft()
		import transformers

		base = transformers.AutoModelForCausalLM.from_pretrained(TREE / "tools/tiny/model", dtype=torch.float32)
		model = peft.PeftModel.from_pretrained(base, PEFT / "r4_all_linear", adapter_name="pirate")
		model.load_adapter(PEFT / "r8_rslora", adapter_name="legal")
		model.add_weighted_adapter(["pirate", "legal"], [0.7, 0.3], "mix", combination_type="cat")
		ids = self.host.tokenize("tiny", PROMPT + " a calm farm animal.")

		def same(adapters):
			with torch.no_grad():
				logits = model(torch.tensor([ids])).logits[0, :-1]
			theirs = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
			ours = self.host.score("tiny", ids, adapters=adapters).logprobs[1:]
			for a, b in zip(ours, theirs):
				self.assertAlmostEqual(a, b, delta=2e-3)

		self.host.adapter_push("tiny", "pirate", PEFT / "r4_all_linear")
		self.host.adapter_push("tiny", "legal", PEFT / "r8_rslora")
		model.set_adapter("legal")
		same(["legal"])
		model.set_adapter("pirate")
		same(["pirate"])
		with model.disable_adapter():
			same(None)
		model.set_adapter("mix")
		same([("pirate", 0.7), ("legal", 0.3)])
		with self.assertRaises(AssertionError):
			same(["pirate"])
		state = {key: value * 1.5 for key, value in model.state_dict().items() if ".pirate." in key}
		config = model.peft_config["pirate"]
		hotswap = __import__("peft.utils.hotswap").utils.hotswap
		hotswap.hotswap_adapter_from_state_dict(model, dict(state), "pirate", config)
		self.host.adapter_push("tiny", "pirate", state, config)
		model.set_adapter("pirate")
		same(["pirate"])


class Page(HostCase):
	"""Each command line and each call of the tables in PEFT.md, in their order, what deletes last."""

	def spans(self):
		page = (TREE / "client/python/PEFT.md").read_text()
		rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
		return [span.replace("...", "Hi") for row in rows for span in re.findall("`([^`]*)`", row)]

	def test_tables(self):
		for number, name in ((17, "r1_all"), (18, "r8_rslora"), (19, "r4_all_linear")):
			shutil.copytree(PEFT / name, self.daemon.folder / "run" / str(number))
		self.daemon.mhost("import", "smol@1.0.0", TREE / "tools/tiny/model")
		self.daemon.mhost("activate", "smol@1.0.0")
		spans = self.spans()
		commands = [span for span in spans if span.startswith("mhost ") and "--json" not in span]
		calls = [span for span in spans if re.match(r"(host|control)\.", span)]
		self.assertGreater(len(commands), 12)
		self.assertGreater(len(calls), 7)
		self.run_commands([one for one in commands if "unload" not in one and "prune" not in one])
		self.daemon.mhost("abort", "smol/pirate")
		control = mhost.Control(self.daemon.socket)
		self.run_calls([one for one in calls if "unload" not in one and "release" not in one])
		control.activate("smol/pirate@1.0.0")
		self.run_calls([one for one in calls if "release" in one])
		control.abort("smol/pirate")
		self.run_calls([one for one in calls if "unload" in one])
		control.adapter_load("smol", "pirate")
		self.run_commands([one for one in commands if "unload" in one or "prune" in one])

	def run_commands(self, commands):
		for command in commands:
			with self.subTest(command):
				done = subprocess.run([BUILD / "mhost", *shlex.split(command)[1:]], cwd=self.daemon.folder,
					env=self.daemon.environment, capture_output=True, text=True, check=False)
				self.assertEqual((done.returncode, done.stderr), (0, ""))

	def run_calls(self, calls):
		state = arrays_of("r1_all")
		names = {"state": state, "config": config_of("r1_all"), "control": mhost.Control(self.daemon.socket)}
		os.chdir(self.daemon.folder)
		self.addCleanup(os.chdir, TREE)
		with mhost.connect(self.daemon.socket) as host:
			for call in calls:
				with self.subTest(call):
					eval(call, {**names, "host": host})


class Files(unittest.TestCase):
	def test_names_as_saved(self):
		for key, saved in (
			("m.q_proj.lora_A.weight", "m.q_proj.lora_A.weight"),
			("m.q_proj.lora_B.pirate.weight", "m.q_proj.lora_B.weight"),
			("m.q_proj.lora_B.weight.weight", "m.q_proj.lora_B.weight"),
			("m.embed.lora_embedding_A", "m.embed.lora_embedding_A"),
			("m.embed.lora_embedding_A.pirate", "m.embed.lora_embedding_A"),
			("m.q_proj.base_layer.weight", "m.q_proj.base_layer.weight"),
		):
			self.assertEqual(list(adapters._as_saved({key: 1})), [saved])
		with self.assertRaisesRegex(mhost.InvalidRequest, "two adapters"):
			adapters._as_saved({"m.q.lora_A.one.weight": 1, "m.q.lora_A.two.weight": 1})

	def test_the_file_is_a_safetensors_file(self):
		"""And sealed: nobody changes it while the host reads."""
		arrays = arrays_of("r1_all")
		fd = _safetensors.memory()
		self.addCleanup(os.close, fd)
		_safetensors.write(fd, arrays)
		_safetensors.seal(fd)
		self.assertEqual(fcntl.fcntl(fd, fcntl.F_GET_SEALS), _safetensors.SEALS)
		with self.assertRaises(OSError):
			os.pwrite(fd, b"x", 0)
		raw = os.pread(fd, 1 << 30, 0)
		length = int.from_bytes(raw[:8], "little")
		entries = json.loads(raw[8:8 + length])
		self.assertEqual((8 + length) % 8, 0)
		self.assertEqual(list(entries), ["__metadata__", *arrays])
		for key, array in arrays.items():
			begin, end = entries[key]["data_offsets"]
			self.assertEqual(raw[8 + length + begin:8 + length + end], array.tobytes())
			self.assertEqual(entries[key]["shape"], list(array.shape))

	def test_torch_types(self):
		torch, _ = torch_and_peft()
		safetensors = __import__("safetensors.torch").torch
		tensors = {
			str(dtype): torch.arange(24, dtype=dtype).reshape(2, 3, 4)
			for dtype in (torch.float32, torch.float16, torch.bfloat16)
		}
		tensors["turned"] = torch.arange(6.0).reshape(2, 3).t()
		tensors["slice"] = torch.arange(100.0).reshape(10, 10)[2:5, 3:7]
		tensors["expanded"] = torch.ones(3, 1).expand(3, 4)
		tensors["scalar"] = torch.tensor(3.0)
		tensors["none"] = torch.zeros(0, 4)
		tensors["grad"] = torch.ones(2, requires_grad=True)
		fd = _safetensors.memory()
		self.addCleanup(os.close, fd)
		_safetensors.write(fd, tensors)
		back = safetensors.load(os.pread(fd, 1 << 30, 0))
		self.assertEqual(set(back), set(tensors))
		for key, tensor in tensors.items():
			self.assertEqual((back[key].dtype, back[key].shape), (tensor.dtype, tensor.shape))
			self.assertTrue(torch.equal(back[key], tensor.detach()), key)


if __name__ == "__main__":
	unittest.main()
