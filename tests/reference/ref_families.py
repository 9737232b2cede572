# SPDX-License-Identifier: MIT
"""Small models of other families than Llama: Hugging Face folders, GGUF files and adapters of them."""

import json
import shutil

import gguf
import numpy as np
import torch
import transformers as tf
from gguf import GGMLQuantizationType as Q

import ref_gguf
import ref_hf
import ref_model
import ref_tok

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
	"num_key_value_heads": 2, "max_position_embeddings": 256}
SMALL = SIZES | {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.2, 1.5, 2.0], "long_factor": [1.0, 2.0, 4.0, 8.0],
	"partial_rotary_factor": 0.5}

# spelling: of config.json, "new" as transformers writes it now, "old" as it did
# stacked: layers whose experts are stored as transformers keeps them in memory, all in one tensor
MODELS = {
	"qwen2_bf16": {"make": lambda **kw: tf.Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=12, max_window_layers=1,
		tie_word_embeddings=False, rope_parameters=PLAIN, **kw), "dtype": "bfloat16", "spelling": "new", "tok": "smollm"},
	"qwen3_f16": {"make": lambda **kw: tf.Qwen3Config(**SIZES, head_dim=24, attention_bias=True, tie_word_embeddings=True,
		rope_parameters=PLAIN, **kw), "dtype": "float16", "spelling": "old", "tok": "gpt2"},
	"mistral_f32": {"make": lambda **kw: tf.MistralConfig(**SIZES, head_dim=16, sliding_window=20, tie_word_embeddings=False,
		rope_parameters=YARN, **kw), "dtype": "float32", "spelling": "old", "tok": "llama3"},
	"gpt2_f32": {"make": lambda **kw: tf.GPT2Config(n_positions=128, n_embd=64, n_layer=2, n_head=4, **kw), "dtype": "float32",
		"spelling": "new", "tok": "gpt2", "bare": True},
	"gemma2_bf16": {"make": lambda **kw: tf.Gemma2Config(**SIZES, head_dim=16, sliding_window=10, query_pre_attn_scalar=20,
		attn_logit_softcapping=2.0, final_logit_softcapping=12.0, rope_parameters=PLAIN, **kw), "dtype": "bfloat16",
		"spelling": "old", "tok": "smollm"},
	"gemma3_f32": {"make": lambda **kw: tf.Gemma3TextConfig(**SIZES | {"num_hidden_layers": 4}, head_dim=16, sliding_window=9,
		query_pre_attn_scalar=24, layer_types=["sliding_attention", "full_attention"] * 2, rope_parameters={
			"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000000.0}, "sliding_attention": PLAIN},
		**kw), "dtype": "float32", "spelling": "new", "tok": "gpt2"},
	"phi3_f16": {"make": lambda **kw: tf.Phi3Config(**SIZES | {"max_position_embeddings": 512}, sliding_window=24, tie_word_embeddings=False,
		original_max_position_embeddings=128, rope_parameters=LONG, **kw), "dtype": "float16", "spelling": "new", "tok": "strips"},
	"smollm3_f32": {"make": lambda **kw: tf.SmolLM3Config(**SMALL | {"num_hidden_layers": 4}, no_rope_layer_interval=2,
		rope_parameters=PLAIN, **kw), "dtype": "float32", "spelling": "old", "tok": "smollm"},
	"qwen3_moe_f32": {"make": lambda **kw: tf.Qwen3MoeConfig(**SMALL | {"num_hidden_layers": 3}, head_dim=16, num_experts=4,
		num_experts_per_tok=2, moe_intermediate_size=16, norm_topk_prob=True, mlp_only_layers=[1], tie_word_embeddings=True,
		rope_parameters=PLAIN, **kw), "dtype": "float32", "spelling": "old", "tok": "smollm"},
	"mixtral_bf16": {"make": lambda **kw: tf.MixtralConfig(**SMALL | {"intermediate_size": 16}, head_dim=16, sliding_window=20,
		num_local_experts=3, num_experts_per_tok=2, tie_word_embeddings=True, rope_parameters=PLAIN, **kw), "dtype": "bfloat16",
		"spelling": "new", "tok": "gpt2", "stacked": (0,)},
}
TOKENS = {"smollm": ("<|im_start|>", "<|im_end|>"), "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
	"gpt2": ("<|endoftext|>", "<|endoftext|>"), "strips": ("<|endoftext|>", "<|endoftext|>")}
