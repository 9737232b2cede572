# SPDX-License-Identifier: MIT
"""Random Llama weights, and what transformers says about any model in float32."""

import base64
import functools

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

GREEDY_STEPS = 24
CANDIDATES = 128


def spread(rng, rows, cols, gain):
	"""A matrix that gives outputs of about `gain` for inputs of about 1."""
	return (rng.standard_normal((rows, cols)) * gain / np.sqrt(cols)).astype(np.float32)


def norm_weight(rng, size):
	return (1 + 0.2 * rng.standard_normal(size)).astype(np.float32)


def random_weights(rng, shape):
	"""Tensors under their Hugging Face names; gains are such that attention matters and logits spread by 2 to 3."""
	hidden, inter, dim = shape["hidden"], shape["inter"], shape["head_dim"]
	query, key = shape["heads"] * dim, shape["kv_heads"] * dim
	out = {"model.embed_tokens.weight": spread(rng, shape["vocab"], hidden, 2.6)}
	for layer in range(shape["layers"]):
		at = "model.layers.%d." % layer
		out[at + "input_layernorm.weight"] = norm_weight(rng, hidden)
		out[at + "post_attention_layernorm.weight"] = norm_weight(rng, hidden)
		out[at + "self_attn.q_proj.weight"] = spread(rng, query, hidden, 1.4)
		out[at + "self_attn.k_proj.weight"] = spread(rng, key, hidden, 1.4)
		out[at + "self_attn.v_proj.weight"] = spread(rng, key, hidden, 1.0)
		out[at + "self_attn.o_proj.weight"] = spread(rng, hidden, query, 1.5)
		out[at + "mlp.gate_proj.weight"] = spread(rng, inter, hidden, 1.5)
		out[at + "mlp.up_proj.weight"] = spread(rng, inter, hidden, 1.5)
		out[at + "mlp.down_proj.weight"] = spread(rng, hidden, inter, 1.0)
	out["model.norm.weight"] = norm_weight(rng, hidden)
	if not shape["tied"]:
		out["lm_head.weight"] = spread(rng, shape["vocab"], hidden, 2.6)
	return out


def from_arrays(shape, arrays, inv_freq_divisor=None):
	"""A transformers model around float32 arrays; plain rope, its frequencies divided afterwards."""
	config = LlamaConfig(vocab_size=shape["vocab"], hidden_size=shape["hidden"], intermediate_size=shape["inter"],
		num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], head_dim=shape["head_dim"],
		num_key_value_heads=shape["kv_heads"], rms_norm_eps=shape["eps"], tie_word_embeddings=shape["tied"],
		max_position_embeddings=shape["context"], attn_implementation="eager", dtype=torch.float32,
		rope_parameters={"rope_type": "default", "rope_theta": shape["theta"]})
	model = LlamaForCausalLM(config).float().eval()
	state = {name: torch.from_numpy(np.array(a, dtype=np.float32)) for name, a in arrays.items()}
	if shape["tied"]:
		state["lm_head.weight"] = state["model.embed_tokens.weight"]
	model.load_state_dict(state, strict=True)
	if inv_freq_divisor is not None:
		model.model.rotary_emb.inv_freq /= torch.as_tensor(np.array(inv_freq_divisor, dtype=np.float32))
	return model


def from_folder(path):
	"""The model as transformers itself reads a folder."""
	return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def logits_of(model, batch):
	"""All logits of equally long prompts, without a cache."""
	return model(torch.as_tensor(np.array(batch)), use_cache=False).logits


def greedy(model, batch, steps):
	"""Greedy tokens and gaps to the runner-up, for equally long prompts."""
	ids, gaps, start = [list(p) for p in batch], [[] for _ in batch], len(batch[0])
	for _ in range(steps):
		best = torch.topk(logits_of(model, ids)[:, -1], 2)
		for row, path in enumerate(ids):
			path.append(int(best.indices[row, 0]))
			gaps[row].append(float(best.values[row, 0] - best.values[row, 1]))
	return [path[start:] for path in ids], gaps


def logprobs_along(model, ids):
	"""Log-probability of each of ids[1:] after those before it."""
	rows = torch.log_softmax(logits_of(model, [ids])[0].double(), dim=-1)
	return [float(rows[i, ids[i + 1]]) for i in range(len(ids) - 1)]


def rank(path, gap, avoid, near):
	return min(gap[:near]) - 100 * len(avoid & set(path))


def best_prompt(model, prompts, avoid, near):
	"""The prompt whose greedy path is the least ambiguous in its first `near` steps and has no special token."""
	paths, gaps = greedy(model, prompts, GREEDY_STEPS)
	return prompts[int(np.argmax([rank(p, g, avoid, near) for p, g in zip(paths, gaps)]))]


def best_text(model, tok, texts, avoid, near):
	"""The same for texts, which differ in length."""
	ranks = []
	for text in texts:
		paths, gaps = greedy(model, [tok.encode(text).ids], GREEDY_STEPS)
		ranks.append(rank(paths[0], gaps[0], avoid, near))
	return texts[int(np.argmax(ranks))]


