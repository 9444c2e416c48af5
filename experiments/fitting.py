"""Fitting: one run of `ftlab fit` for each set of settings, in a process of its own. It knows no tables or plots."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ftlab.runs import Run

ROOT = Path(__file__).parent.parent


def fit_once(name: str, configs: Sequence[str], options: Sequence[str], seed: int, folder: Path = ROOT) -> Run:
    """Return the run of these settings; one that is done is not done again.

    Args:
        name: under which the run is kept, with the seed and a digest of the settings.
        configs: files, from the top of the repository; a later one wins.
        options: further ones of `ftlab fit`, such as `--trainer.max_epochs=2`.
        seed: of all that is drawn.
        folder: in whose `runs/` the run is kept, and where the paths in the configs begin.
    """
    texts = [(ROOT / config).read_text(encoding="utf-8") for config in configs]
    digest = hashlib.sha256("".join([*texts, *options]).encode()).hexdigest()[:8]  # other settings, other run
    title = f"{name}-{seed}-{digest}"
    done = folder / "runs" / title
    if not list(done.glob("*/summary.json")):
        command = [sys.executable, "-m", "ftlab", "fit", *(f"--config={ROOT / config}" for config in configs)]
        command += [f"--name={title}", f"--seed_everything={seed}", *options]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode:
            raise SystemExit(f"{title}: {result.stderr.strip()[-2000:]}")
    return Run(max(done.glob("*/summary.json")).parent)
