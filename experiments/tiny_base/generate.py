"""Write the synthetic chats from which ``ftlab/tiny`` is pre-trained.

Example: ``python experiments/tiny_base/generate.py --rows 200000 --seed 1 --output corpus.jsonl``
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from arithmetic import Step, any_step
from formats import ask
from skills import Turn, skill
from stories import story

Message = dict[str, str]
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a friendly teacher.",
    "Answer in a short way.",
    "You help children to learn.",
)
SINGLE = (
    "{}", "{} = ?", "What is {}?", "Work out {}.", "Calculate {}.", "How much is {}?", "Solve {}.",
)  # fmt: skip
LISTS = ("Work these out: {}", "Calculate: {}", "Solve all: {}", "{}")


def drill(rng: random.Random) -> Turn:
    """Several sums at once: the densest way to show many facts."""
    steps = [any_step(rng) for _ in range(rng.randint(3, 8))]
    tasks = ", ".join(step.task for step in steps)
    return rng.choice(LISTS).format(tasks), "\n".join(map(str, steps))


def series(rng: random.Random) -> Turn:
    """One number put to several others: still denser, as the question repeats nothing."""
    sign, verb = rng.choice((("+", "Add {} to"), ("-", "Take {} from"), ("*", "Multiply by {}:")))
    second = rng.randint(2, 10 if sign == "*" else 60)
    low, high = (second, 100) if sign == "-" else (1, 10) if sign == "*" else (1, 120 - second)
    numbers = [rng.randint(low, high) for _ in range(rng.randint(4, 8))]
    task = f"{verb.format(second)} {', '.join(map(str, numbers))}"
    return task, "\n".join(str(Step(number, sign, second)) for number in numbers)


def single(rng: random.Random) -> Turn:
    """One sum, in one of the forms of an answer."""
    step = any_step(rng)
    return ask(rng, rng.choice(SINGLE).format(step.task), [step])


def problem(rng: random.Random) -> Turn:
    """One word problem, in one of the forms of an answer."""
    question, steps = story(rng)
    return ask(rng, question, steps)


KINDS = {drill: 0.14, series: 0.14, single: 0.06, problem: 0.58}
SKILLS = 0.08


def turn(rng: random.Random, skills: float) -> Turn:
    """A question and its answer: a small skill with the given share, else arithmetic or a word problem."""
    rest = (1 - skills) / (1 - SKILLS)
    weights = [rest * share for share in KINDS.values()]
    return rng.choices([*KINDS, skill], [*weights, skills])[0](rng)


def chat(rng: random.Random, skills: float) -> list[Message]:
    """A chat: mostly one question, sometimes more, now and then under a system prompt."""
    messages: list[Message] = []
    if rng.random() < 0.05:
        messages.append({"role": "system", "content": rng.choice(SYSTEMS)})
    for _ in range(rng.choices((1, 2, 3), (0.9, 0.07, 0.03))[0]):
        question, answer = turn(rng, skills)
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


def key(messages: list[Message]) -> str:
    """What makes two chats the same question: everything but the answers."""
    return "\n".join(m["content"] for m in messages if m["role"] == "user")


def distinct_chats(rng: random.Random, taken: set[str], skills: float) -> Iterator[list[Message]]:
    """Chats without end whose questions are not taken; small talk repeats by its nature."""
    while True:
        messages = chat(rng, skills)
        if key(messages) not in taken:
            yield messages


def questions(path: Path) -> set[str]:
    """The questions of a file written before."""
    with path.open(encoding="utf-8") as lines:
        return {key(json.loads(line)["messages"]) for line in lines}


def write(rows: int, seed: int, output: Path, avoid: Path | None, skills: float) -> None:
    """Write the chats of one seed, leaving out the questions of the file to avoid."""
    chats = distinct_chats(random.Random(seed), questions(avoid) if avoid else set(), skills)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            file.write(json.dumps({"messages": next(chats)}, ensure_ascii=False) + "\n")


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description="Write synthetic chats for pre-training.")
    parser.add_argument("--rows", type=int, default=200_000, help="number of chats")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices")
    parser.add_argument("--output", type=Path, required=True, help="the JSONL file to write")
    parser.add_argument("--avoid", type=Path, help="a file whose questions must not occur again")
    parser.add_argument("--skills", type=float, default=SKILLS, help="share of small skills, such as spelling")
    options = parser.parse_args()
    write(options.rows, options.seed, options.output, options.avoid, options.skills)


if __name__ == "__main__":
    main()
