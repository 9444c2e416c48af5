"""Groups: a method's parameter groups, checked to be a partition of what it trains. It knows no optimizer."""

from __future__ import annotations

from typing import Any

from ftlab.errors import FtlabError
from ftlab.methods.base import Method, trainable


def checked_groups(method: Method, model: Any) -> list[dict[str, Any]]:
    """Return the optimizer's groups of a model that the method was applied to.

    Raises:
        FtlabError: they are not a partition of the trainable parameters.
    """
    groups = method.param_groups(model)
    grouped = [id(p) for group in groups for p in group["params"]]
    expected = {id(p) for p in trainable(model).values()}
    if not expected:
        raise FtlabError(f"method: {method.title} trains no parameter; its apply must leave some trainable")
    if len(grouped) != len(set(grouped)) or set(grouped) != expected:
        raise FtlabError(
            f"method: {method.title} groups {len(grouped)} tensors where {len(expected)} are "
            "trainable; every trainable parameter must be in one group"
        )
    return groups


def embedding_ids(model: Any) -> set[int]:
    """Return the ids of the parameters of a model's input and output embeddings."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    return {id(p) for end in ends if end is not None for p in end.parameters()}
