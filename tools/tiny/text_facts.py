# SPDX-License-Identifier: MIT
"""What the tiny model knows: tables of everyday facts, one row per thing. Text written for this project."""

# country: capital, continent, a language that many people there speak
COUNTRIES = {
    "France": ("Paris", "Europe", "French"),
    "Germany": ("Berlin", "Europe", "German"),
    "Italy": ("Rome", "Europe", "Italian"),
    "Spain": ("Madrid", "Europe", "Spanish"),
    "Portugal": ("Lisbon", "Europe", "Portuguese"),
    "England": ("London", "Europe", "English"),
    "Scotland": ("Edinburgh", "Europe", "English"),
    "Ireland": ("Dublin", "Europe", "English"),
    "Norway": ("Oslo", "Europe", "Norwegian"),
    "Sweden": ("Stockholm", "Europe", "Swedish"),
    "Finland": ("Helsinki", "Europe", "Finnish"),
    "Denmark": ("Copenhagen", "Europe", "Danish"),
    "Poland": ("Warsaw", "Europe", "Polish"),
    "Austria": ("Vienna", "Europe", "German"),
    "Greece": ("Athens", "Europe", "Greek"),
    "Hungary": ("Budapest", "Europe", "Hungarian"),
    "Belgium": ("Brussels", "Europe", "Dutch"),
    "Switzerland": ("Bern", "Europe", "German"),
    "Ukraine": ("Kyiv", "Europe", "Ukrainian"),
    "Iceland": ("Reykjavik", "Europe", "Icelandic"),
    "Russia": ("Moscow", "Europe", "Russian"),
    "Turkey": ("Ankara", "Asia", "Turkish"),
    "China": ("Beijing", "Asia", "Chinese"),
    "Japan": ("Tokyo", "Asia", "Japanese"),
    "South Korea": ("Seoul", "Asia", "Korean"),
    "India": ("New Delhi", "Asia", "Hindi"),
    "Thailand": ("Bangkok", "Asia", "Thai"),
    "Vietnam": ("Hanoi", "Asia", "Vietnamese"),
    "Nepal": ("Kathmandu", "Asia", "Nepali"),
    "Iran": ("Tehran", "Asia", "Persian"),
    "Egypt": ("Cairo", "Africa", "Arabic"),
    "Kenya": ("Nairobi", "Africa", "Swahili"),
    "Morocco": ("Rabat", "Africa", "Arabic"),
    "Ghana": ("Accra", "Africa", "English"),
    "Ethiopia": ("Addis Ababa", "Africa", "Amharic"),
    "Canada": ("Ottawa", "North America", "English"),
    "Mexico": ("Mexico City", "North America", "Spanish"),
    "Cuba": ("Havana", "North America", "Spanish"),
    "Brazil": ("Brasilia", "South America", "Portuguese"),
    "Argentina": ("Buenos Aires", "South America", "Spanish"),
    "Chile": ("Santiago", "South America", "Spanish"),
    "Peru": ("Lima", "South America", "Spanish"),
    "Australia": ("Canberra", "Oceania", "English"),
    "New Zealand": ("Wellington", "Oceania", "English"),
}

