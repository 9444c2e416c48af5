"""Cache: files that can be made again from their key. It knows nothing of what is in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import ftlab


def cache_folder() -> Path:
    """Return where cached files lie: `$FTLAB_CACHE`, else `ftlab` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if named := os.environ.get("FTLAB_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftlab"


def cached(kind: str, key: str, write: Callable[[Path], None]) -> Path:
    """Return the folder of a key, written once.

    It is staged beside its place and renamed, so that a process killed while writing leaves nothing that looks whole,
    and of two processes that write at once the first one wins.

    Args:
        kind: what is cached, a folder's name.
        key: a hash of all that the contents depend on; ftlab's version and the text of this package are added.
        write: makes the contents in an empty folder.
    """
    folder = cache_folder() / kind / f"{key}-{_makers()}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=folder.parent))
    try:
        write(staged)
        try:
            staged.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


@cache
def _makers() -> str:
    """Return ftlab's version and a hash of the code that makes what is cached, for its next version may differ."""
    digest = hashlib.sha256()
    package = Path(ftlab.__file__).parent
    for file in sorted(file for part in ("data", "exam") for file in (package / part).rglob("*.py")):
        digest.update(file.read_bytes())
    return f"{ftlab.__version__}-{digest.hexdigest()[:8]}"
