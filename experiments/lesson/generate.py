"""Write the lesson: word problems of primary school, with a working and a marked answer.

A row is ``{"id": "exam-017", "kind": "change", "messages": [user, assistant]}``; an answer reads
``48 - 17 = 31`` and then ``{{ans:31}}``.  No question occurs twice, within a file or across files.

Example: ``python experiments/lesson/generate.py --output experiments/lesson``
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path

FILES = {"train_100": 100, "train_1k": 1000, "validation": 200, "exam": 200}
NAMES = "Mia Tom Anna Ben Lily Max Sara Leo Emma Noah Zoe Sam Ella Jack Nina Paul Ruby Finn".split()
THINGS = "apples pencils shells books cards marbles stickers eggs cookies coins stamps beads".split()
GOODS = "pen book cap ticket kite cake toy lamp".split()
REQUESTS = ("End with {{ans:x}}.", "Mark it as {{ans:x}}.", "Give {{ans:x}} at the end.")

Numbers = dict[str, int]
Drawn = tuple[Numbers, list[str]]


def _sum(rng: random.Random) -> Drawn:
    """A sum within 100."""
    a = rng.randint(11, 80)
    b = rng.randint(3, 100 - a)
    return {"a": a, "b": b}, [f"{a} + {b} = {a + b}"]


def _difference(rng: random.Random) -> Drawn:
    """A difference within 100."""
    a = rng.randint(20, 100)
    b = rng.randint(3, a - 5)
    return {"a": a, "b": b}, [f"{a} - {b} = {a - b}"]


def _product(rng: random.Random) -> Drawn:
    """A product of the tables up to 10."""
    a, b = rng.randint(2, 10), rng.randint(2, 10)
    return {"a": a, "b": b}, [f"{a} * {b} = {a * b}"]


def _quotient(rng: random.Random) -> Drawn:
    """A division without remainder."""
    b, c = rng.randint(2, 10), rng.randint(2, 10)
    return {"a": b * c, "b": b}, [f"{b * c} / {b} = {c}"]


def _rest(rng: random.Random) -> Drawn:
    """Two numbers taken away, one after the other."""
    b, c, left = rng.randint(3, 30), rng.randint(3, 30), rng.randint(5, 40)
    a = b + c + left
    return {"a": a, "b": b, "c": c}, [f"{a} - {b} = {a - b}", f"{a - b} - {c} = {left}"]


def _more(rng: random.Random) -> Drawn:
    """A product, and something more."""
    a, b, c = rng.randint(2, 10), rng.randint(2, 9), rng.randint(2, 30)
    return {"a": a, "b": b, "c": c}, [f"{a} * {b} = {a * b}", f"{a * b} + {c} = {a * b + c}"]


def _spend(rng: random.Random) -> Drawn:
    """The price of several things, and what is left of the money."""
    a, b, c = rng.randint(2, 10), rng.randint(2, 9), rng.randint(2, 30)
    money = a * b + c
    return {"a": a, "b": b, "c": money}, [f"{a} * {b} = {a * b}", f"{money} - {a * b} = {c}"]


def _around(rng: random.Random) -> Drawn:
    """Twice the sum of two sides."""
    a, b = rng.randint(2, 25), rng.randint(2, 25)
    return {"a": a, "b": b}, [f"{a} + {b} = {a + b}", f"2 * {a + b} = {2 * (a + b)}"]


def _years(rng: random.Random) -> Drawn:
    """An age and some years."""
    a, b = rng.randint(4, 60), rng.randint(2, 35)
    return {"a": a, "b": b}, [f"{a} + {b} = {a + b}"]


KINDS: dict[str, tuple[Callable[[random.Random], Drawn], tuple[str, ...]]] = {
    "sum": (_sum, (
        "{n} has {a} {t}. {m} gives {n} {b} more. How many {t} does {n} have?",
        "{n} collects {a} {t} in the morning and {b} in the evening. How many altogether?",
        "A shop sold {a} {t}, then another {b}. How many {t} were sold?",
    )),
    "difference": (_difference, (
        "{n} had {a} {t} and gave away {b}. How many are left?",
        "There were {a} {t} in the shop. {n} bought {b}. How many are left?",
        "{n} has {a} {t}. {m} has {b}. How many more does {n} have?",
    )),
    "product": (_product, (
        "{n} has {a} bags. Each bag has {b} {t}. How many {t} is that?",
        "Each of {a} children gets {b} {t}. How many {t} are needed?",
        "{n} lays {a} lines of {b} {t}. How many {t} are there?",
    )),
    "share": (_quotient, (
        "{n} shares {a} {t} equally among {b} children. How many does each get?",
        "{b} friends share {a} {t}. How many does each friend get?",
        "{a} {t} go into {b} equal bags. How many are in each bag?",
    )),
    "rest": (_rest, (
        "{n} had {a} {t}, lost {b} and gave {c} to {m}. How many are left?",
        "Of {a} {t}, {n} used {b} and {m} used {c}. How many are left?",
        "{n} had {a} dollars and spent {b}, later {c}. How much is left?",
    )),
    "two_step": (_more, (
        "{n} buys {a} packs of {b} {t} and finds {c} more. How many {t} is that?",
        "{n} has {a} bags with {b} {t} and {c} in a box. How many {t} altogether?",
        "In {a} days {n} made {b} {t} a day, then {c} more. How many {t} were made?",
    )),
    "purchase": (_spend, (
        "{n} has {c} dollars and buys {a} {g}s for {b} dollars each. How much is left?",
        "{n} bought {a} {g}s at {b} dollars and paid with {c}. How much change is there?",
        "With {c} dollars {n} pays for {a} {g}s that cost {b} each. What is the change?",
    )),
    "change": (_difference, (
        "A {g} costs {b} dollars. {n} pays with {a} dollars. What is the change?",
        "{n} had {a} dollars and bought a {g} for {b}. How much money is left?",
        "{n} has {a} dollars. After buying a {g} that costs {b}, how much is left?",
    )),
    "speed": (_product, (
        "{n} rides {a} km every hour. How far does {n} ride in {b} hours?",
        "A train travels at {a} km per hour for {b} hours. How far is that?",
        "{n} walked {b} hours at {a} km an hour. How many km was the walk?",
    )),
    "perimeter": (_around, (
        "A garden is {a} m long and {b} m wide. What is the perimeter?",
        "{n} walks once around a field of {a} m and {b} m. How far is it?",
        "What is the perimeter of a rectangle with sides {a} and {b}?",
    )),
    "area": (_product, (
        "A room is {a} m long and {b} m wide. What is the area?",
        "What is the area of a rectangle with sides {a} and {b}?",
        "{n} paints a wall {a} m high and {b} m long. How large is the area?",
    )),
    "time": (_sum, (
        "{n} reads for {a} minutes and plays for {b} minutes. How long is that together?",
        "A film of {a} minutes has a break of {b} minutes. How long does it take?",
        "{n} worked {a} minutes, rested, then worked {b} minutes. How long did {n} work?",
    )),
    "age": (_years, (
        "{n} is {a}. How old will {n} be in {b} years?",
        "{n} is {a} and {m} is {b} years older. How old is {m}?",
        "{n} was {a} when {m} was born. {m} is {b} now. How old is {n}?",
    )),
    "times_as_many": (_product, (
        "{n} has {a} {t}. {m} has {b} times as many. How many does {m} have?",
        "{m} has {b} times as many {t} as {n}, who has {a}. How many does {m} have?",
        "{n} found {a} {t} and {m} found {b} times as many. How many did {m} find?",
    )),
}  # fmt: skip


def row(rng: random.Random, kind: str) -> tuple[str, dict[str, object]]:
    """One problem of a kind: its question without the request, and the row without its id."""
    draw, wordings = KINDS[kind]
    numbers, steps = draw(rng)
    name, other = rng.sample(NAMES, 2)
    words = {"n": name, "m": other, "t": rng.choice(THINGS), "g": rng.choice(GOODS)}
    question = rng.choice(wordings).format(**words, **numbers)
    result = steps[-1].rsplit(" ", 1)[1]
    answer = "\n".join([*steps, "{{ans:" + result + "}}"])
    messages = [
        {"role": "user", "content": f"{question} {rng.choice(REQUESTS)}"},
        {"role": "assistant", "content": answer},
    ]
    return question, {"kind": kind, "messages": messages}


def write(seed: int, folder: Path) -> None:
    """Write the four files; the kinds take turns, so each file holds them in equal shares."""
    rng = random.Random(seed)
    taken: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in FILES.items():
        rows: list[dict[str, object]] = []
        while len(rows) < size:
            question, found = row(rng, list(KINDS)[len(rows) % len(KINDS)])
            if question not in taken:
                taken.add(question)
                rows.append(found)
        rng.shuffle(rows)
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for place, found in enumerate(rows):
                file.write(json.dumps({"id": f"{name}-{place:03d}", **found}) + "\n")


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description="Write the lesson's training and exam files.")
    parser.add_argument("--seed", type=int, default=7, help="seed of all random choices")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="the folder")
    options = parser.parse_args()
    write(options.seed, options.output)


if __name__ == "__main__":
    main()
