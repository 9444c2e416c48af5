"""QuestionAnswer: a question and an answer in columns of any names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.formats.base import Format, drop_null, take_system, take_text


@dataclass
class QuestionAnswer(Format):
    """A question and its answer in a column each, `{"question": "2 + 2?", "answer": "4"}`; prompts need no answer."""

    columns: ClassVar[tuple[str, ...]] = ("question", "answer")
    ends_with_answer: ClassVar[bool] = True
    question: str = "question"
    """Column of the user's turn."""
    answer: str = "answer"
    """Column of the assistant's turn."""
    system: str | None = None
    """Column of the system message; its cells may be empty."""
    system_text: str | None = None
    """A system message for the rows that have none of their own."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the turns."""
        turns = take_system(record, self.system, self.system_text)
        turns.append({"role": "user", "content": take_text(record, self.question)})
        if drop_null(record, self.answer):
            turns.append({"role": "assistant", "content": take_text(record, self.answer)})
        return turns
