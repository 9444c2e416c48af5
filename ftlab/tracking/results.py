"""Results: what came out of a run, logged as a W&B run's summary, tables and artifacts. It starts no W&B run."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.exam.sitting import Sitting
from ftlab.tracking.answers import answer_table
from ftlab.tracking.wandb_run import finish

#: Best weights up to so many bytes are uploaded; of larger ones W&B is told where they lie.
LARGEST = 500_000_000

#: All sittings of each exam by name, by the name of the exam's metrics.
Exams = Mapping[str, Mapping[str, Sitting]]


def track_results(
    logger: Any, summary: dict[str, Any], exams: Exams, best: Path, base: Mapping[str, Any]
) -> dict[str, Any]:
    """Log a run's outcome, its answers and its best weights, finish the W&B run, and return where it can be found.

    Args:
        logger: what `WandB.start` returned.
        summary: the run's outcome; becomes the W&B run's summary under the same names, and the scores of the best
            weights take the place of the last that were logged while training (`exam/score`).
        exams: they become tables such as `exam/answers`.
        best: folder of the best weights.
        base: identity of the base, whose `weights` tell it from others of its name.
    """
    import wandb

    run = logger.run
    _log_outcome(run, summary, exams)
    try:
        _log_lineage(run, summary, best, base)
    except (wandb.Error, ValueError, OSError) as error:
        warnings.warn(f"W&B has no artifact of {best} ({error})", stacklevel=2)
    return finish(run)


def track_exam(run: Any, summary: dict[str, Any], exams: Exams) -> dict[str, Any]:
    """Log exams that were sat without training, finish the W&B run, and return where it can be found.

    Args:
        run: what `WandB.open` returned.
        summary: the outcome, by the names of a run's summary.
        exams: they become tables such as `exam/answers`.
    """
    _log_outcome(run, summary, exams)
    return finish(run)


def _log_outcome(run: Any, summary: dict[str, Any], exams: Exams) -> None:
    import wandb

    run.summary.update({key: value for key, value in summary.items() if value is not None and key != "wandb"})
    run.summary.update(_last_scores(summary))
    tables = {f"{exam}/answers": answer_table(sittings) for exam, sittings in exams.items() if sittings}
    if tables:
        run.log({name: wandb.Table(columns=[*columns], data=rows) for name, (columns, rows) in tables.items()})


def _last_scores(summary: dict[str, Any]) -> dict[str, float]:
    """Return the tuned model's scores by the names of the metrics, which every run then has."""
    retained = {f"retention/{name}": found for name, found in (summary.get("retention") or {}).items()}
    exams = {"exam": summary.get("exam") or {}} | retained
    return {
        f"{exam}/{key}": value for exam, found in exams.items() for key, value in (found.get("after") or {}).items()
    }


def _log_lineage(run: Any, summary: dict[str, Any], best: Path, base: Mapping[str, Any]) -> None:
    """Log base and data as what the run used, and the best weights as what it made.

    Base and data are told by their fingerprints, so that all runs on them share one node of W&B's graph; their own
    files stay where they are.
    """
    import wandb

    data = summary["data"]
    told_base = {key: value for key, value in base.items() if key != "ftlab"}  # one base, whatever version tells it
    inputs = {"base": (base["base"], told_base), "data": (data["fingerprint"], data)}
    for kind, (name, about) in inputs.items():
        artifact = wandb.Artifact(_artifact_name(kind, name), type=kind, metadata=dict(about))
        # Beside W&B's log, not in its store of files to send, which is outside the run's folder.
        file = Path(run.dir).resolve().parent / f"{kind}.json"
        file.write_text(json.dumps(dict(about), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        artifact.add_file(str(file), policy="immutable", skip_cache=True)
        if run.offline:  # where use_artifact refuses, though it does no more than this
            run._log_artifact(artifact, is_user_created=True, use_after_commit=True)
        else:
            run.use_artifact(artifact)
    if not best.is_dir():
        return
    told = {key: summary[key] for key in ("method", "base", "best", "exam") if summary.get(key) is not None}
    weights = wandb.Artifact(
        _artifact_name("best", summary["name"]), type="model", metadata=told | {"data": data["fingerprint"]}
    )
    files = sorted(file for file in best.resolve().rglob("*") if file.is_file())
    upload = sum(file.stat().st_size for file in files) <= LARGEST
    for file in files:
        name = file.relative_to(best.resolve()).as_posix()
        if upload:
            weights.add_file(str(file), name, policy="immutable", skip_cache=True)
        else:
            weights.add_reference(file.as_uri(), name, checksum=False)
    run.log_artifact(weights, aliases=["best"])


def _artifact_name(kind: str, name: str) -> str:
    """Return a name of the characters that W&B allows."""
    return re.sub(r"[^\w.-]+", "-", f"{kind}-{name}", flags=re.ASCII)[:128]
