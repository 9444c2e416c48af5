"""QuestionAnswer: reads chats that are one question and one answer."""

from dataclasses import dataclass
from typing import Any

from ftlab import Format


@dataclass
class QuestionAnswer(Format):
    """A question and its answer under a key each, `{"question": ..., "answer": ...}`; prompts need no answer."""

    question: str = "question"
    """Key of the user's turn."""
    answer: str = "answer"
    """Key of the assistant's."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return one turn or two."""
        turns = [{"role": "user", "content": record.pop(self.question)}]
        if self.answer in record:
            turns.append({"role": "assistant", "content": record.pop(self.answer)})
        return turns
