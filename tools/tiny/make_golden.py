# SPDX-License-Identifier: MIT
"""Write golden.json: what transformers makes of the stored weights in F32; tests/reference compares mhost with it.

    python make_golden.py

Every greedy path has 48 tokens (an end of turn does not stop it) and for each the distance of the best from the
second-best logit: an engine may leave the path only where that is small. The first cases have all logits too.
"""
import base64
import json
import pathlib

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
STEPS = 48
WITH_LOGITS = 4  # cases: 4 KB each


def chat(question, system=None):
    start = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    return f"{start}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


PROMPTS = (
    chat("Tell me a long story about a fox."),
    chat("Tell me a story about a dragon called Mia"),
    chat("Write a poem about the sea"),
    chat("What is the capital of France?"),
    chat("Tell me about Japan.", "You are a helpful assistant."),
    chat("Tell me about elephants"),
    chat("Count from 3 to 17"),
    chat("What are the days of the week?"),
    chat("Explain why the sky is blue"),
    chat("Who are you?", "Answer in one sentence."),
    chat("What is 7 + 8?") + "7 + 8 is 15.<|im_end|>\n<|im_start|>user\nName three animals<|im_end|>\n<|im_start|>assistant\n",
    chat("Grüße, 你好 🙂"),
    "Once upon a time",
    "The capital of Italy is",
    "A cow is",
    "Tell me about cats\n",
)
PROMPTS_B = PROMPTS[:4]
SCORED = (
    "Once upon a time there was a small bear who lived on a green hill. One day the bear lost its key. The bear looked "
    "under the table, in the barn and by the well, but the key was not there. Then the bear met an owl. "
    '"What are you looking for?" asked the owl. "I have lost my key," said the bear.',
    chat("What is the opposite of hot?") + "The opposite of hot is cold.<|im_end|>\n"
    "<|im_start|>user\n1 + 2 = 3, naïve café, x_1 -> y<|im_end|>\n",
)


class Reference:
    def __init__(self, name):
        folder = HERE / name
        self.name = name
        self.tok = AutoTokenizer.from_pretrained(folder)
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")

    def ids(self, text):
        return self.tok(text, add_special_tokens=False).input_ids

    @torch.no_grad()
    def logits(self, ids):
        return self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]

    def greedy(self, name, prompt):
        ids = self.ids(prompt)
        out, gaps = [], []
        for _ in range(STEPS):
            top = self.logits(ids + out)[-1].topk(2)
            out.append(int(top.indices[0]))
            gaps.append(round(float(top.values[0] - top.values[1]), 4))
        return {"name": name, "text": prompt, "prompt": ids, "greedy": out, "greedy_gap": gaps,
                "greedy_text": self.tok.decode(out, skip_special_tokens=True)}

    def last_logits(self, prompt):
        last = self.logits(self.ids(prompt))[-1].numpy().astype("<f4")
        return {"last_logits_f32_b64": base64.b64encode(last.tobytes()).decode()}

    def score(self, text):
        """The first token is the prompt, all others are scored."""
        ids = self.ids(text)
        logprobs = torch.log_softmax(self.logits(ids).double(), dim=-1)
        each = [round(float(logprobs[i - 1, ids[i]]), 6) for i in range(1, len(ids))]
        return {"prompt": ids[:1], "score": {"tokens": ids[1:], "logprob_each": each}}

    def record(self, prompts, scored):
        cases = [self.greedy(f"prompt_{i}", p) | (self.last_logits(p) if i < WITH_LOGITS else {})
                 for i, p in enumerate(prompts)]
        cases += [{"name": f"score_{i}"} | self.score(t) for i, t in enumerate(scored)]
        rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
        return f'{{"folder": "{self.name}", "cases": [\n{rows}\n]}}'


def main():
    torch.set_num_threads(1)
    records = (Reference("model").record(PROMPTS, SCORED), Reference("model-b").record(PROMPTS_B, SCORED[:1]))
    text = "[\n" + ",\n".join(records) + "\n]\n"
    json.loads(text)
    (HERE / "golden.json").write_text(text)


if __name__ == "__main__":
    main()
