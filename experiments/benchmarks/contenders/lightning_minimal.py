"""Lightning minimal: the raw loop as the smallest LightningModule."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from chats import collate, encode, load_model
from meter import BATCH, CLIP, RATE, Meter, arguments
from torch.utils.data import DataLoader


class Module(pl.LightningModule):
    """Trains a model on batches with labels."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.train()

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return and log the loss."""
        loss = self.model(**batch, use_cache=False).loss
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW on what is trained."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)


class Measure(pl.Callback):
    """Tells the meter of batches and steps."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_train_batch_start(self, trainer: Any, module: Any, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Count the batch."""
        self.meter.batch(batch)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the step."""
        self.meter.step(float(outputs["loss"]))


def main() -> None:
    """Train one epoch."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    meter = Meter(args.warmup)
    module = Module(load_model(args.work))
    meter.model(module)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        gradient_clip_val=CLIP,
        log_every_n_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Measure(meter)],
    )
    loader: Any = DataLoader(encode(args.work), BATCH, shuffle=True, collate_fn=collate, drop_last=True)  # type: ignore[arg-type]
    trainer.fit(module, loader)
    meter.report(["torch", "transformers", "peft", "lightning"])


if __name__ == "__main__":
    main()
