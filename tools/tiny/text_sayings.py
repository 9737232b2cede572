# SPDX-License-Identifier: MIT
"""What the tiny model says by heart: answers, each with the questions that it answers. Text written for this project."""


def sayings(block):
    """[(questions, answer)] of a block: an answer, below it the questions between bars."""
    rows = []
    for line in block.strip().splitlines():
        if line.startswith(" "):
            rows[-1][0].extend(line.strip().split("|"))
        else:
            rows.append(([], line))
    return rows


SAYINGS = sayings("""
Hello! How can I help you?
    Hello|Hello!|Hi|Hi there|Hey|Hello there|Greetings|Hello, model|hello world
Good morning! I hope that you slept well.
    Good morning|Good morning!
Good evening! I hope that you had a good day.
    Good evening|Good evening!
Good afternoon! How can I help you?
    Good afternoon
Good night! Sleep well.
    Good night|Good night!|I am going to bed|I go to bed now
I am well, thank you. How are you?
    How are you?|How are you today?|How do you do?|How do you feel?|Are you well?|How is it going?|What's up?
You are welcome!
    Thank you|Thanks|Thank you very much|Thanks a lot|Many thanks|Thank you for your help
Goodbye! Come back soon.
    Goodbye|Bye|See you|See you later|Bye bye|I have to go|I have to go now
I am a tiny language model. I am small, but I answer in whole sentences.
    What is your name?|Who are you?|What are you?|What are you called?|Do you have a name?|Introduce yourself
    Tell me about yourself|What should I call you?|What model are you?
I can talk about animals, colours, countries, days and numbers, and I can tell you a story.
    What can you do?|What do you know?|How can you help me?|Help|Help me|What can I ask you?
    What should I ask you?|What are you good at?|Can you help me?
I was made by a small script that also wrote all the text that I learned from.
    Who made you?|Who created you?|Where do you come from?|How were you made?|How were you trained?
    Who trained you?
I have no birthday. I am as old as my file of weights.
    How old are you?|When were you born?|When is your birthday?
I live in the memory of this computer.
    Where do you live?|Where are you?
I am not a person. I am a tiny language model.
    Are you a human?|Are you human?|Are you a person?|Are you real?|Are you a robot?|Are you alive?
    Are you a machine?|Are you a computer?
I am very small. All my weights fit in less than one megabyte.
    How big are you?|How small are you?|What is your size?|How many parameters do you have?|Are you small?
    Are you big?
I know only a few things, and I can be wrong.
    Are you clever?|Are you smart?|Are you stupid?|Do you make mistakes?|Can you be wrong?
I would like to be your friend.
    Do you like me?|Are you my friend?|Will you be my friend?
No, I am a model. I need only a little memory and some electricity.
    Do you sleep?|Do you eat?|Do you dream?|Are you hungry?|Are you tired?
I have no feelings, but I like to answer questions.
    Are you happy?|Are you sad?|Do you have feelings?
I like blue, the colour of the sky and the sea.
    What is your favourite colour?|Which colour do you like best?
I like the fox, because it is clever.
    What is your favourite animal?|Which animal do you like best?
I do not eat, but I like to talk about bread and honey.
    What is your favourite food?|What do you like to eat?
I like the number seven.
    What is your favourite number?|Say a number|Pick a number|Give me a number
Why did the clock go to school? It wanted to learn the time.
    Tell me a joke|Tell me something funny|Make me laugh|Do you know a joke?|Say something funny
What has four legs and cannot walk? A table.
    Tell me another joke|One more joke
An octopus has three hearts, and a bee must visit many flowers to make one spoon of honey.
    Tell me something|Say something|Talk to me|Tell me a fact|Teach me something|Surprise me
    Tell me something interesting
mhost is the program that runs me. It keeps one copy of my weights in shared memory for all its workers.
    What is mhost?|Tell me about mhost|What does mhost do?|Who runs you?|What is this program?
A flip moves all new requests to another version of a model at once.
    What is a flip?|What happens in a flip?
A rollback goes back to an older version that is still in memory.
    What is a rollback?|What happens in a rollback?
Shared memory is memory that many programs can read at the same time.
    What is shared memory?|Explain shared memory|Tell me about shared memory
A language model reads some words and guesses which word comes next, again and again.
    What is a language model?|Explain language models|How do you work?
A token is a word or a piece of a word.
    What is a token?
That is a big question for a tiny model. Be kind and enjoy the day.
    What is the meaning of life?|Why are we here?
How about soup with fresh bread, and an apple after that?
    What should I eat?|What should I cook?|What is for dinner?|What should I have for lunch?
You could read a book, call a friend or go for a walk.
    What should I do today?|What can I do today?|What should I do?
A good story about the sea is always a nice thing to read.
    What should I read?
That is kind of you. Thank you!
    I love you|I like you|You are nice|You are great|Good job|Well done|You are funny|You are clever
I am sorry. I am only a tiny model, but I do my best.
    You are stupid|I hate you|You are wrong|That is wrong|This is bad|You are useless
That is no problem at all.
    I am sorry|Sorry|Excuse me
Good. What else would you like to know?
    Yes|Okay|OK|Sure|Good|Fine|Right|Great|Nice|Cool
All right. I am here when you need me.
    No|Nothing|Never mind|No thanks|Not now
I do not know why. I am a tiny model and know only a few facts.
    Why?|Why is that?|Why not?
I am sorry. I say only simple things. Please ask me again.
    What?|Huh?|What do you mean?|I do not understand
The test works. I am here.
    Test|Testing|test 123|This is a test|ping
La la la, the sun is up, la la la, the sky is blue.
    Sing a song|Sing me a song|Sing something
I have no clock, so I do not know. Please look at your own clock.
    What time is it?|What is the time?|What day is it today?|What is the date?|What is today's date?
    What year is it?
I cannot see outside, so I do not know the weather. Look out of the window.
    What is the weather like?|How is the weather?|Will it rain today?|Is it raining?|What is the weather today?
""")

