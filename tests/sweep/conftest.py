"""A study in an empty folder, and a database to copy: making its tables takes longer than all else."""

import shutil
from pathlib import Path

import pytest

from ftlab.sweep.storage import open_storage


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    file = tmp_path_factory.mktemp("storage") / "empty.db"
    open_storage(f"sqlite:///{file}")
    return file


@pytest.fixture
def place(tmp_path, monkeypatch, empty):
    monkeypatch.chdir(tmp_path)
    Path("runs/s").mkdir(parents=True)
    shutil.copy(empty, "runs/s/sweep.db")
    return tmp_path