GAINS = {"q_proj": 1.4, "k_proj": 1.4, "qkv_proj": 1.3, "c_attn": 1.3, "o_proj": 1.5, "c_proj": 1.5, "gate_proj": 1.5, "up_proj": 1.5,
	"gate_up_proj": 1.5, "c_fc": 1.5, "lm_head": 2.6, "gate": 3.0}

# GGUF files of the same configurations, with weights of their own
FILES = {
	"qwen2_q8_0": ("qwen2_bf16", Q.Q8_0, "smollm"), "qwen3_f16": ("qwen3_f16", Q.F16, "gpt2"), "gpt2_q4_1": ("gpt2_f32", Q.Q4_1, "gpt2"),
	"smollm3_q8_0": ("smollm3_f32", Q.Q8_0, "smollm"), "qwen3_moe_q8_0": ("qwen3_moe_f32", Q.Q8_0, "smollm"),
	"mixtral_f16": ("mixtral_bf16", Q.F16, "gpt2"),
	"gemma2_f16": ("gemma2_bf16", Q.F16, "smollm"), "gemma3_q8_0": ("gemma3_f32", Q.Q8_0, "gpt2"), "phi3_f32": ("phi3_f16", Q.F32, "gpt2"),
}
ADAPTERS = {
	"gpt2_f32": {"fused": dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True),
		"one_of_each": dict(r=3, lora_alpha=6, target_modules=["attn.c_attn", "mlp.c_proj"], layers_to_transform=[1],
			layers_pattern="h", rank_pattern={"c_attn": 5}, fan_in_fan_out=True)},
	"gemma3_f32": {"all_linear": dict(r=4, lora_alpha=4, target_modules="all-linear"),
		"embedding": dict(r=2, lora_alpha=4, target_modules=["embed_tokens", "q_proj"])},
	"phi3_f16": {"fused": dict(r=4, lora_alpha=8, target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"])},
	"qwen3_moe_f32": {"attention": dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])},
	"qwen3_f16": {"some": dict(r=8, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True)},
}


def fill(model, rng):
	"""Random weights such that attention matters and logits spread by 2 to 3."""
	gemma = model.config.model_type.startswith("gemma")
	for name, p in model.named_parameters():
		leaf, last = name.split(".")[-2:]
		leaf = last if leaf == "experts" else leaf
		noise = rng.standard_normal(tuple(p.shape))
		if "norm" in leaf or leaf.startswith("ln_"):
			middle = 2.5 if leaf == "norm" else 1.5 if "post_" in leaf else 0.0  # of Gemma, to which 1 is added
			value = 0.2 * noise + (0 if last == "bias" else middle if gemma else 1.0)
		elif last == "bias":
			value = 0.3 * noise
		elif leaf in ("embed_tokens", "wte", "wpe"):
			value = noise * {"embed_tokens": 0.12 if gemma else 0.33, "wte": 0.33, "wpe": 0.2}[leaf]
		else:
			inner = p.shape[0] if leaf.startswith("c_") else p.shape[-1]
			value = noise * GAINS.get(leaf, 1.0) / np.sqrt(inner)
		with torch.no_grad():
			p.copy_(torch.from_numpy(value.astype(np.float32)))


def old_spelling(config):
	"""rope_theta and rope_scaling at the top, torch_dtype."""
	config["torch_dtype"] = config.pop("dtype")
	rope = config.pop("rope_parameters")
	config["rope_theta"] = rope.pop("rope_theta")
	config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
	return config


def config_json(config, spec):
	out = {k: v for k, v in json.loads(config.to_json_string(use_diff=True)).items()
		if k not in ("transformers_version", "_name_or_path", "pad_token_id")}
	out |= {"pad_token_id": None, "dtype": spec["dtype"]}
	return old_spelling(out) if spec["spelling"] == "old" else out


def build(name, vocab, tok, rng):
	spec = MODELS[name]
	bos, eos = (tok.token_to_id(t) for t in TOKENS[spec["tok"]])
	config = spec["make"](vocab_size=vocab, bos_token_id=bos, eos_token_id=eos, pad_token_id=None)
	model = tf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
	fill(model, rng)
	config.architectures = [type(model).__name__]
	return model, config, spec


def stored_names(model, bare):
	tied = model.config.tie_word_embeddings
	for name, p in model.named_parameters():
		if not (tied and name == "lm_head.weight"):
			yield name, name.removeprefix("transformer.") if bare else name, p


