# SPDX-License-Identifier: MIT
"""Short stories and poems for the tiny model: plots with slots, filled so that a story agrees with itself."""
from text_facts import ANIMALS, NAMES

SHE = set("Anna Clara Emma Grace Ida Kate Mia Olivia Rosa Tina Wendy Bella Daisy Fiona Hannah Julia Lucy Nina Ruby "
          "Vera Zoe Alice Cora Dora Elsa Gina Iris Jane Lily Nora Pia Sara Una".split())
PEOPLE = ("baker farmer king queen sailor knight shepherd painter gardener princess prince giant witch wizard "
          "fisherman robot dragon ghost boy girl miller doctor teacher captain clockmaker tailor").split()
QUALITIES = "small young clever brave kind shy cheerful quiet curious gentle old lonely".split()
TREASURES = "key ball hat book lamp scarf bell ring drum map kite coin basket cup".split()
HIDING = ("under the table", "behind the door", "in the grass", "near the river", "under the old tree",
          "in the barn",
          "on the hill", "by the well", "in the attic", "behind the mill")
FOODS = "bread apples honey soup cake berries nuts cheese pears plums".split()
PLACES = ("in a little house by the sea", "at the edge of a forest", "in a quiet village", "on a green hill",
          "near a wide river",
          "in a valley between two mountains", "in an old mill", "at the end of a long road")
MORALS = ("From that day on they were friends.", "And they lived happily for many years.",
          "That night everyone slept very well.", "And that was the best day of the whole year.",
          "It was a small thing, but nobody forgot it.")


