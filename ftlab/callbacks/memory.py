"""Memory: the largest amount that was in use since a point in time. It knows nothing of what uses it."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

#: Where Linux tells what a process uses, and takes 5 for "count the most from now on".
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes() -> int:
    """Return the most memory in use since `reset_peak`: of the GPU where one is used, else of this process."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    if _STATUS.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())):
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Let `peak_bytes` count from now on; return whether that can be done, for a system may not allow it."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True
