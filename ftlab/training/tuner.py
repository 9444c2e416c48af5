"""FineTuner: the LightningModule that trains base + method. It knows no file formats and no grading."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ftlab.data.chat import Chat
from ftlab.methods.base import Method
from ftlab.training.applying import apply_method
from ftlab.training.base import Base
from ftlab.training.checkpoint import RANDOM_KEY, check_checkpoint, fill_checkpoint
from ftlab.training.figures import log_figures
from ftlab.training.groups import checked_groups, embedding_ids
from ftlab.training.identity import Identity
from ftlab.training.loss import Batch, Tally
from ftlab.training.optimizer import Optimizer
from ftlab.training.penalty import Penalty
from ftlab.training.random_state import restore_random_state
from ftlab.training.regularizers.base import Regularizer
from ftlab.training.regularizers.start import shapes
from ftlab.training.row_packing import require_packable
from ftlab.training.seldom import SeldomChecked
from ftlab.training.speed import Speed
from ftlab.training.trunk_cache import with_trunk_cache
from ftlab.training.way import Way, require_packing, shortest_way


class FineTuner(SeldomChecked):
    """A base model, the method that changes it, and the optimizer that trains what the method left trainable.

    Args:
        base: the model to start from; a name stands for `Base(name)`.
        method: what is trained.
        optimizer: how.
        seed: Seed of the new weights and of the order of batches.
        regularizer: What is paid for besides the loss, against forgetting.
        speed: What makes it faster and smaller without changing the numbers; None is the plain way.
    """

    def __init__(
        self,
        base: Base | str,
        method: Method,
        optimizer: Optimizer | None = None,
        seed: int | None = None,
        regularizer: Regularizer | None = None,
        speed: Speed | None = Speed(),  # noqa: B008  # nothing writes to it
    ) -> None:
        super().__init__()
        self.base = Base(base) if isinstance(base, str) else base
        self.method = method
        self.optimizer = optimizer or Optimizer()
        self.seed = seed
        self.regularizer = regularizer
        self.speed = speed
        self.model: Any = None
        self.on_base: Callable[[Any], None] | None = None  # is shown the base before the method is applied
        self.random_state: dict[str, Any] | None = None  # of a run to resume
        self.identity: Identity  # known from when the base is loaded
        self.step_loss = Tally()  # of the batches accumulated so far
        self.penalty = Penalty(regularizer)
        self.held_out_loss = Tally()
        self.strict_loading = False  # a checkpoint holds the trainable weights only; on_load_checkpoint compares keys

    @cached_property
    def chat(self) -> Chat:
        """The model's chat rendering; loads the tokenizer."""
        return self.base.load_chat()

    @cached_property
    def way(self) -> Way:
        """How losses are computed, found out once for a model with a method; the plan of batches goes by it."""
        return shortest_way(self.model, self.method, None if self.penalty.reads_logits else self.speed)

    def configure_model(self, **loading: Any) -> None:
        """Load the base and apply the method, once.

        Args:
            loading: what the base is loaded with besides the method's own.
        """
        if self.model is None:
            base = self.load_base(**loading)
            if self.on_base is not None:
                self.on_base(base)
            known = shapes(base)
            self.attach(base)
            self.penalty.watch(self.model, known)

    def load_base(self, **loading: Any) -> Any:
        """Load the base as the method needs it, and note its identity.

        Args:
            loading: what it is loaded with besides.
        """
        _seed(self.seed)
        model = self.base.load_model(**self.method.load_kwargs() | loading)
        self.identity = Identity.of(self.base, self.seed, self.chat.tokenizer)
        return model

    def attach(self, model: Any) -> None:
        """Apply the method to a base that `load_base` loaded, or to a copy of one.

        Raises:
            FtlabError: the method does not fit it.
        """
        _seed(self.seed)
        self.model = apply_method(self.method, model, self.speed)
        self.base.settle(self.model)
        self.__dict__.pop("way", None)

    def setup(self, stage: str) -> None:
        """Refuse a method that cannot be packed, and data that cannot be read, before the base is loaded."""
        if self.trainer.datamodule.packing:  # type: ignore[attr-defined]
            require_packable(self.method)
        if stage == "fit":
            self.penalty.draw(self.trainer.datamodule, self.chat)  # type: ignore[attr-defined]

    def on_fit_start(self) -> None:
        """Let the method set its new weights from the data, which a resumed run has done, and try packing."""
        if self.random_state is None:
            self.method.initialize(self.model, self.trainer.datamodule.look())  # type: ignore[attr-defined]
        if self.trainer.datamodule.packing:  # type: ignore[attr-defined]
            name = f"{self.method.title} on {self.base.base} ({self.model.config.model_type})"
            require_packing(self.way, name)
        self.way = with_trunk_cache(self.way, self.speed, self.trainer)
        self.penalty.prepare(self.model, self.method, self.device)

    def save(self, folder: Path) -> None:
        """Write the trained weights in the method's format, the tokenizer and the base's identity beside them."""
        self.method.save(self.model, folder)
        self.chat.tokenizer.save_pretrained(str(folder))
        self.identity.write(folder)

    def load(self, folder: Path, base: Any = None) -> None:
        """Read weights that `save` wrote, into the model or, where there is none yet, onto a base.

        Args:
            folder: the weights.
            base: a copy of the base whose identity this tuner has; None loads it.

        Raises:
            RefusedError: they were trained on another base, tokenizer or template; told before the method is applied.
            FtlabError: the folder holds no identity, or other weights than this method's.
        """
        wanted = Identity.read(folder)
        if self.model is None and base is None:
            base = self.load_base()
        wanted.require(self.identity, str(folder))
        if self.model is None:
            self.attach(base)
        self.method.load(self.model, folder)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Return this batch's share of the step's mean loss per supervised token, and of its penalty.

        Lightning divides by the number of accumulated batches and averages over ranks; both are undone here, so that
        one big batch and many small ones have one gradient, whatever the lengths.
        """
        with self.base.offloading(self.model):
            losses, logits, batch = self.way.compute(batch)
        self.step_loss.add(losses, self.trainer.train_dataloader.sources)  # type: ignore[union-attr]
        share = losses.total / batch["step_tokens"] + self.penalty(self.model, batch, logits)
        return share * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Log the step's loss per supervised token and its penalty, over all batches and ranks, and each group's rate.

        Lightning logs a source's last loss again where a step has none of it.
        """
        figures = self.step_loss.read(self._over_ranks) | self.penalty.read(self._over_ranks)
        logged: dict[str, Any] = {f"train/{name}": figure for name, figure in figures.items()}
        logged |= {f"lr/{group['name']}": group["lr"] for group in optimizer.param_groups}
        logged["step"] = self.global_step + 1.0  # names the row; Lightning's own count lags behind by one
        log_figures(self, logged, prog_bar="train/loss")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation loss."""
        self.held_out_loss.add(self.way.losses(batch), self.trainer.val_dataloaders.sources)  # type: ignore[union-attr]

    def on_validation_epoch_end(self) -> None:
        """Log loss and perplexity per supervised token."""
        self.log("step", float(self.global_step))
        if self.held_out_loss:
            self._log_held_out("validation")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test loss."""
        self.held_out_loss.add(self.way.losses(batch), self.trainer.test_dataloaders.sources)  # type: ignore[union-attr]

    def on_test_epoch_end(self) -> None:
        """Log loss and perplexity per supervised token."""
        self._log_held_out("test")

    def configure_optimizers(self) -> Any:
        """Build the optimizer from the method's groups.

        Raises:
            FtlabError: the groups are not a partition of the trainable parameters.
        """
        groups = checked_groups(self.method, self.model)
        total_steps = int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = self.optimizer.build(groups, total_steps, embedding_ids(self.model))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Clip to the optimizer's own setting, and log the norm before."""
        limit = self.optimizer.gradient_clip or float("inf")
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        log_figures(self, {"train/gradient_norm": torch.nn.utils.clip_grad_norm_(trained, limit)})

    def on_train_start(self) -> None:
        """Resume with this run's settings, for the new command line wins over the old one, and the old random state."""
        if self.random_state is not None:
            restore_random_state(self.random_state)
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        schedule: Any = self.lr_schedulers()
        self.optimizer.override(optimizer, schedule)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what is trained, and what base it belongs to; the base can be loaded again."""
        fill_checkpoint(checkpoint, self.model, self.identity)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another base, method or shape, which Lightning would load in silence.

        Raises:
            RefusedError: it was trained on another base, tokenizer or template.
            FtlabError: the checkpoint's tensors are not the trainable ones, or it is not one of ftlab's.
        """
        check_checkpoint(checkpoint, self.model, self.identity, self.method.title)
        self.random_state = checkpoint[RANDOM_KEY]

    def _log_held_out(self, name: str) -> None:
        losses = self.held_out_loss.read(self._over_ranks)
        self.log_dict({f"{name}/loss": losses["loss"], f"{name}/perplexity": losses.pop("loss").exp()}, prog_bar=True)
        self.log_dict({f"{name}/{source}": loss for source, loss in losses.items()})

    def _over_ranks(self, sums: torch.Tensor) -> torch.Tensor:
        return self.trainer.strategy.reduce(sums, reduce_op="sum")


def _seed(seed: int | None) -> None:
    """Make new weights the same whatever was drawn before."""
    if seed is not None:
        torch.manual_seed(seed)
