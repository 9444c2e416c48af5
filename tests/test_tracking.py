"""W&B: online with a login, offline without one, and never a fit that does not start."""

import pytest

from ftlab.tracking import WandB, logged_in


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_without_a_login_offline():
    assert not logged_in()
    assert WandB()._mode() == "offline"


@pytest.mark.parametrize("way", ["environment", "netrc"])
def test_with_a_login_online(nobody, monkeypatch, way):
    if way == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    else:
        (nobody / ".netrc").write_text("machine api.wandb.ai login user password " + "x" * 40 + "\n")
    assert logged_in()
    assert WandB()._mode() == "online"


def test_a_login_elsewhere_is_none_here(nobody, monkeypatch):
    (nobody / ".netrc").write_text("machine example.org login user password secret\n")
    assert not logged_in()


def test_the_setting_and_the_environment_decide(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert WandB()._mode() == "off"
    assert WandB(mode="offline")._mode() == "offline"
    assert WandB(mode="off").start(None, "x", {}, []) is None


def test_a_server_that_cannot_be_reached_does_not_stop_a_run(nobody, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("ftlab.tracking.TIMEOUT", 3)
    with pytest.warns(UserWarning, match="cannot be reached"):
        logger = WandB().start(tmp_path, "x", {"a": {"b": 1}}, [])
    assert logger.experiment.settings.mode == "offline"
    logger.experiment.finish()
    assert list((tmp_path / "wandb").glob("offline-run-*"))
