"""Likelihood: how probable a model finds the last turns of chats. It knows no grader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from ftlab.data.chat import Chat
    from ftlab.data.rows import Message, Row

#: Logits that a batch may have, so that a large vocabulary does not fill the memory: 1 GiB of them.
MOST_LOGITS = 2**28


@dataclass(frozen=True)
class Likelihood:
    """The natural logarithm of the probability of a turn's tokens, its end token included."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Per token."""
        return self.total / self.tokens


def likelihoods(
    model: Any, chat: Chat, asked: Sequence[tuple[Row, Message]], batch_size: int, title: str
) -> list[Likelihood]:
    """Return how probable the model finds each closing turn after its row's prompt.

    Args:
        model: a causal language model of transformers (or peft's), on its device.
        chat: the model's chat rendering.
        asked: rows, and for each an assistant's turn.
        batch_size: turns looked at together, at most.
        title: what the progress bar says.

    Raises:
        FtlabError: the template refuses a chat, or has no token of the turn; with file and line.
    """
    import torch
    from tqdm import tqdm

    from ftlab.exam.generation import evaluation_mode

    encoded = [_encode(chat, row, turn) for row, turn in asked]
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i][0]))
    found = [Likelihood(0.0, 0)] * len(encoded)
    width = model.get_output_embeddings().weight.shape[0]
    bar = tqdm(total=len(order), desc=title, unit=" texts", delay=2, leave=False)
    with evaluation_mode(model), torch.inference_mode():
        while order:
            size = max(1, min(batch_size, MOST_LOGITS // (width * len(encoded[order[0]][0]))))
            batch, order = order[:size], order[size:]
            for i, likelihood in zip(batch, _of_batch(model, chat, [encoded[i] for i in batch]), strict=True):
                found[i] = likelihood
            bar.update(len(batch))
    bar.close()
    return found


def _encode(chat: Chat, row: Row, turn: Message) -> tuple[Any, Any]:
    """Return token ids, and where they are the turn's."""
    from ftlab.data.chat import Learn

    plain = {key: value for key, value in turn.items() if key not in ("train", "weight")}
    try:
        [examples] = chat.encode([[*row.prompt, plain]], [row.tools], Learn(on="last_assistant"))
    except FtlabError as error:
        raise FtlabError(f"{row.place}: {error}") from error
    [example] = examples
    if not example.supervised:
        raise FtlabError(f"{row.place}: the chat template leaves nothing of the last turn; choose another template")
    return example.ids, example.mask


def _of_batch(model: Any, chat: Chat, encoded: list[tuple[Any, Any]]) -> list[Likelihood]:
    import torch
    from torch.nn import functional

    longest = len(encoded[0][0])
    ids = torch.full((len(encoded), longest), chat.pad_id)
    attention, counts = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for i, (own, mask) in enumerate(encoded):
        ids[i, : len(own)], attention[i, : len(own)] = torch.as_tensor(own), 1
        counts[i, : len(own)] = torch.as_tensor(mask)
    output = model(input_ids=ids.to(model.device), attention_mask=attention.to(model.device), use_cache=False)
    logits = output.logits[:, -longest:-1]  # virtual tokens come before
    found = []
    for i in range(len(encoded)):
        here = counts[i, 1:].to(logits.device)
        targets = ids[i, 1:].to(logits.device)[here]
        loss = functional.cross_entropy(logits[i][here].float(), targets, reduction="sum")
        found.append(Likelihood(-float(loss), len(targets)))
    return found