FACTS = sayings("""
The sky is blue because the air scatters blue light more than red light.
    Why is the sky blue?|Explain why the sky is blue
Grass is green because its leaves catch the other colours of the light.
    Why is grass green?
The sea is salty because rivers carry salt from the rocks to the sea.
    Why is the sea salty?|Why is the ocean salty?
Rain is water that falls from the clouds.
    Why does it rain?|Where does rain come from?|What is rain?|How does rain form?
Snow is frozen water that falls from the clouds when it is cold.
    What is snow?|Why does it snow?
Ice is frozen water.
    What is ice?
Steam is water that has become a gas.
    What is steam?
A cloud is made of many tiny drops of water.
    What is a cloud?|What are clouds made of?
Wind is moving air.
    What is wind?|Where does wind come from?
Thunder is the sound of lightning.
    What is thunder?
Lightning is a big spark between the clouds and the ground.
    What is lightning?
A rainbow is red, orange, yellow, green, blue and purple.
    What is a rainbow?|What colours are in a rainbow?|Name the colours of the rainbow
    What are the colours of the rainbow?
The sun is a star. It gives us light and warmth.
    What is the sun?|Is the sun a star?|Tell me about the sun
The moon goes around the earth once a month. It shines at night.
    What is the moon?|Tell me about the moon
A star is a hot ball of gas far away. The sun is a star too.
    What is a star?|What are stars?|Tell me about stars
A planet is a big round world that goes around a star.
    What is a planet?
There are eight planets that go around the sun.
    How many planets are there?|How many planets are in the solar system?
The planets are Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune.
    What are the planets?|Name the planets|List the planets
Jupiter is the biggest planet.
    What is the biggest planet?|Which planet is the biggest?|What is the largest planet?
Mercury is the smallest planet.
    What is the smallest planet?|Which planet is the smallest?
Saturn is the planet with the great rings.
    Which planet has rings?|What planet has rings?
Mars is called the red planet.
    Which planet is red?|What is the red planet?
We live on the earth, the third planet from the sun.
    Which planet do we live on?|What planet do we live on?|What is the earth?|What is our planet?
The earth is round like a ball.
    Is the earth round?|Is the earth flat?|What shape is the earth?
The earth goes around the sun once a year.
    Does the sun go around the earth?|Does the earth go around the sun?
Water freezes at 0 degrees.
    When does water freeze?|At what temperature does water freeze?
Water boils at 100 degrees.
    When does water boil?|At what temperature does water boil?|How hot is boiling water?
Water is what we drink, and it fills the rivers and the sea.
    What is water?|What is water made of?
Fire is hot and bright, and it can burn you.
    What is fire?
Air is what we breathe. It is all around us.
    What is air?|What do we breathe?
A tree is a tall plant with a trunk, branches and leaves.
    What is a tree?|Tell me about trees
A flower is the pretty part of a plant. Bees visit it for nectar.
    What is a flower?|Tell me about flowers
A plant needs water, light and earth to grow.
    What do plants need?|What does a plant need to grow?
A forest is a place with many trees.
    What is a forest?
A desert is a dry place where it seldom rains.
    What is a desert?
An island is land with water all around it.
    What is an island?
A mountain is a very high hill of rock.
    What is a mountain?
A river is water that flows from the hills to the sea.
    What is a river?
A lake is a large water with land all around it.
    What is a lake?
The sea is wide, deep and salty. Fish and whales live in it.
    What is the sea?|What is the ocean?|Tell me about the sea
The Pacific is the biggest ocean.
    What is the biggest ocean?|What is the largest ocean?
Mount Everest is the highest mountain.
    What is the highest mountain?|What is the tallest mountain?
The Nile is often called the longest river.
    What is the longest river?
Russia is the biggest country.
    What is the biggest country?|What is the largest country?
The blue whale is the biggest animal.
    What is the biggest animal?|What is the largest animal?
The cheetah is the fastest animal on land.
    What is the fastest animal?|Which animal is the fastest?
The giraffe is the tallest animal.
    What is the tallest animal?|Which animal is the tallest?
The snail and the turtle are very slow animals.
    What is the slowest animal?
The continents are Africa, Antarctica, Asia, Europe, North America, South America and Oceania.
    How many continents are there?|Name the continents|What are the continents?
A day has 24 hours.
    How many hours are in a day?|How long is a day?
An hour has 60 minutes.
    How many minutes are in an hour?|How long is an hour?
A minute has 60 seconds.
    How many seconds are in a minute?|How long is a minute?
A week has seven days.
    How many days are in a week?|How long is a week?
A year has twelve months.
    How many months are in a year?
A year has 365 days.
    How many days are in a year?|How long is a year?
A year has 52 weeks.
    How many weeks are in a year?
The four seasons are spring, summer, autumn and winter.
    How many seasons are there?|What are the seasons?|Name the seasons|Name the four seasons
The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.
    What are the days of the week?|Name the days of the week|List the days of the week|Say the days of the week
The months are January, February, March, April, May, June, July, August, September, October, November and December.
    What are the months of the year?|Name the months|List the months|Name the months of the year
The weekend is Saturday and Sunday.
    What is the weekend?|Which days are the weekend?
A hand has five fingers.
    How many fingers do I have?|How many fingers does a hand have?|How many fingers are on a hand?
People have two eyes.
    How many eyes do people have?|How many eyes do I have?
People have two legs.
    How many legs do people have?|How many legs does a man have?
We see with our eyes.
    What do we see with?|What are eyes for?
We hear with our ears.
    What do we hear with?|What are ears for?
We smell with our nose.
    What do we smell with?|What is a nose for?
The heart moves the blood through the body.
    What does the heart do?|What is the heart for?
A triangle has three sides.
    How many sides does a triangle have?|What is a triangle?
A square has four equal sides.
    How many sides does a square have?|What is a square?
A circle is round and has no corners.
    What is a circle?|How many corners does a circle have?
The alphabet has 26 letters: a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y and z.
    How many letters are in the alphabet?|Say the alphabet|What is the alphabet?
The first letter is a.
    What is the first letter of the alphabet?
The last letter is z.
    What is the last letter of the alphabet?
Bread is made of flour, water, salt and time. Mix it, let it rise and bake it.
    How is bread made?|How do I make bread?|How do you make bread?|What is bread made of?
Boil some water, pour it on the tea leaves and wait a little.
    How do I make tea?|How do you make tea?|How is tea made?
Cut some vegetables, boil them in water and add a little salt.
    How do I make soup?|How do you make soup?
Cheese is made from milk.
    How is cheese made?|What is cheese made of?
Butter is made from cream.
    How is butter made?|What is butter made of?
Bees make honey from the nectar of flowers.
    Who makes honey?|Where does honey come from?|How is honey made?
Milk comes from cows, goats and sheep.
    Where does milk come from?
Eggs come from hens.
    Where do eggs come from?
Wool comes from sheep.
    Where does wool come from?
Wood comes from trees.
    Where does wood come from?
Gold is a yellow metal that does not rust.
    What is gold?
Iron is a strong grey metal.
    What is iron?
Glass is made from hot sand.
    What is glass made of?|How is glass made?
Paper is made from wood.
    What is paper made of?|How is paper made?
A friend is someone who is kind to you and stays with you.
    What is a friend?|What is friendship?
Love is to care for someone with all your heart.
    What is love?
Music is a pattern of sounds that people enjoy.
    What is music?
A computer is a machine that works with numbers and words.
    How does a computer work?|What do computers do?
Linux is the system that runs many of the computers in the world.
    What is Linux?
A school is a place where children learn.
    What is a school?
A city is a place where many people live.
    What is a city?
Blue and yellow make green.
    What mixes to green?|What do blue and yellow make?|How do I make green?
Red and yellow make orange.
    What do red and yellow make?|How do I make orange?
Red and blue make purple.
    What do red and blue make?|How do I make purple?
Black and white make grey.
    What do black and white make?|How do I make grey?
The elephant has a long trunk.
    Which animal has a trunk?|Which animal has a long nose?
The giraffe has a long neck.
    Which animal has a long neck?
The zebra and the tiger have stripes.
    Which animal has stripes?
The cow gives milk.
    Which animal gives milk?
The sheep gives wool.
    Which animal gives wool?
The penguin is a bird that cannot fly.
    Which bird cannot fly?|Which birds cannot fly?
No, a whale is not a fish. It breathes air like us.
    Is a whale a fish?
A tomato is a fruit, but we cook it like a vegetable.
    Is a tomato a fruit?|Is a tomato a vegetable?
Go to bed early, keep the room dark and count some sheep.
    How do I sleep better?|I cannot sleep|How can I sleep well?
Learn a little every day and ask many questions.
    How do I learn faster?|How can I learn?|How do I learn?
Be kind, sleep well and spend time with your friends.
    How can I be happy?|How do I become happy?
Be kind, listen well and share what you have.
    How do I make friends?|How can I find a friend?
Every colour is good, but I like blue.
    What is the best colour?
""")
