"""Sample: the examples that a regularizer looks at before the first step. It knows no model."""

from __future__ import annotations

import numpy as np
import torch

from ftlab.data.chat import Chat
from ftlab.data.encoding import sort_out
from ftlab.data.loader import collate
from ftlab.data.module import ChatData
from ftlab.data.sources import read_rows
from ftlab.errors import FtlabError
from ftlab.training.regularizers.base import Regularizer


def sample(regularizer: Regularizer, data: ChatData, chat: Chat) -> list[dict[str, torch.Tensor]]:
    """Return batches of one example each, drawn without replacement and always the same ones.

    Args:
        regularizer: says how many, and from where.
        data: the run's, loaded; a source of the regularizer's own is encoded as it is.
        chat: the model's chat rendering.

    Raises:
        FtlabError: the source cannot be read, or a row of it cannot be learnt.
    """
    if not regularizer.examples:
        return []
    if regularizer.source is None:
        examples = data.examples["train"]
    else:
        rows = read_rows(regularizer.source)
        encoding = data.encoding(rows, chat, "regularizer.source")
        examples, unfit = sort_out(encoding.examples, rows, data.max_length)
        if (refused := encoding.refused(rows)) or not len(examples):
            raise FtlabError(f"regularizer.source: {[*refused, *unfit][0]}")
    chosen = np.random.default_rng(0).permutation(len(examples))[: regularizer.examples]
    return [collate([[examples[i]]], chat.pad_id, examples[i].supervised) for i in chosen.tolist()]
