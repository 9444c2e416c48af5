"""Curves: what a run has logged, as series over steps and a few counts. It knows no file and no rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ftlab.diagnosis.columns import find

#: Training losses, or validation losses, below which nothing can be said.
FEWEST_TRAIN, FEWEST_VALIDATION = 4, 3


@dataclass(frozen=True)
class Series:
    """A metric over steps, in order; values may be NaN or infinite."""

    steps: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]] = ()) -> Series:
        """Return the series of (step, value) points; of several at one step the last counts."""
        last = dict(points)
        steps = sorted(last)
        return cls(np.array(steps, dtype=float), np.array([last[step] for step in steps], dtype=float))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def finite(self) -> Series:
        """The points that are numbers."""
        good = np.isfinite(self.values)
        return Series(self.steps[good], self.values[good])


@dataclass(frozen=True)
class ExamResult:
    """The scores of an exam before and after training, of 100."""

    before: float | None
    after: float
    p_value: float | None = None


@dataclass(frozen=True)
class Curves:
    """All that a diagnosis goes by."""

    train: Series
    """Training loss per step."""
    validation: Series = field(default_factory=Series.of)
    """Validation loss."""
    exam: Series = field(default_factory=Series.of)
    """Exam scores of 100 while training."""
    gradient_norm: Series = field(default_factory=Series.of)
    """Norm of the gradients before clipping."""
    learning_rate: Series = field(default_factory=Series.of)
    """Rate of each step: progress is measured per unit of rate, or a schedule that ends at 0 would look like the end of
    learning."""
    result: ExamResult | None = None
    """The exam before and after."""
    epochs: float | None = None
    """Epochs done."""
    trainable: int | None = None
    """Trained parameters."""
    rows: int | None = None
    """Training rows."""
    supervised: int | None = None
    """Learnt tokens of one epoch."""
    verbatim: float | None = None
    """Share of training answers that the model repeats word for word when their questions are changed."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The run's resolved settings, from which the next ones are computed."""

    @classmethod
    def of_rows(
        cls,
        rows: Iterable[Mapping[str, float]],
        config: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
        before: float | None = None,
    ) -> Curves:
        """Return the curves of logged rows, whichever tool named their columns.

        Args:
            rows: in order, each with what was logged then.
            config: the run's resolved settings.
            summary: what came out, as ftlab's `summary.json` holds it; empty while the run is under way.
            before: the exam's score of the base, while there is no summary; else the first one counts as that.
        """
        rows, config, summary = list(rows), config or {}, summary or {}
        names = find(key for row in rows for key in row)

        def series(role: str) -> Series:
            own = names.get(role, [])
            steps = names.get("step", [])
            return Series.of(
                (
                    next((row[key] for key in steps if key in row), float(i + 1)),
                    max(row[key] for key in own if key in row),
                )
                for i, row in enumerate(rows)
                if any(key in row for key in own)
            )

        exam, scores = summary.get("exam"), series("exam")
        train = (summary.get("data") or {}).get("train") or {}
        epochs = [row[key] for row in rows for key in names.get("epoch", []) if key in row]
        return cls(
            train=series("train"),
            validation=series("validation"),
            exam=scores,
            gradient_norm=series("gradient_norm"),
            learning_rate=series("learning_rate"),
            result=_result(exam, scores, before),
            epochs=summary.get("epochs") or max(epochs, default=None),
            trainable=(summary.get("parameters") or {}).get("trainable"),
            rows=train.get("chats"),
            supervised=train.get("supervised"),
            verbatim=(summary.get("memorisation") or {}).get("share"),
            config=config,
        )

    @property
    def steps(self) -> float:
        """The last step that was logged."""
        return max((float(s.steps[-1]) for s in (self.train, self.validation) if len(s)), default=0.0)

    @property
    def broken(self) -> bool:
        """Whether a loss or a gradient is no number."""
        return any(not np.isfinite(s.values).all() for s in (self.train, self.validation, self.gradient_norm))

    @property
    def enough(self) -> bool:
        """Whether there is enough to say anything."""
        many = len(self.train) >= FEWEST_TRAIN or len(self.validation) >= FEWEST_VALIDATION
        return many or self.broken or self.supervised == 0

    @property
    def rank(self) -> int | None:
        """The rank of a low-rank method."""
        rank = self.method.get("r")
        return rank if isinstance(rank, int) else None

    @property
    def method(self) -> Mapping[str, Any]:
        """The method's settings; empty where it is a list of methods or unknown."""
        method = self.config.get("method")
        return (method.get("init_args") or {}) if isinstance(method, Mapping) else {}

    @property
    def lr(self) -> float | None:
        """The highest learning rate."""
        set_rate = (self.config.get("optimizer") or {}).get("lr")
        if set_rate is not None:
            return float(set_rate)
        rates = self.learning_rate.finite.values
        return float(rates.max()) if len(rates) and rates.max() > 0 else None


def _result(exam: Mapping[str, Any] | None, scores: Series, before: float | None) -> ExamResult | None:
    """Return what the summary says, or while a run is under way the base's, or the first, and the newest score."""
    if exam and exam.get("after"):
        return ExamResult(exam["before"]["score"], exam["after"]["score"], exam.get("p_value"))
    if not len(scores):
        return None
    if before is None and len(scores) > 1:
        before = float(scores.values[0])
    return ExamResult(before, float(scores.values[-1]))
