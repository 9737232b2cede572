# SPDX-License-Identifier: MIT
"""Questions beyond the tiny model, with the polite answers that say so."""
from text_stories import a, cap


def lines(block):
    return [line.strip() for line in block.strip().splitlines()]


def words(block):
    return [word.strip() for line in lines(block) for word in line.split(",")]


TOPICS = words("""
    quantum physics, the stock market, democracy, the French Revolution, inflation, chess, football, tennis
    the internet, poetry, philosophy, chemistry, algebra, a black hole, gravity, evolution, DNA, photosynthesis
    electricity, magnets, a volcano, an earthquake, a dinosaur, the Roman Empire, the pyramids, the Second World War
    a parliament, a president, taxes, insurance, a mortgage, a bicycle engine, a jet, nuclear power, climate change
    recycling, a virus, bacteria, vaccines, cancer, yoga, meditation, opera, jazz, rock music, guitars, violins, ballet
    cinema, Shakespeare, Einstein, Newton, Napoleon, Mozart, Picasso, blockchain, a database, Python, JavaScript
    a compiler, an operating system, a neural network, machine learning, robotics, a satellite, a rocket, a telescope
    a microscope, the Milky Way, Pluto, Atlantis, Bitcoin, a lawyer, a contract, marketing, a startup, management
    psychology, dreams, time travel, aliens, religion, history, geography, economics, sociology, grammar, Latin
    calculus, statistics, a matrix, a prime number, infinity, pi, entropy, a transistor, a laser, plastic, oxygen
    carbon, diamonds, oil, wine, pasta, pizza, sushi, curry, a sandwich, a hamburger, ketchup, fashion, a museum
    a castle, a skyscraper, a subway, traffic, an airport, tourism, a passport, sailing, skiing, surfing, basketball
    baseball, golf, cricket, the Olympics, a marathon, a lottery, poker, video games, a keyboard, a printer
    Wikipedia, television, radio, newspapers
""")
PEOPLE = words("""
    Napoleon, Einstein, Albert Einstein, Shakespeare, the president, Mozart, Cleopatra, Newton, Julius Caesar, Columbus
    Darwin, Picasso, Plato, Beethoven, Gandhi, the prime minister, Homer, Galileo, Tesla, Lincoln, Marie Curie, Batman
    Sherlock Holmes, Aristotle, Bach, Isaac Newton, Leonardo da Vinci, the pope
""")
LANDS = words("""
    Mongolia, Bolivia, Laos, Zambia, Malta, Estonia, Paraguay, Atlantis, Texas, Wales, Angola, Qatar, Oman, Fiji, Panama
    Bhutan, Narnia, California, Bavaria, Sudan, Yemen, Tonga, Togo, Jamaica, Latvia
""")
ANY_COLOUR = words("""
    a dress, a car, a house, a wall, a shirt, a train, a book, a bag, a cup, a chair, a door, paint, a hat, a flag
    a stone, a parrot, a fish, a horse, a shoe, a rose, an eye, a dog, a cat
""")
TASKS = words("""
    build a house, fix a bike, win at chess, cook pasta, cook rice, learn French, write a novel, paint a wall, get rich
    lose weight, invest, fly a plane, play the guitar, swim, dance, drive a car, install Linux, plant a tree
    knit a scarf, write a letter, solve this, repair a phone, grow tomatoes, find a job, train a dog, sort a list
    open a bank account, run faster, make a film, wear a tie, use this
""")

