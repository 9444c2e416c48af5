"""Storage: where a study is kept, and who holds a trial of it. It knows no sampler and no run."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import socket
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ParamSpec, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ftlab.errors import FtlabError, SettingError

#: Seconds between two signs of life of a running trial, and without any after which it is taken for dead.
HEARTBEAT, GRACE = 30, 180

#: Seconds for which SQLite waits while another process writes.
BUSY = 60

#: Seconds for which a database that does not answer is asked again, and between two times at first and at most.
PATIENCE, FIRST, MOST = 600, 1, 15

P = ParamSpec("P")
T = TypeVar("T")


def open_storage(address: str) -> RDBStorage:
    """Open, or make, the database at an address.

    Raises:
        SettingError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with Study.optimize")
    try:
        options: dict[str, Any] = {}
        if is_file(address):
            file = make_url(address).database
            if not file or file == ":memory:":
                raise SettingError("storage", "it needs a file, as in sqlite:///runs/x/sweep.db; trials are processes")
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            options = {"connect_args": {"timeout": BUSY}}
        return RDBStorage(address, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except ArgumentError as error:
        reason = f"{address!r} is no address of a database; write one such as postgresql://user@host/db"
        raise SettingError("storage", reason) from error
    except ImportError as error:
        raise SettingError("storage", f"{_first_line(error)}; install the database's driver with pip") from error
    except (SQLAlchemyError, OSError, RuntimeError) as error:
        reason = f"{shown(address)} cannot be opened ({_first_line(error)})"
        raise SettingError("storage", reason) from error


def is_file(address: str) -> bool:
    """Return whether a storage is a file of SQLite."""
    return make_url(address).get_backend_name() == "sqlite"


def shown(address: str) -> str:
    """Return an address without its password."""
    return make_url(address).render_as_string(hide_password=True)


def patient(action: Callable[P, T]) -> Callable[P, T]:
    """Let a method that uses the database do so again where it does not answer: hours of training must not be lost."""

    @functools.wraps(action)
    def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        start, wait = monotonic(), FIRST
        while True:
            try:
                return action(*args, **kwargs)
            except (StorageInternalError, SQLAlchemyError) as error:
                if monotonic() - start >= PATIENCE:
                    told = "once it does, the same command goes on"
                    raise FtlabError(f"storage: the database does not answer ({_first_line(error)}); {told}") from error
                warnings.warn("the sweep's database does not answer; it is asked again for a while", stacklevel=2)
            sleep(wait)
            wait = min(2 * wait, MOST)

    return tried


@contextlib.contextmanager
def alone(address: str) -> Iterator[None]:
    """Keep other processes out where the database itself cannot: SQLite has no locks of rows."""
    if not is_file(address):
        yield
        return
    with Path(f"{make_url(address).database}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Holder:
    """A process that runs trials, as others see it: alive for as long as a file of it is locked.

    On other machines its heartbeats in the database tell the same.

    Args:
        folder: where the file is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / f".holder-{uuid.uuid4().hex}").resolve()
        self._open = self.file.open("w")
        fcntl.flock(self._open, fcntl.LOCK_EX)

    @property
    def mark(self) -> dict[str, str]:
        """What a trial is marked with."""
        return {"host": machine(), "file": str(self.file)}

    def close(self) -> None:
        """Let go."""
        self.file.unlink(missing_ok=True)
        self._open.close()


def machine() -> str:
    """Return what tells this machine, since it was started, from others: clones and containers may share a name."""
    found = [socket.gethostname()]
    for file in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
        with contextlib.suppress(OSError):
            found.append(Path(file).read_text().strip())
    return " ".join(found)


def is_gone(mark: dict[str, Any]) -> bool:
    """Return whether the holder of a trial is surely gone; one on another machine never is."""
    file = Path(mark["file"])
    if mark["host"] != machine() or not file.parent.is_dir():
        return False
    try:
        with file.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(file)  # noqa: PTH108 - while it is held
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
