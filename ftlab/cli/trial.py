"""Trial: `ftlab fit` as a sweep starts it, with one callback more, which tells the sweep how it goes."""

from __future__ import annotations

from collections.abc import Sequence

from ftlab.cli.libraries import import_libraries
from ftlab.cli.lightning import FtlabCLI
from ftlab.cli.sources import Sources
from ftlab.plugins import load_plugins
from ftlab.sweep.judge import Judge
from ftlab.sweep.process import end_with_parent
from ftlab.sweep.report_objective import ReportObjective


class TrialCLI(FtlabCLI):
    """The command `fit` of a trial. Its settings, and so its `config.yaml`, are those of any fit."""

    def instantiate_classes(self) -> None:
        """Make the objects, and the callback beside those of the settings."""
        super().instantiate_classes()
        given = self.trainer_options.get("callbacks") or []
        given = given if isinstance(given, list) else [given]
        self.trainer_options["callbacks"] = [*given, ReportObjective(Judge.of_environment())]


def run_trial(args: Sequence[str]) -> int:
    """Run a trial, with options of fit; return the exit code."""
    end_with_parent()
    sources = Sources(args)
    load_plugins(sources.values("plugins"), configs=sources.files)
    import_libraries()
    TrialCLI("fit", args)
    return 0