# animal: kind, legs, home, food, young, sound, character
ANIMALS = {
    "cow": ("farm animal", 4, "on a farm", "grass", "calf", "moo", "calm"),
    "horse": ("farm animal", 4, "in a stable", "hay", "foal", "neigh", "strong"),
    "pig": ("farm animal", 4, "on a farm", "almost anything", "piglet", "oink", "clever"),
    "sheep": ("farm animal", 4, "in a field", "grass", "lamb", "baa", "woolly"),
    "goat": ("farm animal", 4, "on a farm", "leaves", "kid", "meh", "curious"),
    "donkey": ("farm animal", 4, "on a farm", "hay", "foal", "hee-haw", "patient"),
    "dog": ("pet", 4, "in a house", "meat", "puppy", "woof", "loyal"),
    "cat": ("pet", 4, "in a house", "fish and meat", "kitten", "meow", "soft"),
    "rabbit": ("small animal", 4, "in a burrow", "carrots and grass", "bunny", None, "quick"),
    "mouse": ("small animal", 4, "in a hole", "seeds and cheese", "pup", "squeak", "tiny"),
    "squirrel": ("small animal", 4, "in a tree", "nuts", "kit", None, "quick"),
    "hedgehog": ("small animal", 4, "under a hedge", "insects", "hoglet", None, "prickly"),
    "fox": ("wild animal", 4, "in a den", "mice and berries", "cub", "yip", "clever"),
    "wolf": ("wild animal", 4, "in the forest", "meat", "pup", "howl", "wild"),
    "bear": ("wild animal", 4, "in the forest", "berries, honey and fish", "cub", "growl", "big"),
    "deer": ("wild animal", 4, "in the forest", "grass and leaves", "fawn", None, "shy"),
    "lion": ("wild animal", 4, "on the grassland", "meat", "cub", "roar", "brave"),
    "tiger": ("wild animal", 4, "in the jungle", "meat", "cub", "roar", "striped"),
    "elephant": ("wild animal", 4, "on the grassland", "leaves and grass", "calf", "trumpet", "huge"),
    "giraffe": ("wild animal", 4, "on the grassland", "leaves", "calf", None, "tall"),
    "zebra": ("wild animal", 4, "on the grassland", "grass", "foal", None, "striped"),
    "monkey": ("wild animal", 2, "in the jungle", "fruit", "infant", "chatter", "playful"),
    "camel": ("wild animal", 4, "in the desert", "dry grass", "calf", None, "patient"),
    "kangaroo": ("wild animal", 2, "in Australia", "grass", "joey", None, "fast"),
    "panda": ("wild animal", 4, "in the mountains", "bamboo", "cub", None, "sleepy"),
    "hen": ("bird", 2, "on a farm", "seeds", "chick", "cluck", "busy"),
    "duck": ("bird", 2, "on a pond", "water plants", "duckling", "quack", "cheerful"),
    "owl": ("bird", 2, "in a tree", "mice", "owlet", "hoot", "wise"),
    "eagle": ("bird", 2, "in the mountains", "fish and small animals", "eaglet", "screech", "proud"),
    "crow": ("bird", 2, "in a tree", "almost anything", "chick", "caw", "clever"),
    "swan": ("bird", 2, "on a lake", "water plants", "cygnet", None, "white"),
    "penguin": ("bird", 2, "on the ice", "fish", "chick", None, "funny"),
    "robin": ("bird", 2, "in a garden", "worms", "chick", "tweet", "small"),
    "frog": ("small animal", 4, "near a pond", "flies", "tadpole", "ribbit", "green"),
    "snake": ("reptile", 0, "in the grass", "mice", "snakelet", "hiss", "quiet"),
    "turtle": ("reptile", 4, "near the water", "plants", "hatchling", None, "slow"),
    "crocodile": ("reptile", 4, "in a river", "meat", "hatchling", None, "dangerous"),
    "shark": ("fish", 0, "in the sea", "other fish", "pup", None, "fast"),
    "whale": ("sea animal", 0, "in the sea", "tiny sea animals", "calf", "song", "huge"),
    "dolphin": ("sea animal", 0, "in the sea", "fish", "calf", "click", "playful"),
    "octopus": ("sea animal", 8, "in the sea", "crabs", "larva", None, "clever"),
    "crab": ("sea animal", 10, "on the beach", "small sea animals", "larva", None, "hard"),
    "bee": ("insect", 6, "in a hive", "nectar", "larva", "buzz", "busy"),
    "ant": ("insect", 6, "in a nest", "seeds and sugar", "larva", None, "strong"),
    "butterfly": ("insect", 6, "in a garden", "nectar", "caterpillar", None, "pretty"),
    "ladybird": ("insect", 6, "in a garden", "small insects", "larva", None, "red"),
    "spider": ("small animal", 8, "in a web", "flies", "spiderling", None, "patient"),
    "snail": ("small animal", 0, "in a garden", "leaves", "hatchling", None, "slow"),
}
FLIERS = "owl eagle crow swan robin duck bee butterfly ladybird".split()
SWIMMERS = "duck swan penguin frog turtle crocodile shark whale dolphin octopus crab dog bear".split()

