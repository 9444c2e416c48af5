"""Rendering: a chat as the text that its model's template makes of it. It knows nothing of tokens."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from transformers.utils import chat_template_utils

from ftlab.errors import FtlabError

Message = dict[str, Any]
Tools = list[dict[str, Any]] | None
Span = tuple[int, int]

#: Keys of a message that are the training's and not the template's.
_OURS = {"train", "weight"}
_PLAIN = {"role", "content"}
_MARKER = re.compile(r"\{%[-+]?\s*(end)?generation\s*([-+]?)%\}")
#: What the markers are made to print: transformers' own account of them errs inside of macros.
_MARK = "Qzftlabmark"


class Template:
    """A chat template, rendered by transformers with its clock stopped.

    Args:
        source: the Jinja template.
        names: what the template knows besides the chat, such as `bos_token`.
        now: what `strftime_now` tells: a date that moved on between two renderings of one chat would look like a
            template that rewrites history.
    """

    def __init__(self, source: str, names: dict[str, Any], now: datetime.datetime) -> None:
        self.dated = "strftime_now" in source
        # A comment makes the text our own, so that the clock is not stopped for anybody else's use of the template.
        self.source = f"{{# ftlab #}}\n{source}" if self.dated else source
        self.has_markers = bool(_MARKER.search(source))
        self.names = names
        self.now = now
        self.parts = False
        self.parts = self._wants_parts()

    def render(self, messages: Sequence[Message], tools: Tools = None, *, prompt: bool = False) -> str:
        """Return a chat's text; with `prompt` up to where the assistant's next turn begins.

        Raises:
            FtlabError: the template refuses the chat, in its own words.
        """
        return self._apply([messages], tools, add_generation_prompt=prompt)[0]

    def render_all(self, chats: Sequence[Sequence[Message]]) -> list[str]:
        """Return the texts of chats without tools."""
        return self._apply(chats, None)

    def marked(self, messages: Sequence[Message], text: str, tools: Tools = None) -> list[Span] | None:
        """Return the spans of a chat's text that the template marks by `{% generation %}`.

        None where it has no markers, or does not write the same text when they are made to show.
        """
        if not self.has_markers:
            return None
        mark = _MARK
        while mark in text:
            mark += "x"
        [marked] = self._apply([messages], tools, chat_template=_MARKER.sub(partial(_printing, mark), self.source))
        pieces = re.split(f"{mark}(?:begin|end)", marked)
        if "".join(pieces) != text:
            return None
        bounds = list(accumulate(map(len, pieces[:-1])))
        return list(zip(bounds[::2], bounds[1::2], strict=True))

    def _apply(self, chats: Sequence[Sequence[Message]], tools: Tools, **options: Any) -> list[str]:
        try:
            if self.dated:
                source = options.get("chat_template", self.source)
                compiled: Any = chat_template_utils._compile_jinja_template(source)
                compiled.globals["strftime_now"] = self.now.strftime
            render: Any = chat_template_utils.render_jinja_template  # its annotations do not know the pair it returns
            conversations = [[self._message(message) for message in messages] for messages in chats]
            options = {"chat_template": self.source, "tools": tools or None} | options | self.names
            return render(conversations=conversations, **options)[0]
        except Exception as error:  # whatever a template raises is its verdict on the chat
            raise FtlabError(
                f"the chat template refuses this chat ({' '.join(str(error).split())}); merge turns of one role that "
                "follow each other, put what the system says into the first user turn, or take another template"
            ) from error

    def _message(self, message: Message) -> Message:
        """Return a message as templates expect it: keys without a value are absent, content is there."""
        if message.keys() != _PLAIN or message["content"] is None:
            message = {key: value for key, value in message.items() if value is not None and key not in _OURS}
            if not message.get("tool_calls"):
                message.pop("tool_calls", None)
            message.setdefault("content", "")
        if self.parts and isinstance(message["content"], str):
            return {**message, "content": [{"type": "text", "text": message["content"]}]}
        return message

    def _wants_parts(self) -> bool:
        """Return whether contents must be lists of parts: templates for pictures may print nothing of a string."""
        contents = "ftlabasks", "ftlabanswers"
        chat = [{"role": "user", "content": contents[0]}, {"role": "assistant", "content": contents[1]}]
        if self._shows(chat, contents):
            return False
        return self._shows([{**m, "content": [{"type": "text", "text": m["content"]}]} for m in chat], contents)

    def _shows(self, chat: list[Message], contents: Sequence[str]) -> bool:
        try:
            text = self.render(chat)
        except FtlabError:
            return False
        return all(content in text for content in contents)


def _printing(mark: str, marker: re.Match[str]) -> str:
    """Return a marker that prints a mark where it stands, with the same white space around it."""
    ends, right = marker.groups()
    if ends:
        return f"{marker[0][:3].rstrip()} print '{mark}end' %}}{marker[0]}"
    return f"{marker[0]}{{% print '{mark}begin' {right}%}}"
