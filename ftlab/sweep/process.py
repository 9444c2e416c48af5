"""Process: a command as a child that ends with its parent, its output in a file. It knows no run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

#: Seconds that a child has to end by itself once it is interrupted.
LAST_WORDS = 15


def run_child(
    command: Sequence[str], environment: dict[str, str], log: Path, beat: Callable[[], None], every: float
) -> int:
    """Run a command to its end; return its exit code, or minus the signal that killed it.

    It has a group of processes of its own, which an interruption from the keyboard does not reach, and a pipe from this
    process, by which `end_with_parent` tells whether this process still lives.

    Args:
        command: program and arguments.
        environment: variables beside those of this process.
        log: gets all that it writes.
        beat: called again and again meanwhile.
        every: seconds between two calls.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        while True:
            try:
                return child.wait(every)
            except subprocess.TimeoutExpired:
                beat()
    except BaseException:
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(LAST_WORDS)
        raise
    finally:
        if child.poll() != 0:  # what it has started itself must not outlive it
            end_group(child.pid)
            child.wait()


def end_group(group: int) -> None:
    """Kill all processes of a group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def end_with_parent() -> None:
    """Let this process and all it starts end when its parent does, by whatever signal: its standard input then ends."""

    def wait() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock the interpreter wants when it ends
            pass
        end_group(os.getpgrp())

    threading.Thread(target=wait, daemon=True).start()


def last_error(log: Path) -> str:
    """Return the line in which a command said what went wrong, else its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = [line.partition("ftlab: error: ")[2] for line in lines if "ftlab: error: " in line]
    return [*lines, *told][-1] if lines else "no output"
