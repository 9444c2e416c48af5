"""First process: what one of a training's processes does for all of them. It knows nothing of what that is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from ftlab.errors import FtlabError

Result = TypeVar("Result")

#: How long the others wait: an exam may take longer than the half hour after which torch gives up.
LONGEST = timedelta(days=7)


def by_the_first(work: Callable[[], Result]) -> Result:
    """Do something in the first process, and return what came out in all of them; with one process just do it.

    The others wait for it on a group of their own, for a GPU's would end the run after minutes without a word. All
    have to call this in one order.

    Args:
        work: returns, or raises as an FtlabError, what can be sent to the other processes.

    Raises:
        FtlabError: what the first process raised, in all of them.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return work()
    group = dist.new_group(backend="gloo", timeout=LONGEST)
    told: list[Any] = [None, None]
    fault: FtlabError | None = None
    if dist.get_rank() == 0:
        try:
            told[0] = work()
        except FtlabError as error:
            fault, told[1] = error, str(error)
    dist.broadcast_object_list(told, src=0, group=group)
    dist.destroy_process_group(group)
    if told[1] is not None:
        raise fault or FtlabError(told[1])
    return told[0]
