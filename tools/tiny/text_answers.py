# SPDX-License-Identifier: MIT
"""Questions that the tiny model can answer: each function draws one question with its answer."""
import text_facts as F
from text_stories import a, cap


def one_of(r, forms, *slots):
    """One of the forms between bars, filled."""
    return r.choice(forms.split("|")).format(*slots)


def bare(key):
    """A table key as it stands inside a sentence; a mass noun is marked with +."""
    return key.lstrip("+")


def join(words):
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def yes(truth):
    return "Yes" if truth else "No"


# -- countries ---------------------------------------------------------------------------------------------------------

def about_land(land):
    city, continent, tongue = F.COUNTRIES[land]
    return f"{land} is a country in {continent}. Its capital is {city}. Many people in {land} speak {tongue}."


def capital(r):
    land = r.choice(list(F.COUNTRIES))
    city = F.COUNTRIES[land][0]
    kind = r.randrange(6)
    if kind < 4:
        forms = ("What is the capital of {0}?|What is the capital city of {0}?|Which city is the capital of {0}?|"
                 "Capital of {0}?|Name the capital of {0}|Tell me the capital of {0}|{0}'s capital?|"
                 "What is {0}'s capital?|The capital of {0} is")
        return one_of(r, forms, land), f"The capital of {land} is {city}."
    if kind == 4:
        forms = ("Where is {0}?|Which country is {0} in?|In which country is {0}?|{0} is the capital of which country?|"
                 "What country is {0} the capital of?|{0} is the capital of|What is {0}?")
        return one_of(r, forms, city), f"{city} is the capital of {land}."
    guess = r.choice(list(F.COUNTRIES.values()))[0] if r.random() < 0.5 else city
    q = one_of(r, "Is {1} the capital of {0}?|Is the capital of {0} {1}?", land, guess)
    return q, (f"Yes, {city} is the capital of {land}." if guess == city else f"No, the capital of {land} is {city}.")


def country(r):
    land = r.choice(list(F.COUNTRIES))
    _, continent, tongue = F.COUNTRIES[land]
    kind = r.randrange(3)
    if kind == 0:
        forms = ("Where is {0}?|Which continent is {0} in?|In which part of the world is {0}?|"
                 "On which continent is {0}?|What continent is {0} in?")
        return one_of(r, forms, land), f"{land} is in {continent}."
    if kind == 1:
        forms = ("What language do people speak in {0}?|Which language is spoken in {0}?|What do they speak in {0}?|"
                 "What language do they speak in {0}?|Which language do people in {0} speak?|The language of {0}?")
        return one_of(r, forms, land), f"Many people in {land} speak {tongue}."
    forms = "Tell me about {0}|What is {0}?|What do you know about {0}?|Describe {0}|Tell me something about {0}"
    return one_of(r, forms, land), about_land(land)


# -- animals -----------------------------------------------------------------------------------------------------------

def legs_of(name):
    legs = F.ANIMALS[name][1]
    return f"{F.NUMBER_WORDS[legs] if legs else 'no'} legs"


def about_animal(name):
    kind, _, home, food, young, sound, trait = F.ANIMALS[name]
    text = f"{cap(a(name))} is {a(trait)} {kind}. It lives {home} and eats {food}. It has {legs_of(name)}. "
    text += f"A baby {name} is called {a(young)}."
    return text + (f" {cap(a(name))} says {sound}." if sound else "")


def plural(noun):
    irregular = {"mouse": "mice", "sheep": "sheep", "deer": "deer", "wolf": "wolves", "butterfly": "butterflies"}
    if noun.endswith("man"):
        return noun[:-2] + "en"
    return irregular.get(noun, noun + ("es" if noun[-1] in "sx" else "s"))


