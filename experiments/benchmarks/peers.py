"""Peers: LLaMA-Factory and ms-swift, each in a virtual environment of its own, for the benchmark to run them.

    python experiments/benchmarks/peers.py            # below runs/benchmarks/, which git leaves out; 2 GB each

TRL, transformers' Trainer and Lightning come with ftlab's own development environment. PyTorch is installed first, in
the version that this environment has, so that both sides compute with the same kernels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

sys.path.append(str(Path(__file__).parent.parent))
from fitting import ROOT

FOLDER = ROOT / "runs" / "benchmarks"
PACKAGES = {"llamafactory": "llamafactory==0.9.5", "ms_swift": "ms-swift==4.6.0"}

#: What LLaMA-Factory imports for sounds and pictures. Their builds for CUDA cannot be loaded without it, and break
#: the import of transformers.
SENSES = ("torchvision", "torchaudio")
EMPTY = '"""Empty: text needs none of it, and the real one cannot be loaded here."""\n'


def main() -> None:
    """Make the environments that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the environments")
    parser.add_argument("--peers", nargs="+", choices=PACKAGES, default=list(PACKAGES))
    args = parser.parse_args()
    for name in tqdm(args.peers, unit=" environments", delay=2, leave=False):
        print(install(name, args.folder))


def python_of(name: str, folder: Path) -> Path:
    """Return the Python of a peer's environment."""
    return folder / "envs" / name / "bin" / "python"


def install(name: str, folder: Path) -> Path:
    """Return the Python of a peer's environment, which is made where it is not there yet.

    Raises:
        SystemExit: pip found no versions that fit.
    """
    python = python_of(name, folder)
    ready = python.parent.parent / "ready"
    if not ready.exists():
        run(sys.executable, "-m", "venv", "--clear", str(python.parent.parent))
        torch = f"torch=={version('torch').partition('+')[0]}"
        constraints = python.parent.parent / "constraints.txt"
        constraints.write_text(f"{torch}\n", encoding="utf-8")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
        run(*pip, torch)
        run(*pip, PACKAGES[name])
        for module in SENSES:
            leave_out(module, python)
        ready.touch()
    return python


def leave_out(module: str, python: Path) -> None:
    """Take a module away that is installed but cannot be imported, and leave an empty `torchaudio` in its place."""
    tried = subprocess.run([str(python), "-c", f"import {module}"], capture_output=True, text=True, check=False)
    if tried.returncode and "No module named" not in tried.stderr.strip().splitlines()[-1]:
        run(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", module)
        if module == "torchaudio":  # which LLaMA-Factory imports whatever it trains; it does without torchvision
            where = "import sysconfig; print(sysconfig.get_path('purelib'))"
            site = subprocess.run([str(python), "-c", where], capture_output=True, text=True, check=True).stdout.strip()
            Path(site, "torchaudio.py").write_text(EMPTY, encoding="utf-8")


def run(*command: str) -> None:
    """Run a command.

    Raises:
        SystemExit: it failed.
    """
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}: {result.stderr.strip()[-2000:]}")


if __name__ == "__main__":
    main()
