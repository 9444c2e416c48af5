"""Hub: data sets by their ids, through the library datasets. It knows nothing of what is in them."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ftlab.data.files import DataFile
from ftlab.errors import FtlabError

#: How long the Hub is waited for before the cache alone is asked, in seconds.
PATIENCE = 2.5
ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SPLIT = re.compile(r"[\w.-]+")


def hub_file(name: str, split: str, subset: str | None) -> DataFile:
    """Return the files of a data set, downloaded now or earlier.

    Args:
        name: `owner/name`.
        split: which part of it.
        subset: which configuration of it; None is the only one.

    Raises:
        FtlabError: there is no such data set, subset or split, or the Hub is out of reach and the cache has none.
    """
    if not SPLIT.fullmatch(split):
        raise FtlabError(
            f"{name}: {split!r} is not the name of a split; name a whole one, data.split takes parts of it"
        )
    answer = _Answer()  # the Hub is asked while the library is loaded
    import datasets

    shown = f"{name}/{subset}[{split}]" if subset else f"{name}[{split}]"
    online = answer.came()
    try:
        with contextlib.nullcontext() if online else _offline():
            found = datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # of many kinds, and no list of them
        reason = " ".join(str(error).split())[:300]
        if online:
            raise FtlabError(
                f"{shown}: the Hub does not give this data set ({reason}); check id, subset and split"
            ) from error
        cache = datasets.config.HF_DATASETS_CACHE
        load = f'datasets.load_dataset("{name}"{f", {subset!r}" if subset else ""}, split="{split}")'
        raise FtlabError(
            f"{shown}: neither a file here nor a data set in the cache {cache}, and the Hub cannot be reached; "
            f"check the path, or run {load} in Python where there is a network and copy the cache"
        ) from error
    parts = tuple(Path(file["filename"]) for file in found.cache_files)
    if not parts:
        raise FtlabError(f"{shown}: the data set has no rows; check the split")
    return DataFile(shown, parts)


class _Answer:
    """Whether the Hub answers, asked in a thread; its own client would try for half a minute."""

    def __init__(self) -> None:
        from huggingface_hub import constants

        self._came = False
        self._deadline = time.monotonic() + PATIENCE
        self._thread = threading.Thread(target=self._ask, daemon=True)  # a name's look-up has no limit of its own
        if not constants.HF_HUB_OFFLINE:
            self._thread.start()

    def came(self) -> bool:
        """Return whether it answered in time."""
        if self._thread.ident:
            self._thread.join(max(0, self._deadline - time.monotonic()))
        return self._came

    def _ask(self) -> None:
        from huggingface_hub import constants, get_session

        with contextlib.suppress(Exception):
            self._came = get_session().head(constants.ENDPOINT, timeout=PATIENCE).status_code < 500


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let the libraries look into their cache alone."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    logger = logging.getLogger("datasets.load")
    level = logger.level
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
        logger.setLevel(level)
