"""Transcript: reads dialogues that are one text."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab import Format


@dataclass
class Transcript(Format):
    r"""A dialogue as one text, `{"dialogue": "User: 2 + 2?\nAssistant: 4"}`; a line without a speaker goes on."""

    columns: ClassVar[tuple[str, ...]] = ("dialogue",)
    key: str = "dialogue"
    """Key of the text."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a turn for each line that begins with a speaker."""
        turns: list[dict[str, Any]] = []
        for line in record.pop(self.key).splitlines():
            speaker, colon, text = line.partition(": ")
            if colon and speaker in ("System", "User", "Assistant"):
                turns.append({"role": speaker.lower(), "content": text})
            elif turns:
                turns[-1]["content"] += f"\n{line}"
            else:
                raise ValueError(f"{self.key} begins without a speaker; begin with User: or System:")
        return turns
