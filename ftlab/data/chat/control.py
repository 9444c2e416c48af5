"""Control tokens: those of the template are ids of their own, the same letters written by a user are only text.

It knows nothing of turns and masks.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from ftlab.data.chat.learn import END_THINK, THINK
from ftlab.data.chat.rendering import Message, Tools
from ftlab.errors import FtlabError

_KEEP = {"role", "type"}
_PLAIN = ("role", "content")
_THOUGHT = re.compile(rf"\s*{THINK}.*?{END_THINK}", re.DOTALL)


class ControlTokens:
    """A tokenizer's special tokens, and how to write them so that they are only text.

    Args:
        tokenizer: a fast tokenizer; tokens that it adds with `special=False`, such as many a `<think>`, are no control
            tokens: their author wants them read in any text.
    """

    def __init__(self, tokenizer: Any) -> None:
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.tokens = sorted((added | set(tokenizer.all_special_tokens)) - {""}, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, self.tokens)) or "(?!)")
        self._tokenizer = tokenizer

    def occur_in(self, messages: Sequence[Message], tools: Tools = None) -> bool:
        """Return whether any text of a chat holds a control token's letters."""
        search = self.pattern.search
        for message in messages:
            content = message.get("content")
            if isinstance(content, str) and search(content):
                return True
            if len(message) > len(_PLAIN) and any(search(text) for text in _texts(message)):
                return True
        return bool(tools) and any(search(text) for text in _texts(tools))

    def break_up(self, messages: Sequence[Message], tools: Tools = None) -> tuple[list[Message], Tools, str]:
        """Return a chat whose control tokens are broken by a mark, and the mark, of which the chat holds none.

        A thought that opens the assistant's content keeps its tags: these are the data's, as the template's are.
        """
        held = [*(text for message in messages for text in _texts(message)), *_texts(tools)]
        mark = "ftlabmark"
        while any(mark in text for text in held):
            mark = f"ftlabmark{secrets.token_hex(8)}"

        def broken(value: Any) -> Any:
            if isinstance(value, str):
                while self.pattern.search(value):  # breaking one may leave another that overlapped it
                    value = self.pattern.sub(lambda found: found[0][:1] + mark + found[0][1:], value)
                return value
            if isinstance(value, dict):
                return {broken(key): item if key in _KEEP else broken(item) for key, item in value.items()}
            return [broken(item) for item in value] if isinstance(value, list) else value

        chat = [broken(message) for message in messages]
        for message, original in zip(chat, messages, strict=True):
            content = original.get("content")
            if message["role"] == "assistant" and isinstance(content, str) and (thought := _THOUGHT.match(content)):
                opening, _, inner = thought[0][: -len(END_THINK)].partition(THINK)
                rest = content[thought.end() :]
                message["content"] = opening + THINK + broken(inner) + END_THINK + broken(rest)
        return chat, broken(tools), mark

    def for_twin(self, text: str, mark: str) -> str:
        """Return a rendered text for the twin: the template's control tokens by secret names, the marks gone."""
        return self.pattern.sub(lambda found: self._twin[1][found[0]], text).replace(mark, "")

    @property
    def twin(self) -> Tokenizer:
        """The tokenizer with secret names for its control tokens: to it their public names are any other text."""
        return self._twin[0]

    @cached_property
    def _twin(self) -> tuple[Tokenizer, dict[str, str]]:
        # No text can hold a name that was drawn after it was written; plain letters would be split by no normalizer.
        secret = secrets.token_hex(16)
        names = {token: f"\ue000{secret}{i}\ue000" for i, token in enumerate(self.tokens)}
        backend = self._tokenizer.backend_tokenizer
        state = json.loads(backend.to_str())
        for token in state["added_tokens"]:
            if token["content"] in names:
                token["content"] = names[token["content"]]
        model = state["model"]
        vocab = model.get("vocab")
        if isinstance(vocab, dict):
            model["vocab"] = {names.get(token, token): i for token, i in vocab.items()}
        elif vocab:
            model["vocab"] = [[names.get(token, token), score] for token, score in vocab]
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        state |= {"post_processor": None, "truncation": None, "padding": None}
        try:
            twin = Tokenizer.from_str(json.dumps(state))
            same = all(twin.token_to_id(name) == backend.token_to_id(token) for token, name in names.items())
        except Exception:  # tokenizers raises bare exceptions
            same = False
        if not same:
            raise FtlabError(
                "a text holds one of the tokenizer's control tokens, which this tokenizer cannot read as plain text; "
                "take it out of the text"
            )
        return twin, names


def _texts(value: Any) -> list[str]:
    """Return all texts inside a message or a list of tools, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [
            text
            for key, item in value.items()
            if key not in _KEEP
            for text in ([key, *_texts(item)] if isinstance(item, str | dict | list) else [key])
        ]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []
