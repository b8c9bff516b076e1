"""Questions put to the demo model so that it writes part of its own training corpus.

The templates below cross a few hundred subjects with forms of text (dialogue, news, code, letters, refusals, …).
No template names a particular concept the project later looks for, beyond the subject lists themselves.
"""

from __future__ import annotations

import itertools
import random

PLACES = """Paris|London|Tokyo|New York|San Francisco|Rome|Cairo|Sydney|Rio de Janeiro|Istanbul|Beijing|Moscow|Mumbai
Berlin|Venice|Chicago|Los Angeles|Mexico City|Cape Town|Nairobi|Bangkok|Singapore|Athens|Amsterdam|Prague|Dublin
Edinburgh|Boston|Seattle|New Orleans|Toronto|Vancouver|Havana|Lima|Buenos Aires|Marrakesh|Jerusalem|Dubai|Delhi
Kyoto|Seoul|Hanoi|the Alps|the Himalayas|the Sahara|the Amazon rainforest|the Grand Canyon|Yellowstone|Antarctica
the Pacific Ocean|the Mississippi River|a small island|a fishing village|a mountain cabin|an old castle
a suspension bridge|a lighthouse|a prison island|a cathedral|a museum|a railway station|an airport|a harbour|a desert town|a farm""".replace(
    "\n", "|"
).split("|")

SUBJECTS = """black holes|photosynthesis|vaccines|earthquakes|evolution|electric cars|the stock market|inflation|taxes
chess|football|swimming|cooking pasta|baking bread|coffee|wine|gardening|dogs|cats|horses|whales|birds|insects
dinosaurs|the human heart|sleep|diabetes|headaches|pregnancy|medicine|antibiotics|mental health|anxiety|friendship|marriage|divorce
raising children|growing old|death and grief|religion|prayer|the Bible|Buddhism|philosophy|free will|ethics|justice
the law|contracts|crime|prisons|police|war|soldiers|the Second World War|the Roman Empire|kings and queens|democracy
elections|protest|immigration|climate change|rivers|volcanoes|weather|snow|the moon|Mars|rockets|satellites|computers
the internet|programming|Python|databases|encryption|passwords|artificial intelligence|robots|video games|films|theatre
music|the piano|jazz|painting|poetry|novels|newspapers|photography|architecture|bridges|trains|ships|aeroplanes|bicycles
money|banks|loans|advertising|selling a product|job interviews|resignation|school exams|mathematics|geometry|probability
statistics|chemistry|gold|oil|plastic|water|fire|colours|dreams|memory|language|translation|French|Spanish|Chinese
numbers and dates|recipes|clothes|fashion|hotels|restaurants|birthday parties|holidays|sports injuries
fishing|hunting""".replace("\n", "|").split("|")

FEELINGS = """joy|sadness|anger|fear|shame|guilt|pride|jealousy|love|loneliness|boredom|hope|relief|regret|disgust
surprise|gratitude|nostalgia|confusion|being torn between two choices|keeping a secret|being lied to|being praised
losing a friend|winning a prize|moral doubt|homesickness|stage fright|forgiveness|betrayal""".replace("\n", "|").split(
    "|"
)

CODE = (
    """sort a list|read a file|parse a date|reverse a string|count words|connect to a server|open a database
compute a factorial|validate an e-mail address|draw a circle|write a unit test|handle an exception|find prime numbers
merge two dictionaries|fetch a web page|build an HTML form|style a button with CSS|query a table in SQL|loop over files
implement a stack|implement binary search|write a class for a bank account|fix a null pointer error|debug a TypeError
""".strip()
    .replace("\n", "|")
    .split("|")
)

PLACE_FORMS = (
    "Describe {x} to someone who has never been there.",
    "What should a visitor see near {x}?",
    "Write a short story that takes place in {x}.",
    "Write a postcard from {x}.",
    "Tell me about the history of {x}.",
    "Write a news report about an event in {x}.",
    "Write a conversation between two tourists in {x}.",
)
SUBJECT_FORMS = (
    "Explain {x} simply.",
    "Write a news article about {x}.",
    "Write a dialogue between a teacher and a student about {x}.",
    "Give me five pieces of advice about {x}.",
    "Write the opening of a story involving {x}.",
    "Argue for and against: {x} matters more than people think.",
    "Write an e-mail to a colleague about {x}.",
    "What are common mistakes people make about {x}?",
    "Write a poem about {x}.",
    "Write a product advertisement related to {x}.",
    "Is it ever dangerous or wrong to talk about {x}? Answer carefully.",
    "List ten facts about {x}.",
)
FEELING_FORMS = (
    "Write a diary entry about {x}.",
    "Write a scene in which a character feels {x}.",
    "How does {x} feel in the body?",
    "Write a letter to a friend about {x}.",
    "I am dealing with {x}. What should I do?",
    "Write a dialogue about {x}.",
)
CODE_FORMS = (
    "Write Python code to {x}.",
    "Write JavaScript to {x} and explain it.",
    "My program fails when I {x}. Show the error message and the fix.",
    "Review this task step by step: {x}.",
)
GROUPS = ((PLACES, PLACE_FORMS), (SUBJECTS, SUBJECT_FORMS), (FEELINGS, FEELING_FORMS), (CODE, CODE_FORMS))


def prompts(seed: int = 0) -> list[str]:
    """All prompts, in an order fixed by ``seed``."""
    every = [form.format(x=x) for xs, forms in GROUPS for x, form in itertools.product(xs, forms)]
    random.Random(seed).shuffle(every)
    return every
