"""ModelGrader: the contract of graders that ask the model itself for probabilities. It knows no generated answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError
from ftlab.exam.graders.base import Grader

if TYPE_CHECKING:
    from ftlab.data.chat import Chat
    from ftlab.data.rows import Row


@dataclass(frozen=True)
class Measured:
    """What was found for one question."""

    answer: str
    """What stands in the table of answers."""
    points: float
    """From 0 to 1."""


class ModelGrader(Grader):
    """Measures how likely a model finds texts; nothing is generated."""

    @abstractmethod
    def measure(self, model: Any, chat: Chat, rows: Sequence[Row], batch_size: int, title: str) -> list[Measured]:
        """Return what was found for each row, in the rows' order.

        Args:
            model: a causal language model of transformers (or peft's), on its device.
            chat: the model's chat rendering.
            rows: the questions.
            batch_size: texts looked at together, at most; it changes the speed, not the points.
            title: what the progress bar says.

        Raises:
            FtlabError: a row cannot be measured; with its file and line.
        """

    def grade(self, answer: str, reference: str) -> float:
        """Refuse: there is no generated answer."""
        raise FtlabError(
            f"{type(self).__name__} measures the model and grades no text; choose another grader for texts"
        )

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse rows that cannot be measured; by default none."""
