"""What tests share: the base model that the package carries, small random models, files of chats, no network."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# No test may reach a hub or a W&B account, nor a child process of one, and none may find what other tests have cached;
# all are read when the libraries are imported.
os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "FTLAB_CACHE": tempfile.mkdtemp(prefix="ftlab-cache-")}

import pytest
import torch

atexit.register(shutil.rmtree, os.environ["FTLAB_CACHE"], ignore_errors=True)

ROOT = Path(__file__).parent.parent

#: What makes the quickstart short enough for a test.
SHORT = """\
--trainer.max_epochs=2 --trainer.limit_train_batches=6 --trainer.log_every_n_steps=1
--trainer.enable_progress_bar=false --exam.limit=24 --exam.max_new_tokens=32 --memorisation=10
""".split()
QUICKSTART = ["fit", "--config", "configs/quickstart.yaml", *SHORT]


@pytest.fixture(scope="session")
def chat():
    """The chat rendering of ftlab/tiny."""
    from ftlab import Base

    return Base("ftlab/tiny").load_chat()


@pytest.fixture
def write_chats(tmp_path):
    """Write chats given as (user, assistant) pairs to a JSONL file and return its path."""

    def write(name: str, *turns: tuple[str, str]) -> str:
        rows = [
            {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]}
            for user, answer in turns
        ]
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(file)

    return write


@pytest.fixture
def small_model(chat):
    """Return a function that makes a random two-layer model of an architecture, for the tiny tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    def make(architecture: str = "qwen2"):
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            architecture,
            vocab_size=len(chat.tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
        return AutoModelForCausalLM.from_config(config)

    return make


def ftlab(folder, *args, **options):
    command = [sys.executable, "-m", "ftlab", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A folder that looks like a clone, so that runs do not land in the real one."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("configs", "experiments", "plugins"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="session")
def finished(workplace):
    """The quickstart, shortened."""
    result = ftlab(workplace, *QUICKSTART)
    assert result.returncode == 0, result.stderr[-3000:]
    [folder] = (workplace / "runs/quickstart").iterdir()
    from ftlab import Run

    return Run(folder), result


@pytest.fixture
def in_workplace(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    return workplace


def losses(run, key="train/loss"):
    """Return a metric of a run by step."""
    return {int(row["step"]): row[key] for row in run.metrics() if key in row}
