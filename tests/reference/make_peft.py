#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small PEFT adapters for tools/tiny/model and what PEFT makes of them, into data/peft.

    python3 -m venv /some/where && /some/where/bin/pip install -r requirements.txt -r requirements-peft.txt
    /some/where/bin/python make_peft.py

The base is upcast to float32 and runs on the CPU with eager attention. The same versions and seed
give the same bytes. Writes:

    NAME/            adapters as save_pretrained() writes them
    peft.json        for each adapter, and for sums of adapters: prompts, last logits, greedy tokens
    merges.json      what merge_and_unload() makes of the base and adapters: rows of weights, and what they answer
    names.json       configurations, and the rank and scale that PEFT gives each module of the model
"""
import argparse
import base64
import json
import pathlib
import shutil
import warnings

import numpy
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "tools" / "tiny" / "model"
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
GREEDY = 16
GAP = 0.02          # between the best two logits at each greedy step

# name: (arguments of LoraConfig, type of the stored tensors)
ADAPTERS = {
    "r1_all": (dict(r=1, lora_alpha=2, target_modules=ATTENTION + MLP), torch.float32),
    "r4_all_linear": (dict(r=4, lora_alpha=8, target_modules="all-linear"), torch.float16),
    "r8_rslora": (dict(r=8, lora_alpha=6, use_rslora=True, target_modules=ATTENTION), torch.float32),
    "r16_bf16": (dict(r=16, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"]), torch.bfloat16),
    "r64_q": (dict(r=64, lora_alpha=16, target_modules=["q_proj"]), torch.bfloat16),
    "patterns": (dict(r=4, lora_alpha=8, target_modules=ATTENTION + MLP,
                      rank_pattern={"layers.1.self_attn.q_proj": 6, "down_proj": 2, r"model\.layers\.[02]\.mlp\.up_proj": 3},
                      alpha_pattern={"gate_proj": 5, "layers.2.self_attn.o_proj": 24}), torch.float16),
    "patterns_rslora": (dict(r=2, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "up_proj"],
                             rank_pattern={"up_proj": 5}, alpha_pattern={"layers.0.mlp.up_proj": 9}), torch.float32),
    "regex_r3": (dict(r=3, lora_alpha=7, target_modules=r".*\.layers\.\d+\.(self_attn\.[qk]_proj|mlp\.up_proj)"), torch.float32),
    "last_layer": (dict(r=4, lora_alpha=16, target_modules=ATTENTION + MLP, layers_to_transform=[2], layers_pattern="layers"), torch.float32),
    "embeddings": (dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "lm_head", "v_proj"]), torch.float32),
    "lm_head": (dict(r=2, lora_alpha=4, target_modules=["lm_head"]), torch.float16),
}
SUMS = {
    "all_and_rslora": [["r1_all", 1.0], ["r8_rslora", 0.5]],
    "three": [["patterns", -0.5], ["embeddings", 1.0], ["r16_bf16", 0.25]],
}
# name: (adapters with scales, type of the base). PEFT adds to the one matrix that embedding and output are when they are
# tied, and then answers otherwise than before; with "untied" the base has two, as PEFT advises.
MERGES = {
    "r1_all_f32": ([["r1_all", 1.0]], torch.float32),
    "r4_all_linear_bf16": ([["r4_all_linear", 1.0]], torch.bfloat16),
    "r64_q_half_bf16": ([["r64_q", 0.5]], torch.bfloat16),
    "rslora_f16": ([["r8_rslora", -1.0]], torch.float16),
    "two_f32": ([["patterns", 0.5], ["r16_bf16", 1.0]], torch.float32),
    "untied_f32": ([["embeddings", 1.0]], torch.float32),
    "untied_three_f32": ([["patterns", -0.5], ["embeddings", 1.0], ["lm_head", 0.25]], torch.float32),
}
MERGE_ROWS = [0, 15, -1]
NAMES = {
    "defaults": dict(),
    "list": dict(target_modules=["q_proj", "mlp.down_proj", "model.layers.1.mlp.up_proj"]),
    "ends_at_dots": dict(target_modules=["_proj", "proj", "attn.q_proj", "v_proj"]),
    "all_linear": dict(target_modules="all-linear"),
    "all_linear_but": dict(target_modules="ALL-Linear", exclude_modules=["down_proj", "layers.0.self_attn.q_proj"]),
    "regex": dict(target_modules=r".*\.(q|k)_proj"),
    "regex_is_whole": dict(target_modules=r"model\.layers\.\d\.mlp\.(gate|up)_proj|lm_head"),
    "regex_looks_ahead": dict(target_modules=r"^(?!.*layers\.1).*\.(?:o|down)_proj$"),
    "regex_lazy": dict(target_modules=r"(?:.*?(?:self_attn|mlp).*?(?:v_proj|gate_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.self_attn\.q_proj)"),
    "exclude_regex": dict(target_modules=["q_proj", "v_proj"], exclude_modules=r".*layers\.[12]\..*v_proj"),
    "one_layer": dict(target_modules=["q_proj", "up_proj"], layers_to_transform=1),
    "layers": dict(target_modules=["q_proj", "lm_head"], layers_to_transform=[0, 2, 9]),
    "no_layers": dict(target_modules=["q_proj"], layers_to_transform=[]),
    "layer_names": dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern=["h", "layers"]),
    "layer_names_regex": dict(target_modules=["v_proj"], layers_to_transform=[1, 2], layers_pattern="model.la[xy]ers"),
    "embeddings": dict(target_modules=["embed_tokens", "lm_head"], r=3, lora_alpha=4),
    "ranks": dict(target_modules=["q_proj", "k_proj"], rank_pattern={"q_proj": 3, "layers.1.self_attn.q_proj": 5}),
    "ranks_first_wins": dict(target_modules=["q_proj", "k_proj"], rank_pattern={"layers.1.self_attn.q_proj": 5, "q_proj": 3}),
    "ranks_whole": dict(target_modules=["q_proj"], rank_pattern={"^model.layers.0.self_attn.q_proj": 2, "^layers.1.self_attn.q_proj": 4}),
    "ranks_regex": dict(target_modules=["q_proj", "o_proj"], rank_pattern={r"layers\.[12]\.self_attn\.(q|o)_proj": 7}),
    "ranks_not_inside": dict(target_modules=["q_proj"], rank_pattern={"proj": 2, "self_attn": 3, "self_attn.": 4}),
    "alphas": dict(target_modules=["q_proj", "down_proj"], lora_alpha=3.5, alpha_pattern={"down_proj": 7, "0.self_attn.q_proj": 1}),
    "rslora": dict(target_modules=["q_proj"], r=6, lora_alpha=5, use_rslora=True),
    "rslora_patterns": dict(target_modules=["q_proj", "v_proj"], r=6, lora_alpha=5, use_rslora=True, rank_pattern={"v_proj": 10}, alpha_pattern={"q_proj": 2}),
}


def base_model():
    return transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager").eval()


def lora_layers(model):
    return sorted(((name, m) for name, m in model.named_modules() if hasattr(m, "lora_A") and hasattr(m, "scaling")), key=lambda p: p[0])


def halves(module, key):
    if key in module.lora_A:
        return module.lora_A[key].weight, module.lora_B[key].weight
    return module.lora_embedding_A[key], module.lora_embedding_B[key]


def fill(model, generator, strength):
    """Random A and B so that scale * B A is about `strength` times as large as a weight of unit gain."""
    with torch.no_grad():
        for name, module in lora_layers(model):
            a, b = halves(module, "default")
            inner = 1 if name.endswith("embed_tokens") else a.shape[1]
            a.copy_(torch.randn(a.shape, generator=generator) / inner ** 0.5)
            weight = 0.1 if name.endswith("embed_tokens") else 1.0
            b.copy_(torch.randn(b.shape, generator=generator) * weight * strength / (module.scaling["default"] * a.shape[0] ** 0.5))


def write_json(path, value, sort=True):
    path.write_text(json.dumps(value, indent=1, sort_keys=sort) + "\n")


def make_adapter(folder, arguments, dtype, generator):
    model = peft.get_peft_model(base_model(), peft.LoraConfig(task_type="CAUSAL_LM", **arguments))
    fill(model, generator, 0.3)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = str(folder / "adapter_model.safetensors")
    save_file({k: v.to(dtype).contiguous() for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "tools/tiny/model"
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    write_json(folder / "adapter_config.json", config)


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def follow(model, prompt, stop):
    """Greedy tokens and the least gap; None when an end token is the best one."""
    ids, gap = list(prompt), 1e9
    for _ in range(GREEDY):
        best = torch.topk(logits(model, ids), 2)
        if int(best.indices[0]) in stop:
            return None
        gap = min(gap, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids[len(prompt):], gap


def cases(model, rng, stop):
    out = []
    for length in (1, 9, 40):
        for _ in range(200):
            prompt = [int(x) for x in rng.integers(3, 768, length)]
            found = follow(model, prompt, stop)
            if found and found[1] >= GAP:
                break
        assert found and found[1] >= GAP, length
        last = logits(model, prompt).numpy().astype("<f4").tobytes()
        out.append({"prompt": prompt, "greedy": found[0], "min_gap": round(found[1], 5),
                    "last_logits_f32_b64": base64.b64encode(last).decode()})
    return out


def summed(root, parts, base=None):
    """Several adapters at once, each times a scale of its own."""
    model = None
    for name, _ in parts:
        if model is None:
            model = peft.PeftModel.from_pretrained(base or base_model(), str(root / name), adapter_name=name)
        else:
            model.load_adapter(str(root / name), adapter_name=name)
    model.base_model.set_adapter([name for name, _ in parts])
    for _, module in lora_layers(model):
        for name, scale in parts:
            if name in module.scaling:
                module.scaling[name] *= scale
    return model.eval()


def encoded(values):
    return base64.b64encode(values.float().numpy().astype("<f4").tobytes()).decode()


def untie(model):
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False


def merge_record(root, name, rng, stop):
    parts, dtype = MERGES[name]
    base = base_model().to(dtype)
    before = {k: v.clone() for k, v in base.state_dict().items()}
    if name.startswith("untied"):
        untie(base)
    merged = summed(root, parts, base).merge_and_unload(adapter_names=[p[0] for p in parts]).eval()
    rows = {}
    for key, weight in merged.state_dict().items():
        if not torch.equal(weight, before[key]) and ("layers.0." in key or "layers" not in key):
            rows[key] = [encoded(weight[i]) for i in MERGE_ROWS]
    return {"name": name, "parts": parts, "dtype": str(dtype).split(".")[-1], "untied": name.startswith("untied"),
            "rows": rows, "cases": cases(merged.float(), rng, stop)}


def make_merges(root, seed):
    rng = numpy.random.default_rng(seed)
    record = {"row_numbers": MERGE_ROWS, "merges": [merge_record(root, name, rng, {2}) for name in MERGES]}
    write_json(root / "merges.json", record)


def name_record(arguments):
    config = dict(r=4, lora_alpha=8)
    config.update(arguments)
    model = peft.get_peft_model(base_model(), peft.LoraConfig(task_type="CAUSAL_LM", **config))
    prefix = "base_model.model."
    found = {}
    for name, module in lora_layers(model):
        rank = halves(module, "default")[0].shape[0]
        found[name[len(prefix):]] = [int(rank), float(numpy.float32(module.scaling["default"]))]
    return {"config": config, "modules": found}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "data" / "peft")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(args.seed)
    rng = numpy.random.default_rng(args.seed)
    stop = {2}
    record = {"base": "tools/tiny/model", "seed": args.seed, "adapters": [], "sums": [],
              "versions": {m.__name__: m.__version__ for m in (torch, transformers, peft, numpy)}}
    record["base_cases"] = cases(base_model(), rng, stop)
    for name, (arguments, dtype) in ADAPTERS.items():
        make_adapter(args.out / name, arguments, dtype, generator)
        model = peft.PeftModel.from_pretrained(base_model(), str(args.out / name)).eval()
        record["adapters"].append({"name": name, "dtype": str(dtype).split(".")[-1], "cases": cases(model, rng, stop)})
    for name, parts in SUMS.items():
        record["sums"].append({"name": name, "parts": parts, "cases": cases(summed(args.out, parts), rng, stop)})
    write_json(args.out / "peft.json", record)
    make_merges(args.out, args.seed)
    # Not sorted: of several patterns that match a module the first one counts.
    write_json(args.out / "names.json", {name: name_record(arguments) for name, arguments in NAMES.items()}, False)


if __name__ == "__main__":
    main()
