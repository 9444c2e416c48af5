"""Ways: an exam sat by the base, by the base with examples in its prompt, and tuned, as data. It knows no files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftlab.exam.outcome import compare_sittings, describe_score, paired_points
from ftlab.exam.sitting import Sitting, few_shot
from ftlab.exam.statistics import base_with, difference, kept, verdict


def describe_ways(sittings: Mapping[str, Sitting], general: bool = False) -> dict[str, Any]:
    """Return the scores of each way with sections, further graders and totals, and the verdict, where there are two.

    Args:
        sittings: `before`, and where they were sat `shots-<n>` and `after`, by name.
        general: it is of a general ability, of which is told how much was kept.
    """
    before, after = sittings["before"], sittings.get("after")
    shots = dict(sorted(few_shot(sittings).items()))
    ways = {"base": before, **{base_with(n): sitting for n, sitting in shots.items()}}
    if after is not None:
        ways["tuned"] = after
    found: dict[str, Any] = {
        "questions": len(before.answers),
        "ways": {title: _describe(sitting) for title, sitting in ways.items()},
    }
    if after is not None and general:
        share = kept(*paired_points(before, after))
        found["verdict"] = f"{share}: {verdict(share.difference)}"
    elif after is not None:
        found["verdict"] = compare_sittings(sittings)["verdict"]
    elif shots:
        n = max(shots, key=lambda n: shots[n].score.score)
        said = verdict(difference(*paired_points(before, shots[n])))
        found["verdict"] = f"the {base_with(n)} in its prompt against the base without: {said}"
    return found


def _describe(sitting: Sitting) -> dict[str, Any]:
    parts = {name: describe_score(score) for name, score in sitting.scores().items()}
    return {"score": describe_score(sitting.score), "parts": parts, "totals": sitting.totals}