def a(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


def cap(text):
    return text[0].upper() + text[1:]


class Hero:
    """Who a story is about, with the words that go with it."""

    def __init__(self, r, noun=None, name=None):
        self.noun, self.name = noun, name
        quality = r.choice(QUALITIES)
        self.the = name or "the " + noun
        self.intro = f"{a(quality)} {noun}" if noun else None
        if name:
            self.she = "she" if name in SHE else "he"
        else:
            self.she = "she" if noun in ("queen", "princess", "witch", "girl") else "he" if noun in PEOPLE else "it"
        self.her = {"she": "her", "he": "his", "it": "its"}[self.she]
        self.him = {"she": "her", "he": "him", "it": "it"}[self.she]
        place = r.choice(PLACES)
        if noun and name:
            self.opening = f"there was {self.intro} called {name} who lived {place}."
        elif noun:
            self.opening = f"there was {self.intro} who lived {place}."
        else:
            self.opening = f"{name} lived {place}."


def plot_lost(r, h, f):
    thing, (one, two, three, four) = r.choice(TREASURES), r.sample(HIDING, 4)
    return [
        f"One day {h.the} lost {h.her} {thing}.",
        f"{cap(h.the)} looked {one}, {two} and {three}, but the {thing} was not there.",
        f"Then {h.the} met {a(f)}.",
        f'"What are you looking for?" asked the {f}.',
        f'"I have lost my {thing}," said {h.the}.',
        f'"I saw it {four}," said the {f}.',
        f"They went there together and found the {thing}.",
        f'"Thank you," said {h.the}. "You are a good friend."',
    ]


def plot_share(r, h, f):
    food = r.choice(FOODS)
    return [
        f"One morning {h.the} had a basket full of {food}.",
        f"On the road {h.she} met {a(f)} who was very hungry.",
        f'"I have eaten nothing since yesterday," said the {f}.',
        f'"Then sit down and eat with me," said {h.the}.',
        f"So they shared the {food} and talked until the evening.",
        f"The next day the {f} came back with a gift.",
        f'"You were kind to me," said the {f}. "Now I will be kind to you."',
    ]


def plot_storm(r, h, f):
    return [
        "One night there was a great storm.",
        "The wind was loud and the rain came through the roof.",
        f"{cap(h.the)} was afraid and could not sleep.",
        f"Then somebody knocked at the door. It was {a(f)}, cold and wet.",
        f'"May I come in?" asked the {f}.',
        f'"Of course," said {h.the}, and made some hot tea.',
        "They sat by the fire and told stories until the storm was over.",
        "In the morning the sun was shining and the sky was blue.",
    ]


def plot_race(r, h, f):
    prize = r.choice(TREASURES)
    return [
        f"One day {a(f)} said that nobody was faster than the {f}.",
        f'"Let us run to the old bridge," said {h.the}.',
        f"The {f} ran so fast that soon nobody could see it.",
        f"But on the way the {f} stopped to sleep under a tree.",
        f"{cap(h.the)} did not stop. Step by step {h.she} went on.",
        f"In the end {h.the} was the first at the bridge and won a {prize}.",
        '"Slow and steady is a good way to go," said everyone.',
    ]


def plot_seed(r, h, f):
    return [
        f"In spring {h.the} found a strange seed.",
        f"{cap(h.she)} put it into the ground and gave it water every day.",
        f'"Nothing will grow there," said {a(f)}.',
        f"But {h.the} waited, and one morning there was a green leaf.",
        "In summer it was a tall plant, and in autumn it was full of sweet fruit.",
        f"{cap(h.the)} gave the first fruit to the {f}.",
        f'"I was wrong," said the {f}. "It is good to wait."',
    ]


def plot_boat(r, h, f):
    return [
        f"{cap(h.the)} wanted to see what was on the other side of the water.",
        f"So {h.she} built a small boat from old wood.",
        f'"Take me with you," said {a(f)}.',
        "They sailed for three days and three nights.",
        "On the fourth day they came to an island with white sand and tall trees.",
        f"There they ate {r.choice(FOODS)} and looked at the stars.",
        "Then they sailed home and told everybody what they had seen.",
    ]


def plot_night(r, h, f):
    return [
        f"One evening {h.the} went into the forest and lost the way.",
        "It became dark, and every tree looked the same.",
        f'Then {a(f)} came by with a little lamp. "Are you lost?" asked the {f}.',
        f'"Yes," said {h.the}. "I cannot find my home."',
        f'"Follow my light," said the {f}.',
        "They walked over the hill and across the bridge.",
        f"Soon {h.the} saw {h.her} own window and was glad.",
    ]


def plot_song(r, h, f):
    return [
        f"{cap(h.the)} liked to sing, but {h.her} voice was very quiet.",
        f'"Nobody can hear me," said {h.the}.',
        f"One day {a(f)} sat down and listened to the whole song.",
        f'"That was beautiful," said the {f}. "Sing it again."',
        f"So {h.the} sang again, a little louder than before.",
        "More and more animals came to listen, and in the end they all sang together.",
    ]


def plot_star(r, h, f):
    return [
        f"Every night {h.the} looked at the brightest star in the sky.",
        f'"I want to hold it in my hand," said {h.the}.',
        f'"Then come with me," said {a(f)}, and they climbed the highest hill.',
        "But the star was still far away.",
        f"Then {h.the} saw the star in the water of a little lake.",
        f'"Look," said the {f}. "Now it is near."',
        f"{cap(h.the)} touched the water, and the star danced.",
    ]


def plot_cake(r, h, f):
    return [
        f"It was {h.her} birthday, and {h.the} wanted to bake a cake.",
        "But there was no flour in the house.",
        f"So {h.the} went to {a(f)} and asked for help.",
        f'"I have flour," said the {f}, "but I have no eggs."',
        "Then they went to the hen, and the hen gave them two eggs.",
        "They mixed everything and put the cake into the oven.",
        "All the friends came, and there was a piece of cake for each of them.",
    ]


PLOTS = (plot_lost, plot_share, plot_storm, plot_race, plot_seed, plot_boat, plot_night, plot_song, plot_star,
         plot_cake)
FRIENDS = [x for x in ANIMALS if ANIMALS[x][0] not in ("fish", "insect", "sea animal")]


def story(r, noun=None, name=None, parts=1):
    """One story of about seven sentences a part, as one paragraph."""
    h = Hero(r, noun, name)
    lines = [("Once upon a time " if noun or r.random() < 0.5 else "Long ago ") + h.opening]
    friends = r.sample([x for x in FRIENDS if x != noun], parts)
    for i, (plot, friend) in enumerate(zip(r.sample(PLOTS, parts), friends)):
        if i:
            lines.append(r.choice(("But that was not all.", "Some time later there was more to tell.")))
        lines += plot(r, h, friend)
    lines.append(r.choice(MORALS))
    return " ".join(lines)


def subject(r, made_up):
    """What a story may be about: (what the user asks for, noun, name)."""
    pick = r.random()
    if pick < 0.5:
        noun = r.choice(list(ANIMALS))
    elif pick < 0.75:
        noun = r.choice(PEOPLE)
    elif pick < 0.8:
        noun = made_up(r)
    else:
        name = r.choice(NAMES)
        return name, None, name
    if r.random() < 0.25:
        name = r.choice(NAMES)
        return f"{a(noun)} called {name}", noun, name
    return a(noun), noun, None


POEMS = {
    "the sea": (
        "The sea is wide, the sea is deep,\n"
        "it sings the little fish to sleep.\n"
        "The waves come in, the waves go out,\n"
        "and white birds fly and turn about."
    ),
    "the moon": (
        "The moon is round, the moon is bright,\n"
        "it is a lamp for all the night.\n"
        "It shines on house and hill and tree,\n"
        "it shines on you, it shines on me."
    ),
    "spring": (
        "The snow is gone, the birds are here,\n"
        "it is the best time of the year.\n"
        "The grass is green, the sky is blue,\n"
        "and every little leaf is new."
    ),
    "summer": (
        "The sun is high, the day is long,\n"
        "the bee is humming its old song.\n"
        "We swim and play and run and rest,\n"
        "of all the seasons this is best."
    ),
    "autumn": (
        "The leaves are red, the leaves are brown,\n"
        "the wind comes by and takes them down.\n"
        "The nights are cold, the fire is warm,\n"
        "we sit inside and hear the storm."
    ),
    "winter": (
        "The snow is white, the night is cold,\n"
        "the winter stars are bright and old.\n"
        "The lake is ice, the wind is still,\n"
        "and children laugh upon the hill."
    ),
    "a cat": (
        "My cat is soft, my cat is grey,\n"
        "it likes to sleep for half the day.\n"
        "But when the moon is in the sky\n"
        "it walks the roofs and passes by."
    ),
    "a dog": (
        "My dog can run, my dog can bark,\n"
        "we play all morning in the park.\n"
        "And when I come home late at night\n"
        "it jumps around me with delight."
    ),
    "rain": (
        "The rain comes down on roof and tree,\n"
        "it makes a song for you and me.\n"
        "It fills the river and the well,\n"
        "and gives the earth a lovely smell."
    ),
    "a flower": (
        "A flower opened in the sun,\n"
        "and bees came to it, one by one.\n"
        "It gave them all that it could give,\n"
        "and that is how the flowers live."
    ),
    "the night": (
        "The day is done, the lamp is low,\n"
        "the stars come out, row after row.\n"
        "The house is dark, the street is deep,\n"
        "and all the world has gone to sleep."
    ),
    "a bird": (
        "A little bird sat in a tree\n"
        "and sang a song for you and me.\n"
        "Then up it went into the blue,\n"
        "and oh, I wished that I could too."
    ),
    "bread": (
        "Some flour, some water and some salt,\n"
        "and if it fails, it is my fault.\n"
        "But when it rises, warm and round,\n"
        "no better bread is to be found."
    ),
    "a river": (
        "The river comes from hills of stone,\n"
        "it finds its way to sea alone.\n"
        "It turns the mill, it passes by,\n"
        "and in it shines a piece of sky."
    ),
}
POEM_FOR_ALL = (
    "I know a song, it is not long,\n"
    "and you can sing it all day long.\n"
    "It says be kind, it says be true,\n"
    "and good things will come back to you."
)
