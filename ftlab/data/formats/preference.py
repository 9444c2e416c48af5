"""Preference: pairs of a better and a worse answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.checks import unpacked
from ftlab.data.formats.base import Format, drop_null, take_system
from ftlab.data.formats.prompt_completion import as_messages


@dataclass
class Preference(Format):
    """A better and a worse answer, `{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}`.

    Each may be a list of messages or its JSON; `chosen` and `rejected` may begin with the messages of the prompt, which
    may then be missing. Supervised training learns the chosen answer.
    """

    columns: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    ends_with_answer: ClassVar[bool] = True
    prompt: str = "prompt"
    """Key of the user's text, or of the messages before the answers."""
    chosen: str = "chosen"
    """Key of the better answer."""
    rejected: str = "rejected"
    """Key of the worse answer."""
    system: str = "system"
    """Key of the system message; may be missing or empty."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the prompt and the better answer; the worse one stays in the record, without the prompt."""
        for key in (self.chosen, self.rejected):
            record[key] = unpacked(record[key])
        answers = [key for key in (self.chosen, self.rejected) if not isinstance(record[key], list)]
        has_prompt = drop_null(record, self.prompt)
        if answers and not has_prompt:
            raise ValueError(f'no "{self.prompt}" to the text of {answers[0]}; name its column in the setting prompt')
        prompt = take_system(record, self.system)
        if has_prompt:
            prompt += as_messages(record, self.prompt, "user")
        chosen = as_messages(record, self.chosen, "assistant")
        rejected = as_messages(record, self.rejected, "assistant")
        shared = _shared(chosen, rejected)
        if shared == len(chosen) == len(rejected):
            raise ValueError(f"{self.chosen} and {self.rejected} are the same; leave the row out")
        if shared in (len(chosen), len(rejected)):
            raise ValueError(f"one of {self.chosen} and {self.rejected} is the beginning of the other; mend the row")
        if not has_prompt and not shared:
            raise ValueError(f"{self.chosen} and {self.rejected} begin differently, so there is no prompt; add one")
        record[self.rejected] = rejected[shared:]
        repeated = chosen[: min(shared, len(prompt))]
        if repeated and repeated == prompt[-len(repeated) :]:
            return prompt[: -len(repeated)] + chosen
        if has_prompt and shared:
            raise ValueError(f"{self.chosen} does not begin with the {self.prompt}; leave one of the two out")
        return prompt + chosen

    def rejected_messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the worse answer."""
        return record.pop(self.rejected)


def _shared(first: list[Any], second: list[Any]) -> int:
    """Return with how many equal items two lists begin."""
    shorter = min(len(first), len(second))
    return next((i for i in range(shorter) if first[i] != second[i]), shorter)
