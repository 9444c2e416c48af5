"""EpochLoop: Lightning's, which validates a run's last state too. It knows no data and no settings of ftlab."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop


class EpochLoop(_TrainingEpochLoop):
    """Validates where the Trainer's settings say so, and after the last step of a run whatever they say.

    Lightning leaves the last steps of a run unmeasured where its length is no multiple of the validations' interval,
    and a run shorter than that as a whole; its best could then not be told.
    """

    def _should_check_val_fx(self, data_fetcher: Any) -> bool:
        due = super()._should_check_val_fx(data_fetcher)
        return due or (self._run_ends() and self.trainer.enable_validation)

    def _build_kwargs(self, kwargs: OrderedDict[str, Any], batch: Any, batch_idx: int) -> OrderedDict[str, Any]:
        """Add what `FineTuner.training_step` takes, which Lightning reads off its signature at every step."""
        kwargs.update(batch=batch, batch_idx=batch_idx)
        return kwargs

    def _run_ends(self) -> bool:
        """Return whether the batch just done is the run's last one."""
        fit, most = self.trainer.fit_loop, self.trainer.max_epochs
        if self.trainer.should_stop and fit._can_stop_early:
            return True
        if self.max_steps != -1 and self.global_step >= self.max_steps:
            return True
        epochs = fit.epoch_progress.current.processed + 1  # type: ignore[attr-defined]
        return self._num_ready_batches_reached() and most not in (None, -1) and epochs >= most