def animal(r):
    name = r.choice(list(F.ANIMALS))
    kind, _, home, food, young, sound, trait = F.ANIMALS[name]
    one = a(name)
    names = one, plural(name), name
    drawn = r.randrange(8)
    if drawn == 0 and sound:
        forms = ("What does {0} say?|What sound does {0} make?|Which sound does {0} make?|What do {1} say?|"
                 "What noise does {0} make?|How does {0} sound?|What sound do {1} make?")
        return one_of(r, forms, *names), f"{cap(one)} says {sound}."
    if drawn <= 1:
        forms = "How many legs does {0} have?|How many legs do {1} have?|How many legs has {0}?|Number of legs of {0}?"
        return one_of(r, forms, *names), f"{cap(one)} has {legs_of(name)}."
    if drawn == 2:
        forms = "Where does {0} live?|Where do {1} live?|Where can I find {0}?|What is the home of {0}?"
        return one_of(r, forms, *names), f"{cap(one)} lives {home}."
    if drawn == 3:
        forms = ("What does {0} eat?|What do {1} eat?|What is the food of {0}?|What should I feed {0}?|"
                 "What do {1} like to eat?")
        return one_of(r, forms, *names), f"{cap(one)} eats {food}."
    if drawn == 4:
        forms = ("What is a baby {2} called?|What do you call a baby {2}?|What is a young {2} called?|"
                 "What is the baby of {0} called?|What is the young of {0}?|What are baby {1} called?")
        return one_of(r, forms, *names), f"A baby {name} is called {a(young)}."
    if drawn == 5:
        forms = "What is {0}?|What kind of animal is {0}?|Describe {0}|What are {1}?"
        return one_of(r, forms, *names), f"{cap(one)} is {a(trait)} {kind}."
    if drawn == 6:
        return animal_or_not(r, name)
    forms = ("Tell me about {1}|Tell me about the {2}|What do you know about {1}?|Tell me something about {1}|"
             "Explain what {0} is|Tell me about {0}|Give me some facts about {1}")
    return one_of(r, forms, *names), about_animal(name)


def animal_or_not(r, name):
    """Questions with yes or no."""
    kind, one = F.ANIMALS[name][0], a(name)
    drawn = r.randrange(3)
    if drawn == 0:
        can = name in F.FLIERS
        return one_of(r, "Can {0} fly?|Can {1} fly?|Do {1} fly?", one,
                      plural(name)), f"{yes(can)}, {one} {'can' if can else 'cannot'} fly."
    if drawn == 1 and (name in F.SWIMMERS or kind in ("insect", "bird")):
        can = name in F.SWIMMERS
        return one_of(r, "Can {0} swim?|Can {1} swim?|Do {1} swim?", one,
                      plural(name)), f"{yes(can)}, {one} {'can' if can else 'cannot'} swim."
    guess = r.choice(("bird", "fish", "insect", "reptile", kind, kind, kind, kind))
    return f"Is {one} {a(guess)}?", f"{yes(guess == kind)}, {one} is {a(kind)}."


# -- things ------------------------------------------------------------------------------------------------------------

def colour(r):
    key = r.choice(list(F.COLOURS))
    thing, shade = bare(key), F.COLOURS[key]
    drawn = r.randrange(6)
    if drawn < 4:
        forms = ("What colour is {0}?|What is the colour of {0}?|Which colour is {0}?|What colour does {0} have?|"
                 "Tell me the colour of {0}|The colour of {0}?")
        return one_of(r, forms, thing), f"{cap(thing)} is {shade}."
    if drawn == 4:
        guess = r.choice(F.COLOUR_NAMES + [shade] * 8)
        return f"Is {thing} {guess}?", f"{yes(guess == shade)}, {thing} is {shade}."
    shade = r.choice([c for c in F.COLOUR_NAMES if c in F.COLOURS.values()])
    one = r.choice([k for k, c in F.COLOURS.items() if c == shade])
    forms = "Name something that is {0}|What is {0}?|What thing is {0}?|Tell me something {0}|Which things are {0}?"
    return one_of(r, forms, shade), f"{cap(bare(one))} is {shade}."


def opposite(r):
    pairs = dict(F.OPPOSITES)
    pairs.update((two, one) for one, two in F.OPPOSITES if two not in pairs)
    one = r.choice(list(pairs))
    forms = ("What is the opposite of {0}?|Opposite of {0}?|What is the contrary of {0}?|The opposite of {0} is|"
             "Which word is the opposite of {0}?|Tell me the opposite of {0}|What is not {0}?")
    return one_of(r, forms, one), f"The opposite of {one} is {pairs[one]}."


def thing(r):
    name = r.choice(list(F.THINGS))
    use, stuff = F.THINGS[name]
    drawn = r.randrange(4)
    if drawn < 2:
        forms = ("What is {0} for?|What do you do with {0}?|What is {0} used for?|Why do people use {0}?|"
                 "What do I use {0} for?|What can I do with {0}?")
        return one_of(r, forms, name), f"{cap(name)} is for {use}."
    if drawn == 2:
        return one_of(r, "What is {0} made of?|What is {0} made from?|Of what is {0} made?",
                      name), f"{cap(name)} is made of {stuff}."
    forms = "What is {0}?|Tell me about {0}|Describe {0}|Explain what {0} is"
    return one_of(r, forms, name), f"{cap(name)} is a thing for {use}. It is made of {stuff}."


