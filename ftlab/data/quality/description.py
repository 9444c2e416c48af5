"""Description: some rows in numbers and places. It knows neither where they come from nor how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Histogram:
    """How many values lie between two edges; the last bin holds its upper edge too."""

    edges: list[float]
    """One more than there are counts."""
    counts: list[int]


@dataclass(frozen=True)
class Lengths:
    """Tokens of the rows."""

    total: int
    mean: float
    p50: float
    p95: float
    max: int
    limit: int
    """`max_length`."""
    beyond: int
    """Rows with more tokens than the limit."""
    beyond_share: float
    """The same as a share of the rows."""
    histogram: Histogram


@dataclass(frozen=True)
class Found:
    """Some rows that share a trait."""

    count: int
    """How many; of groups, the rows beyond the first of each."""
    share: float
    """The same as a share of all rows."""
    groups: int
    """Number of groups of rows that belong together; equal to `count` where each stands alone."""
    places: list[list[str]]
    """`file:line` of the first rows, a list for each group; one place in each where rows stand alone."""


@dataclass(frozen=True)
class Description:
    """Rows in numbers."""

    rows: int
    sources: dict[str, int]
    """Rows of each source."""
    turns: dict[int, int]
    """By the number of user and assistant messages, the chats that have so many; documents have none."""
    tokens: Lengths
    supervised_share: float
    """Learnt tokens of all tokens."""
    scripts: dict[str, float]
    """Share of each script among the letters, the most frequent first."""
    exact: Found
    """Rows whose messages are an earlier row's."""
    normalised: Found
    """Rows that say what an earlier row says, case, punctuation and white space aside; without `exact`."""
    near: Found
    """Rows that nearly say what an earlier row says, with the same numbers, without those above. Of more than
    100,000 rows so many are looked at, and `share` is of those."""
    conflicts: Found
    """Rows of a question that has different answers: all of them count."""
    empty: Found
    """Answers without a letter, digit or symbol."""
    short: Found
    """Answers of one or two characters, unless they are numbers, Han signs or classes."""
    cut_off: Found
    """Answers that seem to end in the middle."""
    classes: dict[str, int]
    """Rows of each distinct answer, the most frequent first, where the answers are few; else empty."""
    warnings: list[str]
    """What is wrong, the reason and what to do: a line each."""

    @classmethod
    def parse(cls, record: dict[str, Any]) -> Description:
        """Return the description of which `dataclasses.asdict` made a record, and JSON a text."""
        tokens = record["tokens"]
        shared = {key: Found(**value) for key, value in record.items() if cls.__annotations__[key] == "Found"}
        turns = {int(number): rows for number, rows in record["turns"].items()}
        lengths = Lengths(**tokens | {"histogram": Histogram(**tokens["histogram"])})
        return cls(**record | shared | {"turns": turns, "tokens": lengths})
