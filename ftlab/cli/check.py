"""The command `ftlab methods check`: the conformance kit in a terminal."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from time import perf_counter

from jsonargparse import ArgumentParser

from ftlab.cli.explain import explain
from ftlab.cli.settings import one_method, resolve_types
from ftlab.cli.sources import Sources
from ftlab.conformance import ARCHITECTURES, CHECKS, Finding, check_method
from ftlab.errors import FtlabError, choices_help
from ftlab.methods import Method
from ftlab.plugins import failure_of, registered, warn_of_skipped

DESCRIPTION = f"""\
Hold a method to the contract on random two-layer models of {" and ".join(ARCHITECTURES)}; one line for each check with
its figure (FAILED where it does not hold, - where it does not apply and why). Exit code 1 if one fails.
Settings are given as for fit: ftlab methods check LoRA --method.r 16
"""


def check(args: Sequence[str]) -> bool:
    """Check a method; return whether everything held.

    Args:
        args: the method's name and its settings.

    Raises:
        FtlabError: there is no such method or setting.
    """
    for cls in registered(Method).values():
        resolve_types(cls)
    parser = ArgumentParser("ftlab methods check", description=DESCRIPTION, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("name", help="A method.")
    parser.add_argument("--method", type=Method | list[Method], help="Its settings, such as --method.r 16.")
    parser.add_argument("--plugins", nargs="+", default=[], help="Python files or modules with methods of your own.")
    parser.add_argument("--only", type=list[int], default=list(CHECKS), help="Numbers of the checks to run.")
    name, options = "".join(args[:1]), args[1:]
    if {"-h", "--help"} & set(args):
        parser.print_help()
        return True
    if not name or name.startswith("-"):
        raise FtlabError(f"methods check: of which method? name it first ({', '.join(registered(Method))})")
    if name not in registered(Method):
        raise failure_of(name) or FtlabError(f"{name}: not a method; {choices_help(name, registered(Method))}")
    try:
        settings = parser.parse_args([name, "--method", name, *options])
        method = one_method(parser.instantiate(settings).method)
    except ArgumentError as error:
        raise explain(str(error), Sources(args), []) from error
    warn_of_skipped()
    if unknown := set(settings.only) - CHECKS.keys():
        raise FtlabError(f"--only: there is no check {min(unknown)}; choose from 1 to {max(CHECKS)}")
    start = perf_counter()
    findings = check_method(method, only=settings.only, tell=_print)
    failed = [finding for finding in findings if finding.passed is False]
    print(f"{len(findings)} checks, {len(failed)} failed, {perf_counter() - start:.0f} s")
    return not failed


def _print(finding: Finding) -> None:
    print(finding, flush=True)
