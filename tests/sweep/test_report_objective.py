"""The callback of a trial, in a real training of one number whose losses at the validations are given."""

from typing import ClassVar

import lightning.pytorch as pl
import pytest
import torch

from ftlab.callbacks.keep_best import KeepBest
from ftlab.sweep.judge import Judge
from ftlab.sweep.report_objective import ReportObjective
from ftlab.sweep.settings import Sweep
from ftlab.sweep.study import Study


class Given(pl.LightningModule):
    def __init__(self, losses):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.losses = iter(losses)

    def training_step(self, batch, index):
        return (self.weight * batch).sum()

    def validation_step(self, batch, index):
        self.log("validation/loss", next(self.losses))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def save(self, folder):
        folder.mkdir(parents=True)


class Numbers(pl.LightningDataModule):
    examples: ClassVar = {"train": 1, "validation": 1}

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(1, 1))

    val_dataloader = train_dataloader


@pytest.mark.parametrize(
    ("losses", "objective", "reported", "stopped"),
    [
        pytest.param([2.0, 1.0, 1.5, 1.2], "validation/loss", 4, None, marks=pytest.mark.slow),
        ([2.0, 1.0, 3.0, 1.2], "validation/loss", 3, 3),
        pytest.param([2.0, float("nan"), 1.0, 1.0], "validation/loss", 2, 2, marks=pytest.mark.slow),
        ([2.0, 1.0, 1.5, 3.0], "validation/loss", 4, None),  # it has ended anyway, and counts
        ([2.0, 1.0, 3.0, 1.2], "validation/perplexity", 0, None),
    ],
)
def test_a_trial_is_reported_and_stopped(place, losses, objective, reported, stopped):
    study = Study(Sweep("x.yaml", {"x": [1]}, "s", objective=objective, pruner="diverging"), {})
    trial = study.claim()
    judge = Judge(study.sweep.address, "s", study.id_of(trial.number), objective, "diverging", 1)
    keep = KeepBest(place / "best", place / "last.ckpt")
    trainer = pl.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, num_sanity_val_steps=0, callbacks=[keep, ReportObjective(judge)],
    )  # fmt: skip
    trainer.fit(Given(losses), datamodule=Numbers())
    [found] = study.slots().values()
    assert len(found.intermediate_values) == reported
    assert trainer.global_step == (stopped or 4)
    assert found.user_attrs.get("stopped", {}).get("validation") == stopped
    study.close()
