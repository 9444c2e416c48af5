"""SafeCheckpointIO: checkpoints that are never half written, and smaller. It knows nothing of what they hold."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes beside the old file, to the disk, and only then takes its place; loads tensors and plain data only.

    Lightning stages a checkpoint in the temporary folder and moves it, which across file systems is a copy: a kill or
    a full disk then costs the old checkpoint too. Torch's file is a zip archive; deflating it saves about a tenth, and
    `torch.load` reads it as before.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: tensors and plain data.
            path: file to write.
            storage_options: not used.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        raw, part = file.with_name(file.name + ".raw"), file.with_name(file.name + ".part")
        torch.save(checkpoint, raw)
        with zipfile.ZipFile(raw) as source, part.open("wb") as sink:
            with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for entry in source.infolist():
                    archive.writestr(entry.filename, source.read(entry))
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(file)
        raw.unlink()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; a pickle that could run code is refused whatever is asked.

        Args:
            path: file to read.
            map_location: device for the tensors; the CPU by default.
            weights_only: not used.
        """
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)
