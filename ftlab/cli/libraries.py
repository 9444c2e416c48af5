"""Libraries: imports Lightning and transformers, quickly and silently. It knows no command."""

from __future__ import annotations

import gc
import importlib.util
import logging
import sys
import warnings
from types import ModuleType
from typing import Any

#: What Lightning takes from torchmetrics, and the modules that hold it, in the order in which they can be imported.
OF_TORCHMETRICS = {
    "Metric": ("utilities", "metric"),
    "MetricCollection": ("utilities", "collections"),
    "__version__": ("__about__",),
}


class _Torchmetrics(ModuleType):
    """torchmetrics, whose `__init__` runs when something is asked of it that Lightning does not ask.

    It imports a hundred metrics, text models and signal processing for them: a fifth of the time up to the first step.
    """

    _logger = logging.getLogger("torchmetrics")  # its own modules import it from there

    def __getattr__(self, name: str) -> Any:
        for part in OF_TORCHMETRICS.get(name, ()):
            module = importlib.import_module(f"torchmetrics.{part}")
        if name in OF_TORCHMETRICS:
            return getattr(module, name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
        return getattr(self, name)


def import_libraries() -> None:
    """Import what every command on a model stands on, and silence what it says on its own behalf.

    Errors and ftlab's own lines remain.
    """
    spec = importlib.util.find_spec("torchmetrics")
    if spec is not None and "torchmetrics" not in sys.modules:
        sys.modules["torchmetrics"] = importlib.util.module_from_spec(spec)
        sys.modules["torchmetrics"].__class__ = _Torchmetrics
    gc.disable()  # what is made now stays: looking for garbage in it would take a tenth of the time
    try:
        import lightning.pytorch  # noqa: F401 - sets its own level when imported
        from transformers.utils import logging as transformers_logging
    finally:
        gc.enable()
    gc.freeze()

    for name in ("lightning.pytorch", "lightning.fabric", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for package in ("lightning", "torch", "jsonargparse", "transformers", "peft"):
        warnings.filterwarnings("ignore", module=rf"{package}\b.*")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
