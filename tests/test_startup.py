"""Start-up: what is not imported up to the first optimizer step, for nothing needs it there."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

#: Imports of `ftlab fit` without an exam that would cost more than a tenth of a second before the first step.
NOT_NEEDED = {
    "wandb",
    "pandas",
    "scipy.stats",
    "scipy.signal",
    "torchmetrics.functional",
    "datasketch",
    "datasets",
    "sklearn",
    "optuna",
    "lm_eval",
    "trl",
}

#: Ends the process after the first step, and tells what was imported then.
UP_TO_THE_FIRST_STEP = """
import json, os, sys
from ftlab.cli.main import main
from torch.optim.optimizer import register_optimizer_step_post_hook

def end(*_):
    print("\\n" + json.dumps(sorted(sys.modules)), flush=True)
    os._exit(0)

register_optimizer_step_post_hook(end)
sys.exit(main(sys.argv[1:]))
"""

#: Asks Lightning's way and the whole of torchmetrics, one after the other.
ALL_OF_TORCHMETRICS = """
import sys, torch
from ftlab.cli.libraries import import_libraries
import_libraries()
import torchmetrics
from lightning.pytorch.core.module import Metric, MetricCollection
assert "torchmetrics.functional" not in sys.modules
assert torchmetrics.Metric is Metric and torchmetrics.MetricCollection is MetricCollection
assert issubclass(torchmetrics.MeanMetric, Metric)
from torchmetrics import *
from torchmetrics.functional import classification
ones = torch.ones(2)
assert classification.binary_accuracy(ones, ones) == 1
print(Accuracy(task="binary")(ones, ones).item())
"""


def python(code, *args, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)


@pytest.mark.slow
def test_fit_takes_its_first_step_without_what_it_does_not_need(tmp_path):
    settings = {
        "data": {"train": str(ROOT / "experiments/lesson/train_100.jsonl")},
        "wandb": {"mode": "offline"},
        "trainer": {"enable_progress_bar": False},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    arguments = ["fit", "--config", "config.yaml"]
    for _ in range(2):  # the second one finds the data in the cache, as every start but the first does
        result = python(UP_TO_THE_FIRST_STEP, *arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    imported = set(json.loads(result.stdout.splitlines()[-1]))
    assert {"torch", "lightning", "peft", "transformers", "scipy"} <= imported
    assert NOT_NEEDED & imported == set()
    assert not list(tmp_path.glob("runs/*/*/wandb")), "its service would start before the first step"


def test_torchmetrics_is_whole_for_whoever_asks():
    result = python(ALL_OF_TORCHMETRICS)
    assert result.stdout == "1.0\n", result.stderr


def test_help_needs_no_library():
    code = "import sys; from ftlab.cli.main import main; main(['--help']); print(*sys.modules)"
    result = python(code)
    assert result.returncode == 0
    imported = set(result.stdout.splitlines()[-1].split())
    assert "ftlab.cli.main" in imported
    assert imported & {"torch", "numpy", "lightning", "transformers", "yaml", "jsonargparse"} == set()