def job(r):
    name = r.choice(list(F.JOBS))
    if r.random() < 0.7:
        forms = ("What does {0} do?|What is the job of {0}?|What is {0}?|Who is {0}?|What do {1} do?|"
                 "Tell me about the job of {0}|What is the work of {0}?")
        return one_of(r, forms, a(name), plural(name)), f"{cap(a(name))} {F.JOBS[name]}."
    return f"Who {F.JOBS[name]}?", f"{cap(a(name))} {F.JOBS[name]}."


def food(r):
    if r.random() < 0.5:
        key = r.choice(list(F.TASTES))
        q = one_of(r, "What does {0} taste like?|How does {0} taste?|What is the taste of {0}?", bare(key))
        return q, f"{cap(bare(key))} tastes {F.TASTES[key]}."
    fruit = r.random() < 0.5
    one = a(r.choice(F.FRUITS if fruit else F.VEGETABLES))
    guess = r.choice(("fruit", "vegetable"))
    kind = "fruit" if fruit else "vegetable"
    return f"Is {one} a {guess}?", f"{yes(kind == guess)}, {one} is a {kind}."


def animals_of(kind):
    return [name for name, row in F.ANIMALS.items() if row[0] == kind]


GROUPS = {
    "fruits": F.FRUITS, "vegetables": F.VEGETABLES, "colours": F.COLOUR_NAMES, "planets": F.PLANETS,
    "countries": list(F.COUNTRIES), "cities": [row[0] for row in F.COUNTRIES.values()], "animals": list(F.ANIMALS),
    "birds": animals_of("bird"), "insects": animals_of("insect"), "farm animals": animals_of("farm animal"),
    "wild animals": animals_of("wild animal"), "months": F.MONTHS, "days": F.DAYS,
    "seasons": list(F.SEASON_LINES),
}


def naming(r):
    group = r.choice(list(GROUPS))
    members = GROUPS[group]
    n = min(r.choice((2, 3, 3, 3, 3, 4, 5)), len(members))
    chosen = [members[i] for i in sorted(r.sample(range(len(members)), n))]
    forms = ("Name {0} {1}|Tell me {0} {1}|List {0} {1}|Give me {0} {1}|Say {0} {1}|Can you name {0} {1}?|"
             "Name me {0} {1}")
    number = F.NUMBER_WORDS[n] if r.random() < 0.8 else n
    if group.endswith(("animals", "birds", "insects")):
        chosen = ["the " + one for one in chosen]
    return one_of(r, forms, number, group), f"{cap(F.NUMBER_WORDS[n])} {group} are {join(chosen)}."


# -- numbers and days --------------------------------------------------------------------------------------------------

def spelled(r, n):
    """How a user may write a number."""
    return str(n) if n > 20 or r.random() < 0.75 else F.NUMBER_WORDS[n]


def sums(r):
    x, y = r.randint(0, 10), r.randint(0, 10)
    drawn = r.randrange(8)
    if drawn < 4:
        forms = ("What is {0} + {1}?|{0} + {1}|{0}+{1}|What is {0} plus {1}?|How much is {0} + {1}?|Add {0} and {1}|"
                 "{0} + {1} =|How much is {0} and {1}?|What is {0}+{1}?|Calculate {0} + {1}|{0} plus {1}|"
                 "What is the sum of {0} and {1}?")
        return one_of(r, forms, spelled(r, x), spelled(r, y)), f"{x} + {y} is {x + y}."
    if drawn < 6:
        x, y = max(x, y), min(x, y)
        forms = ("What is {0} - {1}?|{0} - {1}|What is {0} minus {1}?|How much is {0} - {1}?|Take {1} from {0}|"
                 "{0} - {1} =|{0} minus {1}")
        return one_of(r, forms, spelled(r, x), spelled(r, y)), f"{x} - {y} is {x - y}."
    if drawn == 6:
        forms = ("What is {0} times {1}?|{0} times {1}|How much is {0} times {1}?|{0} * {1}|What is {0} * {1}?|"
                 "What is {0} x {1}?")
        return one_of(r, forms, spelled(r, x), spelled(r, y)), f"{x} times {y} is {x * y}."
    forms = ("What is {0} + {1}?|What is {0} times {1}?|{0} * {1}|What is {0} divided by {1}?|{0} - {1}|"
             "What is the square root of {0}?|How much is {0} / {1}?|Calculate {0} * {1}|Solve x + {0} = {1}|"
             "What is {0} minus {1}?")
    x, y = r.randint(11, 9999), r.randint(11, 9999)
    return one_of(r, forms, x, y), "That is too hard for me. I can only work with small numbers."


