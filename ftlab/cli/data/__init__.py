"""The command `ftlab data`: look at data, check and prepare them. What is heavy is imported by the actions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ftlab.cli.sources import Sources
from ftlab.errors import FtlabError, SettingError, choices_help

#: What each action takes.
USAGE = {
    "show": "CONFIG [--row N ...] [--split validation] [--tokens] [--html FILE]",
    "check": "CONFIG [--html FILE]",
    "prepare": "CONFIG --output DIR",
}

HELP = f"""\
usage: ftlab data ACTION CONFIG ... (a run's YAML or folder; every setting is also an option, as for fit)

  show     {USAGE["show"]}
           rows as the model sees them: what is learnt, special tokens, white space
  check    {USAGE["check"]}
           what is in the data and what is wrong with them, on one screen; exit code 2 if fit would stop
  prepare  {USAGE["prepare"]}
           write the cleaned and split data as Parquet with a card; then train with --data.train DIR

Without a config: ftlab data show --data.train FILE. The options of each: ftlab data show --help
"""

#: What a config may be called; anything else is taken for data.
_CONFIGS = (".yaml", ".yml", ".json", "")


def run_data(args: Sequence[str]) -> int:
    """Run an action; return the exit code.

    Args:
        args: the action and its options, as `with_config` returns them.

    Raises:
        FtlabError: there is no such action, or its input is at fault.
    """
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    action, options = args[0], args[1:]
    if action not in USAGE:
        raise FtlabError(f"data {action}: not an action; {choices_help(action, USAGE)}")
    try:
        if action == "show":
            from ftlab.cli.data.show import show

            show(options)
        elif action == "check":
            from ftlab.cli.data.check import check

            check(options)
        else:
            from ftlab.cli.data.prepare import prepare

            prepare(options)
    except SettingError as error:
        raise FtlabError(f"{Sources(options).place(error.key)}: {error.reason}") from error
    return 0


def with_config(args: Sequence[str]) -> list[str]:
    """Return the arguments with `--config FILE` in place of a config, or a run's folder, named after the action.

    Raises:
        FtlabError: what is named is neither.
    """
    if len(args) < 2 or args[1].startswith("-"):
        return list(args)
    action, named, *rest = args
    path = Path(named)
    if path.is_dir():
        path = path / "config.yaml"
        if not path.is_file():
            raise FtlabError(
                f"{named}: not a run, it has no config.yaml; name a config or a folder runs/<name>/<stamp>"
            )
    elif path.is_file() and path.suffix not in _CONFIGS:
        raise FtlabError(f"{named}: data, not a config; write ftlab data {action} --data.train {named}")
    return [action, "--config", str(path), *rest]
