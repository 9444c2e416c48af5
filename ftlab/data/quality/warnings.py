"""Warnings: what is wrong with data, the reason and what to do, a line each. They know only the numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.data.quality.description import Description, Found

#: Fewer rows than these are warned of.
FEW, SOME = 100, 1000
_BEYOND, _CUT_OFF = 0.05, 0.01
#: Shares of duplicates from which on they are warned of; near ones are to be expected where texts are short.
_REPEATED = {"exact": 0.0, "normalised": 0.0, "near": 0.05}
#: Below this share of learnt tokens most of the work is reading prompts.
_SUPERVISED = 0.02
#: A class that is so many times as frequent as another one.
_IMBALANCE = 10


def warnings(found: Description, learnt: bool) -> list[str]:
    """Return what is wrong, the gravest first; that rows are few is said of those that are learnt."""
    return [*(_amount(found) if learnt else ()), *_lengths(found), *_repetition(found), *_answers(found)]


def _amount(found: Description) -> Iterator[str]:
    rows = f"{found.rows:,} row{'s' * (found.rows != 1)}"
    if found.rows < FEW:
        yield (
            f"{rows}, fewer than {FEW}: a model learns their wording by heart before it learns the task; "
            "collect more, or write good prompts instead of training"
        )
    elif found.rows < SOME:
        yield (
            f"{rows}, fewer than {SOME:,}: enough for a format or a tone, seldom for new skills; "
            "train few parameters for few epochs, and watch the validation loss"
        )


def _lengths(found: Description) -> Iterator[str]:
    tokens = found.tokens
    if tokens.beyond_share > _BEYOND:
        yield (
            f"{tokens.beyond:,} rows ({tokens.beyond_share:.0%}) are longer than data.max_length {tokens.limit}: they "
            f"are cut or left out; 95 % of the rows fit into {tokens.p95:.0f} tokens"
        )
    if found.rows and found.supervised_share < _SUPERVISED:
        yield (
            f"{found.supervised_share:.1%} of the tokens are learnt from: the rest is prompts; "
            "shorten what all of them share, or set data.learn if more should be learnt"
        )


def _repetition(found: Description) -> Iterator[str]:
    for kind, share in _REPEATED.items():
        repeated: Found = getattr(found, kind)
        if repeated.share > share:
            yield (
                f"{repeated.count:,} {kind} duplicate{'s' * (repeated.count != 1)}, as {_pair(repeated)}: they weigh "
                f"more than other rows; add to data.clean {{class_path: Duplicates, init_args: {{kind: {kind}}}}}"
            )
    if found.conflicts.count:
        yield (
            f"{found.conflicts.groups:,} question{'s' * (found.conflicts.groups != 1)} with different answers, as "
            f"{_pair(found.conflicts)}: correct them, or add Conflicts to data.clean"
        )


def _answers(found: Description) -> Iterator[str]:
    if found.empty.count:
        yield f"{found.empty.count:,} empty answers, as {found.empty.places[0][0]}: the model learns to say nothing"
    if found.cut_off.share > _CUT_OFF:
        yield (
            f"{found.cut_off.count:,} answers seem cut off, as {found.cut_off.places[0][0]}: "
            "the model learns to stop in the middle; complete them or leave them out"
        )
    if found.classes:
        (most, many), *_, (least, few) = found.classes.items()
        if many >= _IMBALANCE * few:
            yield (
                f"{many:,} answers are {most!r} and {few:,} are {least!r}: always giving the first one scores "
                f"{many / sum(found.classes.values()):.0%}; balance them, or compare with that score"
            )


def _pair(found: Found) -> str:
    first, second, *_ = found.places[0]
    return f"{first} and {second}"
