"""Sandbox: runs a program in a process of its own, with limits and without network. It knows no grader."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import lru_cache

from ftlab.plugins import warn

#: Runs the program under limits, then writes the secret, which a program that only leaves early cannot know. Paths are
#: cleared of the working directory by `-I`; the limits are set here, since between fork and exec threads forbid it.
_RUNNER = """
import json, os, resource, sys
job = json.loads(sys.stdin.buffer.read())
sys.stdin = open(os.devnull)
for name, value in job["limits"].items():
    resource.setrlimit(getattr(resource, name), (value, value))
def run(program):
    exec(compile(program, "program.py", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
run(job["program"])
os.write(job["out"], job["secret"].encode())
"""

#: New user, network and process namespaces: no interface but a dead loopback, and no process that outlives the first.
_UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child")


def runs_through(program: str, seconds: float, megabytes: int) -> bool:
    """Return whether a Python program comes to its end without an error, within its limits.

    It runs in an empty folder of its own, without the environment's variables and, where the system allows new
    namespaces (Linux with `unshare`), without network and with no way to leave processes behind; a warning says where
    it does not. It can read what the user can read: this guards against accidents of a model, not against attackers.

    Args:
        program: source text.
        seconds: limit of processor time, and of time by the clock.
        megabytes: limit of memory, and of each file that it writes.
    """
    secret = secrets.token_hex(16)
    size = megabytes * 2**20
    limits = {"RLIMIT_AS": size, "RLIMIT_FSIZE": size, "RLIMIT_CPU": max(1, int(seconds + 1)), "RLIMIT_CORE": 0}
    read, write = os.pipe()
    job = {"program": program, "secret": secret, "out": write, "limits": limits}
    try:
        with tempfile.TemporaryDirectory(prefix="ftlab-program-", ignore_cleanup_errors=True) as folder:
            _run([*_isolation(), sys.executable, "-I", "-c", _RUNNER], json.dumps(job).encode(), folder, write, seconds)
        os.set_blocking(read, False)
        with contextlib.suppress(BlockingIOError):  # a process left behind may hold the other end
            return os.read(read, 64) == secret.encode()
        return False
    finally:
        os.close(read)
        os.close(write)


def _run(command: list[str], job: bytes, folder: str, write: int, seconds: float) -> None:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
        pass_fds=(write,),
        start_new_session=True,
    )
    try:
        process.communicate(job, timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@lru_cache(maxsize=1)
def _isolation() -> tuple[str, ...]:
    """Return the command that takes the network away, empty where the system does not let us."""
    if shutil.which(_UNSHARE[0]):
        tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return _UNSHARE
    warn("programs of the grader Code run with network: this system allows no new namespaces (unshare)")
    return ()
