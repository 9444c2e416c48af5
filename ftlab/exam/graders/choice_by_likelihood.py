"""ChoiceByLikelihood: grades which option of a question a model finds most likely. It knows no generated answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftlab.errors import FtlabError
from ftlab.exam.graders.base import placed
from ftlab.exam.graders.by_model import Measured, ModelGrader
from ftlab.exam.graders.choice import right_option
from ftlab.exam.graders.likelihood import likelihoods
from ftlab.exam.graders.options import options_of

if TYPE_CHECKING:
    from ftlab.data.chat import Chat
    from ftlab.data.rows import Row


@dataclass
class ChoiceByLikelihood(ModelGrader):
    """1 point where the right option is the one with the highest mean log-likelihood per token, else 0.

    Each option stands as the assistant's whole turn after the question, end token included. Nothing is generated, so
    a model that does not keep to a form loses nothing by it. Of equally likely options the first is taken.
    Source: Brown et al., "Language Models are Few-Shot Learners", 2020, arXiv:2005.14165, section 2.4.
    """

    options: str | None = None
    """Column with the options, as that of `Choice`; null finds them in the same places."""
    turn: Literal["letter", "text"] = "letter"
    """What the assistant's turn is: `letter` needs a question that shows the options with their letters; `text` the
    option's words."""

    def measure(self, model: Any, chat: Chat, rows: Sequence[Row], batch_size: int, title: str) -> list[Measured]:
        """Return the letter chosen for each row, and whether it is right."""
        known = [self._options(row) for row in rows]
        asked = [
            (row, {"role": "assistant", "content": letter if self.turn == "letter" else text})
            for row, (options, _) in zip(rows, known, strict=True)
            for letter, text in options.items()
        ]
        found = iter(likelihoods(model, chat, asked, batch_size, title))
        measured = []
        for options, right in known:
            means = {letter: next(found).mean for letter in options}
            chosen = max(means, key=lambda letter: means[letter])
            measured.append(Measured(chosen, float(chosen == right)))
        return measured

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse rows without options, or whose reference names none."""
        for row in rows:
            self._options(row)

    def _options(self, row: Row) -> tuple[dict[str, str], str]:
        """Return the options by their letters, and the right letter."""
        with placed(row):
            options = options_of(row, self.options)
            if not options:
                raise FtlabError("the question lists no options; name their column in the grader's setting options")
            return options, right_option(row.reference or "", options)
