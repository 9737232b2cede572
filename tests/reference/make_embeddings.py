#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write data/embeddings.json: transformers' last_hidden_state of the committed models, pooled, in float32.

    make_embeddings.py [--data DIR]     requirements.txt; requirements-peft.txt too, for the adapters
"""

import argparse
import base64
import json
import os
import pathlib
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import peft
import torch
import transformers

import check_embed
import ref_families
import ref_model

MODELS = ["gemma2_bf16", "gemma3_f32", "gpt2_f32", "llama3_bf16", "mistral_f32", "phi3_f16", "qwen2_bf16", "qwen3_f16", "qwen3_moe_f32",
	"smollm3_f32", "tied_f32"]
ADAPTERS = ["gemma3_f32/all_linear", "gemma3_f32/embedding", "gpt2_f32/fused"]
LONG = 120  # tokens: beyond every window
# Ropes that change with the length: model, imported for this context, with this in its config.json, and asked with so many tokens.
DYNAMIC = {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}
CONTEXTS = [("models/phi3_f16", 512, {}, 200), ("gguf/phi3_f32.gguf", 300, {}, 200), ("models/tied_f32", 600, DYNAMIC, 600)]


def load(path):
	return json.loads(path.read_text(encoding="utf-8"))


def base64_of(vector):
	return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()


@torch.no_grad()
def poolings_of(decoder, ids):
	"""`decoder` is the model below its output matrix; its last_hidden_state is behind the last norm."""
	states = decoder(torch.as_tensor([ids]), use_cache=False).last_hidden_state[0].float()
	return {"mean": base64_of(states.mean(0)), "last": base64_of(states[-1]), "cls": base64_of(states[0])}


def prompts_of(record):
	"""One text, and ids that are not worth storing: check_embed.py makes them again."""
	text = next(c for c in record["cases"] if "text" in c)
	return [{"text": text["text"], "prompt": text["prompt"]}, {"count": LONG}]


def record_of(data, name, adapter=None):
	golden = load(data / "goldens/models" / (name + ".json"))
	model = ref_model.from_folder(data / "models" / name)
	decoder = model.base_model
	if adapter:
		peft.PeftModel.from_pretrained(model, data / "adapters" / adapter)  # in place
	cases = [case | poolings_of(decoder, check_embed.ids_of(case, golden["vocab_rows"])) for case in prompts_of(golden)]
	return {"model": "models/" + name, "vocab": golden["vocab_rows"]} | ({"adapter": adapter} if adapter else {}) | {"cases": cases}


def model_with(data, path, config, vocab):
	if path.startswith("gguf/"):
		return ref_families.from_file(data / path, pathlib.Path(path).stem, vocab)
	with tempfile.TemporaryDirectory() as folder:
		return ref_model.from_folder(check_embed.changed(data / path, config, folder))


def record_of_context(data, path, context, config, count):
	vocab = load((data / "goldens" / path).with_suffix(".json"))["vocab_rows"]
	case = {"count": count}
	case |= poolings_of(model_with(data, path, config, vocab).base_model, check_embed.ids_of(case, vocab))
	return {"model": path, "vocab": vocab, "context": context, "config": config, "cases": [case]}


def main():
	args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "data")
	data = args.parse_args().data
	torch.set_num_threads(1)
	transformers.utils.logging.disable_progress_bar()
	records = [record_of(data, name) for name in MODELS] + [record_of(data, a.split("/")[0], a) for a in ADAPTERS]
	records += [record_of_context(data, *c) for c in CONTEXTS]
	lines = ",\n".join(json.dumps(record, separators=(",", ":")) for record in records)
	(data / "embeddings.json").write_text("[\n" + lines + "\n]\n", encoding="ascii")


if __name__ == "__main__":
	main()
