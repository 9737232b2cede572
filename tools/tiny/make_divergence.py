# SPDX-License-Identifier: MIT
"""Write divergence.json: how far model-b is from model on model's own replies, computed by transformers in F32.

    python make_divergence.py

Each case is a prompt and the greedy reply of `model` up to the first close call (where an engine might choose otherwise);
for each token of it KL(model || model-b) in nats over the whole vocabulary, whether both like the same token best, and its
log-probability under each. tests/reference lets a host compare the two in shadow and looks at the means.
"""
import json

import torch

import make_golden

GAP = 0.1
LEAST = 4  # tokens of a reply


class Pair:
    def __init__(self):
        self.active, self.candidate = make_golden.Reference("model"), make_golden.Reference("model-b")

    def reply(self, prompt):
        path = self.active.greedy("", prompt)
        close = [i for i, gap in enumerate(path["greedy_gap"]) if gap < GAP]
        return path["prompt"], path["greedy"][:close[0] if close else None]

    def rows(self, reference, ids, reply):
        """Log-softmax at each place where a token of the reply is next."""
        return torch.log_softmax(reference.logits(ids + reply)[len(ids) - 1:-1].double(), dim=-1)

    def case(self, prompt):
        ids, reply = self.reply(prompt)
        if len(reply) < LEAST:
            return None
        p, q = self.rows(self.active, ids, reply), self.rows(self.candidate, ids, reply)
        at = torch.arange(len(reply)), torch.tensor(reply)
        return {"prompt": ids, "reply": reply, "kl": rounded((p.exp() * (p - q)).sum(-1)),
                "same_best": [int(x) for x in p.argmax(-1) == q.argmax(-1)],
                "logprob": rounded(p[at]), "candidate_logprob": rounded(q[at])}


def rounded(values):
    return [round(float(v), 7) for v in values]


def main():
    torch.set_num_threads(1)
    pair = Pair()
    cases = [c for c in map(pair.case, make_golden.PROMPTS) if c]
    rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    text = f'{{"active": "model", "candidate": "model-b", "cases": [\n{rows}\n]}}\n'
    json.loads(text)
    (make_golden.HERE / "divergence.json").write_text(text)


if __name__ == "__main__":
    main()
