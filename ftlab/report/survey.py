"""Survey: what is in a run's data and what is wrong with them, from all stages. It draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ftlab.data.chat import Chat
from ftlab.data.module import ChatData
from ftlab.data.preparation import OnLeak, Prepared
from ftlab.data.quality.describe import describe
from ftlab.data.quality.description import Description, Found
from ftlab.data.rows import DOCUMENT, Rows
from ftlab.errors import FtlabError

#: What may be found, by the field of a Description, as people call it.
TRAITS = {
    "exact": "rows twice",
    "normalised": "rows twice but for case and punctuation",
    "near": "rows nearly twice",
    "conflicts": "questions with different answers",
    "empty": "empty answers",
    "short": "very short answers",
    "cut_off": "answers cut off",
}


@dataclass(frozen=True)
class Survey:
    """The data of a run in numbers and places."""

    descriptions: dict[str, Description]
    """By split."""
    prepared: Prepared
    """What was read, cleaned and split, and which questions leak."""
    held_out: dict[str, int] = field(default_factory=dict)
    """Rows that must not be learnt besides, by name: the exam's questions."""
    refused: list[str] = field(default_factory=list)
    """A line for each row that the chat template refuses."""
    on_leak: OnLeak = "stop"
    """What a leak does to a run."""

    def found(self, split: str) -> dict[str, Found]:
        """Return what was found in a split, by the keys of TRAITS."""
        return {trait: getattr(self.descriptions[split], trait) for trait in TRAITS}

    @property
    def warnings(self) -> list[str]:
        """A line for each thing that is wrong with what is learnt."""
        return next(iter(self.descriptions.values())).warnings


def survey(data: ChatData, chat: Chat, on_leak: OnLeak | None = None, most: int | None = None) -> Survey:
    """Look at all data of a run.

    Args:
        data: with the exam's questions in `held_out`; rows that the template refuses stop nothing.
        chat: the model's chat rendering.
        on_leak: what is said that a leak does, where it is not what `data.on_leak` lets it do here.
        most: rows of a split that are described, an even sample; None is all. Leaks are looked for in all.

    Raises:
        FtlabError: a row is at fault, or `data.on_leak` is `stop` and there is a leak.
    """
    prepared = data.prepare()
    refused: list[str] = []
    descriptions = {split: _describe(rows, data, chat, split, refused, most) for split, rows in prepared.rows.items()}
    held_out = {name: len(rows) for name, rows in data.held_out.items()}
    return Survey(descriptions, prepared, held_out, refused, on_leak or data.on_leak)


def _describe(rows: Rows, data: ChatData, chat: Chat, split: str, refused: list[str], most: int | None) -> Description:
    encoding = data.encoding(rows, chat, split)
    refused += encoding.refused(rows)
    examples = encoding.examples
    if not len(examples):
        raise FtlabError(f"data.{split}: the chat template refuses every row; first {refused[-len(encoding.faults)]}")
    lengths, supervised = np.zeros(len(rows), np.int64), np.zeros(len(rows))
    # Of a chat cut into an example for each turn the last one is the whole chat; a document is its pieces together.
    documents = rows[0].messages[0]["role"] == DOCUMENT
    (np.add if documents else np.maximum).at(lengths, examples.row_ids, examples.lengths)
    np.add.at(supervised, examples.row_ids, examples.supervised)
    limit = data.max_length
    if documents:  # their pieces share a token, and none is too long
        lengths -= np.bincount(examples.row_ids, minlength=len(rows)) - 1
        limit = max(limit, int(lengths.max()))
    taken = np.delete(np.arange(len(rows)), [row for row, _ in encoding.faults])
    rows, lengths, supervised = rows.take(taken), lengths[taken], supervised[taken]
    if most is not None and len(rows) > most:
        sample = np.linspace(0, len(rows) - 1, most).astype(np.int64)
        rows, lengths, supervised = rows.take(sample), lengths[sample], supervised[sample]
    return describe(rows, lengths, supervised, limit, learnt=split == "train")
