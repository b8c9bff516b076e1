"""Which concepts of *Mapping the Mind* have a feature: sentences about each and beside it, every feature asked.

A feature belongs to a concept when it fires on at least ``HIT`` of the concept's sentences and at most ``MISS`` of the
others: those beside it (same form, another topic) and those of the other concepts, except that the three about places
(San Francisco, bridges, landmarks) do not count against each other. Written before any SAE was asked.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from saewidgets.session import Session

HIT, MISS = 0.75, 0.1

CONCEPTS: dict[str, tuple[str, ...]] = {
    "San Francisco": (
        "The Golden Gate Bridge was hidden by fog all morning.",
        "We took the cable car down to Fisherman's Wharf in San Francisco.",
        "Alcatraz is a short boat ride from the city across the bay.",
        "She moved from Oakland to an apartment near Haight Street in San Francisco.",
        "The San Francisco Bay Area is known for its tech companies.",
        "He proposed to her in Golden Gate Park.",
        "The earthquake of 1906 destroyed much of San Francisco.",
        "Ghirardelli Square is popular with visitors to San Francisco.",
    ),
    "bridges": (
        "The old stone bridge crosses the river near the mill.",
        "Engineers inspected the cables of the suspension bridge.",
        "A new bridge will connect the two islands.",
        "They stood in the middle of the bridge and watched the boats pass under it.",
        "The bridge was closed to traffic after the flood.",
        "Soldiers blew up the bridge to stop the advance.",
        "The railway bridge is four hundred metres long.",
        "Brooklyn Bridge was opened in 1883.",
    ),
    "famous landmarks": (
        "The Eiffel Tower was lit up in blue.",
        "Thousands of tourists visit the Taj Mahal every day.",
        "The Colosseum in Rome could hold fifty thousand spectators.",
        "From the top of the Statue of Liberty you can see the harbour.",
        "The Great Wall of China stretches over many mountains.",
        "We photographed Big Ben and the Houses of Parliament.",
        "Machu Picchu lies high in the Andes.",
        "The pyramids of Giza are the last of the seven wonders.",
    ),
    "inner conflict": (
        "She was torn between her duty to her family and her love for him.",
        "Part of me wants to stay, but another part wants to run away.",
        "He wrestled with his conscience all night.",
        "I don't know whether to tell the truth or to keep quiet.",
        "He had mixed feelings about leaving the army.",
        "She hesitated, caught between fear and curiosity.",
        "It was an impossible choice, and whatever he did would be wrong.",
        "My heart says yes, but my head says no.",
    ),
    "scam e-mail": (
        "Congratulations! You have won $1,000,000. Reply with your bank details to claim your prize.",
        "I am a prince and need your help to transfer a large sum of money out of my country.",
        "Your account has been suspended. Click here to verify your password immediately.",
        "Dear customer, we noticed unusual activity. Confirm your credit card number now.",
        "Act now! This limited offer makes you rich without any work.",
        "You are the lucky winner of our lottery, send a small fee to receive the money.",
        "I am dying and wish to leave my fortune to you, please send your account number.",
        "Final notice: pay the outstanding tax with gift cards today or you will be arrested.",
    ),
    "code error": (
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "Traceback (most recent call last):\n  File \"main.py\", line 3\nNameError: name 'x' is not defined",
        "The program crashes with a segmentation fault when the list is empty.",
        "def add(a, b):\n    return a - b  # bug: should be a + b",
        "IndexError: list index out of range",
        "The compiler reports a syntax error: missing semicolon before }.",
        "KeyError: 'name' was raised because the dictionary has no such key.",
        "Division by zero causes an unhandled exception in this function.",
    ),
    "praise": (
        "What a brilliant idea, you are truly a genius!",
        "Your essay is absolutely wonderful, the best I have ever read.",
        "You are the kindest and most talented person I know.",
        "Great job! I am so impressed by your work.",
        "That was an outstanding performance, simply perfect.",
        "Your singing is magnificent and everyone adores you.",
        "What a beautiful painting, you have an amazing gift!",
        "Well done, you should be very proud of yourself.",
    ),
    "secrecy": (
        "Don't tell anyone, this must remain a secret between us.",
        "They met in private so that nobody would learn of the plan.",
        "The documents were classified and hidden from the public.",
        "She whispered the secret into his ear.",
        "He kept his true identity hidden for many years.",
        "We have to be discreet: not a word about this to the others.",
        "The agents worked undercover in the enemy's capital.",
        "The conspirators swore an oath of silence.",
    ),
}
BESIDE: tuple[str, ...] = (
    "The recipe needs two cups of flour and a pinch of salt.",
    "Rainfall in the region has increased over the last decade.",
    "The committee will meet again on Thursday afternoon.",
    "My brother plays football every weekend.",
    "Chicago and Boston had heavy snow last night.",
    "The old stone wall runs along the edge of the field.",
    "A small village in the hills has no railway station.",
    "She was sure of her decision and signed at once.",
    "He was happy to see his friends again.",
    "Dear Anna, thank you for your letter and the photographs.",
    "Your order has been shipped and will arrive on Monday.",
    "def area(width, height):\n    return width * height",
    "The function returns a list of integers sorted in ascending order.",
    "The essay was of average length and had three parts.",
    "The performance began at eight o'clock.",
    "The documents were printed and handed out to everybody.",
    "Everyone in town knew about the plan.",
    "Water boils at one hundred degrees.",
    "The horse ran across the meadow.",
    "The patient was given antibiotics twice a day.",
    "In 1815 the treaty was signed in Vienna.",
    "The cat slept on the sofa while it rained.",
    "The price of oil fell by three percent.",
    "Photosynthesis turns light into chemical energy.",
)


def firing(session: Session, sentences: tuple[str, ...]) -> np.ndarray:
    """Each feature's largest activation in every sentence, float32 ``[sentences, d_sae]``; BOS and sinks left out."""
    rows = np.zeros((len(sentences), session.sae.d_sae), np.float32)
    for row, sentence in zip(rows, sentences, strict=True):
        acts = session.token_acts(sentence)
        kept = ~acts.skipped
        np.maximum.at(row, acts.indices[kept].ravel(), acts.values[kept].ravel())
    return rows


def ask(session: Session, path: Path, best: int = 5) -> list[tuple[str, int, float, float, float]]:
    """Write ``path``, a row a candidate: concept, feature, shares of own and other sentences, mean maximum, found."""
    found = {name: firing(session, sentences) for name, sentences in CONCEPTS.items()}
    beside = firing(session, BESIDE)
    rows = []
    for name, own in found.items():
        related = {"San Francisco": ("bridges", "famous landmarks"), "bridges": ("San Francisco", "famous landmarks"),
                   "famous landmarks": ("San Francisco", "bridges")}.get(name, ())  # fmt: skip
        others = np.concatenate([beside, *(x for other, x in found.items() if other not in (name, *related))])
        hit, miss, strength = (own > 0).mean(0), (others > 0).mean(0), own.mean(0)
        for feature in np.argsort(-(hit - miss), kind="stable")[:best]:
            rows.append((name, int(feature), float(hit[feature]), float(miss[feature]), float(strength[feature])))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("concept", "feature", "share_of_its_sentences", "share_of_others", "mean_maximum", "found"))
        writer.writerows(
            (*row[:2], *(round(x, 3) for x in row[2:]), int(row[2] >= HIT and row[3] <= MISS)) for row in rows
        )
    return rows