# of one expert and of the router, where they are not called as transformers 5 calls them
EXPERT_NAMES = {"mixtral": {".mlp.": ".block_sparse_moe.", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}}


def expert_parts(name, p):
	"""Halves of gate_up_proj [experts x 2 rows x columns] as two matrices of all experts; down_proj as it is."""
	if name.endswith("gate_up_proj"):
		return zip((name.replace("gate_up_proj", half) for half in ("gate_proj", "up_proj")), p.chunk(2, dim=1))
	return [(name, p)]


def as_saved(config, name, p):
	"""One tensor for each expert, as save_pretrained() writes them."""
	if ".mlp." not in name or not hasattr(config, "num_experts_per_tok"):
		return [(name, p)]
	parts = [(name, p)]
	if ".experts." in name:
		parts = [(part.replace("experts.", "experts.%d." % n) + ".weight", one) for part, all_of in expert_parts(name, p)
			for n, one in enumerate(all_of)]
	for old, new in EXPERT_NAMES.get(config.model_type, {}).items():
		parts = [(part.replace(old, new), one) for part, one in parts]
	return parts


def folder_tensors(model, spec):
	for name, out, p in stored_names(model, spec.get("bare", False)):
		stacked = ".mlp." in name and int(name.split(".")[2]) in spec.get("stacked", ())
		yield from [(out, p)] if stacked else as_saved(model.config, out, p)


def write_folder(folder, name, vocab, tok, rng):
	model, config, spec = build(name, vocab, tok, rng)
	folder.mkdir(parents=True)
	bare = spec.get("bare", False)
	tensors = {out: p.detach().to(getattr(torch, spec["dtype"])).contiguous() for out, p in folder_tensors(model, spec)}
	if bare:
		tensors |= {"h.%d.attn.bias" % n: torch.ones(1, 1, 4, 4).tril() for n in range(config.n_layer)}
	ref_hf.write_weights(folder, tensors, 1)
	ref_hf.dump(folder / "config.json", config_json(config, spec))
	text = json.dumps(ref_tok.to_json(tok, spec["spelling"] == "old"), separators=(",", ":"))
	(folder / "tokenizer.json").write_text(text + "\n", encoding="ascii")
	bos, eos = TOKENS[spec["tok"]]
	ref_hf.dump(folder / "tokenizer_config.json", {"bos_token": bos, "eos_token": eos, "tokenizer_class": "PreTrainedTokenizerFast"})
	return spec


# ---- GGUF ------------------------------------------------------------------------------------------------------------

BLOCKS = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
	"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "self_attn.qkv_proj": "attn_qkv",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate_up_proj": "ffn_up",
	"input_layernorm": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up",
	"mlp.c_proj": "ffn_down", "mlp.gate": "ffn_gate_inp", "mlp.experts.gate_proj": "ffn_gate_exps",
	"mlp.experts.up_proj": "ffn_up_exps", "mlp.experts.down_proj": "ffn_down_exps", "ln_1": "attn_norm", "ln_2": "ffn_norm"}
TOPS = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight",
	"transformer.wte.weight": "token_embd.weight", "transformer.wpe.weight": "position_embd.weight",
	"transformer.ln_f.weight": "output_norm.weight", "transformer.ln_f.bias": "output_norm.bias"}
ARCH = {"gemma3_text": "gemma3", "qwen3_moe": "qwen3moe", "mixtral": "llama"}


def is_gemma(c):
	return c.model_type.startswith("gemma")