def int8_rows(x):
	"""Activations as a host with integer kernels sees them: blocks of 32, 8 bits, one scale."""
	blocks = x.reshape(*x.shape[:-1], -1, 32)
	scale = blocks.abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127
	return ((blocks / scale).round() * scale).reshape(x.shape)


def rounded_experts(m, x, picked, weights):
	"""The forward of experts, which are no modules to hook, with the inputs of their matrices rounded. Routers stay."""
	linear, out, rounded = torch.nn.functional.linear, torch.zeros_like(x), int8_rows(x)
	for expert in range(m.num_experts):
		token, place = torch.where(picked == expert)
		if not len(token):
			continue
		gate, up = linear(rounded[token], m.gate_up_proj[expert]).chunk(2, dim=-1)
		one = linear(int8_rows(m.act_fn(gate) * up), m.down_proj[expert])
		out.index_add_(0, token, one * weights[token, place, None])
	return out


def int8_shift(model, prompt):
	"""How far eight-bit activations move the last logits at most."""
	plain = logits_of(model, [prompt])[0, -1]
	hooks = [m.register_forward_pre_hook(lambda _, args: (int8_rows(args[0]),))
		for m in model.modules() if isinstance(m, torch.nn.Linear)]
	mixtures = [m for m in model.modules() if hasattr(m, "num_experts") and hasattr(m, "gate_up_proj")]
	for m in mixtures:
		m.forward = functools.partial(rounded_experts, m)
	moved = logits_of(model, [prompt])[0, -1]
	for hook in hooks:
		hook.remove()
	for m in mixtures:
		del m.forward
	return float((plain - moved).abs().max())


def case(model, name, prompt, score_ids, extra=None):
	"""One prompt with everything a host is asked about it."""
	last = logits_of(model, [prompt])[0, -1].numpy().astype("<f4")
	paths, gaps = greedy(model, [prompt], GREEDY_STEPS)
	each = logprobs_along(model, prompt + score_ids)
	out = {"name": name, "prompt": prompt, "last_logits_f32_b64": base64.b64encode(last.tobytes()).decode(),
		"greedy": paths[0], "greedy_gap": [round(g, 4) for g in gaps[0]],
		"prompt_logprobs": [round(x, 6) for x in each[:len(prompt) - 1]],
		"score": {"tokens": score_ids, "logprob_each": [round(x, 6) for x in each[len(prompt) - 1:]]}}
	return out | (extra or {})


def stop_case(model, rng, eos, avoid, vocab):
	"""A prompt whose greedy path comes to an end-of-text token by itself, or None."""
	for _ in range(12):
		prompts = rng.integers(0, vocab, (CANDIDATES, 6)).tolist()
		paths, gaps = greedy(model, prompts, GREEDY_STEPS)
		for prompt, path, gap in zip(prompts, paths, gaps):
			at = next((i for i, t in enumerate(path) if t in eos), 0)
			if at < 3 or min(gap[:at + 1]) < 0.1 or avoid & set(path[:at]):
				continue
			return {"name": "stops_at_eos", "prompt": prompt, "greedy": path[:at + 1], "stops": True,
				"greedy_gap": [round(g, 4) for g in gap[:at + 1]]}
	return None


def golden(model, rng, plan):
	"""The record of one model. `plan`: name, vocab, tok, lengths, texts, eos, quantized."""
	special = set(plan["tok"].get_added_tokens_decoder())
	near = 10 if plan["quantized"] else GREEDY_STEPS
	cases = []
	for length in plan["lengths"]:
		prompts = rng.integers(0, plan["vocab"], (CANDIDATES, length)).tolist()
		prompt = best_prompt(model, prompts, special, near)
		cases.append(case(model, "random_%d" % length, prompt, rng.integers(0, plan["vocab"], 8).tolist()))
	for n, texts in enumerate(plan["texts"]):
		text = best_text(model, plan["tok"], texts, special, near)
		ids = plan["tok"].encode(text).ids
		cases.append(case(model, "text_%d" % n, ids, rng.integers(0, plan["vocab"], 4).tolist(), {"text": text}))
	for one in cases:
		one["greedy_text"] = plan["tok"].decode(one["greedy"], skip_special_tokens=False)
	stop = stop_case(model, rng, set(plan["eos"]), special, plan["vocab"]) if plan["stops"] else None
	record = {"model": plan["name"], "vocab_rows": plan["vocab"], "eos_ids": plan["eos"], "quantized": plan["quantized"],
		"steps": GREEDY_STEPS, "compute": "stored weights upcast to float32, eager attention, no cache",
		"cases": cases + ([stop] if stop else [])}
	if plan["quantized"]:
		shift = max(int8_shift(model, c["prompt"]) for c in cases)
		record["eight_bit_activation_max_abs_logit_diff"] = round(shift, 4)
	return record
