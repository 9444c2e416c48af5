"""A trial's process: its output is kept, and it never outlives the sweep."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ftlab.sweep.process import last_error, run_child
from tests.conftest import ROOT


def python(code):
    return [sys.executable, "-c", textwrap.dedent(code)]


def run(code, log, beats=None, every=60.0):
    return run_child(python(code), {"FOR_THE_CHILD": "yes"}, log, lambda: beats.append(1), every)


def test_a_childs_code_output_and_environment(tmp_path):
    log = tmp_path / "trial/output.txt"
    code = "import os, sys; print(os.environ['FOR_THE_CHILD']); print('ftlab: error: x', file=sys.stderr); sys.exit(2)"
    assert run(code, log) == 2
    assert sorted(log.read_text().split("\n")) == ["", "ftlab: error: x", "yes"]
    assert last_error(log) == "x"


def test_a_killed_child_tells_the_signal_and_takes_its_own_children_along(tmp_path):
    log = tmp_path / "output.txt"
    code = """\
        import os, subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
        os.kill(os.getpid(), 9)"""
    assert run(code, log) == -signal.SIGKILL
    assert _ends(int(log.read_text()))


def test_the_heart_beats_while_a_child_runs(tmp_path):
    beats = []
    assert run("import time; time.sleep(0.5)", tmp_path / "output.txt", beats, every=0.05) == 0
    assert beats


def test_an_interruption_reaches_the_child_once_and_goes_on(tmp_path):
    log = tmp_path / "output.txt"
    code = """\
        import signal, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
        try:
            print("ready", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            print("tidy")"""

    def interrupt():
        if "ready" in log.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(python(code), {}, log, interrupt, 0.05)
    assert log.read_text() == "ready\ntidy\n"


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    """Even where the child would not look: the main thread sleeps."""
    log = tmp_path / "output.txt"
    child = "from ftlab.sweep.process import end_with_parent as f; import os, time; f(); "
    child += "print(os.getpid(), flush=True); time.sleep(600)"
    parent = f"""\
        import sys
        from pathlib import Path
        from ftlab.sweep.process import run_child
        run_child([sys.executable, "-c", {child!r}], {{}}, Path({str(log)!r}), lambda: None, 60)"""
    process = subprocess.Popen(python(parent), cwd=ROOT)
    pid = None
    while not pid:
        time.sleep(0.02)
        pid = log.exists() and log.read_text().strip()
    process.kill()
    process.wait()
    assert _ends(int(pid))


def test_a_child_that_ends_by_itself_ends_well(tmp_path):
    """The thread that looks after the parent must not disturb the interpreter's end."""
    code = "from ftlab.sweep.process import end_with_parent as f; f(); import time; time.sleep(0.1); print('done')"
    assert run(code, tmp_path / "output.txt") == 0
    assert (tmp_path / "output.txt").read_text() == "done\n"


def test_the_last_error_of_an_output_without_one_is_its_last_line(tmp_path):
    (tmp_path / "output.txt").write_text("a\nftlab: error: the fault\nSegmentation fault\n")
    assert last_error(tmp_path / "output.txt") == "the fault"
    (tmp_path / "output.txt").write_text("a\nb\n\n")
    assert last_error(tmp_path / "output.txt") == "b"
    (tmp_path / "output.txt").write_text("")
    assert last_error(tmp_path / "output.txt") == "no output"


def _ends(pid):
    """Wait for a process that is no child of ours to end; a zombie has ended."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False
