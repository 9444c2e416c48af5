"""W&B run: a Weights & Biases run beside a folder, online with a login and offline without one. It logs nothing."""

from __future__ import annotations

import netrc
import os
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from ftlab.diagnosis.wandb_file import read_wandb
from ftlab.errors import FtlabError, require

#: Seconds to wait for W&B's server before the run goes on offline.
TIMEOUT = 20

#: What W&B takes no longer, and what it takes nowhere in the name of a project.
LONGEST_PROJECT, LONGEST_TAG = 128, 64
REFUSED = set("/\\#?%:")


@dataclass
class WandB:
    """Weights & Biases."""

    mode: Literal["auto", "online", "offline", "off"] | bool = "auto"
    """`auto` is online where this machine is logged in, else offline (upload later with `wandb sync`)."""
    project: str = "ftlab"
    """Project that the run appears in."""
    entity: str | None = None
    """Team or user; None takes the login's own."""

    def __post_init__(self) -> None:
        """Refuse a name that W&B would refuse when the run begins."""
        fits = 0 < len(self.project) <= LONGEST_PROJECT and not REFUSED & set(self.project)
        wanted = f"a name of at most {LONGEST_PROJECT} characters without {' '.join(sorted(REFUSED))}"
        require(fits, "wandb.project", self.project, wanted)

    def start(
        self, folder: Path, name: str, config: dict[str, Any], tags: list[str], resumed: Path | None = None
    ) -> Any:
        """Return Lightning's logger, whose W&B run begins with the first metrics; None where switched off.

        Args:
            folder: the run's folder.
            name: the experiment's name.
            config: nested settings, logged as they are.
            tags: method and base.
            resumed: folder of the run that this one resumes; its W&B run goes on, where it had one.
        """
        if self._mode() == "off":
            return None
        from ftlab.tracking.tracker import Tracker

        title = f"{name}/{folder.name}"
        return Tracker(partial(self.open, "fit", folder, title, name, config, tags, resumed), folder)

    def open(
        self,
        job: Literal["fit", "exam", "compare"],
        folder: Path,
        name: str,
        experiment: str,
        config: dict[str, Any],
        tags: list[str],
        resumed: Path | None = None,
    ) -> Any:
        """Start a W&B run whose files lie in `folder`/wandb; return it, None where switched off.

        Args:
            job: what is done in it, its job type.
            folder: where its files go.
            name: what it is called.
            experiment: its name, which runs are grouped by.
            config: nested settings, logged as they are.
            tags: method and base.
            resumed: folder of the run that this one resumes; its W&B run goes on, where it had one.
        """
        mode = self._mode()
        if mode == "off":
            return None
        import wandb

        options: dict[str, Any] = {
            "dir": str(folder.resolve()),  # the service that writes may have begun in another working directory
            "project": self.project,
            "entity": self.entity,
            "name": name,
            "group": experiment.rpartition("/")[0] or experiment,  # folds and a sweep's trials are one group
            "job_type": job,
            "tags": [tag[-LONGEST_TAG:] for tag in tags],  # of a path the end tells the most
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
        return run

    def _mode(self) -> Literal["online", "offline", "off"]:
        if self.mode is False:  # what YAML makes of a bare `off`
            return "off"
        if self.mode not in ("auto", True):
            return self.mode  # type: ignore[return-value]
        asked = os.environ.get("WANDB_MODE", "")
        if asked in ("disabled", "offline", "online"):
            return "off" if asked == "disabled" else asked  # type: ignore[return-value]
        return "online" if logged_in() else "offline"


def finish(run: Any) -> dict[str, Any]:
    """Finish a W&B run, and return where it can be found: its `mode`, and a `folder` or a `url`."""
    offline = run.settings.mode == "offline"
    folder, here = Path(run.dir).parent, Path.cwd()
    run.finish()
    if not offline:
        return {"mode": "online", "url": run.url}
    return {"mode": "offline", "folder": str(folder.relative_to(here) if folder.is_relative_to(here) else folder)}


def place_line(place: dict[str, Any]) -> str:
    """Return the line of the terminal that says where a W&B run can be found."""
    if place["mode"] == "offline":
        return f"W&B        offline; upload with: wandb sync {place['folder']}"
    return f"W&B        {place['url']}"


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
