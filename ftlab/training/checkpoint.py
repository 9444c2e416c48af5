"""Checkpoint: what ftlab keeps in one of Lightning's beside the optimizer, and what it refuses to resume from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ftlab.errors import FtlabError
from ftlab.methods.base import trainable
from ftlab.training.identity import Identity
from ftlab.training.random_state import random_state

#: Where a checkpoint holds the identity of the base.
IDENTITY_KEY = "ftlab_identity"
#: Where it holds the state of the random generators, without which a resumed run would draw another dropout.
RANDOM_KEY = "ftlab_random_state"


def fill_checkpoint(checkpoint: dict[str, Any], model: Any, identity: Identity) -> None:
    """Put in the trained weights in place of all, the base's identity, and the random state."""
    checkpoint[IDENTITY_KEY] = asdict(identity)
    checkpoint[RANDOM_KEY] = random_state()
    checkpoint["state_dict"] = {f"model.{name}": p.detach() for name, p in trainable(model).items()}


def check_checkpoint(checkpoint: dict[str, Any], model: Any, identity: Identity, method: str) -> None:
    """Refuse a checkpoint that does not belong to this base, method and shape.

    Raises:
        RefusedError: it was trained on another base, tokenizer or template.
        FtlabError: its tensors are not the trainable ones, or it is not one of ftlab's.
    """
    if IDENTITY_KEY not in checkpoint:
        raise FtlabError("--ckpt_path: does not say what base it belongs to; give a last.ckpt that ftlab wrote")
    Identity.parse(checkpoint[IDENTITY_KEY], "--ckpt_path").require(identity, "--ckpt_path")
    expected = {f"model.{name}": p.shape for name, p in trainable(model).items()}
    found = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
    if wrong := [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]:
        raise FtlabError(
            f"--ckpt_path: {len(wrong)} of its tensors differ from what {method} trains here "
            f"(first: {min(wrong)}); resume with the method and settings of that run"
        )
