"""Shots: examples in front of a question, drawn from the training data. It knows no model and no grader."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace

from ftlab.data.rows import Message, Row
from ftlab.errors import FtlabError

#: Roles whose turns are about the whole chat; an example's would contradict the question's.
ABOVE = ("system", "developer")


def with_examples(rows: Sequence[Row], examples: Sequence[Row], shots: int, seed: int) -> list[Row]:
    """Return the questions with examples before each, a turn of the user and one of the assistant each.

    Every question gets examples of its own, drawn without replacement by the seed and its id: a score then says what
    examples are worth, not what one lucky set of them is, and sets differ much (Zhao et al., 2021, arXiv 2102.09690).
    What the system says comes first, once, as the question has it. What an exam asks is no example of it.

    Args:
        rows: the questions.
        examples: rows to draw from.
        shots: examples for each question; 0 returns the questions as they are.
        seed: of the draw.

    Raises:
        FtlabError: there are fewer rows that end in an answer.
    """
    if not shots:
        return list(rows)
    asked = {_asked(row) for row in rows}
    answered = [i for i, row in enumerate(examples) if row.reference is not None and _asked(row) not in asked]
    require_enough(len(answered), shots)
    return [_after(row, [examples[i] for i in _draw(answered, shots, f"{seed} {row.id}")]) for row in rows]


def require_enough(rows: int, shots: int) -> None:
    """Refuse to draw more examples than there are.

    Raises:
        FtlabError: there are fewer rows.
    """
    if rows < shots:
        raise FtlabError(f"exam.shots: {shots} examples wanted, data.train has {rows} to give; take fewer")


def _asked(row: Row) -> str:
    return json.dumps([turn for turn in row.prompt if turn["role"] not in ABOVE])


def _draw(of: list[int], shots: int, seed: str) -> list[int]:
    return random.Random(seed).sample(of, shots)


def _after(row: Row, examples: list[Row]) -> Row:
    turns: list[Message] = [turn for example in examples for turn in example.messages if turn["role"] not in ABOVE]
    first = next((i for i, turn in enumerate(row.messages) if turn["role"] not in ABOVE), 0)
    return replace(row, messages=[*row.messages[:first], *turns, *row.messages[first:]])
