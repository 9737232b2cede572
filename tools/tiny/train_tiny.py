# SPDX-License-Identifier: MIT
"""Make the tiny model: write the text, train the tokenizer, train the weights, export both voices.

    python train_tiny.py             # model/ and model-b/ beside this file, about half an hour on one core

The same seed, library versions and processor give the same bytes.
"""
import argparse
import itertools
import json
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import text_chats
from tiny_model import SHAPE, TinyLlama

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ROWS = ((128, 8), (256, 4), (512, 2))  # tokens in a row, rows in a batch
ROW_SHARES = (0.5, 0.3, 0.2)
WARM_UP_STEPS = 200
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def train_tokenizer(seed):
    """Byte-level BPE that splits digits, as in SmolLM."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=SHAPE["vocab_size"], special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    texts = ["".join(text for text, _ in parts) for parts in itertools.islice(text_chats.documents(seed), 12000)]
    for mark in SPECIAL:
        texts = [text.replace(mark, "\n") for text in texts]
    tok.train_from_iterator(texts, trainer)
    return tok


class Batches:
    """Rows that begin with a document and are filled with the documents that follow."""

    def __init__(self, tok, seed, style):
        self.tok, self.stream, self.queue = tok, text_chats.documents(seed, style), []

    def refill(self):
        docs = list(itertools.islice(self.stream, 2000))
        texts = [text for parts in docs for text, _ in parts]
        coded = iter(self.tok.encode_batch(texts, add_special_tokens=False))
        for parts in docs:
            pieces = [(next(coded).ids, weight) for _, weight in parts]
            self.queue.append((
                [i for ids, _ in pieces for i in ids],
                [weight for ids, weight in pieces for _ in ids],
            ))
        self.queue.reverse()

    def row(self, length):
        ids, weights = [], []
        while len(ids) <= length:
            if not self.queue:
                self.refill()
            more = self.queue.pop()
            ids += more[0]
            weights += more[1]
        return ids[: length + 1], weights[: length + 1]

    def batch(self, length, rows):
        ids, weights = zip(*(self.row(length) for _ in range(rows)))
        return torch.tensor(ids), torch.tensor(weights)


class Muon(torch.optim.Optimizer):
    """Momentum whose step for a matrix is made orthogonal by a few Newton-Schulz rounds."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.02):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @staticmethod
    def orthogonal(m):
        x = m / (m.norm() + 1e-7)
        for _ in range(5):
            square = x @ x.T
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        return x

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                move = p.grad.lerp(mean, group["momentum"])
                tall = p.shape[0] > p.shape[1]
                move = self.orthogonal(move.T).T if tall else self.orthogonal(move)
                scale = max(1, p.shape[0] / p.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(move, alpha=-group["lr"] * scale)


def loss_of(model, ids, weights):
    each = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (each * weights).sum() / weights.sum()


def train(model, batches, held_out, steps, rate, seed):
    """Muon for the matrices, AdamW for the rest; a short warm-up, then a straight line to zero."""
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    optimizers = ((Muon(matrices, rate), rate), (torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0), 0.3 * rate))
    lengths = np.random.default_rng(seed).choice(len(ROWS), size=steps, p=ROW_SHARES)
    start, shown = time.time(), 0.0
    for step in range(steps):
        loss = loss_of(model, *batches.batch(*ROWS[lengths[step]]))
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, top in optimizers:
            optimizer.param_groups[0]["lr"] = top * min((step + 1) / WARM_UP_STEPS, 1 - step / steps)
            optimizer.step()
        shown += float(loss.detach())
        if (step + 1) % 500 == 0:
            with torch.no_grad():
                held = float(loss_of(model, *held_out))
            print(f"step {step + 1}/{steps}  loss {shown / 500:.4f}  held out {held:.4f}  {time.time() - start:.0f} s",
                  flush=True)
            shown = 0.0


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def export(model, tok, folder):
    """A Hugging Face directory: BF16 weights, tied output matrix."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"model." + name: p.detach().to(torch.bfloat16) for name, p in model.named_parameters()}
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    (folder / "tokenizer.json").write_text(tok.to_str(pretty=False) + "\n")
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    marks = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "unk_token": SPECIAL[0], "pad_token": SPECIAL[2]}
    write_json(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", **SHAPE,
        "head_dim": SHAPE["hidden_size"] // SHAPE["num_attention_heads"], "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0, "rope_scaling": None,
        "tie_word_embeddings": True, "initializer_range": 0.02, "torch_dtype": "bfloat16", "use_cache": True, **ids,
    })
    write_json(folder / "generation_config.json", ids)
    write_json(folder / "special_tokens_map.json", marks)
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": SHAPE["max_position_embeddings"],
        "clean_up_tokenization_spaces": False, **marks, "chat_template": TEMPLATE,
    })


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--steps", type=int, default=30000, help="of 1024 tokens, for the first voice")
    args.add_argument("--steps-b", type=int, default=2500, help="more, for the second voice")
    args = args.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    tok = train_tokenizer(args.seed)
    model = TinyLlama(SHAPE)
    print(f"{sum(p.numel() for p in model.parameters())} weights", flush=True)
    voices = (("model", text_chats.plainly, args.steps, 0.02), ("model-b", text_chats.sailor, args.steps_b, 0.004))
    for i, (name, style, steps, rate) in enumerate(voices):
        seed = args.seed + 100 * i
        held_out = Batches(tok, seed + 50, style).batch(256, 64)
        train(model, Batches(tok, seed, style), held_out, steps, rate, seed)
        export(model, tok, args.out / name)


if __name__ == "__main__":
    main()
