"""Record: a comparison as plain data, for JSON and CSV. It writes no file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ftlab.comparison.closing import closing
from ftlab.comparison.compare import COSTS, Comparison
from ftlab.exam.statistics import verdict


def record(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison with all its figures, `best` and `winner` by label, configurations in their order."""
    return {
        "closing": closing(comparison),
        "best": comparison.best.label if comparison.best else None,
        "winner": comparison.winner.label if comparison.winner else None,
        "warnings": comparison.warnings,
        "fronts": {cost: [group.label for group in comparison.front(cost)] for cost in COSTS},
        "configurations": [
            {
                "label": group.label,
                "settings": {key: group.values[key] for key in comparison.keys},
                "seeds": [entry.seed for entry in group.entries],
                "runs": [str(entry.run.folder) for entry in group.entries],
                "states": group.states,
                "exam": asdict(group.exam) if group.exam else None,
                "retention": {n: asdict(score) for n in comparison.retention if (score := group.retention(n))},
                "figures": {name: group.figure(name) for name in comparison.names},
                "against_best": _difference(comparison, group.label),
            }
            for group in comparison.groups
        ],
        "left_out": comparison.left_out,
    }


def rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each run: what it is, its settings that differ, its figures."""
    return [
        {
            "run": str(entry.run.folder),
            "configuration": group.label,
            "seed": entry.seed,
            "state": entry.state,
            **{key: group.values[key] for key in comparison.keys},
            **{name: found.get(name) for name in comparison.names},
        }
        for group in comparison.groups
        for entry, found in zip(group.entries, group.each, strict=True)
    ]


def _difference(comparison: Comparison, label: str) -> dict[str, Any] | None:
    found = comparison.against.get(label)
    return asdict(found) | {"verdict": str(verdict(found))} if found else None
