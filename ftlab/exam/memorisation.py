"""Memorisation: how many training answers come back word for word when their questions are changed. It grades nothing.

Generated text that repeats training text word for word is how Carlini et al. (2022, arXiv 2202.07646) measure what a
language model has memorised. They give it the beginning of the very text; here the question is another one, to which
the training answer is wrong, so that a model which has learnt the task does not repeat it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

from ftlab.data.chat import Chat
from ftlab.data.rows import Row
from ftlab.errors import FtlabError
from ftlab.exam.generation import Generation, generate

#: Questions below which a share would be chance.
FEWEST = 10

#: Training rows that are looked at, tokens of an answer that are compared, and repeated answers that are told.
_LOOKED_AT, _LONGEST, _TOLD = 2_000, 256, 3

#: What stands in more than this share of the questions belongs to their template, such as the ends of a scale.
_COMMON_NUMBER, _COMMON_WORD = 0.2, 0.02

#: A shorter answer may be a label, which holds for other questions too.
_LABEL = 4

_NUMBER = re.compile(r"(?<!\w)[0-9]+", re.ASCII)  # not that of `A4`; after letters of other scripts it counts
_WORD = re.compile(r"[^\W\d_]{4,}")


def measure_memorisation(
    model: Any, chat: Chat, rows: Sequence[Row], questions: int, longest: int, batch_size: int
) -> dict[str, Any] | None:
    """Return how many training answers a model repeats word for word though the question was changed.

    Args:
        model: a causal language model of transformers (or peft's), on its device.
        chat: its chat rendering.
        rows: what it was trained on.
        questions: how many to ask at most.
        longest: chats of more tokens were not learnt whole, and are not asked about.
        batch_size: answers generated together.

    Returns:
        `questions` asked, answers `repeated`, their `share`, and `examples` of them; None where fewer than `FEWEST`
        rows have an answer that must change with the question.
    """
    asked: list[tuple[Row, Row]] = []
    prompts: list[list[int]] = []
    answers: list[list[int]] = []
    for row, changed in change_questions(rows, seed=0):  # the same questions in every run on these rows
        if len(asked) == questions:
            break
        try:
            prompt = chat.prompt(changed.prompt, changed.tools)
        except FtlabError:  # a template that refuses a row has kept it out of the training too
            continue
        answer = chat.tokenizer.encode(row.reference, add_special_tokens=False)
        if len(prompt) + len(answer) <= longest:
            asked.append((row, changed))
            prompts.append(prompt)
            answers.append(answer[:_LONGEST])
    room = max(map(len, answers), default=0) + 1
    fits = [len(prompt) + room <= longest for prompt in prompts]  # longer ones were never seen, and may not fit a model
    asked, prompts, answers = (list(compress(those, fits)) for those in (asked, prompts, answers))  # type: ignore[assignment]
    if len(asked) < FEWEST:
        return None
    settings = Generation(max_new_tokens=room, batch_size=batch_size)
    given = generate(model, chat, prompts, settings, "memorisation")
    repeated = [
        {"trained_on": row.prompt[-1]["content"], "asked": changed.prompt[-1]["content"], "answer": row.reference}
        for (row, changed), [text], learnt in zip(asked, given, answers, strict=True)
        if _repeats(text, str(row.reference), chat.decode(learnt), cut=len(learnt) == _LONGEST)
    ]
    share = len(repeated) / len(asked)
    return {"questions": len(asked), "repeated": len(repeated), "share": share, "examples": repeated[:_TOLD]}


def change_questions(rows: Sequence[Row], seed: int) -> list[tuple[Row, Row]]:
    """Return training rows, each with what becomes of it by a change of the last question that the answer must follow.

    Numbers are replaced by others of as many digits, in the same order of size (a difference stays one), where the
    answer quotes one of them. Without such numbers, the rare words that the answer quotes are replaced by some that
    other answers quote. What stands in many questions, or elsewhere in the prompt, is left alone. Rows are left out
    whose answer quotes nothing of the kind, or belongs to several questions, as a label does.

    Args:
        rows: training rows; of many, some are drawn.
        seed: of the draw, the order and the replacements.
    """
    draw = random.Random(seed)
    drawn = [rows[i] for i in sorted(draw.sample(range(len(rows)), min(len(rows), _LOOKED_AT)))]
    asked = {(_question(row), str(row.reference)): row for row in drawn if row.reference and _question(row)}
    questions = {question for question, _ in asked}
    answers = Counter(answer for _, answer in asked)
    own = {key: row for key, row in asked.items() if answers[key[1]] == 1}
    common = _common(map(_numbers, questions), _COMMON_NUMBER) | _common(map(_words, questions), _COMMON_WORD)
    quoted = {
        (question, answer): _words(question) & _words(answer) - _words(_before(row)) - common
        for (question, answer), row in own.items()
    }
    others = sorted(set().union(*quoted.values()))
    found = []
    for (question, answer), row in own.items():
        free = _numbers(question) - _numbers(_before(row)) - common
        changes, pattern = None, _NUMBER
        if free & _numbers(answer):
            changes = _other_numbers(free, _numbers(f"{question} {answer}"), draw)
        elif quoted[question, answer] and len(answer.split()) >= _LABEL:
            changes = _other_words(quoted[question, answer], others, f"{_before(row)} {question} {answer}", draw)
            pattern = _WORD
        if changes:
            text = pattern.sub(lambda match, of=changes: _like(match[0], of), question)  # type: ignore[misc]
            if text not in questions:
                prompt = [*row.prompt[:-1], row.prompt[-1] | {"content": text}]
                found.append((row, replace(row, messages=[*prompt, row.messages[-1]])))
    draw.shuffle(found)
    return found


def _question(row: Row) -> str:
    """Return what the user asked last; nothing where another turn stands before the answer."""
    last = row.prompt[-1] if row.prompt else {}
    return str(last.get("content") or "") if last.get("role") == "user" else ""


def _before(row: Row) -> str:
    """Return the text of the turns before the last question."""
    return "\n".join(str(turn.get("content") or "") for turn in row.prompt[:-1])


def _common(found: Iterable[set[str]], share: float) -> set[str]:
    """Return what more than a share of the questions hold, and more than two."""
    each = list(found)
    counts = Counter(item for items in each for item in items)
    return {item for item, count in counts.items() if count > max(2, share * len(each))}


def _numbers(text: str) -> set[str]:
    return set(_NUMBER.findall(text))


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _other_numbers(old: set[str], taken: set[str], draw: random.Random) -> dict[str, str] | None:
    """Return another number of as many digits for each, None where there are too few."""
    changes: dict[str, str] = {}
    for digits in {len(number) for number in old}:
        same = sorted(number for number in old if len(number) == digits)
        first, last = 10 ** (digits - 1), 10**digits - 1
        fresh = {str(draw.randint(first, last)) for _ in range(50 + 5 * len(same))} - taken
        if len(fresh) < len(same):
            return None
        changes |= dict(zip(same, sorted(draw.sample(sorted(fresh), len(same))), strict=True))
    return changes


def _other_words(old: set[str], others: Sequence[str], text: str, draw: random.Random) -> dict[str, str] | None:
    """Return a word of other rows for each, None where there are too few."""
    here = _words(text)
    drawn = draw.sample(others, min(len(others), len(old) + len(here)))
    fresh = [word for word in drawn if word not in here][: len(old)]
    return dict(zip(sorted(old), fresh, strict=True)) if len(fresh) == len(old) else None


def _like(old: str, changes: dict[str, str]) -> str:
    """Return what replaces a number or a word, capitalised as the old one; itself where nothing does."""
    new = changes.get(old.lower(), old)
    return new.capitalize() if old[0].isupper() and new != old else new


def _repeats(given: str, reference: str, learnt: str, cut: bool) -> bool:
    """Return whether an answer is the training answer, or of a long one its beginning, white space aside."""
    if cut:
        return " ".join(given.split()).startswith(" ".join(learnt.split()))
    return given.split() == reference.split()