def block_name(rest, gemma):
	"""What stands between layer and .weight; norms around blocks have other names in Gemma."""
	if rest == "post_attention_layernorm":
		return "post_attention_norm" if gemma else "ffn_norm"
	return {"pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}.get(rest) or BLOCKS[rest]


def gguf_name(name, gemma):
	if name in TOPS:
		return TOPS[name]
	_, _, layer, rest = name.split(".", 3)
	rest, last = (rest, "weight") if ".experts." in rest else rest.rsplit(".", 1)
	return "blk.%s.%s.%s" % (layer, block_name(rest, gemma), last)


def is_turned(name):
	return ".c_" in name and name.endswith(".weight")


def paired_heads(name, c):
	"""Heads of a matrix whose rows llama.cpp wants in the order in which it rotates them; 0: as they are."""
	if c.model_type not in ("smollm3", "mixtral"):
		return 0
	return c.num_attention_heads if ".q_proj" in name else c.num_key_value_heads if ".k_proj" in name else 0


def to_gguf(name, array, c):
	"""As llama.cpp's converter stores it."""
	if is_turned(name):
		return np.ascontiguousarray(array.T)
	if paired_heads(name, c):
		return ref_gguf.interleave(array, paired_heads(name, c))
	return array + 1 if is_gemma(c) and "norm" in name else array


def from_gguf(name, array, c):
	if is_turned(name):
		return np.ascontiguousarray(array.T)
	if paired_heads(name, c):
		return ref_gguf.deinterleave(array, paired_heads(name, c))
	return array - 1 if is_gemma(c) and "norm" in name else array


def add_numbers(writer, c):
	gpt2 = c.model_type == "gpt2"
	head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
	writer.add_context_length(c.max_position_embeddings)
	writer.add_embedding_length(c.hidden_size)
	writer.add_block_count(c.num_hidden_layers)
	writer.add_feed_forward_length(4 * c.hidden_size if gpt2 else c.intermediate_size)
	writer.add_head_count(c.num_attention_heads)
	if gpt2:
		writer.add_layer_norm_eps(c.layer_norm_epsilon)
		return
	writer.add_head_count_kv(c.num_key_value_heads)
	writer.add_layer_norm_rms_eps(c.rms_norm_eps)
	writer.add_key_length(head_dim)
	writer.add_value_length(head_dim)
	add_rope(writer, c, head_dim)
	if hasattr(c, "num_experts_per_tok"):
		writer.add_expert_count(c.num_experts)
		writer.add_expert_used_count(c.num_experts_per_tok)
	if c.model_type == "qwen3_moe":
		writer.add_expert_feed_forward_length(c.moe_intermediate_size)
	if c.model_type == "gemma2":
		writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
		writer.add_final_logit_softcapping(c.final_logit_softcapping)
	if c.model_type in ("gemma2", "gemma3_text", "phi3"):
		writer.add_sliding_window(c.sliding_window)


def add_rope(writer, c, head_dim):
	rope = c.rope_parameters.get("full_attention", c.rope_parameters)
	writer.add_rope_freq_base(rope["rope_theta"])
	if rope["rope_type"] == "linear":
		writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
		writer.add_rope_scaling_factor(rope["factor"])
	if c.model_type == "phi3":
		scale = c.max_position_embeddings / c.original_max_position_embeddings
		writer.add_rope_dimension_count(int(head_dim * rope["partial_rotary_factor"]))
		writer.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
		writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(c.original_max_position_embeddings))))
		writer.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], dtype=np.float32))
		writer.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], dtype=np.float32))


def for_gguf(name):
	"""A file cannot say all that a folder can: windows of Qwen2, the scale of Gemma's scores, which of Gemma 3's layers see all."""
	base, make = FILES[name][0], MODELS[FILES[name][0]]["make"]
	def changed(**kw):
		config = make(**kw)
		if base == "qwen2_bf16":
			return type(config)(**config.to_dict() | {"use_sliding_window": False, "layer_types": None})
		if base.startswith("gemma"):
			config.query_pre_attn_scalar = config.head_dim
		if base == "gemma3_f32":
			config.num_hidden_layers = 6
			config.layer_types = ["sliding_attention"] * 5 + ["full_attention"]
		if base == "qwen3_f16":
			config.attention_bias = False
		if base == "smollm3_f32":	# a file means each fourth layer
			config.no_rope_layers = [1, 1, 1, 0]
		if base == "qwen3_moe_f32":	# and experts in all layers
			config.mlp_only_layers, config.moe_intermediate_size, config.num_hidden_layers = [], 32, 2
		if base == "mixtral_bf16":
			config.sliding_window = None
		return config
	return changed


def model_of_file(name, vocab, **ids):
	"""transformers' model of such a file, without its weights."""
	config = for_gguf(name)(vocab_size=vocab, pad_token_id=None, **ids)
	return tf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()


def parts_of_file(model):
	"""Each tensor: its name in a file, in transformers, and its values."""
	for whole, _, p in stored_names(model, False):
		for hf, one in expert_parts(whole, p):
			yield gguf_name(hf, is_gemma(model.config)), hf, one


