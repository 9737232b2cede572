# SPDX-License-Identifier: MIT
"""bad/: damaged files and bad.json, which says what each is and which more are made at test time."""

import json

import numpy as np

import ref_bad_gguf
import ref_bad_hf

# Made by the test itself: too large to store, or not plain files. `ops` change the bytes of `base`.
MADE = [
	{"name": "sp_absent", "special": "absent", "reason": "a path that does not exist"},
	{"name": "sp_empty_folder", "special": "folder", "reason": "a folder without files"},
	{"name": "sp_fifo", "special": "fifo", "reason": "a fifo that nobody writes to"},
	{"name": "sp_socket", "special": "socket", "reason": "a socket"},
	{"name": "sp_symlink_dangling", "special": "symlink", "target": "nowhere.gguf", "reason": "a link to nothing"},
	{"name": "sp_symlink_loop", "special": "symlink", "target": "sp_symlink_loop.gguf", "reason": "a link to itself"},
	{"name": "sp_symlink_device", "special": "symlink", "target": "/dev/zero", "reason": "a link to an endless device"},
	{"name": "sp_device_null", "special": "path", "target": "/dev/null", "reason": "a device"},
	{"name": "sp_device_zero", "special": "path", "target": "/dev/zero", "reason": "an endless device"},
	{"name": "sp_proc", "special": "path", "target": "/proc/self/status", "reason": "a file of the kernel"},
	{"name": "sp_weights_fifo", "special": "member", "member": "model.safetensors", "what": "fifo", "reason": "the weights are a fifo"},
	{"name": "sp_config_folder", "special": "member", "member": "config.json", "what": "folder", "reason": "config.json is a folder"},
	{"name": "sp_tokenizer_device", "special": "member", "member": "tokenizer.json", "what": "/dev/zero",
		"reason": "tokenizer.json is a link to an endless device"},
	{"name": "sp_config_deep", "special": "nested", "member": "config.json", "depth": 100000, "reason": "JSON 100,000 deep"},
	{"name": "sp_tokenizer_deep", "special": "nested", "member": "tokenizer.json", "depth": 100000, "reason": "JSON 100,000 deep"},
]


def huge(good):
	"""Edits of control.gguf that need more bytes than may be stored."""
	name = b"tokenizer.ggml.tokens"
	first = good.index(name) + len(name) + 4 + 4 + 8
	length = 1 << 20
	token = [["splice", first, 8, (length + 1).to_bytes(8, "little").hex()], ["insert", first + 8, "61", length]]
	return [
		{"name": "sp_token_1_mib", "base": "control.gguf", "ops": token, "reason": "a token of 1 MiB"},
		{"name": "sp_sparse_1_tib", "base": "control.gguf", "ops": [["extend", 1 << 40]], "reason": "a sparse file of 1 TiB"},
		{"name": "sp_sparse_zeros", "ops": [["extend", 1 << 40]], "reason": "1 TiB of nothing"},
		{"name": "sp_safetensors_header", "member": "model.safetensors", "ops": [["splice", 0, 8, (101 << 20).to_bytes(8, "little").hex()],
			["extend", 102 << 20]], "reason": "a header of 101 MiB"},
	]


def make(root, seed):
	out = root / "bad"
	out.mkdir(parents=True)
	rng_of = lambda: np.random.default_rng([seed, 77])
	gguf_controls, gguf_cases, cuts = ref_bad_gguf.make(out, rng_of)
	hf_controls, hf_cases = ref_bad_hf.make(out, rng_of())
	made = [{"kind": "made", "expect": "refuse"} | m for m in MADE + huge((out / "control.gguf").read_bytes())]
	rows = {"controls": gguf_controls + hf_controls, "cases": gguf_cases + hf_cases, "made": made}
	text = ",\n".join('"%s": [\n%s\n]' % (k, ",\n".join(json.dumps(r) for r in v)) for k, v in rows.items())
	text += ',\n"cuts": %s' % json.dumps({"base": "control.gguf", "lengths": cuts})
	(out / "bad.json").write_text("{\n" + text + "\n}\n", encoding="ascii")
	check_sizes(out)
	print("bad: %d controls, %d cases, %d made at test time, %d cuts" % (len(rows["controls"]), len(rows["cases"]), len(made), len(cuts)))


def check_sizes(out):
	"""What the repository agreed to carry."""
	sizes = {p: p.stat().st_size for p in out.rglob("*") if p.is_file() and p.name != "bad.json"}
	assert max(sizes.values()) < 8192, max(sizes, key=sizes.get)
	assert sum(sizes.values()) < 600000, sum(sizes.values())
