"""Commands: the ones that are not Lightning's, and the way to those that are."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ftlab.cli.data import run_data, with_config
from ftlab.cli.exam import run_exam
from ftlab.cli.exam import with_config as of_exam
from ftlab.cli.libraries import import_libraries
from ftlab.cli.sources import Sources, option_values
from ftlab.errors import EXIT_BUG, FtlabError, choices_help
from ftlab.plugins import failure_of, load_plugins, origin, registered, warn_of_skipped

COMMANDS = (
    "fit",
    "folds",
    "sweep",
    "validate",
    "test",
    "predict",
    "exam",
    "diagnose",
    "compare",
    "data",
    "methods",
    "merge",
    "chat",
)


class Parser(argparse.ArgumentParser):
    """An argparse parser whose faults are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise the fault."""
        raise FtlabError(f"{self.prog}: {message}; see {self.prog} --help")


def run_command(command: str, args: Sequence[str]) -> int:
    """Load the plugins and run a command; return the exit code.

    Raises:
        FtlabError: there is no such command, or its input is at fault.
    """
    if command not in COMMANDS:
        raise FtlabError(f"{command}: not a command; {choices_help(command, COMMANDS)}")
    if command == "diagnose":
        from ftlab.cli.diagnose import run_diagnose

        return run_diagnose(args)
    if command == "compare":
        from ftlab.cli.compare import run_compare

        return run_compare(args)
    if command == "sweep":
        from ftlab.cli.sweep import run_sweep

        return run_sweep(args)
    if command == "data":
        args = with_config(args)
    elif command == "exam":
        args = of_exam(args)
    runs = [*args[:1], *option_values(args, "--adapters", several=True)]
    configs = [f"--config={run}/config.yaml" for run in runs if (Path(run) / "config.yaml").is_file()]
    sources = Sources([*configs, *args])
    load_plugins(sources.values("plugins"), configs=sources.files)
    if command == "methods":
        return show_methods(args)
    import_libraries()
    if command == "data":
        return run_data(args)
    if command == "exam":
        return run_exam(args)
    if command == "folds":
        from ftlab.cli.folds import run_folds

        return run_folds(args)
    if command in ("merge", "chat"):
        use_run(command, args)
    else:
        from ftlab.cli.lightning import run_lightning

        run_lightning(command, args)
    return 0


def show_methods(args: Sequence[str]) -> int:
    """Print all methods, the settings of one, or what the conformance kit finds."""
    if args[:1] == ["check"]:
        import_libraries()
        from ftlab.cli.check import check

        return 0 if check(args[1:]) else EXIT_BUG
    parser = Parser("ftlab methods", description="List the methods, the settings of one, or check one.")
    parser.add_argument("name", nargs="?", help="a method")
    parser.add_argument("--plugins", nargs="+", default=[], help="files or modules with methods of your own")
    name = parser.parse_args(args).name

    from ftlab.methods import Method

    methods = registered(Method)
    if name is None:
        for method in methods.values():
            print(f"{method.__name__:12} {origin(method):24} {_first_line(method)}")
    elif name not in methods:
        raise failure_of(name) or FtlabError(f"{name}: not a method; {choices_help(name, methods)}")
    else:
        _show_settings(methods[name])
    warn_of_skipped()
    return 0


def use_run(command: str, args: Sequence[str]) -> None:
    """Merge a run, or talk to it."""
    parser = Parser(f"ftlab {command}")
    parser.add_argument("run", help="a folder runs/<name>/<stamp>")
    parser.add_argument("--plugins", nargs="+", default=[], help="files or modules with methods of your own")
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
    warn_of_skipped()
    tuner = experiment.tuner
    dtype = tuner.base.dtype
    if command == "merge":
        tuner.method = tuner.method.exact()  # equality is proved in float32
        if "quantization_config" not in tuner.method.load_kwargs():  # the same weights must be packed as in training
            tuner.base.dtype = "float32"
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

    documented = {
        param.arg_name: param.description or ""
        for cls in reversed(method.__mro__)
        if dataclasses.is_dataclass(cls)
        for param in parse_from_object(cls).params
    }
    print(f"{method.__name__} ({origin(method)})\n\n{inspect.getdoc(method)}\n")
    for field in dataclasses.fields(method):
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        kind = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        print(f"  {field.name}: {kind}{default}\n      {' '.join(documented.get(field.name, '').split())}")