def write_file(path, name, vocab, tok, rng):
	"""The file, and transformers' model around what can be read back from it."""
	_, kind, letters = FILES[name]
	bos, eos = (tok.token_to_id(t) for t in TOKENS[letters])
	model = model_of_file(name, vocab, bos_token_id=bos, eos_token_id=eos)
	config = model.config
	fill(model, rng)
	writer = gguf.GGUFWriter(path, ARCH.get(config.model_type, config.model_type))
	writer.add_name(name)
	add_numbers(writer, config)
	ref_gguf.add_tokenizer(writer, {"tok": letters, "pre": {"smollm": "smollm", "gpt2": "gpt-2"}[letters],
		"bos": TOKENS[letters][0], "eos": [TOKENS[letters][1]], "add_bos": False}, tok)
	names = {}
	for to, hf, p in parts_of_file(model):
		array = to_gguf(hf, p.detach().numpy(), config)
		own = Q.F32 if array.ndim == 1 or to.startswith("position") or "gate_inp" in to else kind
		writer.add_tensor(to, array if own == Q.F32 else gguf.quantize(array, own), raw_dtype=own)
		names[to] = hf
	writer.write_header_to_file()
	writer.write_kv_data_to_file()
	writer.write_tensors_to_file()
	writer.close()
	return read_back(path, model, names)


def from_file(path, name, vocab):
	"""transformers' model of a file that is there."""
	model = model_of_file(name, vocab)
	return read_back(path, model, {to: hf for to, hf, _ in parts_of_file(model)})[0]


def read_back(path, model, names):
	state, types = model.state_dict(), {}
	for t in gguf.GGUFReader(path).tensors:
		types[t.name] = t.tensor_type.name
		if t.name not in names:
			continue
		array = gguf.dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in reversed(t.shape)])
		state[names[t.name]] = torch.from_numpy(np.array(from_gguf(names[t.name], array, model.config)))
	for whole in [n for n in state if n.endswith("experts.gate_up_proj")]:
		state[whole] = torch.cat([state.pop(whole.replace("gate_up_proj", half)) for half in ("gate_proj", "up_proj")], dim=1)
	if model.config.tie_word_embeddings:
		state["lm_head.weight"] = state[names["token_embd.weight"]]
	model.load_state_dict(state, strict=True)
	return model, types


# ---- adapters --------------------------------------------------------------------------------------------------------

def write_adapter(folder, base, arguments, seed):
	"""A PEFT folder, and PEFT's model."""
	import peft

	model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **arguments))
	torch.manual_seed(seed)
	with torch.no_grad():
		for name, module in sorted(model.named_modules()):
			if not hasattr(module, "lora_A"):
				continue
			linear = "default" in module.lora_A
			a = module.lora_A["default"].weight if linear else module.lora_embedding_A["default"]
			b = module.lora_B["default"].weight if linear else module.lora_embedding_B["default"]
			a.copy_(torch.randn(a.shape) / (a.shape[1] ** 0.5 if linear else 1))
			b.copy_(torch.randn(b.shape) * (0.4 if linear else 0.1) / (module.scaling["default"] * a.shape[0] ** 0.5))
	shutil.rmtree(folder, ignore_errors=True)
	model.save_pretrained(str(folder), save_embedding_layers=False)
	(folder / "README.md").unlink(missing_ok=True)
	config = json.loads((folder / "adapter_config.json").read_text())
	config["base_model_name_or_path"] = None
	if isinstance(config["target_modules"], list):
		config["target_modules"].sort()
	ref_hf.dump(folder / "adapter_config.json", dict(sorted(config.items())))
	return model.eval()


def adapter_records(out, name, rng, vocab):
	"""Cases of each adapter of one model."""
	records = []
	for n, (adapter, arguments) in enumerate(ADAPTERS[name].items()):
		path = "adapters/%s/%s" % (name, adapter)
		model = write_adapter(out / path, ref_model.from_folder(out / "models" / name), arguments, 7 + n)
		cases = []
		for length in (1, 9, 40):
			prompts = rng.integers(0, vocab, (ref_model.CANDIDATES, length)).tolist()
			prompt = ref_model.best_prompt(model, prompts, set(), ref_model.GREEDY_STEPS)
			cases.append(ref_model.case(model, "random_%d" % length, prompt, rng.integers(0, vocab, 4).tolist()))
		records.append({"adapter": adapter, "path": path, "cases": cases})
	return {"model": "models/" + name, "adapters": records}
