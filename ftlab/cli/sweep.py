"""Sweep: the command that fits many times with other settings. It reads no setting and trains nothing itself."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from ftlab.cli.libraries import import_libraries
from ftlab.cli.sources import Sources
from ftlab.cli.sweep_file import SweepFile
from ftlab.cli.sweep_options import make_parser
from ftlab.errors import EXIT_INPUT, EXIT_INTERRUPTED, FtlabError, SettingError
from ftlab.plugins import load_plugins
from ftlab.sweep.settings import Sweep

#: Options of fit that a sweep sets itself.
OWN = ("--ckpt_path",)


def run_sweep(args: Sequence[str]) -> int:
    """Run a sweep, or one trial of it, which a sweep starts with `--trial`; return the exit code.

    Raises:
        FtlabError: the sweep's file, an option or a setting of the runs is at fault.
    """
    if args[:1] == ["--trial"]:
        from ftlab.cli.trial import run_trial

        return run_trial(args[1:])
    file = args[0] if args and not args[0].startswith("-") else None
    options, rest = make_parser().parse_known_args(list(args[1:] if file else args))
    for option in OWN:
        if any(arg.partition("=")[0] == option for arg in rest):
            raise FtlabError(f"{option}: ftlab sweep starts each run itself, from its beginning; leave it out")
    if (file is None) != options.find_lr:
        told = "--find-lr needs no sweep's file: ftlab sweep --find-lr --config X.yaml"
        raise FtlabError(told if file else f"ftlab sweep: of which file? ftlab sweep SWEEP.yaml; {told}")
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise FtlabError("ftlab sweep needs Optuna: pip install 'ftlab[sweep]'") from error
    if file:
        source = SweepFile(file)
        sweep = source.read(**{key: getattr(options, key) for key in ("name", "trials", "timeout", "storage")})
        for option in (arg.partition("=")[0].removeprefix("--").rstrip("+") for arg in rest if arg.startswith("--")):
            if any(f"{option}.".startswith(f"{key}.") for key in sweep.domains):
                raise FtlabError(f"--{option}: the space of {file} sets this; take it out of one of them")
        base = [*(f"--config={config}" for config in sweep.configs), *rest]
        _load_plugins(base)
        return _conduct(sweep, source, base, [], options.again)
    _load_plugins(rest)

    from ftlab.cli.find_lr import plan

    sweep, short = plan(options, rest)
    return _conduct(sweep, None, rest, short, options.again)


def _load_plugins(args: Sequence[str]) -> None:
    sources = Sources(args)
    load_plugins(sources.values("plugins"), configs=sources.files)
    import_libraries()


def _conduct(sweep: Sweep, source: SweepFile | None, base: list[str], short: list[str], again: bool) -> int:
    """Run the trials and print what came of them; return the exit code.

    Args:
        sweep: its settings.
        source: the file that they are of, if any.
        base: options of fit that all trials have.
        short: further ones that make the runs short, which the best settings are not meant for.
        again: run those once more that failed.
    """
    from ftlab.cli.sweep_check import as_options, define
    from ftlab.sweep.closing import close
    from ftlab.sweep.conduct import Conductor
    from ftlab.sweep.study import Study
    from ftlab.sweep.table import header, line

    try:
        study = Study(sweep, define(sweep, source, [*base, *short]), again)
    except SettingError as error:
        raise (source.fault(error.key, error.reason) if source else error) from error

    def command(settings: dict[str, Any], name: str) -> list[str]:
        fit = [*base, *short, *as_options(settings), f"--name={name}"]
        return [sys.executable, "-m", "ftlab", "sweep", "--trial", *fit]

    def tell(slot: int) -> None:
        print(line(sweep, slot, study.slots()[slot]), flush=True)

    print(header(sweep), flush=True)
    try:
        for slot, trial in study.slots().items():
            if trial.state.is_finished():
                tell(slot)
        Conductor(study, command, tell).run()
        for told in close(study, shlex.join(base)):
            print(told)
    except KeyboardInterrupt:
        print("ftlab: interrupted; the same command goes on with the trials that are left", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        study.close()
    trials = study.slots().values()
    return EXIT_INPUT if trials and all("error" in trial.user_attrs for trial in trials) else 0
