"""Examination: all exams of a run, of its task and of general abilities, from the base to what came out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ftlab.callbacks.sit_exam import SitExam
from ftlab.data.chat import Chat
from ftlab.data.module import ChatData
from ftlab.data.rows import Row
from ftlab.errors import SettingError, choices_help, require
from ftlab.exam.exam import Exam
from ftlab.exam.memorisation import FEWEST, measure_memorisation
from ftlab.exam.outcome import compare_sittings, describe_retention
from ftlab.exam.shots import require_enough
from ftlab.runs import Run
from ftlab.training.tuner import FineTuner

#: Answers to training questions that are generated together, where the exam does not ask for fewer.
_BATCH = 16


@dataclass
class Examination:
    """The exam that a run is made for, those of what the base could do before, and changed training questions."""

    exam: Exam | None = None
    retention: dict[str, Exam] = field(default_factory=dict)
    memorisation: int = 50

    def __post_init__(self) -> None:
        """Refuse names that are no folders, and fewer questions than none."""
        enough = self.memorisation == 0 or self.memorisation >= FEWEST
        require(enough, "memorisation", self.memorisation, f"a number of questions, {FEWEST} or more, or 0 for none")
        for name in self.retention:
            require(bool(re.fullmatch(r"[\w-]+", name)), "retention", name, "a name of letters, digits, - and _")

    def __iter__(self) -> Iterator[tuple[str, Exam]]:
        """Yield each exam after the name of its metrics."""
        if self.exam:
            yield "exam", self.exam
        yield from ((f"retention/{name}", exam) for name, exam in self.retention.items())

    def check(self, data: ChatData, chat: Chat) -> None:
        """Read all questions, and hold them out of the training data.

        Raises:
            FtlabError: a question cannot be read, asked or graded.
        """
        for name, exam in self:
            data.held_out[name] = exam.check(chat)

    def require_known(self, metrics: Sequence[str], setting: str) -> None:
        """Refuse a rule over a score that no exam gives while training; losses are known only when they are logged.

        Raises:
            SettingError: with the nearest name.
        """
        keys = [key for key, exam in self if exam.every]
        known = [f"{key}/score" for key in keys]
        if any(key.startswith("retention/") for key in keys):
            known.append("retention/score")
        for metric in metrics:
            if metric not in known and not metric.startswith(("validation/", "train/")):
                choices = choices_help(metric, [*known, "validation/loss"])
                raise SettingError(setting, f"no metric {metric!r} is measured while training; {choices}")

    def callbacks(self, run: Run, tell: Callable[[str], None]) -> list[SitExam]:
        """Return what sits the exams while training."""
        return [SitExam(exam, partial(run.sitting_file, exam=name), tell, name) for name, exam in self]

    def examples(self, data: ChatData) -> Sequence[Row]:
        """Return the training rows that examples are drawn from; none where no exam wants examples.

        Raises:
            FtlabError: there are fewer than an exam wants.
        """
        most = max((n for _, exam in self for n in exam.shots), default=0)
        if not most:
            return ()
        found = _own_rows(data)
        require_enough(len(found), most)
        return found

    def examine_base(self, sits: list[SitExam], tuner: FineTuner, data: ChatData, base: Any) -> None:
        """Sit all exams with the base, before the method is applied; its answers are kept for other runs."""
        examples = self.examples(data)
        key = tuner.identity.key(tuner.base.dtype, tuner.base.attention, tuner.method.load_kwargs(), base.device.type)
        for sit in sits:
            sit.sit_base(base, tuner.chat, key, examples)

    def memorised(self, tuner: FineTuner, data: ChatData) -> dict[str, Any] | None:
        """Return how many training answers come back on changed questions; None where it is not asked, or not told."""
        if not self.memorisation:
            return None
        size = min(self.exam.batch_size, _BATCH) if self.exam else _BATCH
        rows = _own_rows(data)
        try:
            return measure_memorisation(tuner.model, tuner.chat, rows, self.memorisation, data.max_length, size)
        except Exception as error:  # such as out of memory: hours of training must not be lost for a figure beside them
            warnings.warn(f"memorisation was not measured ({type(error).__name__}: {error})", stacklevel=2)
            return None

    def outcome(self, run: Run) -> dict[str, Any]:
        """Return what came out, by the keys of a run's summary; None where there is nothing."""
        sat, retained = run.sittings(steps=False), {}
        for name in self.retention:
            before, after = (run.sitting(when, f"retention/{name}") for when in ("before", "after"))
            if before is not None and after is not None:
                retained[name] = describe_retention(before, after)
        found = None
        if self.exam is not None and "before" in sat:
            found = {"grader": type(self.exam.graders[0]).__name__, **compare_sittings(sat)}
        return {"exam": found, "retention": retained or None}


def _own_rows(data: ChatData) -> Sequence[Row]:
    """Return the training rows without those that are replayed."""
    prepared = data.prepare()
    return prepared.rows["train"][: len(prepared.rows["train"]) - prepared.replayed]
