"""Chain: several methods on one model, one after another; a list in YAML means this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, SettingError
from ftlab.methods.anatomy import base_name
from ftlab.methods.base import Method, trainable
from ftlab.methods.peft_format import is_peft

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from torch import Tensor, nn


@dataclass
class Chain(Method):
    """Apply several methods in order: `method: [Freeze, LoRA]`. Each trains parameters of its own."""

    methods: list[Method]
    """The methods, first to last; one that only groups, such as DifferentialLR, stands at the end."""

    def __post_init__(self) -> None:
        """Refuse lists that make no sense, before a model is loaded."""
        names = [method.title for method in self.methods]
        if all(method.groups_only for method in self.methods):
            reason = (
                f"[{', '.join(names)}] names no method that trains; add one, such as LoRA, or write it without a list"
            )
            raise SettingError("method", reason)
        order = [method.groups_only for method in self.methods]
        if order != sorted(order):
            late = names[order.index(True)]
            raise SettingError("method", f"{late} groups what the others train; write it at the end of the list")
        self._trains = [method for method in self.methods if not method.groups_only]
        for method in self.methods:
            if method.own_files and any(other is not method for other in self._trains):
                raise SettingError("method", f"{method.title} has files of its own, which no list holds; use it alone")

    @property
    def title(self) -> str:
        """What to call it: `Freeze + LoRA`."""
        return " + ".join(method.title for method in self.methods)

    @property
    def starts_as_base(self) -> bool:  # type: ignore[override]
        """Whether all of them do."""
        return all(method.starts_as_base for method in self.methods)

    def why_not_packed(self) -> str | None:
        """Return the first reason of one of them."""
        reasons = ((method.title, method.why_not_packed()) for method in self.methods)
        return next((f"{title}: {reason}" for title, reason in reasons if reason), None)

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
            FtlabError: two train one parameter or its copy, or two go through the peft library.
            ValueError: the settings of one do not fit this model.
        """
        owners: dict[nn.Parameter, int] = {}
        for i, method in enumerate(self.methods):
            if method.groups_only:  # it may freeze some of what the others train
                _set_trainable(model, owners)
                model = _named(method, method.regroup, model)
                owners = {p: owners[p] for p in trainable(model).values()}
                continue
            _set_trainable(model, set(model.parameters()))
            wrapped, model = model, _named(method, method.apply, model)
            if is_peft(wrapped) and model is not wrapped and is_peft(model):
                raise FtlabError("method: two of the list go through the peft library, which wraps once; keep one")
            taken = {base_name(name): owners[p] for name, p in model.named_parameters() if p in owners}
            for name, parameter in trainable(model).items():
                if (other := taken.get(base_name(name))) is not None:  # by name, for peft may train a copy
                    pair = f"{self.methods[other].title} and {method.title}"
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
        counts = [method.count(base) for method in self._trains]
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
                groups += [{**g, "name": _joined(method.title, g["name"])} for g in method.param_groups(model)]
                _set_trainable(model, set(everything.values()))
        return groups

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write the trained weights: as the one that trains does it, or for several as every method may."""
        if len(self._trains) == 1:
            self._trains[0].save(model, folder)
        else:
            super().save(model, folder)

    def load(self, model: nn.Module, folder: Path) -> None:
        """Read weights that `save` wrote.

        Raises:
            FtlabError: the folder's tensors are not this model's.
        """
        if len(self._trains) == 1:
            self._trains[0].load(model, folder)
        else:
            super().load(model, folder)

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


def _named(method: Method, change: Callable[[nn.Module], nn.Module], model: nn.Module) -> nn.Module:
    """Return the changed model, or say which of the list does not fit it."""
    try:
        return change(model)
    except ValueError as error:
        raise ValueError(f"{method.title}: {str(error).strip()}") from error


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
