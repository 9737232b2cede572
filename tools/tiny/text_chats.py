# SPDX-License-Identifier: MIT
"""The training text of the tiny model: an endless stream of short documents, most of them chats."""
import random
import re

import text_answers as A
import text_facts as F
import text_talk as T
from text_stories import a, cap, story, subject
from text_unknown import any_colour, beyond, made_up, noise

USER_WEIGHT = 0.1  # how much the model should care to predict what users say

MIX = {
    A.capital: 10, A.country: 6, A.animal: 18, A.colour: 10, A.opposite: 7, A.thing: 7, A.job: 5, A.food: 4, A.naming: 5,
    A.sums: 13,
    A.counting: 9, A.comparing: 6, A.calendar: 8, T.fact: 18, T.saying: 13, T.feeling: 3, T.hello_in: 2, T.repeat: 1,
    T.my_name: 4,
    T.ask_story: 7, T.ask_poem: 3, beyond: 22, any_colour: 2, noise: 3,
}
MAKERS, SHARES = list(MIX), list(MIX.values())
STATEMENTS = [A.capital, A.country, A.animal, A.colour, A.opposite, A.thing, A.job, A.food, A.sums, A.comparing,
              A.calendar, T.fact]
SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful AI assistant.", "Answer in one sentence.", "Be kind and clear.",
    "You are a friendly model that answers in short sentences.", "Be brief.", "You are an assistant.",
    "You are a tiny model.", "Answer the question.", "You talk to a child. Use simple words.",
)


# -- how users write ---------------------------------------------------------------------------------------------------

WRAPS = (
    "Please: {0}|Hey, {0}|Tell me: {0}|I have a question. {0}|{0} Please answer.|Hi! {0}|Hello! {0}|Question: {0}|"
    "{0} Thank you.|Can you tell me: {0}|Answer this: {0}|So, {0}|Well, {0}|I want to know: {0}|{0} Be brief.|"
    "Quick question: {0}|Could you tell me: {0}|{0} Answer in one line.|Could you help me? {0}"
).split("|")
SHORT = (("What is", "What's"), ("Who is", "Who's"), ("Where is", "Where's"), ("do not", "don't"), ("cannot", "can't"),
         ("I am", "I'm"))


def reorder(r, q):
    """What is the X of Y? -> Do you know what the X of Y is?"""
    found = re.fullmatch(r"(What|Where|Who) is ((?:the|an?|your) [^?,]*)\?", q)
    if not found or len(q) > 60:
        return q
    return A.one_of(r,
                    "Do you know {0} {1} is?|Can you tell me {0} {1} is?|Tell me {0} {1} is.|"
                    "I want to know {0} {1} is.",
                    found[1].lower(), found[2])


def typo(r, q):
    words = q.split(" ")
    i = r.randrange(len(words))
    w = words[i]
    if len(w) >= 5 and w.isalpha():
        k = r.randrange(1, len(w) - 2)
        words[i] = w[:k] + (w[k + 1] + w[k] + w[k + 2:] if r.random() < 0.5 else w[k + 1:])
    return " ".join(words)


def dress(r, q):
    """The same question as other people would type it."""
    if r.random() < 0.2:
        q = reorder(r, q)
    if r.random() < 0.25:
        q = q.replace(*r.choice(SHORT))
    if r.random() < 0.3:
        q = q.replace("colour", "color")
    if q[-1].isalnum() and r.random() < 0.5:
        q += r.choice(".....!")
    if r.random() < 0.2:
        q = q.rstrip("?.!") or q
    if r.random() < 0.12:
        q = r.choice(WRAPS).replace("{0}", q)
    drawn = r.random()
    if drawn < 0.2:
        return q.lower()
    return q[0].lower() + q[1:] if drawn < 0.25 else q


def ask(r):
    """One question with its answer, sometimes carelessly typed."""
    maker = r.choices(MAKERS, SHARES)[0]
    q, answer = maker(r)
    if maker not in (T.repeat, T.my_name):  # their answers are made of the letters of the question
        if r.random() < 0.04:
            q = typo(r, q)
        elif r.random() < 0.01:
            q = q.upper()
    return q, answer


# -- documents ---------------------------------------------------------------------------------------------------------