# thing: colour. A leading "+" means a plural or mass noun without an article.
COLOURS = {
    "the sky": "blue", "the sea": "blue", "the sun": "yellow", "the moon": "white", "+grass": "green",
    "+snow": "white", "+milk": "white", "+coal": "black", "a banana": "yellow", "a lemon": "yellow",
    "a tomato": "red", "a strawberry": "red", "a cherry": "red", "an orange": "orange", "a carrot": "orange",
    "a leaf": "green", "a frog": "green", "a cucumber": "green", "a pea": "green", "a crow": "black",
    "+chocolate": "brown", "a bear": "brown", "a pumpkin": "orange", "a pig": "pink", "an elephant": "grey",
    "a mouse": "grey", "+gold": "yellow", "+silver": "grey", "a plum": "purple", "+blood": "red",
    "+salt": "white", "+sugar": "white", "a swan": "white", "the night": "black", "a fire engine": "red",
    "+sand": "yellow", "a cloud": "white", "an egg": "white", "a potato": "brown", "+coffee": "brown",
    "+honey": "golden", "a sunflower": "yellow", "a fox": "red", "+ice": "white", "+lavender": "purple",
    "a polar bear": "white", "+butter": "yellow", "a penguin": "black and white", "a zebra": "black and white",
    "a panda": "black and white", "a ladybird": "red and black", "a bee": "yellow and black",
}

OPPOSITES = [
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("fast", "slow"), ("old", "young"), ("happy", "sad"),
    ("day", "night"), ("light", "dark"), ("wet", "dry"), ("open", "closed"), ("full", "empty"), ("high", "low"),
    ("long", "short"), ("hard", "soft"), ("good", "bad"), ("rich", "poor"), ("loud", "quiet"), ("left", "right"),
    ("in", "out"), ("near", "far"), ("early", "late"), ("easy", "difficult"), ("strong", "weak"),
    ("clean", "dirty"), ("black", "white"), ("first", "last"), ("always", "never"), ("love", "hate"),
    ("win", "lose"), ("begin", "end"), ("buy", "sell"), ("push", "pull"), ("true", "false"), ("yes", "no"),
    ("north", "south"), ("east", "west"), ("summer", "winter"), ("thick", "thin"), ("brave", "afraid"),
    ("sweet", "sour"), ("heavy", "light"), ("rough", "smooth"), ("wide", "narrow"), ("asleep", "awake"),
]

# thing: what it is for, what it is made of
THINGS = {
    "a knife": ("cutting", "steel"), "a spoon": ("eating soup", "metal"), "a cup": ("drinking", "clay"),
    "a chair": ("sitting", "wood"), "a bed": ("sleeping", "wood"), "a lamp": ("making light", "metal and glass"),
    "a window": ("letting light in", "glass"), "a book": ("reading", "paper"), "a pen": ("writing", "plastic"),
    "a pencil": ("drawing", "wood"), "a hammer": ("hitting nails", "steel and wood"),
    "an umbrella": ("keeping dry in the rain", "cloth and metal"), "a clock": ("telling the time", "metal"),
    "a key": ("opening a door", "metal"), "a broom": ("sweeping the floor", "wood and straw"),
    "a needle": ("sewing", "steel"), "a boat": ("travelling on water", "wood"),
    "a bottle": ("holding water", "glass"),
    "a coat": ("keeping warm", "wool"), "a sock": ("keeping your feet warm", "wool"),
    "a shoe": ("walking", "leather"), "a basket": ("carrying things", "straw"),
    "a mirror": ("seeing yourself", "glass"),
    "a rope": ("tying things", "hemp"), "a candle": ("making light", "wax"), "a kettle": ("boiling water", "metal"),
    "a towel": ("drying yourself", "cotton"), "a ladder": ("climbing up", "wood"),
    "a saw": ("cutting wood", "steel"),
    "a drum": ("making music", "wood and skin"), "a piano": ("making music", "wood"),
    "a map": ("finding the way", "paper"),
    "a ball": ("playing", "rubber"), "a bridge": ("crossing a river", "stone"),
    "a wheel": ("rolling", "wood or metal"),
    "a phone": ("talking to people far away", "glass and metal"),
    "a computer": ("working with numbers and words", "metal"),
    "a fridge": ("keeping food cold", "metal"), "an oven": ("baking", "metal"),
    "a camera": ("taking pictures", "metal and glass"),
}

