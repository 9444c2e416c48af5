"""Kit: runs every check on every architecture and collects what they found. It measures nothing itself."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ftlab.conformance import files, numbers, parameters, training
from ftlab.conformance.bench import Bench
from ftlab.conformance.findings import DoesNotApply, Failed, Finding
from ftlab.errors import FtlabError
from ftlab.methods.base import Method

ARCHITECTURES = ("llama", "qwen2")

#: The checks by number; their docstrings say what is held.
CHECKS: dict[int, tuple[str, Callable[[Bench], str]]] = {
    1: ("trained", parameters.only_declared_parameters_move),
    2: ("count", parameters.count_follows_the_formula),
    3: ("start", numbers.start_is_the_base),
    4: ("overfit", training.it_learns_by_heart),
    5: ("reload", files.weights_come_back),
    6: ("bytes", files.bytes_follow_parameters),
    7: ("resume", training.resumed_is_uninterrupted),
    8: ("checkpointing", numbers.checkpointing_changes_nothing),
    9: ("merge", numbers.merged_is_equal),
    10: ("padding", numbers.padding_changes_nothing),
    11: ("groups", parameters.groups_are_a_partition),
    12: ("bf16", numbers.bfloat16_stays_close),
    13: ("base", files.wrong_base_is_refused),
    14: ("4-bit", numbers.composes_with_a_4bit_base),
    15: ("exam", training.best_is_what_was_examined),
    16: ("packing", numbers.packed_is_alone),
}


def check_method(
    method: Method,
    architectures: Sequence[str] = ARCHITECTURES,
    only: Collection[int] = tuple(CHECKS),
    tell: Callable[[Finding], None] = lambda finding: None,
) -> list[Finding]:
    """Hold a method to the contract on random two-layer models; takes seconds on a CPU.

    Args:
        method: the method with the settings to try.
        architectures: model types of transformers.
        only: numbers of the checks to run.
        tell: gets each finding as soon as it is there.

    Returns:
        one finding for each check and architecture; `passed` is False where one does not hold.
    """
    findings = []
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bench = Bench(architecture, Path(folder), method)
            for number in sorted(only):
                name, check = CHECKS[number]
                findings.append(Finding(number, name, architecture, *_run(check, bench)))
                tell(findings[-1])
    return findings


def _run(check: Callable[[Bench], str], bench: Bench) -> tuple[bool | None, str]:
    """Return whether the check passed, and its figure; a method that raises has failed."""
    try:
        return True, check(bench)
    except DoesNotApply as error:
        return None, str(error)
    except (Failed, FtlabError) as error:
        return False, str(error)
    except Exception as error:
        reason = (str(error).strip() or "no message").splitlines()[0]
        return False, f"{type(error).__name__}: {reason}"