# {t} {u} topics, {p} a person, {l} a country, {v} a task, {j} a word that means nothing
ME = "I am a tiny model"
ASK = "Ask me about animals, colours, countries or numbers."
BEYOND = {
    f"I do not know much about that. {ME}. {ASK}": lines("""
        What is {t}?
        What are {t}?
        Explain {t}
        Explain {t} to a child
        Can you explain {t}?
        Tell me about {t}
        Tell me more about {t}
        What do you know about {t}?
        Describe {t}
        Define {t}
        How does {t} work?
        What is the history of {t}?
        What is the best {j}?
        What does {j} mean?
        What do you think about {t}?
        What do you think of {t}?
        What should I know about {t}?
        Is {t} good?
        Is {t} {j}?
        Does {t} {j}?
        Do you know {t}?
        Do you like {t}?
        What is the difference between {t} and {u}?
        Give me an example of {t}
        Which {j} is {t}?
        What {j} should I {j}?
    """),
    f"I do not know who that is. {ME} and know few people.": lines("""
        Who is {p}?
        Who was {p}?
        Tell me about {p}
        Do you know {p}?
        Who invented {t}?
        Who discovered {t}?
        Who wrote {j}?
        Who painted {j}?
        Who won the {j}?
        Who is the best {j}?
        Who is the president of {l}?
        Who is the king of {l}?
    """),
    f"I do not know where that is. {ME}. {ASK}": lines("""
        Where is {p}?
        Where is the {j}?
        Where is {l}?
        Where can I buy {t}?
        Where can I find {t}?
        Where do I find a {j}?
        Where was {p} born?
    """),
    f"I do not know when that was. {ME} and know few dates.": lines("""
        When was {p} born?
        When did {p} die?
        When was {t} invented?
        When did {j} begin?
        When is the next {j}?
        When was {l} founded?
        When does the {j} open?
        In which year was {p} born?
        What year did {p} {j}?
    """),
    f"I do not know how to do that. {ME}. {ASK}": lines("""
        How do I {v}?
        How can I {v}?
        How do you {v}?
        How to {v}?
        Teach me to {v}
        Help me to {v}
        Show me how to {v}
        What is the best way to {v}?
        Should I {v}?
        Can you {v}?
    """),
    f"I do not know why. {ME} and know only simple facts.": lines("""
        Why is {t} important?
        Why do people like {t}?
        Why did {p} do that?
        Why does {t} exist?
        Why is {l} so big?
        Why are {j}s {j}?
        Why do people {v}?
    """),
    f"That is too much for me. {ME}, but I can tell you a short story.": lines("""
        Write an essay about {t}
        Write a long text about {t}
        Write an article about {t}
        Write a speech about {t}
        Write a review of {t}
        Write a report about {t}
        Write a letter to {p}
        Write an email to my boss
        Summarize {t}
        Give me a summary of {t}
        Make a plan for my week
        Plan a trip to {l}
        Compare {t} and {u}
        List ten facts about {t}
        Give me a recipe for {t}
    """),
    f"I cannot write programs. {ME}. {ASK}": lines("""
        Write a program that can {v}
        Write a program in {j}
        Write a Python program that {j}s
        Write a Python script about {t}
        Write a Python function
        Write a function in C
        Write code to {v}
        Write a script that can {v}
        Write a loop in Python
        Write a sorting program
        Fix this code: {j}
        Debug this program
        How do I write a for loop?
        Implement quicksort
        def {j}(x):
        int main(void) {{
        print({j})
        SELECT * FROM {j};
    """),
    "I see. Tell me more, or ask me a question.": lines("""
        I went to the {j} yesterday
        I bought a {j}
        I think {t} is great
        I like {t}
        I do not like {t}
        I want to {v}
        I work in {l}
        I was in {l} last year
        I am reading about {t}
        I need help with {t}
        I have a question
        I have two brothers
        My brother has a new {j}
        My friend likes {t}
        My dog is old
        We talked about {t}
        Yesterday I saw {p}
        It is late
        Let us talk
        Let us talk about {t}
    """),
    "I can only say hello in other languages. Ask me how to say hello in French.": lines("""
        Translate {t} to French
        Translate this: {j} {j}
        Translate I love you
        How do you say {t} in Spanish?
        What is {j} in German?
        Say good morning in Italian
    """),
    f"I do not know that country. {ME}. Ask me about France or Japan.": lines("""
        What is the capital of {l}?
        What is the capital of {j}?
        What language do people speak in {l}?
        Tell me about {l}
        What is {l}?
        What is the population of {l}?
        How many people live in {l}?
    """),
    f"I do not know that number. {ME} and can only count.": lines("""
        How many {j}s are there?
        How much does {t} cost?
        How far is {l}?
        How old is {p}?
        How tall is {p}?
        How long is the {j}?
        How big is {l}?
        How heavy is {t}?
    """),
}
SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:!?@#$%&*()[]{}<>/\\|~^_=+-\"'`"
LETTERS = ("ñéüßçøåžłğşàèìòùâêîôûäöíóúáýčšřćąęőűαβγδελμабвгдежзийклмнопрстуфхцчшщыьэюя"
           "你好世界日本語한국אבגابت🙂🎉☕→…“”«»—≈∑½¿¡")
STARTS = "b d f g gl h k l m n p r s st t tr v w z".split()
ENDS = ["", ""] + "n r l m x ng".split()


def made_up(r):
    """A word that means nothing, so that copying is learned rather than a list of words."""
    return "".join(r.choice(STARTS) + r.choice("aeiou") + r.choice(ENDS) for _ in range(r.randint(1, 3)))


def beyond(r):
    """A question about something else, and the answer that fits its form."""
    slots = {"t": r.choice(TOPICS), "u": r.choice(TOPICS), "p": r.choice(PEOPLE), "l": r.choice(LANDS),
             "v": r.choice(TASKS)}
    if r.random() < 0.3:
        slots["t"] = r.choice((made_up(r), a(made_up(r)), "the " + made_up(r), made_up(r) + "s"))
    if r.random() < 0.3:
        slots["p"] = cap(made_up(r)) + (" " + cap(made_up(r)) if r.random() < 0.5 else "")
    answer = r.choice(list(BEYOND))
    return r.choice(BEYOND[answer]).format(j=made_up(r), **slots), answer


def noise(r):
    """No question at all: letters, signs or another language."""
    kind = r.randrange(4)
    if kind == 0:
        text = "".join(r.choice(LETTERS) for _ in range(r.randint(1, 12)))
    elif kind == 1:
        text = " ".join(made_up(r) for _ in range(r.randint(1, 5)))
    elif kind == 2:
        text = "".join(r.choice(SIGNS) for _ in range(r.randint(1, 25))).strip() or "?"
    else:
        letters = "eaoinrstldmucp" + LETTERS[:40]
        text = " ".join("".join(r.choices(letters, k=r.randint(2, 9))) for _ in range(r.randint(2, 6)))
    return text, "I am sorry, I do not understand that. Please use simple English words."


def any_colour(r):
    one = r.choice(ANY_COLOUR) if r.random() < 0.6 else a(made_up(r))
    question = r.choice(("What colour is {0}?", "What is the colour of {0}?", "Which colour is {0}?"))
    return question.format(one), f"{cap(one)} can have any colour."