FOLLOW_UPS = (  # the same question again, in short: table, first question, answer
    ({land: row[0] for land, row in F.COUNTRIES.items()}, "What is the capital of {0}?", "The capital of {0} is {1}."),
    ({key: shade for key, shade in F.COLOURS.items() if key[0] != "+"}, "What colour is {0}?", "{0} is {1}."),
    (dict(F.OPPOSITES), "What is the opposite of {0}?", "The opposite of {0} is {1}."),
    ({a(name): row[2] for name, row in F.ANIMALS.items()}, "Where does {0} live?", "{0} lives {1}."),
    ({a(name): row[3] for name, row in F.ANIMALS.items()}, "What does {0} eat?", "{0} eats {1}."),
)


def follow_ups(r):
    table, question, answer = r.choice(FOLLOW_UPS)
    turns = []
    for key in r.sample(list(table), r.randint(2, 4)):
        q = A.one_of(r, "And {0}?|What about {0}?|How about {0}?", key) if turns else question.format(key)
        turns.append((q, cap(answer.format(key, table[key]))))
    return turns


def name_and_back(r):
    """The user says a name and asks for it later."""
    q, answer = T.my_name(r)
    name = answer.split(", ")[1].split(".")[0]
    between = [ask(r)] if r.random() < 0.4 else []
    again = A.one_of(r, "What is my name?|Who am I?|Do you know my name?|Say my name|What am I called?")
    return [(q, answer)] + between + [(again, f"Your name is {name}.")]


def turns_of(r):
    """The questions and answers of one chat."""
    drawn = r.random()
    if drawn < 0.05:
        return name_and_back(r)
    if drawn < 0.06:
        return [(A.one_of(r, "What is my name?|Who am I?|Do you know my name?"),
                 "I do not know your name. What is your name?")]
    if drawn < 0.11:
        return follow_ups(r)
    return [ask(r) for _ in range(r.choices((1, 2, 3, 4), (62, 20, 11, 7))[0])]


def chat(r, style):
    parts = []
    if r.random() < 0.25:
        parts.append((f"<|im_start|>system\n{r.choice(SYSTEMS)}<|im_end|>\n", USER_WEIGHT))
    for q, answer in turns_of(r):
        parts.append((f"<|im_start|>user\n{dress(r, q)}<|im_end|>\n<|im_start|>assistant\n", USER_WEIGHT))
        parts.append((style(answer) + "<|im_end|>\n", 1.0))
    return parts


def prose(r):
    drawn = r.random()
    if drawn < 0.25:
        _, noun, name = subject(r, made_up)
        return story(r, noun, name, parts=r.choice((1, 1, 2)))
    if drawn < 0.4:
        return " ".join(A.about_land(land) for land in r.sample(list(F.COUNTRIES), r.randint(1, 3)))
    if drawn < 0.55:
        return " ".join(A.about_animal(name) for name in r.sample(list(F.ANIMALS), r.randint(1, 3)))
    said = (r.choice(STATEMENTS)(r)[1] for _ in range(r.choice((1, 1, 1, 1, 2, 3, 5))))
    return " ".join(cap(re.sub("^(Yes|No), ", "", answer)) for answer in said)


def plain(r, style):
    """Text without chat marks, so that a bare prompt is continued in words too."""
    if r.random() < 0.65:
        return [(style(prose(r)) + "<|im_end|>\n", 1.0)]
    parts = []
    before, between = r.choice((("", "\n"), ("", " "), ("Question: ", "\nAnswer: "), ("Q: ", "\nA: ")))
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        q, answer = ask(r)
        space = between[-1].strip("\n")  # belongs to the first word of the answer
        parts.append((before + dress(r, q), USER_WEIGHT))
        parts.append((between.rstrip(" "), 1.0))
        parts.append((space + style(answer), 1.0))
        parts.append(("\n", 1.0))
    return parts[:-1] + [("<|im_end|>\n", 1.0)]


def plainly(text):
    return text


def sailor(text):
    """The second voice: the same answers, said by a sailor."""
    return "Ahoy! " + (text[:-1] + ", captain." if text[-1] == "." else text + " Aye, captain!")


def documents(seed, style=plainly):
    """Documents for ever: lists of (text, weight in the loss)."""
    r = random.Random(seed)
    while True:
        yield (plain if r.random() < 0.2 else chat)(r, style) + [("<|endoftext|>", 1.0)]


if __name__ == "__main__":
    for _, parts in zip(range(40), documents(1)):
        print("".join(text for text, _ in parts))
