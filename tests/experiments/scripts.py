"""Scripts of the experiments, which are no package: to import, and to run."""

import importlib.util
import subprocess
import sys


def load(script):
    """Return a script as a module, under a name of its own: several are called compare.py."""
    spec = importlib.util.spec_from_file_location(f"{script.parent.name}_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script, *args):
    """Run a script to its end, which is to be a good one."""
    result = subprocess.run([sys.executable, script, *args], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