def counting(r):
    if r.random() < 0.3:
        top = r.randint(3, 20)
        forms = "Count down from {0}|Count backwards from {0}|Count from {0} to 0|Count back from {0}"
        return one_of(r, forms, top), ", ".join(str(i) for i in range(top, -1, -1)) + "."
    low, top = (1, r.randint(2, 20)) if r.random() < 0.6 else sorted(r.sample(range(21), 2))
    forms = "Count from {0} to {1}|Count {0} to {1}|Say the numbers from {0} to {1}|List the numbers from {0} to {1}"
    if low == 1:
        forms += "|Count to {1}|Count to {1}|Count up to {1}|Please count to {1}|Can you count to {1}?"
    return one_of(r, forms, low, spelled(r, top)), ", ".join(str(i) for i in range(low, top + 1)) + "."


def comparing(r):
    drawn = r.randrange(5)
    n = r.randint(1, 60)
    if drawn == 0:
        forms = ("What comes after {0}?|Which number comes after {0}?|What number follows {0}?|"
                 "What is the next number after {0}?")
        return one_of(r, forms, n), f"{n + 1} comes after {n}."
    if drawn == 1:
        forms = "What comes before {0}?|Which number comes before {0}?|What is the number before {0}?"
        return one_of(r, forms, n), f"{n - 1} comes before {n}."
    x, y = r.sample(range(21), 2)
    if drawn == 2:
        forms = ("Which is bigger, {0} or {1}?|Is {0} or {1} bigger?|Which is more, {0} or {1}?|"
                 "Which number is bigger, {0} or {1}?|Which is larger, {0} or {1}?")
        return one_of(r, forms, x, y), f"{max(x, y)} is bigger than {min(x, y)}."
    if drawn == 3:
        forms = "Which is smaller, {0} or {1}?|Is {0} or {1} smaller?|Which is less, {0} or {1}?"
        return one_of(r, forms, x, y), f"{min(x, y)} is smaller than {max(x, y)}."
    forms = "Is {0} even or odd?|Is {0} even?|Is {0} odd?|Is {0} an even number?|Is {0} an odd number?"
    return one_of(r, forms, x), f"{x} is {'odd' if x % 2 else 'even'}."


def next_to(r, cycle, word):
    """Before and after in the days or months."""
    i = r.randrange(len(cycle))
    if r.random() < 0.6:
        forms = ("What {1} comes after {0}?|Which {1} comes after {0}?|What comes after {0}?|Which {1} follows {0}?|"
                 "What is the {1} after {0}?")
        return one_of(r, forms, cycle[i], word), f"{cycle[(i + 1) % len(cycle)]} comes after {cycle[i]}."
    forms = "What {1} comes before {0}?|Which {1} comes before {0}?|What comes before {0}?|What is the {1} before {0}?"
    return one_of(r, forms, cycle[i], word), f"{cycle[i - 1]} comes before {cycle[i]}."


def calendar(r):
    drawn = r.randrange(7)
    if drawn < 2:
        return next_to(r, F.DAYS, "day")
    if drawn == 2:
        return next_to(r, F.MONTHS, "month")
    n = r.randrange(12)
    if drawn == 3:
        forms = "How many days are in {0}?|How many days does {0} have?|How long is {0}?"
        return one_of(r, forms, F.MONTHS[n]), f"{F.MONTHS[n]} has {F.MONTH_DAYS[n]} days."
    if drawn == 4:
        forms = "What season is {0} in?|Which season is {0} in?|In which season is {0}?"
        return one_of(r, forms, F.MONTHS[n]), f"{F.MONTHS[n]} is in {F.SEASONS[n]}."
    if drawn == 5:
        season = r.choice(list(F.SEASON_LINES))
        forms = "What happens in {0}?|Tell me about {0}|What is {0}?|What is {0} like?|Describe {0}"
        return one_of(r, forms, season), F.SEASON_LINES[season]
    if r.random() < 0.5:
        forms = "What is the {0} month?|Which month is the {0} month?|What is the {0} month of the year?"
        return one_of(r, forms, F.ORDINALS[n]), f"The {F.ORDINALS[n]} month is {F.MONTHS[n]}."
    i = r.randrange(7)
    forms = "What is the {0} day of the week?|Which day is the {0} day of the week?|What is the {0} day?"
    return one_of(r, forms, F.ORDINALS[i]), f"The {F.ORDINALS[i]} day of the week is {F.DAYS[i]}."
