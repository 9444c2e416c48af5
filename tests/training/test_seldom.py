"""What a step logs, and which callbacks hear of it: all that Lightning shows by itself, for less."""

import csv

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger

from ftlab.training.figures import log_figures
from ftlab.training.seldom import SeldomChecked
from ftlab.training.trainer import make_trainer


class Twice(SeldomChecked):
    """Logs each figure both ways; one of them at even steps only."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.mirrored = []

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.arange(5.0))

    def training_step(self, batch, batch_idx):
        product = (self.weight * batch).sum()
        figures = {"tensor": product.detach(), "number": batch_idx / 3, "step": self.global_step + 1.0}
        if batch_idx % 2 == 0:
            figures["even"] = torch.tensor(float(batch_idx))
        log_figures(self, figures)
        for name, value in figures.items():
            self.log(f"{name} of Lightning", float(value))
        return product

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Hears(pl.Callback):
    """Notes what callbacks are shown after each step."""

    def __init__(self):
        self.shown = []

    def on_train_batch_end(self, trainer, *_):
        self.shown.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def both_ways(row):
    return [
        (row.get(name, ""), row.get(f"{name} of Lightning", ""))
        for name in ("tensor", "number", "even")
        if name in row or f"{name} of Lightning" in row
    ]


def test_figures_are_logged_as_lightning_logs_them(tmp_path):
    hears, early = Hears(), []
    hears.on_before_backward = lambda *_: early.append(1)
    options = {"accelerator": "cpu", "max_epochs": 2, "log_every_n_steps": 3, "enable_progress_bar": False}
    make_trainer(options, [CSVLogger(tmp_path, "", "")], [hears]).fit(Twice())
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "6", "9"]
    for row in [*rows, *hears.shown]:
        assert both_ways(row)
        assert all(own == lightning for own, lightning in both_ways(row))
    assert len({shown["tensor"] for shown in hears.shown}) > 5
    assert len(hears.shown) == len(early) == 10
    assert hears.on_train_batch_start is None


def test_the_bar_is_drawn_seldom_and_at_its_end(capsys):
    options = {"accelerator": "cpu", "max_epochs": 1, "logger": False}
    make_trainer(options, [], []).fit(Twice())
    drawn = capsys.readouterr()
    assert "5/5" in drawn.out + drawn.err
    assert "4/5" not in drawn.out + drawn.err


def test_a_profile_is_written_where_the_run_is(tmp_path):
    options = {"accelerator": "cpu", "max_steps": 2, "enable_progress_bar": False, "profiler": "simple"}
    make_trainer(options, [], [], folder=tmp_path).fit(Twice())
    assert "run_training_batch" in (tmp_path / "fit-profile.txt").read_text(encoding="utf-8")
