"""Chain: several methods on one model, one after another; a list in YAML means this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, SettingError
from ftlab.methods.base import Method, trainable
from ftlab.methods.peft_format import is_peft

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from torch import Tensor, nn


@dataclass
class Chain(Method):
    """Apply several methods in order: `method: [Freeze, LoRA]`. Each trains parameters of its own."""

    methods: list[Method]
    """The methods, first to last; one that only groups, such as DifferentialLR, stands at the end."""

    def __post_init__(self) -> None:
        """Refuse lists that make no sense, before a model is loaded."""
        names = [type(method).__name__ for method in self.methods]
        if all(method.groups_only for method in self.methods):
            reason = (
                f"[{', '.join(names)}] names no method that trains; add one, such as LoRA, or write it without a list"
            )
            raise SettingError("method", reason)
        order = [method.groups_only for method in self.methods]
        if order != sorted(order):
            late = names[order.index(True)]
            raise SettingError("method", f"{late} groups what the others train; write it at the end of the list")

    @property
    def starts_as_base(self) -> bool:  # type: ignore[override]
        """Whether all of them do."""
        return all(method.starts_as_base for method in self.methods)

    def load_kwargs(self) -> dict[str, Any]:
        """Return what all of them need.

        Raises:
            FtlabError: two need different things.
        """
        joined: dict[str, Any] = {}
        for method in self.methods:
            for key, value in method.load_kwargs().items():
                if key in joined:
                    raise FtlabError(f"method: two of the list set {key} of the base; leave one of them out")
                joined[key] = value
        return joined

    def apply(self, model: nn.Module) -> nn.Module:
        """Apply each in order; what one trains, no later one may train.

        Raises:
            FtlabError: two train one parameter, or two go through the peft library.
        """
        owners: dict[nn.Parameter, int] = {}
        for i, method in enumerate(self.methods):
            if method.groups_only:  # it may freeze some of what the others train
                _set_trainable(model, owners)
                model = method.apply(model)
                owners = {p: owners[p] for p in trainable(model).values()}
                continue
            _set_trainable(model, set(model.parameters()))
            wrapped, model = model, method.apply(model)
            if is_peft(wrapped) and model is not wrapped and is_peft(model):
                raise FtlabError("method: two of the list go through the peft library, which wraps once; keep one")
            for name, parameter in trainable(model).items():
                if parameter in owners:
                    pair = " and ".join(type(self.methods[k]).__name__ for k in (owners[parameter], i))
                    raise FtlabError(f"method: {pair} both train {name}; let one of them leave it out")
                owners[parameter] = i
        _set_trainable(model, owners)
        self.owned = [
            {name for name, p in trainable(model).items() if owners[p] == i} for i in range(len(self.methods))
        ]
        return model

    def initialize(self, model: nn.Module, batches: Iterable[dict[str, Tensor]]) -> None:
        """Let each set its new weights."""
        for method in self.methods:
            method.initialize(model, batches)

    def count(self, base: nn.Module) -> int | None:
        """Return the sum of their counts, None where one gives none or a later one freezes."""
        counts = [method.count(base) for method in self.methods if not method.groups_only]
        return None if None in counts or len(counts) < len(self.methods) else sum(counts)  # type: ignore[arg-type]

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the groups of all; the ones that only group split them further, and their scales multiply."""
        groups: list[dict[str, Any]] = []
        everything = trainable(model)
        for method, own in zip(self.methods, self.owned, strict=True):
            if method.groups_only:
                groups = [joint for group in groups for joint in _split(group, method.param_groups(model))]
            else:
                _set_trainable(model, {everything[name] for name in own})
                name = type(method).__name__
                groups += [{**g, "name": _joined(name, g["name"])} for g in method.param_groups(model)]
                _set_trainable(model, set(everything.values()))
        return groups

    def merge(self, model: nn.Module) -> nn.Module:
        """Fold each in, the last one first.

        Raises:
            FtlabError: one of them cannot be folded in.
        """
        for method in reversed(self.methods):
            model = method.merge(model)
        return model

    def exact(self) -> Method:
        """Return the chain of their exact ones."""
        return Chain([method.exact() for method in self.methods])


def _set_trainable(model: nn.Module, wanted: Container[nn.Parameter]) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in wanted and parameter.is_floating_point())


def _joined(method: str, group: str) -> str:
    return method if group == "trainable" else f"{method}/{group}"


def _split(group: dict[str, Any], finer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts of a group that fall into each of the finer groups."""
    parts = []
    for other in finer:
        ids = {id(p) for p in other["params"]}
        if params := [p for p in group["params"] if id(p) in ids]:
            scale = group.get("lr_scale", 1.0) * other.get("lr_scale", 1.0)
            parts.append({**group, "name": f"{group['name']}/{other['name']}", "params": params, "lr_scale": scale})
    return parts
