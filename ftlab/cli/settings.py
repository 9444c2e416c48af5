"""Settings: the sections of a run's YAML, and the objects that they become. It knows no command."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentError
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from ftlab.callbacks.condition import EXAMPLE
from ftlab.cli.explain import KINDS, explain
from ftlab.cli.sources import Sources
from ftlab.data.module import ChatData
from ftlab.errors import FtlabError
from ftlab.exam.exam import Exam
from ftlab.experiment import EarlyStopping, Experiment
from ftlab.methods import Chain, LoRA, Method
from ftlab.plugins import registered, source_file, warn
from ftlab.runs import Run
from ftlab.tracking import WandB
from ftlab.training.base import Base
from ftlab.training.optimizer import Optimizer
from ftlab.training.regularizers import Regularizer
from ftlab.training.speed import Speed
from ftlab.training.tuner import FineTuner

# A setting is documented once, in the docstring under its field; --help reads it there.
set_parsing_settings(docstring_parse_attribute_docstrings=True)


def add_settings(parser: ArgumentParser) -> None:
    """Add every section but the Trainer's."""
    for kind in KINDS.values():
        classes: dict[str, type] = registered(kind)
        for cls in classes.values():
            resolve_types(cls)
    parser.add_argument("--name", type=str, default="run", help="Folder below runs/ that the run's folder is made in.")
    parser.add_argument(
        "--plugins",
        type=str,
        nargs="+",
        default=[],
        help="Files or modules with methods, graders, formats, steps or regularizers of your own.",
    )
    parser.add_class_arguments(Base, "model")
    parser.add_argument(
        "--method", type=Method | list[Method], default=LoRA(), help="What is trained; a list applies several in order."
    )
    parser.add_class_arguments(ChatData, "data")
    parser.add_class_arguments(Optimizer, "optimizer")
    parser.add_argument(
        "--regularizer",
        type=Regularizer | None,
        default=None,
        help="What is paid for besides the loss, against forgetting; null is nothing.",
    )
    parser.add_argument(
        "--speed",
        type=Speed | None,
        default=Speed(),
        help="What makes training faster and smaller without changing its numbers; null is the plain way.",
    )
    parser.add_argument("--exam", type=Exam | None, default=None, help="The exam; without one the loss decides.")
    parser.add_argument(
        "--retention",
        type=dict[str, Exam] | None,
        default=None,
        help="Exams of what the base could do before, by name, sat before, while and after training.",
    )
    parser.add_argument(
        "--best",
        type=str | None,
        default=None,
        help=f"What decides which checkpoint is best, such as `{EXAMPLE}`; null is the exam, else the loss.",
    )
    parser.add_argument(
        "--memorisation",
        type=int,
        default=50,
        help="Training questions that are changed and asked at the end: answers that still come back word for word are "
        "memorised. 0 asks none.",
    )
    parser.add_argument(
        "--early_stopping",
        type=EarlyStopping | None,
        default=EarlyStopping(),
        help="When to give up waiting for a better checkpoint; null never does.",
    )
    parser.add_class_arguments(WandB, "wandb")


def resolve_types(cls: type) -> None:
    """Put a dataclass's types in place of their names.

    The parser would look up all names in the module of the class; one that only the module of a class above it knows
    would leave all of its settings unchecked, in silence.
    """
    if not dataclasses.is_dataclass(cls):
        return
    try:
        hints = get_type_hints(cls)
    except NameError as error:
        warn(
            f"{source_file(cls)}: {cls.__name__}: {error}; import it outside TYPE_CHECKING, else no setting is checked"
        )
    else:
        make: Any = cls.__init__
        make.__annotations__ |= {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def one_method(given: Method | list[Method]) -> Method:
    """Return the method that the setting means; a list is a chain.

    Raises:
        FtlabError: a plugin's class is no dataclass, so its settings cannot be written down.
    """
    for member in given if isinstance(given, list) else [given]:
        if not dataclasses.is_dataclass(member):
            cls = type(member)
            raise FtlabError(f"{source_file(cls)}: {cls.__name__} is not a dataclass; write @dataclass above the class")
    return Chain(given) if isinstance(given, list) else given


def build_experiment(settings: Namespace | Any) -> Experiment:
    """Join instantiated sections to an experiment."""
    method = one_method(settings.method)
    seed = settings.seed_everything
    tuner = FineTuner(settings.model, method, settings.optimizer, seed, settings.regularizer, settings.speed)
    return Experiment(
        tuner,
        settings.data,
        settings.exam,
        settings.early_stopping,
        settings.wandb,
        settings.name,
        settings.retention,
        settings.best,
        settings.memorisation,
    )


def open_experiment(run: Run) -> Experiment:
    """Make the experiment of an existing run from its resolved settings."""
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser)
    parser.add_argument("--seed_everything", type=int)
    settings = {key: value for key, value in run.config.items() if key != "trainer"}
    try:
        return build_experiment(parser.instantiate_classes(parser.parse_object(settings)))
    except ArgumentError as error:
        raise explain(str(error), Sources(["--config", str(run.config_file)]), []) from error
