# SPDX-License-Identifier: MIT
"""Talk: sayings, names, feelings, and questions for stories and poems, each drawn with its answer."""
import re

import text_facts as F
import text_sayings as S
from text_answers import one_of
from text_stories import POEM_FOR_ALL, POEMS, QUALITIES, a, cap, story, subject
from text_unknown import TOPICS, made_up


def fact(r):
    questions, answer = r.choice(S.FACTS)
    return r.choice(questions), answer


def saying(r):
    questions, answer = r.choice(S.SAYINGS)
    return r.choice(questions), answer


def feeling(r):
    which = r.choice(list(F.FEELINGS))
    return one_of(r, "I am {0}|I feel {0}|I am so {0}|I am {0} today|Today I am {0}|I am feeling {0}",
                  which), F.FEELINGS[which]


def hello_in(r):
    tongue = r.choice(list(F.HELLOS))
    forms = ("How do you say hello in {0}?|Say hello in {0}|What is hello in {0}?|Hello in {0}?|Translate hello to {0}|"
             "How do people say hello in {0}?")
    return one_of(r, forms, tongue), f"In {tongue} people say {F.HELLOS[tongue]}."


def repeat(r):
    text = " ".join(r.sample(F.NAMES + F.FRUITS + list(F.ANIMALS), r.randint(1, 2)))
    return one_of(r, "Say {0}|Repeat: {0}|Repeat after me: {0}|Say the words {0}|Please repeat {0}",
                  text), cap(text) + "."


def my_name(r):
    name = r.choice(F.NAMES) if r.random() < 0.6 else cap(made_up(r))
    forms = "My name is {0}|I am {0}|Hello, I am {0}|Hi, my name is {0}|Call me {0}|Hello, my name is {0}"
    return one_of(r, forms, name), f"Nice to meet you, {name}. How can I help you?"


STORY_HEROES = "fox rabbit bear mouse owl hedgehog".split()  # when the user names none
STORY_THEMES = "the sea|the moon|friendship|a lighthouse|winter|love|space|the night|a lost key|two friends".split("|")


def ask_story(r):
    long = r.random() < 0.25
    verb = one_of(r, "Tell me|Tell me|Write|Please tell me|Can you tell me|I want to hear|Make up|Write me|Give me|"
                     "I would like")
    q = f"{verb} " + ("a long story" if long else one_of(r, "a story|a story|a short story|a little story|a tale"))
    noun, name = r.choice(STORY_HEROES), None
    drawn = r.random()
    if drawn >= 0.4:
        about, noun, name = subject(r, made_up)
        if r.random() < 0.2:
            about = re.sub("^an? ", lambda _: a(r.choice(QUALITIES + ["little", "happy", "brave little"])) + " ", about)
        q += f" about {about}"
    elif drawn >= 0.2:
        q += f" about {r.choice(TOPICS + STORY_THEMES * 8 + [made_up(r)])}"
    q += "?" if verb[:3] == "Can" else ""
    return q, "Here is a long story. " + story(r, noun, name, parts=3) if long else story(r, noun, name)


def ask_poem(r):
    verb = one_of(r, "Write a|Tell me a|Write me a|Make a|Write a short|Say a")
    kind = one_of(r, "poem|poem|poem|haiku|rhyme|song")
    drawn = r.random()
    if drawn < 0.75:
        topic = r.choice(list(POEMS))
        return f"{verb} {kind} about {topic}", POEMS[topic]
    if drawn < 0.9:
        topic = r.choice(TOPICS + [made_up(r), "my mother", "love", "money", "life"])
        return f"{verb} {kind} about {topic}", POEM_FOR_ALL
    return r.choice((f"{verb} {kind}", "Do you know a poem?", "I want to hear a poem")), POEM_FOR_ALL
