"""Chat: the only place that turns messages into token ids and a supervised mask. It knows nothing of batches.

Training, exam and export all call it, so what a model is trained on and what it is asked cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from ftlab.errors import FtlabError

Messages = list[dict[str, str]]
Span = tuple[int, int]

_GENERATION_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Encoded:
    """A chat as the model sees it."""

    ids: np.ndarray
    """Token ids, int32, shape (length,)."""
    mask: np.ndarray
    """True where the token is learnt from: the assistant's turns and their end tokens. bool, shape (length,)."""


class Chat:
    """Renders chats through a tokenizer's own template.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        name: what error messages call the model.

    Raises:
        FtlabError: the tokenizer is slow (it cannot tell offsets) or has no template.
    """

    def __init__(self, tokenizer: Any, name: str = "the model") -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise FtlabError(f"{name}: its tokenizer has no fast version; choose a model with a tokenizer.json")
        if not isinstance(tokenizer.chat_template, str):
            raise FtlabError(f"{name}: its tokenizer has no chat template; choose the instruct version of the model")
        self.tokenizer = tokenizer
        self.end_token = self._find_end_token()
        self.has_markers = bool(_GENERATION_MARKER.search(tokenizer.chat_template))

    def prompt(self, messages: Messages) -> list[int]:
        """Return the ids of a conversation up to where the assistant's next turn begins."""
        return self._tokenize([self._render(messages, add_generation_prompt=True)], [[]])[0].ids.tolist()

    def encode(self, chats: Sequence[Messages]) -> list[Encoded]:
        """Return ids and supervised masks of whole conversations, as training sees them.

        Args:
            chats: conversations; one without an assistant turn gets an all-False mask.

        Raises:
            FtlabError: the template rewrites earlier turns, so no span of the text is surely the assistant's, or
                it refuses the chat.
        """
        if self.has_markers:
            texts, spans = self._render_with_markers(chats)
        else:
            texts = [self._render(messages) for messages in chats]
            spans = [self._spans_by_prefix(messages, text) for messages, text in zip(chats, texts, strict=True)]
        return self._tokenize(texts, spans)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @property
    def end_ids(self) -> list[int]:
        """Ids that end an answer: the template's end of a turn, and the tokenizer's end of text."""
        ends = {token for token in (self.end_token, self.tokenizer.eos_token) if token}
        return sorted(int(self.tokenizer.convert_tokens_to_ids(token)) for token in ends)  # type: ignore[arg-type]

    @property
    def pad_id(self) -> int:
        """Id that fills a batch; it is never looked at, so any id serves where the tokenizer names none."""
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad

    def _render(self, messages: Messages, **options: Any) -> str:
        return self._apply([messages], **options)[0][0]

    def _apply(self, chats: Sequence[Messages], **options: Any) -> tuple[list[str], list[list[Span]]]:
        """Render through transformers' own template engine; with it come the spans of `{% generation %}`."""
        try:
            render: Any = render_jinja_template  # its annotations know neither the pair it returns nor these options
            return render(
                conversations=list(chats),
                chat_template=self.tokenizer.chat_template,
                **options,
                **self.tokenizer.special_tokens_map,
            )
        except Exception as error:  # whatever a template raises is its verdict on the chat
            raise FtlabError(
                f"the chat template refuses this chat ({error}); change the chat or the template"
            ) from error

    def _render_with_markers(self, chats: Sequence[Messages]) -> tuple[list[str], list[list[Span]]]:
        texts, spans = self._apply(chats, return_assistant_tokens_mask=True)
        return texts, [[(start, end) for start, end in chat_spans] for chat_spans in spans]

    def _spans_by_prefix(self, messages: Messages, text: str) -> list[Span]:
        """Find each assistant turn as what the rendering with it adds to the rendering before it."""
        spans = []
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._render(messages[:i], add_generation_prompt=True)
            after = self._render(messages[: i + 1])
            if not (after.startswith(before) and text.startswith(after)):
                raise FtlabError(
                    f"the chat template rewrites turn {i + 1} when later turns follow, so its tokens cannot be told; "
                    "end the chat there, or use a template with {% generation %} markers"
                )
            spans.append((len(before), self._end_of_turn(after, len(before))))
        return spans

    def _find_end_token(self) -> str | None:
        """Return the special token that the template writes after an answer, which need not be the tokenizer's own."""
        answer = "ftlab-answer"
        try:
            text = self._render([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}])
        except FtlabError:  # a template that wants other chats than this one
            return self.tokenizer.eos_token
        tail = text.rpartition(answer)[2]
        special = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        places = {token: tail.find(token) for token in special | set(self.tokenizer.all_special_tokens)}
        found = [token for token, place in places.items() if place >= 0]
        return min(found, key=places.__getitem__) if found else self.tokenizer.eos_token

    def _end_of_turn(self, text: str, start: int) -> int:
        """Return where the turn that starts at `start` ends: after its end token, before the template's white space."""
        last = text.rfind(self.end_token, start) if self.end_token else -1
        return len(text) if last < 0 else last + len(self.end_token or "")

    def _tokenize(self, texts: list[str], spans: list[list[Span]]) -> list[Encoded]:
        # The template writes the beginning token itself; the tokenizer must not add a second one.
        batch = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        encoded = []
        for text, chat_spans, ids, offsets in zip(
            texts, spans, batch["input_ids"], batch["offset_mapping"], strict=True
        ):
            starts, ends = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
            mask = np.zeros(len(ids), dtype=bool)
            straddled = False
            for begin, end in chat_spans:
                mask |= (starts >= begin) & (starts < end)
                straddled |= bool(np.any((starts < begin) & (ends > begin)) or np.any((starts < end) & (ends > end)))
                # Some tokenizers leave a leading space out of a token's offsets, which hides such a merge.
                straddled |= begin > 0 and not np.any((starts < begin) & (ends == begin))
            if straddled:
                encoded.append(self._tokenize_pieces(text, chat_spans))
            else:
                encoded.append(Encoded(np.array(ids, dtype=np.int32), mask))
        return encoded

    def _tokenize_pieces(self, text: str, spans: list[Span]) -> Encoded:
        """Tokenize a text cut at its spans, where a merge of the tokenizer would reach over a boundary.

        At exam time the prompt ends at the boundary, so the model must have been trained on just that cut.
        """
        ids: list[int] = []
        mask: list[bool] = []
        cuts = [0, *(cut for span in spans for cut in span), len(text)]
        for i, (begin, end) in enumerate(pairwise(cuts)):
            piece = self.tokenizer(text[begin:end], add_special_tokens=False)["input_ids"]
            ids += piece
            mask += [i % 2 == 1] * len(piece)
        return Encoded(np.array(ids, dtype=np.int32), np.array(mask, dtype=bool))
