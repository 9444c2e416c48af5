"""ShareGPT: turns with from and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.checks import checked, from_json, type_name
from ftlab.data.formats.base import Format, take_optional_text
from ftlab.errors import choices_help

#: Who is meant by `from`.
SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}


@dataclass
class ShareGPT(Format):
    """Turns, `{"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}`.

    `from` is human, gpt, system, function_call (`value` is the JSON of `{"name": ..., "arguments": {...}}`, or a list
    of them) or observation (the function's result). The functions are listed under `tools`, the system message may
    stand under `system`. The turns may be JSON, as cells of tables hold them.
    """

    columns: ClassVar[tuple[str, ...]] = ("conversations",)
    key: str = "conversations"
    """Where in the record the turns stand."""
    system: str = "system"
    """Key of the system message; may be missing or empty."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the turns, renamed."""
        turns = record.pop(self.key)
        if isinstance(turns, str):
            turns = from_json(turns)
        if not isinstance(turns, list) or not turns:
            raise ValueError(f'{self.key} must be a list of turns; write [{{"from": ..., "value": ...}}, ...]')
        made = [self._message(turn, index) for index, turn in enumerate(turns)]
        messages = checked(made, need_answer=False, what=self.key)  # here, where a fault has the turn's place
        system = take_optional_text(record, self.system)
        if system and messages[0]["role"] == "system":
            raise ValueError(f'{self.key}[0]: a second system message beside "{self.system}"; make one of the two')
        return [{"role": "system", "content": system}, *messages] if system else messages

    def _message(self, turn: Any, index: int) -> dict[str, Any]:
        where = f"{self.key}[{index}]"
        if not isinstance(turn, dict):
            raise ValueError(f'{where} is {type_name(turn)}; each turn is {{"from": ..., "value": ...}}')
        if "from" not in turn and "role" in turn:
            raise ValueError(f'{where} has "role", not "from"; name the format Messages with its setting key')
        speaker = turn.get("from")
        if not isinstance(speaker, str) or speaker not in SPEAKERS:
            raise ValueError(f"{where}: {speaker!r} is no speaker; {choices_help(str(speaker), SPEAKERS)}")
        if "value" not in turn:
            raise ValueError(f"{where} has no value; write a string")
        if turn["value"] is None:
            raise ValueError(f"{where}: value is null; write its text, or leave the turn out")
        if not isinstance(turn["value"], str):
            raise ValueError(f"{where}: value is {type(turn['value']).__name__}, not text; write a string")
        message = {key: value for key, value in turn.items() if key not in ("from", "value")}
        message |= {"role": SPEAKERS[speaker], "content": turn["value"]}
        if speaker == "function_call":
            message |= {"content": "", "tool_calls": _calls(turn["value"], where)}
        return message


def _calls(text: str, where: str) -> Any:
    calls = from_json(text)
    if not isinstance(calls, (dict, list)) or not calls:
        raise ValueError(f'{where}: the value is no function call; write {{"name": ..., "arguments": {{...}}}} as JSON')
    return calls if isinstance(calls, list) else [calls]
