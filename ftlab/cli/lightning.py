"""The commands fit, validate, test and predict, on Lightning's own command line class."""

from __future__ import annotations

import inspect
import itertools
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from ftlab.cli.explain import explain
from ftlab.cli.settings import add_settings, build_experiment, open_experiment
from ftlab.cli.sources import Sources, option_values
from ftlab.errors import FtlabError, SettingError
from ftlab.evaluation import evaluate, predict, predict_each
from ftlab.plugins import is_file, warn_of_skipped
from ftlab.runs import Run
from ftlab.training.trainer import TRAINER_DEFAULTS

#: One seed by default, so that two runs of one config are the same run.
DEFAULT_SEED = 7

#: Faults become exceptions, and `--method.ran` is not quietly taken for `--method.rank`.
STRICT = {"exit_on_error": False, "allow_abbrev": False}

DESCRIPTIONS = {
    "fit": "Fine-tune, keep the best checkpoint, sit the exam before and after, write a report.",
    "validate": "Loss and perplexity of a run's best checkpoint.",
    "test": "Loss, perplexity and exam of a run's best checkpoint.",
    "predict": "Answer every chat of a file with a run's best checkpoint.",
}


class FtlabCLI(LightningCLI):
    """LightningCLI with ftlab's sections beside the Trainer's.

    Args:
        command: `fit`, `validate`, `test` or `predict`.
        args: its options.
    """

    def __init__(self, command: str, args: Sequence[str]) -> None:
        self.command = command
        self.sources = Sources(args)
        try:
            super().__init__(
                args=[command, *args],
                seed_everything_default=DEFAULT_SEED,
                auto_configure_optimizers=False,
                save_config_callback=None,
                parser_kwargs={**STRICT, command: STRICT},
            )
        except SettingError as error:
            raise FtlabError(f"{self.sources.place(error.key)}: {error.reason}") from error

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the typed command alone (building the parsers of all four takes seconds), and what it sets itself."""
        skip = set(inspect.signature(getattr(pl.Trainer, self.command)).parameters) - {"self"}
        return {self.command: skip}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the sections of the YAML, and the command's own options."""
        parser.description = DESCRIPTIONS[self.command]
        add_settings(parser)
        parser.add_lightning_class_args(pl.Trainer, "trainer")
        parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
        if self.command == "fit":
            parser.add_argument(
                "--ckpt_path",
                type=str | None,
                default=None,
                help="Go on from a checkpoint: `last` (of the newest run of this name), a run's folder, or a file.",
            )
        else:
            parser.add_argument(
                "--ckpt_path",
                type=str,
                default="best",
                help="Whose best weights: `best` (of the newest run of this name), or a run's folder.",
            )
        if self.command == "predict":
            parser.add_argument(
                "--adapters",
                type=str,
                nargs="+",
                default=[],
                help="Several runs' folders in place of one: each answers, on one base that is loaded once.",
            )
            parser.add_argument("--prompts", type=str, required=True, help="File of chats to answer.")
            parser.add_argument(
                "--output",
                type=str | None,
                default=None,
                help="JSONL file for the answers; by default in answers/ of the (first) run's folder.",
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and turn a fault into one line.

        Raises:
            FtlabError: a setting is at fault, or is of one method where there is a list: the parser would give it to
                the last of the list without a word.
        """
        option = next((arg.partition("=")[0] for arg in args if _is_setting(arg)), None)
        try:
            self.config = parser.parse_args(args)
            in_list = isinstance(self.config[self.command].method, list)
        except ArgumentError as error:
            in_list = option is not None and self._lists_methods(parser, args)
            if not in_list:
                known = [action.dest for action in self._parser(self.command)._actions if action.dest != "help"]
                raise explain(str(error), self.sources, known) from error
        if option and in_list:
            raise FtlabError(f"{option}: method is a list here; give the whole list: --method '[...]'")
        warn_of_skipped()

    def _lists_methods(self, parser: LightningArgumentParser, args: Sequence[str]) -> bool:
        """Return whether the method is a list, leaving the options for its settings aside, which may be wrong."""
        pairs = itertools.pairwise(["", *args])
        rest = [arg for before, arg in pairs if not (_is_setting(arg) or (_is_setting(before) and "=" not in before))]
        try:
            return isinstance(parser.parse_args(rest)[self.command].method, list)
        except ArgumentError:
            return False

    def instantiate_classes(self) -> None:
        """Make the objects of the sections; the experiment makes the Trainer, once the run has a folder."""
        try:
            self.settings = self.parser.instantiate_classes(self.config)[self.command]
        except ValueError as error:  # a section that may be null: the parser has wrapped what its class refused
            raise explain(str(error), self.sources, []) from error
        self.experiment = build_experiment(self.settings)
        self.trainer_options = dict(self.settings.trainer)

    def _run_subcommand(self, subcommand: str) -> None:
        getattr(self, f"_{subcommand}")()

    def _fit(self) -> None:
        config = yaml.safe_load(self._parser("fit").dump(self.config["fit"], skip_unset=False))
        config["plugins"] = [str(Path(name).resolve()) if is_file(name) else name for name in config["plugins"]]
        del config["ckpt_path"]  # where a run began is in its summary; its config alone reproduces it
        resume = find_checkpoint(self.settings.ckpt_path, self.settings.name) if self.settings.ckpt_path else None
        self.experiment.fit(self.trainer_options, config, resume)

    def _validate(self) -> None:
        evaluate(self.experiment, self._tested_run(self.settings.ckpt_path), self.command, self.trainer_options)

    _test = _validate

    def _predict(self) -> None:
        several = dict.fromkeys(self.settings.adapters)
        runs = [self._tested_run(path) for path in several or [self.settings.ckpt_path]]
        name = f"{Path(self.settings.prompts).stem}{'-each' if several else ''}.jsonl"
        output = Path(self.settings.output or runs[0].folder / "answers" / name)
        if several:
            adapters = {run: open_experiment(run).tuner for run in runs}
            predict_each(self.experiment, adapters, self.settings.prompts, output, self.trainer_options)
        else:
            predict(self.experiment, runs[0], self.settings.prompts, output, self.trainer_options)

    def _tested_run(self, path: str) -> Run:
        run = Run.newest(self.settings.name, "best") if path == "best" else Run.open(path)
        if not run.best.is_dir():
            raise FtlabError(f"{run.folder}: this run has kept no best checkpoint; train it first")
        return run


def find_checkpoint(path: str, name: str) -> Path:
    """Return the checkpoint file that `--ckpt_path` means.

    Raises:
        FtlabError: there is none. Addresses are refused: a checkpoint from the net can run code.
    """
    if path == "last":
        return Run.newest(name, "last/last.ckpt").last
    file = Run(path).last if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FtlabError(f"--ckpt_path: {path} is no checkpoint; give `last`, a run's folder, or a .ckpt file")
    return file


def run_lightning(command: str, args: Sequence[str]) -> None:
    """Run fit, validate, test or predict; a run's folder as the first argument stands for its config and weights."""
    if command != "fit" and not args:
        raise FtlabError(f"{command}: of which run? ftlab {command} runs/<name>/<stamp>")
    named = [arg for arg in args[:1] if command != "fit" and not arg.startswith("-")]
    adapters = option_values(args, "--adapters", several=True)
    if named and adapters:
        raise FtlabError(f"{command}: {named[0]} and --adapters; give one run, or several after --adapters")
    if runs := named or adapters:
        run = Run.open(runs[0])
        args = ["--config", str(run.config_file), "--ckpt_path", str(run.folder), *args[len(named) :]]
    FtlabCLI(command, args)


def _is_setting(arg: str) -> bool:
    return arg.startswith("--method.")
