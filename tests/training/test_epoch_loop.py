"""Where a run validates: as its settings say, and after its last step."""

import lightning.pytorch as pl
import pytest

from ftlab import ChatData, FineTuner, LoRA
from ftlab.training.trainer import make_trainer
from tests.conftest import ROOT

LESSON = ROOT / "experiments/lesson"


class Places(pl.Callback):
    """Notes the steps after which a run validates, and ends it where it is told to."""

    def __init__(self, end=None):
        self.steps, self.end = [], end

    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = trainer.global_step == self.end

    def on_validation_end(self, trainer, pl_module):
        self.steps.append((trainer.current_epoch, trainer.global_step))


@pytest.mark.parametrize(
    ("options", "end", "expected"),
    [
        ({"max_steps": 2}, None, [(0, 2)]),
        pytest.param(
            {"max_steps": 5, "val_check_interval": 2, "limit_train_batches": 3},
            None,
            [(0, 2), (1, 5)],
            marks=pytest.mark.slow,
        ),
        pytest.param({"max_steps": 2, "accumulate_grad_batches": 2}, None, [(0, 2)], marks=pytest.mark.slow),
        pytest.param({"max_epochs": 3, "check_val_every_n_epoch": 2}, None, [(1, 4), (2, 6)], marks=pytest.mark.slow),
        pytest.param(
            {"max_epochs": 2, "val_check_interval": 50, "check_val_every_n_epoch": None},
            None,
            [(1, 4)],
            marks=pytest.mark.slow,
        ),
        pytest.param({"max_epochs": 2}, None, [(0, 2), (1, 4)], marks=pytest.mark.slow),
        ({"max_epochs": 3, "check_val_every_n_epoch": 3}, 3, [(1, 3)]),
        pytest.param({"max_steps": 2, "limit_val_batches": 0}, None, [], marks=pytest.mark.slow),
    ],
)
def test_a_run_validates_where_it_is_told_and_at_its_end(options, end, expected):
    places = Places(end)
    few = {"limit_train_batches": 2 * options.get("accumulate_grad_batches", 1), "limit_val_batches": 1}
    options = few | ({} if "max_epochs" in options else {"max_epochs": 9}) | options
    trainer = make_trainer({"accelerator": "cpu", "enable_progress_bar": False} | options, [], [places])
    data = ChatData(str(LESSON / "train_100.jsonl"), str(LESSON / "exam.jsonl"), batch_size=2)
    trainer.fit(FineTuner("ftlab/tiny", LoRA(r=2), seed=1), data)
    assert places.steps == expected
