"""Every YAML of the repository is read, and later ones win."""

from pathlib import Path

import yaml

from ftlab import Run
from ftlab.cli.main import main
from tests.conftest import ROOT


def test_every_config_is_parsed():
    from ftlab.cli.lightning import FtlabCLI

    class Parsed(FtlabCLI):
        def instantiate_classes(self):
            pass

        def _run_subcommand(self, subcommand):
            pass

    files = sorted([*ROOT.glob("configs/**/*.yaml"), *ROOT.glob("experiments/**/*.yaml")])
    assert len(files) == 3
    for file in files:
        assert Parsed("fit", ["--config", str(file)]).config.fit.name == yaml.safe_load(file.read_text())["name"]
        assert len(file.read_text().splitlines()) < 40


def test_a_later_config_wins_over_an_earlier_one(in_workplace):
    Path("base.yaml").write_text(
        "name: two-files\ndata: {train: experiments/lesson/train_100.jsonl}\noptimizer: {lr: 1.0}\n"
    )
    Path("more.yaml").write_text("optimizer: {lr: 0.5}\ntrainer: {max_steps: 1, enable_progress_bar: false}\n")
    assert main(["fit", "--config", "base.yaml", "--config", "more.yaml", "--wandb.mode=off"]) == 0
    assert Run.newest("two-files", "best").config["optimizer"]["lr"] == 0.5