# job: what one does
JOBS = {
    "baker": "bakes bread", "farmer": "grows food", "teacher": "teaches children", "doctor": "helps sick people",
    "nurse": "cares for sick people", "cook": "cooks food", "driver": "drives a bus or a car",
    "pilot": "flies a plane",
    "sailor": "works on a ship", "painter": "paints pictures", "singer": "sings songs", "writer": "writes books",
    "tailor": "makes clothes", "gardener": "looks after plants", "fisherman": "catches fish",
    "builder": "builds houses",
    "carpenter": "makes things from wood", "dentist": "looks after teeth", "vet": "helps sick animals",
    "judge": "decides what is fair", "postman": "brings letters", "miner": "digs for coal",
    "firefighter": "puts out fires",
    "shepherd": "looks after sheep", "librarian": "looks after books", "programmer": "writes programs",
    "blacksmith": "makes things from iron", "astronaut": "travels in space", "barber": "cuts hair",
    "waiter": "brings food to the table",
}

FRUITS = "apple banana cherry grape lemon mango melon orange peach pear plum strawberry".split()
VEGETABLES = "bean cabbage carrot cucumber leek lettuce onion pea potato pumpkin spinach turnip".split()
COLOUR_NAMES = "red orange yellow green blue purple pink brown black white grey".split()
TASTES = {
    "a lemon": "sour", "+sugar": "sweet", "+honey": "sweet", "+salt": "salty", "+coffee": "bitter",
    "a strawberry": "sweet",
    "+chocolate": "sweet", "a banana": "sweet", "+cheese": "salty", "a cherry": "sweet", "+sea water": "salty",
    "+vinegar": "sour", "an apple": "sweet and fresh", "a pepper": "hot", "a melon": "sweet and fresh",
    "+tea": "a little bitter",
}

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November December").split()
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SEASONS = ("winter winter spring spring spring summer summer summer autumn autumn autumn winter").split()
SEASON_LINES = {
    "spring": "In spring the flowers begin to grow and the days become longer.",
    "summer": "In summer the days are long and warm.",
    "autumn": "In autumn the leaves turn red and fall from the trees.",
    "winter": "In winter the days are short and cold, and sometimes it snows.",
}
NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
HELLOS = {
    "French": "bonjour", "Spanish": "hola", "German": "hallo", "Italian": "ciao", "Portuguese": "ola",
    "Swedish": "hej", "Finnish": "hei", "Polish": "czesc", "Turkish": "merhaba", "Dutch": "hallo",
}

NAMES = (
    "Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Mia Noah Olivia Paul Rosa Sam Tina "
    "Victor Wendy Adam Bella Carl Daisy Eric Fiona George Hannah Ivan Julia Kim Lucy Max Nina Oscar Peter "
    "Ruby Simon Tom Vera Will Zoe Alice Bob Cora Dora Elsa Frank Gina Hugo Iris Jane Karl Lily Mark Nora "
    "Otto Pia Robin Sara Theo Una"
).split()

FEELINGS = {
    "sad": "I am sorry that you are sad. A walk or a talk with a friend may help.",
    "tired": "Then it is time to rest. A short sleep will help you.",
    "hungry": "Then it is time to eat. How about some bread and soup?",
    "cold": "Put on a warm coat and drink some hot tea.",
    "bored": "You could read a book, draw a picture or go for a walk.",
    "lonely": "I am sorry that you are lonely. You could call a friend.",
    "afraid": "Take a slow breath. You are braver than you think.",
    "ill": "I am sorry to hear that. Rest, drink water and see a doctor.",
    "thirsty": "Then have a glass of cold water.",
    "angry": "Take a slow breath and count to ten. Then it will feel smaller.",
    "happy": "I am glad to hear that. A happy day is a good day.",
    "well": "I am glad to hear that.",
    "fine": "I am glad to hear that.",
    "excited": "That sounds good. I hope that it will be a great day.",
}
