"""The word lists of the pre-training chats, and the small grammar that fills a wording.

A 2 to 4 M parameter model learns to read from few words seen often, so the lists are short.
"""

import random
import re

NAMES = (
    "Mia Tom Anna Ben Lily Max Sara Leo Emma Noah Zoe Sam Ella Jack Nina Paul Ruby Finn Clara Omar "
    "Ivy Luca Maya Hugo Lena Adam Rosa Theo Alma Kai"
).split()
THINGS = (
    "apples pencils shells books cards marbles stickers eggs cookies coins stamps balls flowers "
    "buttons stones beads cakes cups toys nuts pears plums pens hats chairs tickets balloons "
    "leaves candles sweets"
).split()
BOXES = "box bag basket jar shelf tray pack row".split()
ITEMS = "pen book cap ticket kite cake toy lamp cup ball map comic scarf puzzle".split()
GROUPS = "children friends teams tables bags boxes".split()
PLACES = "field garden room yard park table carpet".split()
SHORT_WORDS = (
    "cat dog sun tree fish bird milk bread green happy water house apple tiger lemon chair plant "
    "stone river cloud paper smile train horse light mouse night spoon table window garden summer "
    "winter yellow pencil rabbit banana flower orange cookie"
).split()

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def plural(box: str) -> str:
    """The plural of a container's name."""
    return {"box": "boxes", "shelf": "shelves"}.get(box, box + "s")


def fill(rng: random.Random, wording: str, values: dict[str, int]) -> str:
    """Resolve every ``[this|that]`` at random, then put numbers and words into the ``{slots}``."""
    text = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), wording)
    name, other = rng.sample(NAMES, 2)
    box = rng.choice(BOXES)
    words = {
        "n": name,
        "m": other,
        "t": rng.choice(THINGS),
        "box": box,
        "boxes": plural(box),
        "item": rng.choice(ITEMS),
        "who": rng.choice(GROUPS),
        "place": rng.choice(PLACES),
    }
    return text.format(**words, **values)
