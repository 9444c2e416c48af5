"""Thoughts: where in the text of the assistant's turns it reasons. They know nothing of tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ftlab.data.chat.learn import END_THINK, THINK
from ftlab.data.chat.rendering import Message, Span, Template, Tools
from ftlab.data.chat.turns import Part, probe_for
from ftlab.errors import FtlabError

_THOUGHT = re.compile(rf"{THINK}.*?(?:{END_THINK}|\Z)", re.DOTALL)


def thoughts(template: Template, messages: Sequence[Message], tools: Tools, part: Part) -> list[Span]:
    """Return the spans of reasoning in what is learnt of a part.

    A thought in `<think>...</think>` goes with its tags, also where the prompt has opened it. Where a template writes
    `reasoning_content` by other means, the text alone is the thought.
    """
    holes = []
    for i, start, end in part.spans:
        own = part.text[start:end]
        if part.text[:start].rstrip().endswith(THINK):
            holes.append((start, start + _after(own, END_THINK)))
        found = [(start + match.start(), start + match.end()) for match in _THOUGHT.finditer(own)]
        holes += found
        reasoning = (messages[i].get("reasoning_content") or "").strip()
        if reasoning and not any(reasoning in part.text[begin:stop] for begin, stop in holes) and reasoning in own:
            at = _where(template, messages[: i + 1], tools, part.text, reasoning)
            holes.append((at, at + len(reasoning)))
    return holes


def _after(text: str, tag: str) -> int:
    at = text.find(tag)
    return len(text) if at < 0 else at + len(tag)


def _where(template: Template, messages: Sequence[Message], tools: Tools, text: str, reasoning: str) -> int:
    """Return where the last turn's reasoning stands: where a probe in its place does."""
    *history, turn = messages
    probe = probe_for("thought", messages, tools)
    at = template.render([*history, {**turn, "reasoning_content": probe}], tools).find(probe)
    if at < 0 or text[at : at + len(reasoning)] != reasoning:
        raise FtlabError(
            f"the reasoning of turn {len(messages)} cannot be told from the rest of it; learn it too, or take it out"
        )
    return at
