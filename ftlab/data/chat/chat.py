"""Chat: the only place that turns messages into token ids and their weights. It knows nothing of batches.

Training, exam and export all call it, so what a model is trained on and what it is asked cannot differ.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from ftlab.data.chat.control import ControlTokens
from ftlab.data.chat.learn import Learn
from ftlab.data.chat.rendering import Message, Template, Tools
from ftlab.data.chat.skeleton import Shape, Skeleton, parts_by, shape_of, skeleton_of
from ftlab.data.chat.thoughts import thoughts
from ftlab.data.chat.tokens import Marked, encode_all
from ftlab.data.chat.turns import Part, Turns
from ftlab.data.examples import Encoded
from ftlab.errors import FtlabError

Messages = Sequence[Message]

_DOCUMENT = "document"


class Chat:
    """Renders chats through a tokenizer's own template.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        name: what error messages call the model.
        now: the date for templates that print one; the same for all chats. None is now.

    Raises:
        FtlabError: the tokenizer is slow (it cannot tell offsets) or has no template.
    """

    def __init__(self, tokenizer: Any, name: str = "the model", now: datetime.datetime | None = None) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise FtlabError(f"{name}: its tokenizer has no fast version; choose a model with a tokenizer.json")
        source = tokenizer.chat_template
        if isinstance(source, dict):
            if "default" not in source:
                raise FtlabError(
                    f"{name}: its tokenizer has no chat template named `default` ({', '.join(source)}); "
                    "give the one that you mean this name"
                )
            source = source["default"]
        if not isinstance(source, str):
            raise FtlabError(f"{name}: its tokenizer has no chat template; choose the instruct version of the model")
        self.tokenizer = tokenizer
        self.name = name
        self.template = Template(source, tokenizer.special_tokens_map, now or datetime.datetime.now())
        self.control = ControlTokens(tokenizer)
        self._turns = Turns(self.template, self.control.pattern, tokenizer.eos_token)
        self._skeletons: dict[Shape, Skeleton] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as what it is made of, the date with it."""
        return type(self), (self.tokenizer, self.name, self.template.now)

    def prompt(self, messages: Messages, tools: Tools = None) -> list[int]:
        """Return the ids of a conversation up to where the assistant's next turn begins.

        Args:
            messages: the turns so far, or the beginning of a text as the one message of the role `document`.
            tools: schemas of the functions that the assistant may call.

        Raises:
            FtlabError: the template refuses the conversation.
        """
        literal = self.control.occur_in(messages, tools)
        if literal:
            messages, tools, mark = self.control.break_up(messages, tools)
        document = bool(messages) and messages[0]["role"] == _DOCUMENT
        text = messages[0]["content"] if document else self.template.render(messages, tools, prompt=True)
        [encoded] = self._tokenize([Marked(self.control.for_twin(text, mark) if literal else text, [])], literal)
        return [*(self._beginning if document else []), *encoded.ids.tolist()]

    def encode(
        self, chats: Sequence[Messages], tools: Sequence[Tools] | None = None, learn: Learn | None = None
    ) -> list[list[Encoded]]:
        """Return ids and weights of whole conversations, as training sees them.

        Args:
            chats: conversations, or single messages of the role `document`: texts that no template touches.
            tools: of each chat the schemas of the functions that the assistant may call.
            learn: what counts.

        Returns:
            Of each chat one example; several where the template rewrites earlier turns once others follow.

        Raises:
            FtlabError: the template refuses a chat, leaves a turn out, or no text is surely the assistant's.
        """
        learn = learn or Learn()
        given = tools or [None] * len(chats)
        literal = [self.control.occur_in(messages, own) for messages, own in zip(chats, given, strict=True)]
        foretold = [
            [] if own or control else self._skeleton(messages)
            for messages, own, control in zip(chats, given, literal, strict=True)
        ]
        rendered = iter(
            self.template.render_all(
                [messages[: known.size] for messages, parts in zip(chats, foretold, strict=True) for known in parts]
            )
        )
        batches: dict[bool, list[Marked]] = {False: [], True: []}
        places = []
        for messages, own, skeleton, control in zip(chats, given, foretold, literal, strict=True):
            if control:
                marked = self._literal(messages, own, learn)
            else:
                foretold_parts = parts_by(skeleton, messages, [next(rendered) for _ in skeleton])
                marked = self._marked(messages, own, learn, foretold_parts)
            places.append((control, len(batches[control]), len(marked)))
            batches[control] += marked
        encoded = {control: self._tokenize(batch, control) for control, batch in batches.items()}
        return [
            [self._closed(example, messages) for example in encoded[control][at : at + count]]
            for messages, (control, at, count) in zip(chats, places, strict=True)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def end_token(self) -> str | None:
        """The control token that the template writes after an answer, which need not be the tokenizer's own."""
        return self._end_tokens[0] if self._end_tokens else self.tokenizer.eos_token

    @property
    def end_ids(self) -> list[int]:
        """Ids that end an answer: the template's end of a turn, and the tokenizer's end of text."""
        ends = {token for token in (*self._end_tokens, self.tokenizer.eos_token) if token}
        return sorted(int(self.tokenizer.convert_tokens_to_ids(token)) for token in ends)  # type: ignore[arg-type]

    @property
    def pad_id(self) -> int:
        """Id that fills a batch; it is never looked at, so any id serves where the tokenizer names none."""
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that token ids and weights depend on."""
        today = self.template.now.date().isoformat() if self.template.dated else None
        parts = (self._backend().to_str(), self.template.source, self.tokenizer.special_tokens_map, today)
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def _skeleton(self, messages: Messages) -> Skeleton:
        """Return what is known of chats like this one, empty where it must be looked at by itself."""
        shape = shape_of(messages)
        if shape is None or shape[0][0] == _DOCUMENT:
            return []
        if shape not in self._skeletons:
            self._skeletons[shape] = skeleton_of(self._turns, shape)
        return self._skeletons[shape]

    def _literal(self, messages: Messages, tools: Tools, learn: Learn) -> list[Marked]:
        """Return the texts, for the tokenizer's twin, of a chat whose contents hold control tokens."""
        messages, tools, mark = self.control.break_up(messages, tools)
        texts = self._marked(messages, tools, learn, [])
        return [text.rewritten(lambda part: self.control.for_twin(part, mark)) for text in texts]

    def _marked(self, messages: Messages, tools: Tools, learn: Learn, parts: list[Part]) -> list[Marked]:
        """Return the texts of a chat with what counts in them."""
        if messages[0]["role"] == _DOCUMENT:
            return [Marked(messages[0]["content"], [], rest=1.0)]
        return self._weighed(messages, tools, learn, parts or self._parts(messages, tools))

    def _parts(self, messages: Messages, tools: Tools) -> list[Part]:
        parts = self._turns.parts(messages, tools)
        lost = self._turns.left_out(messages, tools)
        if lost is not None:
            raise FtlabError(
                f"the chat template leaves out turn {lost + 1}, of the role {messages[lost]['role']}; "
                "take it out of the chat, or choose another template"
            )
        return parts

    def _weighed(self, messages: Messages, tools: Tools, learn: Learn, parts: list[Part]) -> list[Marked]:
        weights = learn.weights(messages)
        if learn.on == "all":
            parts = [self._whole(messages, tools, weights, parts)]
        marked = [
            Marked(
                part.text,
                [(start, end, weights[i]) for i, start, end in part.spans],
                [] if learn.reasoning else thoughts(self.template, messages, tools, part),
                float(learn.on == "all"),
            )
            for part in parts
        ]
        # A part was made for its turns' sake; without them there is nothing to learn from it.
        return [text for text in marked if text.rest or any(weight for *_, weight in text.spans)] or marked[:1]

    def _whole(self, messages: Messages, tools: Tools, weights: dict[int, float], parts: list[Part]) -> Part:
        """Return the part that holds the whole chat: who learns every token learns it as it is rendered."""
        whole = parts[0]
        if whole.size != len(messages):
            whole = Part(len(messages), self.template.render(messages, tools), [])
        here = {i for i, *_ in whole.spans}
        for i, weight in weights.items():
            if i not in here and weight != 1:
                raise FtlabError(
                    f"the chat template rewrites turn {i + 1} once others follow, so its weight {weight:g} cannot be "
                    "given to it where every token is learnt; learn the assistant's turns alone"
                )
        return whole

    def _closed(self, example: Encoded, messages: Messages) -> Encoded:
        """Return a text alone with what its tokenizer begins texts with, and an end; a chat as it is."""
        if messages[0]["role"] != _DOCUMENT:
            return example
        end = [self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else []
        ids = np.concatenate([self._beginning, example.ids, end]).astype(np.int32)
        return Encoded(ids, np.ones(len(ids), dtype=np.float32))

    @cached_property
    def _beginning(self) -> list[int]:
        """Ids that the tokenizer itself writes before a text."""
        backend = self._backend()
        bare, full = (backend.encode("x", add_special_tokens=special).ids for special in (False, True))
        return next((full[:i] for i in range(len(full)) if full[i : i + len(bare)] == bare), [])

    @cached_property
    def _end_tokens(self) -> list[str]:
        return self._turns.ends()

    def _tokenize(self, texts: list[Marked], literal: bool) -> list[Encoded]:
        return encode_all(self.control.twin if literal else self._backend(), texts) if texts else []

    def _backend(self) -> Any:
        """Return the tokenizer itself, without what an earlier use of it may have left on."""
        backend = self.tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = False
        return backend
