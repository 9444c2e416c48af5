"""Survey: what is in a run's data and what is wrong with them, from all stages. It draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ftlab.data.chat import Chat
from ftlab.data.encoding import Encoding, sort_out
from ftlab.data.module import ChatData
from ftlab.data.preparation import OnLeak, Prepared
from ftlab.data.quality.cleaning import StepReport
from ftlab.data.quality.describe import describe
from ftlab.data.quality.description import Description, Found
from ftlab.data.rows import DOCUMENT, Rows
from ftlab.errors import FtlabError
from ftlab.report.units import count

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


#: The name of a split and what a step did to it.
Cleaned = tuple[str, StepReport]


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
    unfit: list[str] = field(default_factory=list)
    """A line for each chat of the training and validation rows that is too long or has nothing to learn."""
    on_leak: OnLeak = "stop"
    """What a leak does to a run."""

    def found(self, split: str) -> dict[str, Found]:
        """Return what was found in a split, by the keys of TRAITS."""
        return {trait: getattr(self.descriptions[split], trait) for trait in TRAITS}

    @property
    def steps(self) -> tuple[list[Cleaned], list[Cleaned]]:
        """The cleaning steps of all splits: those that changed rows or left some out, and those that did nothing."""
        steps = [(split, step) for split, steps in self.prepared.cleaning.items() for step in steps]
        acted = [one for one in steps if one[1].changed or one[1].dropped]
        return acted, [one for one in steps if one not in acted]

    @property
    def left_out(self) -> list[str]:
        """A line for each row that is left out, and why."""
        return [*self.prepared.left_out(), *self.unfit]

    @property
    def left_out_why(self) -> str:
        """How many rows are left out for each reason: `3: 1 at fault, 2 in cleaning`."""
        done = self.prepared
        cleaned = sum(step.dropped for _, step in self.steps[0])
        reasons = {"at fault": len(done.skipped), "in cleaning": cleaned, "for a leak": len(done.leaked)}
        reasons["too long or with nothing to learn"] = len(self.unfit)
        said = ", ".join(f"{count(number)} {reason}" for reason, number in reasons.items() if number)
        return f"{count(sum(reasons.values()))}: {said}"

    @property
    def leaks_lead_to(self) -> str:
        """What a run does about the leaks."""
        if self.on_leak == "stop":
            return "a run stops here, see data.on_leak"
        if self.on_leak == "warn":
            return "a run learns them all the same (data.on_leak: warn)"
        dropped = len(self.prepared.leaked)
        others = sum(leak.split != "train" for leak in self.prepared.leaks.found)
        between = f", {count(others)} between held-out splits stay" if others else ""
        return f"{count(dropped)} training row{'s' * (dropped != 1)} left out{between} (data.on_leak: drop)"

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
    descriptions: dict[str, Description] = {}
    refused: list[str] = []
    unfit: list[str] = []
    for split, rows in prepared.rows.items():
        encoding = data.encoding(rows, chat, split)
        refused += encoding.refused(rows)
        if split != "test":  # which a run does not load
            unfit += sort_out(encoding.examples, rows, data.max_length)[1]
        descriptions[split] = _describe(rows, encoding, data.max_length, split, most)
    held_out = {name: len(rows) for name, rows in data.held_out.items()}
    return Survey(descriptions, prepared, held_out, refused, unfit, on_leak or data.on_leak)


def _describe(rows: Rows, encoding: Encoding, limit: int, split: str, most: int | None) -> Description:
    examples = encoding.examples
    if not len(examples):
        raise FtlabError(f"data.{split}: the chat template refuses every row; first {encoding.refused(rows)[0]}")
    lengths, supervised = np.zeros(len(rows), np.int64), np.zeros(len(rows))
    # Of a chat cut into an example for each turn the last one is the whole chat; a document is its pieces together.
    documents = rows[0].messages[0]["role"] == DOCUMENT
    (np.add if documents else np.maximum).at(lengths, examples.row_ids, examples.whole_lengths)
    np.add.at(supervised, examples.row_ids, examples.supervised)
    if documents:  # their pieces share a token, and none is too long
        lengths -= np.bincount(examples.row_ids, minlength=len(rows)) - 1
        limit = max(limit, int(lengths.max()))
    taken = np.delete(np.arange(len(rows)), [row for row, _ in encoding.faults])
    rows, lengths, supervised = rows.take(taken), lengths[taken], supervised[taken]
    if most is not None and len(rows) > most:
        sample = np.linspace(0, len(rows) - 1, most).astype(np.int64)
        rows, lengths, supervised = rows.take(sample), lengths[sample], supervised[sample]
    return describe(rows, lengths, supervised, limit, learnt=split == "train")
