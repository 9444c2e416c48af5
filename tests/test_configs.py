"""Every YAML of the repository is read, and later ones win."""

from pathlib import Path

import pytest
import yaml

from ftlab import Method, Run
from ftlab.cli.main import main
from ftlab.plugins import registered
from tests.conftest import ROOT


def parse(*files):
    from ftlab.cli.lightning import FtlabCLI

    class Parsed(FtlabCLI):
        def _run_subcommand(self, subcommand):
            pass

    return Parsed("fit", [f"--config={file}" for file in files])


def test_every_run_of_configs_is_parsed():
    files = sorted([*ROOT.glob("configs/*.yaml"), *ROOT.glob("experiments/tiny_base/*.yaml")])
    assert len(files) == 3
    for file in files:
        assert parse(file).config.fit.name == yaml.safe_load(file.read_text())["name"]
        assert len(file.read_text().splitlines()) < 40


PRESETS = sorted(ROOT.glob("configs/methods/**/*.yaml"))


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: "-".join(file.parts[-2:]))
def test_every_preset_goes_on_top_of_a_run(file):
    """Each names its method and a rate in at most ten lines, and says in a comment why."""
    written = yaml.safe_load(file.read_text())
    cli = parse(ROOT / "configs/quickstart.yaml", file)
    assert type(cli.experiment.tuner.method).__name__ == written["method"]["class_path"]
    assert cli.experiment.tuner.optimizer.lr == written["optimizer"]["lr"]
    assert file.read_text().startswith("# ")
    assert len(file.read_text().splitlines()) <= 10


def test_every_method_has_presets_and_a_rate_for_the_comparison():
    conservative = {file.stem for file in PRESETS if file.parent.name == "methods"}
    assert conservative == {file.stem for file in PRESETS if file.parent.name == "aggressive"}
    rates = sorted(ROOT.glob("experiments/methods/*.yaml"))
    assert conservative == {file.stem for file in rates}
    assert len(conservative) == 12
    for file in rates:
        assert yaml.safe_load(file.read_text()).keys() == {"optimizer"}
    methods = {yaml.safe_load(file.read_text())["method"]["class_path"] for file in PRESETS}
    built_in = {name for name, cls in registered(Method).items() if cls.__module__.startswith("ftlab.")}
    assert methods == built_in - {"Chain"}


def test_a_later_config_wins_over_an_earlier_one(in_workplace):
    Path("base.yaml").write_text(
        "name: two-files\ndata: {train: experiments/lesson/train_100.jsonl}\noptimizer: {lr: 1.0}\n"
    )
    Path("more.yaml").write_text("optimizer: {lr: 0.5}\ntrainer: {max_steps: 1, enable_progress_bar: false}\n")
    assert main(["fit", "--config", "base.yaml", "--config", "more.yaml", "--wandb.mode=off"]) == 0
    assert Run.newest("two-files", "best").config["optimizer"]["lr"] == 0.5
