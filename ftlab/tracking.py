"""Tracking: the Weights & Biases run beside a run's folder, online with a login and offline without one."""

from __future__ import annotations

import json
import netrc
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from ftlab.diagnosis.wandb_file import read_wandb
from ftlab.errors import FtlabError
from ftlab.exam.sitting import Answer, Sitting

#: Seconds to wait for W&B's server before the run goes on offline.
TIMEOUT = 20

#: Best weights up to so many bytes are uploaded; of larger ones W&B is told where they lie.
LARGEST = 500_000_000


@dataclass
class WandB:
    """Weights & Biases."""

    mode: Literal["auto", "online", "offline", "off"] | bool = "auto"
    """`auto` is online where this machine is logged in, else offline (upload later with `wandb sync`)."""
    project: str = "ftlab"
    """Project that the run appears in."""
    entity: str | None = None
    """Team or user; None takes the login's own."""

    def start(
        self, folder: Path, name: str, config: dict[str, Any], tags: list[str], resumed: Path | None = None
    ) -> Any:
        """Start a run whose files lie in `folder`/wandb; return Lightning's logger, None where switched off.

        Args:
            folder: the run's folder.
            name: the experiment's name.
            config: nested settings, logged as they are.
            tags: method and base.
            resumed: folder of the run that this one resumes; its W&B run goes on, where it had one.
        """
        mode = self._mode()
        if mode == "off":
            return None
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        options: dict[str, Any] = {
            "dir": str(folder),
            "project": self.project,
            "entity": self.entity,
            "name": f"{name}/{folder.name}",
            "group": name,
            "job_type": "fit",
            "tags": tags,
            "config": config,
            "settings": wandb.Settings(init_timeout=TIMEOUT, silent=True, console="off"),
        }
        log = _newest_log(resumed) if resumed else None
        if log:
            options |= {"id": log.stem.removeprefix("run-"), "resume": "allow"}
        try:
            run = wandb.init(mode=mode, **options)
        except wandb.Error as error:
            if mode == "offline":
                raise
            warnings.warn(f"W&B cannot be reached ({error}); this run is kept offline", stacklevel=2)
            run = wandb.init(mode="offline", **options)
        if log:
            _go_on(run, log)
        return WandbLogger(experiment=run, save_dir=str(folder))

    def _mode(self) -> Literal["online", "offline", "off"]:
        if self.mode is False:  # what YAML makes of a bare `off`
            return "off"
        if self.mode not in ("auto", True):
            return self.mode  # type: ignore[return-value]
        asked = os.environ.get("WANDB_MODE", "")
        if asked in ("disabled", "offline", "online"):
            return "off" if asked == "disabled" else asked  # type: ignore[return-value]
        return "online" if logged_in() else "offline"


def logged_in() -> bool:
    """Return whether this machine holds a W&B key, without asking anyone."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = os.environ.get("NETRC") or Path.home() / ".netrc"
    try:
        return netrc.netrc(str(file)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _newest_log(folder: Path) -> Path | None:
    """Return the W&B log in a run's folder, `wandb/*run-<time>-<id>/run-<id>.wandb`; None where it has none."""
    logs = (folder / "wandb").glob("*run-*/run-*.wandb")
    return max(logs, key=lambda log: log.stat().st_mtime_ns, default=None)


def _go_on(run: Any, log: Path) -> None:
    """Let a resumed run count its steps on from an earlier log, which only a server would have told it."""
    try:
        rows, _ = read_wandb(log)
    except FtlabError as error:
        warnings.warn(f"{error}; the W&B run counts its steps anew", stacklevel=2)
        return
    last = max((row.get("_step", 0) for row in rows), default=-1)
    if run.step <= last:
        run.log({}, step=last + 1)


def track_results(
    logger: Any,
    summary: dict[str, Any],
    exams: Mapping[str, Mapping[str, Sitting]],
    best: Path,
    base: Mapping[str, Any],
) -> dict[str, Any]:
    """Log a run's outcome, its answers and its best weights, finish the W&B run, and return where it can be found.

    Args:
        logger: what `WandB.start` returned.
        summary: the run's outcome; becomes the W&B run's summary under the same names, and the scores of the best
            weights take the place of the last that were logged while training (`exam/score`).
        exams: by the name of its metrics, all sittings of each exam by name; they become tables such as `exam/answers`.
        best: folder of the best weights.
        base: identity of the base, whose `weights` tell it from others of its name.
    """
    import wandb

    run = logger.experiment
    run.summary.update({key: value for key, value in summary.items() if value is not None and key != "wandb"})
    run.summary.update(_last_scores(summary))
    tables = {f"{exam}/answers": answer_table(sittings) for exam, sittings in exams.items() if sittings}
    if tables:
        run.log({name: wandb.Table(columns=[*columns], data=rows) for name, (columns, rows) in tables.items()})
    try:
        _log_lineage(run, summary, best, base)
    except (wandb.Error, ValueError, OSError) as error:
        warnings.warn(f"W&B has no artifact of {best} ({error})", stacklevel=2)
    offline = run.settings.mode == "offline"
    place = {"mode": "offline", "folder": str(Path(run.dir).parent)} if offline else {"mode": "online", "url": run.url}
    run.finish()
    return place


def _last_scores(summary: dict[str, Any]) -> dict[str, float]:
    """Return the tuned model's scores by the names of the metrics, which every run then has."""
    retained = {f"retention/{name}": found for name, found in (summary.get("retention") or {}).items()}
    exams = {"exam": summary.get("exam") or {}} | retained
    return {f"{exam}/{key}": value for exam, found in exams.items() for key, value in found.get("after", {}).items()}


def answer_table(sittings: Mapping[str, Sitting]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of a table with one row a question, the same rows in every run of the exam.

    Rows are sorted by id. After `id`, `question` and `reference` (and `section`) come of each sitting its answer under
    the sitting's name, `<sitting> points`, `<sitting> <grader>` of each further grader, and `<sitting> samples` where
    several were drawn; what every run has comes before sittings at single steps.

    Args:
        sittings: by name.
    """
    order = sorted(sittings, key=lambda name: name.startswith("step-"))
    asked: dict[str, dict[str, Any]] = {}
    columns = ["id", "question", "reference"]
    if any(answer.section for sitting in sittings.values() for answer in sitting.answers):
        columns.append("section")
    for name in order:
        cells = [(answer, _cells(name, answer)) for answer in sittings[name].answers]
        columns += dict.fromkeys(column for _, row in cells for column in row)
        for answer, row in cells:
            about = {"id": answer.id, "question": answer.question, "reference": answer.reference}
            asked.setdefault(answer.id, about | {"section": answer.section}).update(row)
    return columns, [[asked[id].get(column) for column in columns] for id in sorted(asked)]


def _cells(sitting: str, answer: Answer) -> dict[str, Any]:
    cells: dict[str, Any] = {sitting: answer.answer, f"{sitting} points": float(answer.points)}
    cells |= {f"{sitting} {grader}": float(points) for grader, points in answer.scores.items()}
    if answer.samples:
        cells[f"{sitting} samples"] = json.dumps(answer.samples, ensure_ascii=False)
    return cells


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
