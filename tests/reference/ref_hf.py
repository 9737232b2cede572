# SPDX-License-Identifier: MIT
"""Hugging Face folders of small Llama models."""

import json

import torch
from safetensors.torch import save_file

import ref_model
import ref_tok

CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
	"{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
	"original_max_position_embeddings": 32}


def shape(**over):
	"""The numbers of a model, with those of most of ours as defaults."""
	base = {"hidden": 64, "inter": 96, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "vocab": 384,
		"tied": True, "theta": 10000.0, "eps": 1e-5, "context": 256}
	return base | over


# bos and eos by name; `spelling` is how config.json writes things, see config_json()
MODELS = {
	"tied_f32": {"shape": shape(theta=100000.0, inter=64, vocab=352), "dtype": "float32", "tok": "smollm", "spelling": "old", "shards": 1,
		"bos": "<|im_start|>", "eos": ["<|im_end|>"], "rope": None},
	"llama3_bf16": {"shape": shape(head_dim=24, tied=False, inter=64, theta=500000.0, vocab=400), "dtype": "bfloat16", "tok": "llama3",
		"spelling": "old", "shards": 3, "bos": "<|begin_of_text|>", "rope": LLAMA3_ROPE,
		"eos": ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"]},
	"linear_f16": {"shape": shape(hidden=96, heads=3, kv_heads=1, head_dim=32, inter=64, vocab=360), "dtype": "float16", "tok": "gpt2",
		"spelling": "new", "shards": 1, "bos": None, "eos": ["<|endoftext|>"],
		"rope": {"rope_type": "linear", "factor": 4.0}},
	"terse_f32": {"shape": shape(hidden=32, inter=48, layers=1, kv_heads=4, head_dim=8, tied=False, eps=1e-6), "rope": None,
		"dtype": "float32", "tok": "strips", "spelling": "terse", "shards": 1, "bos": None, "eos": ["<|endoftext|>"]},
	"pieces_f16": {"shape": shape(hidden=32, inter=48, layers=1, head_dim=8, vocab=448), "rope": None,
		"dtype": "float16", "tok": "pieces", "spelling": "old", "shards": 1, "bos": "<s>", "eos": ["</s>"]},
	"unigram_f16": {"shape": shape(hidden=32, inter=48, layers=1, head_dim=8, vocab=352), "rope": None,
		"dtype": "float16", "tok": "unigram", "spelling": "new", "shards": 1, "bos": "<s>", "eos": ["</s>"]},
}


def ids_of(tok, spec):
	"""(bos id or None, eos ids)."""
	bos = tok.token_to_id(spec["bos"]) if spec["bos"] else None
	return bos, [tok.token_to_id(e) for e in spec["eos"]]


def config_json(spec, bos, eos):
	"""config.json as older files spell it, as newer ones do, or with all that has a default left out."""
	s = spec["shape"]
	out = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": s["hidden"],
		"intermediate_size": s["inter"], "num_hidden_layers": s["layers"], "num_attention_heads": s["heads"],
		"vocab_size": s["vocab"], "bos_token_id": bos, "eos_token_id": eos[0]}
	if spec["spelling"] == "terse":
		return out
	out |= {"num_key_value_heads": s["kv_heads"], "head_dim": s["head_dim"], "hidden_act": "silu", "rms_norm_eps": s["eps"],
		"attention_bias": False, "mlp_bias": False, "max_position_embeddings": s["context"], "use_cache": True,
		"tie_word_embeddings": s["tied"], "initializer_range": 0.02, "pretraining_tp": 1, "attention_dropout": 0.0}
	if spec["spelling"] == "old":
		return out | {"rope_theta": s["theta"], "rope_scaling": spec["rope"], "torch_dtype": spec["dtype"]}
	rope = spec["rope"] or {"rope_type": "default"}
	return out | {"rope_parameters": rope | {"rope_theta": s["theta"]}, "dtype": spec["dtype"]}


def dump(path, data):
	path.write_text(json.dumps(data, indent=1, sort_keys=False) + "\n", encoding="ascii")


def write_weights(folder, tensors, shards):
	"""One file, or several with an index."""
	if shards == 1:
		save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
		return
	names, where = sorted(tensors), {}
	for n in range(shards):
		file = "model-%05d-of-%05d.safetensors" % (n + 1, shards)
		part = {name: tensors[name] for name in names[n::shards]}
		save_file(part, folder / file, metadata={"format": "pt"})
		where |= {name: file for name in part}
	total = sum(t.numel() * t.element_size() for t in tensors.values())
	dump(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))})


def write_folder(folder, spec, tok, rng):
	"""A whole model folder."""
	folder.mkdir(parents=True)
	bos, eos = ids_of(tok, spec)
	arrays = ref_model.random_weights(rng, spec["shape"])
	tensors = {n: torch.from_numpy(a).to(getattr(torch, spec["dtype"])).contiguous() for n, a in arrays.items()}
	write_weights(folder, tensors, spec["shards"])
	dump(folder / "config.json", config_json(spec, bos, eos))
	if len(eos) > 1:
		dump(folder / "generation_config.json", {"bos_token_id": bos, "eos_token_id": eos})
	old = spec["spelling"] == "new" and spec["tok"] != "unigram"
	text = json.dumps(ref_tok.to_json(tok, old), separators=(",", ":"))
	(folder / "tokenizer.json").write_text(text + "\n", encoding="ascii")
	side = {"bos_token": spec["bos"], "eos_token": spec["eos"][0], "tokenizer_class": "PreTrainedTokenizerFast"}
	if spec["tok"] == "smollm":
		side["chat_template"] = CHATML
	dump(folder / "tokenizer_config.json", side)
