"""LoRA: low-rank updates beside frozen linear layers, through the peft library. It knows no optimizer and no files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ftlab.errors import FtlabError, SettingError, require
from ftlab.methods.anatomy import blocks, called, ends_with, linear_layers, untie_touched
from ftlab.methods.base import Method, trainable
from ftlab.methods.peft_format import wrap

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Starts that come from a decomposition, which has no more components than the layer's smaller side.
DECOMPOSED = ("pissa", "olora", "eva", "loftq")

#: Batches that EVA decomposes, and passes over them in which its components must have settled.
EVA_BATCHES, EVA_PASSES = 256, 1024


@dataclass
class LoRA(Method):
    """Train low-rank updates of linear layers; the base stays frozen.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021, arXiv:2106.09685.
    """

    r: int = 8
    """Rank of each update. Higher learns more, takes more memory, and overfits small data sooner."""
    alpha: float = 16.0
    """The update is scaled by alpha / r. Twice the rank is usual; higher acts like a higher learning rate."""
    dropout: float = 0.0
    """Share of an update's inputs that is zeroed while training, against overfitting."""
    target_modules: list[str] | str = "all-linear"
    """Names of the layers that get an update, or one regular expression for whole names; `all-linear` means every
    linear layer but the head."""
    layers: list[int] | None = None
    """Blocks that get updates, counted from 0 at the bottom; null means all. Fewer train faster and learn less."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Biases trained beside the updates: none, all of the base, or those of the layers with an update. They change the
    base itself, so switching the adapter off no longer gives the base's answers."""
    dora: bool = False
    """Learn the length of each weight row apart from its direction: DoRA (Liu et al., 2024, arXiv:2402.09353). Often
    better at low ranks; each step takes longer."""
    rslora: bool = False
    """Scale by alpha / sqrt(r): rsLoRA (Kalajdzievski, 2023, arXiv:2312.03732). Keeps high ranks learning as fast as
    low ones; the same alpha then means a larger step."""
    init: Literal["default", "gaussian", "orthogonal", "pissa", "olora", "eva", "loftq"] = "default"
    """Start of the updates. `default` and `gaussian`: A random, B zero. `orthogonal`: both random, their product zero;
    the rank must be even. `pissa` (Meng et al., 2024, arXiv:2404.02948) and `olora` (Büyükakyüz, 2024,
    arXiv:2406.01775) train the largest part of each weight and freeze the rest: they learn faster, want a lower rate,
    and their adapter fits only a base that peft splits again when it opens the folder; for other tools, merge. `eva`
    (Paischer et al., 2024, arXiv:2410.07170): A from the layers' inputs on the training data; takes some batches before
    the first step. `loftq` (Li et al., 2023, arXiv:2310.08659), QLoRA only: makes up for the quantization."""
    lora_plus_ratio: float | None = None
    """Learning rate of B over that of A and all else: LoRA+ (Hayou et al., 2024, arXiv:2402.12354). The paper advises
    about 16, with a lower rate for A; null trains both alike."""
    modules_to_save: list[str] | None = None
    """Names of modules that are trained whole and kept in the adapter, such as `lm_head`; costs their full size."""
    rank_pattern: dict[str, int] = field(default_factory=dict)
    """Ranks of some layers, by the end of their name or a regular expression for it: `{down_proj: 16}`."""
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    """Alphas of some layers, likewise."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.r >= 1, "method.r", self.r, "1 or more")
        require(self.alpha > 0, "method.alpha", self.alpha, "above 0")
        require(0 <= self.dropout < 1, "method.dropout", self.dropout, "between 0 and 1")
        ratio = self.lora_plus_ratio
        require(ratio is None or ratio > 0, "method.lora_plus_ratio", ratio, "above 0")
        ranks = self.rank_pattern
        require(all(r >= 1 for r in ranks.values()), "method.rank_pattern", ranks, "a mapping to ranks of 1 or more")
        if self.init == "eva" and ranks:
            raise SettingError("method.rank_pattern", "EVA needs one rank for all layers; leave the pattern out")
        self._check_init()

    def _check_init(self) -> None:
        if self.init == "loftq":
            raise SettingError("method.init", "loftq makes up for a quantization, of which LoRA has none; use QLoRA")

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the updates; whatever the start, the model's answers are the base's.

        Raises:
            ValueError: a name, an index or a rank does not fit the model.
        """
        names = self.targets(model)
        self._check_fit(model, names)
        untie_touched(model, [*names, *called(model, self.modules_to_save)])
        return wrap(model, self._config(names))

    def targets(self, base: nn.Module) -> list[str]:
        """Return the names of the layers that get an update.

        Raises:
            ValueError: the base has no such block.
        """
        names = called(base, self.target_modules)
        if self.layers is None:
            return names
        found = list(blocks(base))
        if wrong := [i for i in self.layers if not 0 <= i < len(found)]:
            raise ValueError(f"layers: {wrong[0]} is no block of this model, whose {len(found)} are counted from 0")
        prefixes = tuple(f"{found[i]}." for i in self.layers)
        return [name for name in names if name.startswith(prefixes)]

    def count(self, base: nn.Module) -> int | None:
        """Return r (inputs + outputs) for each layer, and what the settings train beside; None for other layers."""
        sizes = _sizes(base, self.targets(base))
        if sizes is None:
            return None
        updates = sum(self._rank(name) * (i + o) + (o if self.dora else 0) for name, (i, o) in sizes.items())
        biases = tuple(f"{name}.bias" for name in sizes) if self.bias == "lora_only" else (".bias",)
        whole = called(base, self.modules_to_save)
        return updates + sum(
            p.numel()
            for name, p in base.named_parameters(remove_duplicate=False)  # a tied head is trained as a copy
            if (self.bias != "none" and name.endswith(biases)) or any(name.startswith(f"{m}.") for m in whole)
        )

    def initialize(self, model: nn.Module, batches: Iterable[dict[str, Tensor]]) -> None:
        """Let EVA set A to the main components of the layers' inputs, in place and without changing a rank.

        Raises:
            FtlabError: the batches are too small for the rank, or the components do not settle.
        """
        if self.init != "eva":
            return
        from peft import initialize_lora_eva_weights

        # All tokens but the padding, and only batches that can give a component per rank: peft waits for such forever.
        names = ("input_ids", "attention_mask", "position_ids")
        inputs = ({name: batch[name] for name in names if name in batch} for batch in batches)
        usable = [b for b in itertools.islice(inputs, EVA_BATCHES) if int(b["attention_mask"].sum()) >= self.r]
        if not usable:
            raise FtlabError(f"method.init: eva needs batches of {self.r} tokens or more; raise data.batch_size")
        passes = itertools.count()

        def forward(model: Any, batch: dict[str, Tensor]) -> None:
            if next(passes) >= EVA_PASSES:
                raise FtlabError(f"method.init: eva has not settled in {EVA_PASSES} batches; lower method.r")
            mask = (
                None if "position_ids" in batch else batch["attention_mask"]
            )  # packed rows are told by positions alone
            model(**batch | {"attention_mask": mask}, use_cache=False)

        initialize_lora_eva_weights(model, usable, forward_fn=forward, show_progress_bar=False)

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return one group, or with LoRA+ the Bs apart from all else."""
        if self.lora_plus_ratio in (None, 1):
            return super().param_groups(model)
        groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
        for name, parameter in trainable(model).items():
            groups[".lora_B." in name].append(parameter)
        return [
            {"name": "A", "params": groups[False]},
            {"name": "B", "params": groups[True], "lr_scale": self.lora_plus_ratio},
        ]

    def _rank(self, name: str) -> int:
        from peft.utils.other import get_pattern_key

        return self.rank_pattern.get(get_pattern_key(list(self.rank_pattern), name), self.r)

    def _config(self, names: list[str]) -> Any:
        from peft import EvaConfig, LoraConfig

        return LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # annotated int, used as a factor
            lora_dropout=self.dropout,
            target_modules=self.target_modules if self.layers is None else names,
            bias=self.bias,
            use_dora=self.dora,
            use_rslora=self.rslora,
            init_lora_weights=True if self.init in ("default", "loftq") else self.init,  # type: ignore[arg-type]
            eva_config=EvaConfig(rho=1.0) if self.init == "eva" else None,  # ranks stay, and so do the parameters
            modules_to_save=self.modules_to_save,
            rank_pattern=dict(self.rank_pattern),
            alpha_pattern=dict(self.alpha_pattern),
        )

    def _check_fit(self, model: nn.Module, names: list[str]) -> None:
        """Refuse what peft would take in silence and do wrong."""
        modules = [name for name, _ in model.named_modules()]
        if missing := [m for m in self.modules_to_save or () if not any(ends_with(name, (m,)) for name in modules)]:
            raise ValueError(f"modules_to_save: the model has no module called {missing[0]}")
        if self.init in ("pissa", "olora") and getattr(model, "is_quantized", False):
            raise ValueError(f"init: {self.init} reads the base's weights, which are packed here; take default")
        if self.init in DECOMPOSED:
            for name, size in (_sizes(model, names) or {}).items():
                if self._rank(name) > min(size):
                    raise ValueError(f"init {self.init}: {name} has rank {min(size)} at most, not {self._rank(name)}")
        kinds = {type(model.get_submodule(name)).__name__ for name in names}
        if self.init == "olora" and "Conv1D" in kinds:
            raise ValueError("init olora: peft has it for layers of torch only, not for the Conv1D of transformers")


def _sizes(base: nn.Module, names: Iterable[str]) -> dict[str, tuple[int, int]] | None:
    """Return (inputs, outputs) of linear and embedding layers by name; None if one is something else."""
    known = linear_layers(base)
    sizes = {}
    for name in names:
        module: Any = base.get_submodule(name)
        if name in known:
            sizes[name] = known[name]
        elif hasattr(module, "out_features"):
            sizes[name] = (module.in_features, module.out_features)
        elif hasattr(module, "embedding_dim"):
            sizes[name] = (module.num_embeddings, module.embedding_dim)
        else:
            return None
    return sizes
