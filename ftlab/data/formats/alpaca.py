"""Alpaca: an instruction, what it is about, and the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.checks import from_json
from ftlab.data.formats.base import Format, drop_null, take_optional_text, take_system, take_text


@dataclass
class Alpaca(Format):
    """An instruction, `{"instruction": "Add.", "input": "2 and 2", "output": "4", "history": [["Hi", "Hello"]]}`.

    The user's turn is the instruction, a blank line, and the input where there is one. `history` are earlier pairs of
    a question and its answer, or their JSON; `system` may be there too.
    """

    columns: ClassVar[tuple[str, ...]] = ("instruction", "output")
    ends_with_answer: ClassVar[bool] = True
    instruction: str = "instruction"
    """Key of the instruction."""
    input: str = "input"
    """Key of what it is about; may be missing or empty."""
    output: str = "output"
    """Key of the assistant's answer; prompts need none."""
    history: str = "history"
    """Key of the earlier turns; may be missing or empty."""
    system: str = "system"
    """Key of the system message; may be missing or empty."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return system, history, instruction with input, and output."""
        turns = take_system(record, self.system) + self._earlier(record.pop(self.history, None))
        asked = [take_text(record, self.instruction), take_optional_text(record, self.input)]
        turns.append({"role": "user", "content": "\n\n".join(text for text in asked if text)})
        if drop_null(record, self.output):
            turns.append({"role": "assistant", "content": take_text(record, self.output)})
        return turns

    def _earlier(self, history: Any) -> list[dict[str, Any]]:
        if isinstance(history, str):
            history = from_json(history) if history.strip() else None
        if not history:
            return []
        if not isinstance(history, list):
            raise ValueError(f"{self.history} is {type(history).__name__}, not a list; write [[question, answer], ...]")
        turns = []
        for index, pair in enumerate(history):
            if not isinstance(pair, list) or len(pair) != 2:
                raise ValueError(f"{self.history}[{index}] is no pair; write [[question, answer], ...]")
            for role, text in zip(("user", "assistant"), pair, strict=True):
                if not isinstance(text, str) or not text.strip():
                    raise ValueError(f"{self.history}[{index}] has no text of the {role}; write [question, answer]")
                turns.append({"role": role, "content": text})
        return turns
