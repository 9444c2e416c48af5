"""Turns: which part of a chat's text is the assistant's, found by rendering it. They know nothing of tokens.

A turn is what the template adds to the prompt of the history before it. Where the text of the whole chat holds that
as it was, one example teaches all turns; turns that the template rewrites once others follow (reasoning that it drops,
another end token) are taught by examples of their own, which end with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ftlab.data.chat.learn import THINK
from ftlab.data.chat.rendering import Message, Span, Template, Tools
from ftlab.errors import FtlabError

#: Stands for a content that is to be found again; letters that no template changes, and no end of it is its beginning.
PROBE = "Qzftlab{}z"


@dataclass(frozen=True)
class Turn:
    """One of the assistant's turns, as it is when it is the last."""

    index: int
    """Its place in the chat."""
    text: str
    """The chat's text up to its end."""
    spans: list[Span]
    """What of the text is its own: after the prompt, up to its end token; several where the markers have gaps."""


@dataclass(frozen=True)
class Part:
    """A text to learn from."""

    size: int
    """How many of the messages it renders."""
    text: str
    spans: list[tuple[int, int, int]]
    """(turn, start, end) of all that is learnt here."""


class Turns:
    """Finds the assistant's turns of a chat.

    Args:
        template: renders.
        control: matches the template's control tokens; contents must hold none.
        eos: the tokenizer's end of text.
    """

    def __init__(self, template: Template, control: re.Pattern[str], eos: str | None) -> None:
        self.template = template
        self.control = control
        self.eos = eos
        self._usual_ends: dict[bool, str | None] = {}

    def parts(self, messages: Sequence[Message], tools: Tools = None) -> list[Part]:
        """Return the fewest texts in which every turn stands as it was when it was the last.

        Raises:
            FtlabError: the template refuses the chat, or no text is surely the turn's.
        """
        turns = [self.turn(messages, i, tools) for i, m in enumerate(messages) if m["role"] == "assistant"]
        left = [turn for turn in turns if turn.spans]  # markers may leave a turn out
        parts, size = [], len(messages)
        while True:
            closing = next((turn for turn in left if turn.index + 1 == size), None)
            text = closing.text if closing else self.template.render(messages[:size], tools)
            spans, missing = [], []
            for turn in left:
                if found := self._spans_in(turn, text):
                    spans += [(turn.index, start, end) for start, end in found]
                else:
                    missing.append(turn)
            if spans or not missing:
                parts.append(Part(size, text, spans))
            if not missing:
                return parts
            left, size = missing, missing[-1].index + 1

    def ends(self) -> list[str]:
        """Return the control tokens that the template writes after an answer and after a call of a function."""
        call = {"type": "function", "id": "callabcd1", "function": {"name": "f", "arguments": {"x": "y"}}}
        asked = {"role": "user", "content": "Hi"}
        ends: list[str] = []
        for answer in ({"content": "Hello"}, {"content": "", "tool_calls": [call]}):
            try:
                turn = self.turn([asked, {"role": "assistant", **answer}], 1)
            except FtlabError:  # a template that wants other chats than this one
                continue
            for start, end in self._own(turn)[-1:]:
                ends += filter(None, [self._closing(turn.text[start:end])])
        return ends

    def left_out(self, messages: Sequence[Message], tools: Tools = None) -> int | None:
        """Return the first turn of a user, system or tool that the template never prints, if there is one."""
        probes = {
            i: probe_for(f"out{i}", messages, tools)
            for i, m in enumerate(messages)
            if m["role"] != "assistant" and m.get("content")
        }
        probed = [{**m, "content": probes[i]} if i in probes else m for i, m in enumerate(messages)]
        try:
            text = self.template.render(probed, tools)
            for i, probe in probes.items():
                # what is gone in the end may have been there when it was said
                if probe not in text and probe not in self.template.render(probed[: i + 1], tools, prompt=True):
                    return i
        except FtlabError:  # of the probes; the chat itself will tell
            pass
        return None

    def turn(self, messages: Sequence[Message], index: int, tools: Tools = None) -> Turn:
        """Find a turn in the chat that ends with it."""
        history, message = messages[:index], messages[index]
        prompt = self.template.render(history, tools, prompt=True)
        text = self.template.render(messages[: index + 1], tools)
        probe = probe_for("last", messages[: index + 1], tools)
        probed = self.template.render([*history, _probed(message, probe)], tools)
        if probe not in probed:
            lost = "the tool calls" if message.get("tool_calls") else "the content"
            raise FtlabError(f"the chat template leaves out {lost} of turn {index + 1}; choose another template")
        start = len(prompt) if text.startswith(prompt) else self._start(messages, index, prompt, text, tools, probe)
        tail = probed[probed.rfind(probe) + len(probe) :]
        turn = self._ended(message, Turn(index, text, [(start, len(text))]), tail)
        marked = self.template.marked(messages[: index + 1], text, tools)
        if marked is not None:
            own = [(max(start, begin), end) for begin, end in marked if end > start or begin == start]
            turn = self._up_to_end(Turn(index, text, own), turn)
        if text[:start] == prompt[:start]:
            return turn
        # The template rewrites the history once the turn is there: what the model will be asked is the prompt.
        moved = len(prompt) - start
        return Turn(index, prompt + turn.text[start:], [(begin + moved, end + moved) for begin, end in turn.spans])

    def _start(self, messages: Sequence[Message], index: int, prompt: str, text: str, tools: Tools, probe: str) -> int:
        """Return where a turn starts in a text that does not go on from its prompt."""
        before = self.template.render(messages[:index], tools)
        cue = prompt[len(before) :] if prompt.startswith(before) else ""
        thought = len(before) + cue.find(THINK)
        if THINK in cue and text.startswith(prompt[:thought]):
            return thought  # the prompt opens or closes a thought other than this turn's, which has its own
        bare = self.template.render([*messages[:index], {"role": "assistant", "content": probe}], tools)
        if cue.strip() and (at := bare.rfind(cue, 0, bare.find(probe))) >= 0 and text.startswith(bare[: at + len(cue)]):
            return at + len(cue)
        raise FtlabError(
            f"the chat template rewrites what is before turn {index + 1} when that turn is there, so its tokens cannot "
            "be told; end the chat before it, or choose another template"
        )

    def _up_to_end(self, marked: Turn, ended: Turn) -> Turn:
        """Return a turn as it is marked, and its end token with it where the markers stop before that.

        What the template writes between the two is not learnt; a control token that ends what is marked is its end.
        """
        text, spans = marked.text, marked.spans
        if spans:
            start, end = spans[-1]
            stop = ended.spans[0][1]
            between = ended.text[start + len(text[start:end].rstrip()) : stop]
            token = self._closing(between)
            if stop > end and self.control.fullmatch(between.strip()):
                text, spans = ended.text, [*spans[:-1], (start, stop)]
            elif stop > end and token and not self._closing(text[start:end]):
                text, spans = ended.text, [*spans, (stop - len(token), stop)]
        return Turn(marked.index, text, [(start, end) for start, end in spans if start < end])

    def _ended(self, message: Message, turn: Turn, tail: str) -> Turn:
        """Return the turn with its end: the last control token after its contents, or else the usual one.

        Args:
            message: the turn's.
            turn: all of the text from its start.
            tail: what the template writes after a content.
        """
        text, [(start, _)] = turn.text, turn.spans
        at = max(start, len(text) - len(tail)) if text.endswith(tail) else start
        ends = [found.end() for found in self.control.finditer(text, at)]
        if not ends:
            text = text[: at + len(text[at:].rstrip())] + (self._usual_end(bool(message.get("tool_calls"))) or "")
            return Turn(turn.index, text, [(start, len(text))])
        if len(ends) > 1 and text[ends[-2] : ends[-1]].strip() == self.eos:  # the end of all is not the turn's own
            return Turn(turn.index, text, [(start, ends[-2]), (ends[-2], ends[-1])])
        return Turn(turn.index, text, [(start, ends[-1])])

    def _usual_end(self, calls: bool) -> str | None:
        """Return the control token that ends a turn of one answer, or else opens the next one, or the end of text."""
        if calls not in self._usual_ends:
            probe = PROBE.format("last")
            call = {"type": "function", "function": {"name": probe, "arguments": {}}}
            answer: Message = {"role": "assistant", "content": "" if calls else probe}
            chat = [{"role": "user", "content": "Hi"}, answer | ({"tool_calls": [call]} if calls else {})]
            following = {"role": "tool" if calls else "user", "content": "Hi"}
            try:
                text, longer = self.template.render(chat), self.template.render([*chat, following])
            except FtlabError:
                text = longer = ""
            own = self.control.findall(text, text.rfind(probe) + len(probe))
            after = self.control.match(longer, len(text)) if text and longer.startswith(text) else None
            self._usual_ends[calls] = own[-1] if own else after[0] if after else self.eos
        return self._usual_ends[calls]

    def _spans_in(self, turn: Turn, text: str) -> list[Span]:
        """Return a turn's spans in another text of the chat, none where the text does not hold it as it was."""
        for spans in (turn.spans, self._own(turn)):
            if text.startswith(turn.text[: spans[-1][1]]):
                return spans
        return []

    def _own(self, turn: Turn) -> list[Span]:
        """Return a turn's spans without the end of all text, where that stands right behind the turn's own end."""
        spans = turn.spans
        if len(spans) > 1 and spans[-2][1] == spans[-1][0] and turn.text[slice(*spans[-1])].strip() == self.eos:
            return spans[:-1]
        return spans

    def _closing(self, text: str) -> str | None:
        """Return the control token that ends a text, but for white space."""
        text = text.rstrip()
        return next((found[0] for found in self.control.finditer(text) if found.end() == len(text)), None)


def probe_for(name: str, messages: Sequence[Message], tools: Tools) -> str:
    """Return a probe of this name that no text of the chat holds."""
    held = repr((messages, tools))
    while (probe := PROBE.format(name)) in held:
        name += "x"
    return probe


def _probed(message: Message, probe: str) -> Message:
    """Return a turn whose last text can be found again: the content, or the name of the last call."""
    probed = {**message, "content": probe}
    if calls := message.get("tool_calls"):
        last = {**calls[-1], "function": {**calls[-1]["function"], "name": probe}}
        probed |= {"content": message.get("content"), "tool_calls": [*calls[:-1], last]}
    return probed
