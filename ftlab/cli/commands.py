"""Commands: the ones that are not Lightning's, and the way to those that are."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ftlab.cli.sources import Sources
from ftlab.errors import FtlabError, choices_help
from ftlab.plugins import load_plugins, origin, registered

COMMANDS = ("fit", "validate", "test", "predict", "methods", "merge", "chat")


class Parser(argparse.ArgumentParser):
    """An argparse parser whose faults are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise the fault."""
        raise FtlabError(f"{self.prog}: {message}; see {self.prog} --help")


def run_command(command: str, args: Sequence[str]) -> None:
    """Load the plugins and run a command.

    Raises:
        FtlabError: there is no such command, or its input is at fault.
    """
    if command not in COMMANDS:
        raise FtlabError(f"{command}: not a command; {choices_help(command, COMMANDS)}")
    is_run = bool(args) and (Path(args[0]) / "config.yaml").is_file()
    load_plugins(Sources([*(["--config", f"{args[0]}/config.yaml"] if is_run else []), *args]).values("plugins"))
    if command == "methods":
        show_methods(args)
        return
    quiet()
    if command in ("merge", "chat"):
        use_run(command, args)
    else:
        from ftlab.cli.lightning import run_lightning

        run_lightning(command, args)


def quiet() -> None:
    """Silence what the libraries below say on their own behalf; errors and ftlab's own lines remain."""
    import lightning.pytorch  # noqa: F401 - sets its own level when imported
    from transformers.utils import logging as transformers_logging

    for name in ("lightning.pytorch", "lightning.fabric", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch", "jsonargparse", "transformers"):
        warnings.filterwarnings("ignore", module=rf"{module}\b.*")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def show_methods(args: Sequence[str]) -> None:
    """Print all methods, or the settings of one."""
    parser = Parser("ftlab methods", description="List the methods, or the settings of one.")
    parser.add_argument("name", nargs="?", help="a method")
    parser.add_argument("--plugins", nargs="+", default=[], help="a Python file with methods of your own")
    name = parser.parse_args(args).name

    from ftlab.methods import Method

    methods = registered(Method)
    if name is None:
        for method in methods.values():
            print(f"{method.__name__:12} {origin(method):24} {_first_line(method)}")
    elif name not in methods:
        raise FtlabError(f"{name}: not a method; {choices_help(name, methods)}")
    else:
        _show_settings(methods[name])


def use_run(command: str, args: Sequence[str]) -> None:
    """Merge a run, or talk to it."""
    parser = Parser(f"ftlab {command}")
    parser.add_argument("run", help="a folder runs/<name>/<stamp>")
    parser.add_argument("--plugins", nargs="+", default=[], help="a Python file with methods of your own")
    if command == "merge":
        parser.add_argument("--output", required=True, type=Path, help="folder to make for the merged model")
    else:
        parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer in tokens")
    options = parser.parse_args(args)

    from ftlab.cli.settings import open_experiment
    from ftlab.evaluation import load_best
    from ftlab.export.merge import merge
    from ftlab.export.talk import talk
    from ftlab.runs import Run

    run = Run.open(options.run)
    experiment = open_experiment(run)
    tuner = experiment.tuner
    dtype = tuner.base.dtype
    if command == "merge":
        tuner.base.dtype, tuner.method = "float32", tuner.method.exact()  # where the equality is proved
    load_best(experiment, run)
    if command == "merge":
        difference = merge(tuner, options.output, dtype)
        print(f"merged     {options.output}   largest difference of a logit on 8 prompts: {difference:.1e}")
    else:
        talk(tuner.model, tuner.chat, options.max_new_tokens)


def _first_line(cls: Any) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _show_settings(method: Any) -> None:
    """Print a method's docstring and its fields with defaults and documentation."""
    from docstring_parser import parse_from_object

    documented = {param.arg_name: param.description or "" for param in parse_from_object(method).params}
    print(f"{method.__name__} ({origin(method)})\n\n{inspect.getdoc(method)}\n")
    for field in dataclasses.fields(method):
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        print(f"  {field.name}: {field.type}{default}\n      {' '.join(documented.get(field.name, '').split())}")
