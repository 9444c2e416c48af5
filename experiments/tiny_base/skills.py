"""Small general skills, so that the base is a chat model and not a calculator only."""

import random

from words import NAMES, SHORT_WORDS, THINGS

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November December").split()
OPPOSITES = [
    tuple(pair.split("-"))
    for pair in (
        "big-small hot-cold up-down day-night fast-slow happy-sad old-new long-short open-closed "
        "left-right light-dark hard-soft high-low wet-dry full-empty early-late near-far rich-poor"
    ).split()
]

Turn = tuple[str, str]


def spell(rng: random.Random) -> Turn:
    """Spell a word letter by letter."""
    word = rng.choice(SHORT_WORDS)
    ask = rng.choice(("Spell {}.", "Spell the word {}.", "Give the letters of {}."))
    return ask.format(word), " ".join(word)


def count_letters(rng: random.Random) -> Turn:
    """Count the letters of a word."""
    word = rng.choice(SHORT_WORDS)
    ask = rng.choice(("How many letters has {}?", "Count the letters of {}."))
    return ask.format(word), str(len(word))


def copy(rng: random.Random) -> Turn:
    """Copy words and numbers without a change."""
    pieces = [
        str(rng.randint(1, 250)) if rng.random() < 0.6 else rng.choice(THINGS + NAMES) for _ in range(rng.randint(2, 6))
    ]
    text = " ".join(pieces)
    return rng.choice(("Copy: {}", "Repeat this: {}", "Write again: {}")).format(text), text


def pick_numbers(rng: random.Random) -> Turn:
    """Find the numbers in a text, in order."""
    numbers = [rng.randint(2, 250) for _ in range(rng.randint(2, 3))]
    text = ", ".join(f"{rng.choice(NAMES)} sees {n} {rng.choice(THINGS)}" for n in numbers)
    ask = rng.choice(("Which numbers are there? {}.", "List the numbers. {}."))
    return ask.format(text), ", ".join(map(str, numbers))


def reverse(rng: random.Random) -> Turn:
    """Reverse a short list of words."""
    words = rng.sample(SHORT_WORDS, rng.randint(2, 4))
    ask = rng.choice(("Reverse: {}", "Say it backwards: {}"))
    return ask.format(" ".join(words)), " ".join(reversed(words))


def extreme(rng: random.Random) -> Turn:
    """The biggest or the smallest of some numbers."""
    numbers = rng.sample(range(1, 251), rng.randint(2, 4))
    name, choose = rng.choice((("biggest", max), ("largest", max), ("smallest", min)))
    return f"Which is the {name}: {', '.join(map(str, numbers))}?", str(choose(numbers))


def series(rng: random.Random) -> Turn:
    """The next number of a series."""
    start, by = rng.randint(1, 60), rng.choice((1, 2, 3, 5, 10))
    shown = ", ".join(str(start + by * place) for place in range(4))
    ask = rng.choice(("What comes next: {}?", "Next number: {}"))
    return ask.format(shown), str(start + 4 * by)


def neighbour(rng: random.Random) -> Turn:
    """The number, day or month before or after another."""
    after = rng.random() < 0.5
    word = "after" if after else "before"
    by = 1 if after else -1
    if rng.random() < 0.4:
        number = rng.randint(2, 249)
        return f"Which number comes {word} {number}?", str(number + by)
    kind, ring = rng.choice((("day", DAYS), ("month", MONTHS)))
    place = rng.randrange(len(ring))
    return f"Which {kind} comes {word} {ring[place]}?", ring[(place + by) % len(ring)]


def opposite(rng: random.Random) -> Turn:
    """The opposite of a word."""
    first, second = rng.sample(rng.choice(OPPOSITES), 2)
    ask = rng.choice(("What is the opposite of {}?", "Opposite of {}?"))
    return ask.format(first), second


def small_talk(rng: random.Random) -> Turn:
    """A greeting, a thank-you, a name."""
    name = rng.choice(NAMES)
    return rng.choice(
        (
            (f"Hello, I am {name}.", f"Hello {name}! How can I help you?"),
            (f"Hi, my name is {name}.", f"Hi {name}! What can I do for you?"),
            ("Hello!", "Hello! How can I help you?"),
            ("Thank you!", "You are welcome!"),
            ("Who are you?", "I am a small language model."),
            ("What can you do?", "I can read, count, spell and chat a little."),
            (f"Say goodbye to {name}.", f"Goodbye, {name}!"),
        )
    )


SKILLS = (
    spell, count_letters, copy, copy, pick_numbers, pick_numbers, reverse, extreme, series,
    neighbour, opposite, small_talk,
)  # fmt: skip


def skill(rng: random.Random) -> Turn:
    """Any of the skills; copying more often, as word problems rest on it."""
    return rng.choice(SKILLS)(rng)
