# SPDX-License-Identifier: MIT
"""Look at an exported tiny model through transformers: questions it should know, questions it never saw, sizes.

    python check_tiny.py [FOLDER] [-n QUESTIONS]      exit 1 when it is too large, too often wrong, or loses text
"""
import argparse
import collections
import pathlib
import random

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, LlamaForCausalLM

import text_chats

OPEN = ("ask_story", "naming")  # more than one right answer
UNSEEN = (
    "Tell me a story", "Tell me a long story about a lighthouse keeper", "Write a story about a fox called Max",
    "Please write a tale about a brave little robot", "Write a poem about the sea", "whats the capital of italy",
    "Which city is France's capital?", "I would like to know something about dogs", "How much is seven plus eight?",
    "Could you count to ten for me?", "Who was Albert Einstein?", "Write a Python program that sorts a list",
    "How do I cook rice?", "Is the sun hot?", "Hello, my name is Zorblatt", "I'm feeling a bit sad today",
    "What should I wear when it is cold?", "asdf qwer", "¿Dónde está la biblioteca?", "Name three animals, please",
    "What's the largest ocean?", "Do cows fly?", "What do you think of modern art?", "Explain shared memory in one line",
    "Which month follows March?", "hello", "Translate 'cat' into German", "What noise does a pig make?",
    "Give me the opposite of big", "List three fruits.", "What would happen if the moon fell down?", "Who is the queen of Spain?",
)
BARE = ("Once upon a time", "The capital of France is", "A cow is", "What colour is the sky?", "The", "Hello", "hi",
        "There was a fox who", "Long ago", "In winter")
TEXTS = ("Hello, world! 1234567890", "  spaces   and\ttabs\n\nlines \r\n", "naïve Ünïcödé 你好 🙂 \u200d \x00\x7f", "<|im_start|>user\n<|im_end|>")


class Voice:
    def __init__(self, folder):
        self.tok = AutoTokenizer.from_pretrained(folder)
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)

    @torch.no_grad()
    def go_on(self, text, most=320):
        ids = self.tok(text, return_tensors="pt", add_special_tokens=False).input_ids
        out = self.model.generate(ids, max_new_tokens=min(most, 512 - ids.shape[1]), do_sample=False, pad_token_id=2)
        return self.tok.decode(out[0][ids.shape[1]:], skip_special_tokens=True).strip()

    def answer(self, question):
        chat = self.tok.apply_chat_template([{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True)
        return self.go_on(chat)


def share_right(voice, count, style):
    """Drawn questions, as users would type them, against the one right answer."""
    r = random.Random(99)
    right, asked = collections.Counter(), collections.Counter()
    while sum(asked.values()) < count:
        maker = r.choices(text_chats.MAKERS, text_chats.SHARES)[0]
        question, answer = maker(r)
        question = text_chats.dress(r, question)
        if maker.__name__ in OPEN or question.lower().startswith(("name something", "what thing", "tell me something")):
            continue
        said = voice.answer(question)
        asked[maker.__name__] += 1
        right[maker.__name__] += said == style(answer)
        if said != style(answer):
            print(f"  wrong: {question!r} -> {said!r}, not {style(answer)!r}")
    print("  ".join(f"{name} {right[name]}/{asked[name]}" for name in sorted(asked)))
    return sum(right.values()) / count


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folder", type=pathlib.Path, nargs="?", default=pathlib.Path(__file__).resolve().parent / "model")
    args.add_argument("-n", type=int, default=400)
    args.add_argument("--sailor", action="store_true", help="the second voice is expected")
    args = args.parse_args()
    torch.set_num_threads(1)
    voice = Voice(args.folder)
    plain_tok = Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    lost = [t for t in TEXTS if plain_tok.decode(plain_tok.encode(t).ids, skip_special_tokens=False) != t]
    size = sum(p.stat().st_size for p in args.folder.iterdir())
    share = share_right(voice, args.n, text_chats.sailor if args.sailor else text_chats.plainly)
    for question in UNSEEN:
        print(f"> {question}\n{voice.answer(question)}")
    for text in BARE:
        print(f"| {text} ... {voice.go_on(text, 60)}")
    print(f"{size} bytes, right {share:.3f} of {args.n}, texts lost by the tokenizer: {lost}")
    return size >= 1000000 or share < 0.9 or bool(lost)


if __name__ == "__main__":
    raise SystemExit(main())
