"""Tracking: the Weights & Biases run beside a run's folder, online with a login and offline without one."""

from __future__ import annotations

import netrc
import os
import warnings
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from ftlab.exam.sitting import Answer, Sitting

#: Seconds to wait for W&B's server before the run goes on offline.
TIMEOUT = 20


@dataclass
class WandB:
    """Weights & Biases."""

    mode: Literal["auto", "online", "offline", "off"] | bool = "auto"
    """`auto` is online where this machine is logged in, else offline (upload later with `wandb sync`)."""
    project: str = "ftlab"
    """Project that the run appears in."""
    entity: str | None = None
    """Team or user; None takes the login's own."""

    def start(self, folder: Path, name: str, config: dict[str, Any], tags: list[str]) -> Any:
        """Start a run whose files lie in `folder`/wandb; return Lightning's logger, None where switched off.

        Args:
            folder: the run's folder.
            name: the experiment's name.
            config: nested settings, logged as they are.
            tags: method and base.
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
        try:
            run = wandb.init(mode=mode, **options)
        except wandb.Error as error:
            if mode == "offline":
                raise
            warnings.warn(f"W&B cannot be reached ({error}); this run is kept offline", stacklevel=2)
            run = wandb.init(mode="offline", **options)
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


def track_results(logger: Any, summary: dict[str, Any], sittings: dict[str, Sitting]) -> dict[str, Any]:
    """Log a run's outcome and its answers, finish the W&B run, and return where it can be found.

    Args:
        logger: what `WandB.start` returned.
        summary: the run's outcome; becomes the W&B run's summary under the same names.
        sittings: all sittings of the exam by name; they become the table `exam/answers`, one row an answer.
    """
    import wandb

    run = logger.experiment
    run.summary.update({key: value for key, value in summary.items() if value is not None})
    rows = [[name, *astuple(answer)] for name, sitting in sittings.items() for answer in sitting.answers]
    if rows:
        columns = ["sitting", *(column.name for column in fields(Answer))]
        run.log({"exam/answers": wandb.Table(columns=[*columns], data=rows)})
    offline = run.settings.mode == "offline"
    place = {"mode": "offline", "folder": str(Path(run.dir).parent)} if offline else {"mode": "online", "url": run.url}
    run.finish()
    return place
