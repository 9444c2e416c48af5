"""`ftlab methods check`: which of its arguments is the method, and what it prints last."""

import re

import pytest

from ftlab.cli import check
from ftlab.cli.main import main


@pytest.fixture
def checked(monkeypatch):
    """What the conformance kit is asked to check; it finds nothing."""
    asked = []
    monkeypatch.setattr(check, "check_method", lambda method, **options: asked.append(method) or [])
    return asked


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (["LoRA", "--method.r", "4"], "r", 4),
        (["LoRA", "--method.target_modules", "LoRA"], "target_modules", "LoRA"),
        (["IA3", "--method.attention", "[IA3]"], "attention", ["IA3"]),
    ],
)
def test_the_first_argument_is_the_method_and_the_rest_its_settings(args, field, value, checked, capsys):
    assert main(["methods", "check", *args]) == 0
    assert (checked[0].title, getattr(checked[0], field)) == (args[0], value)
    assert re.fullmatch(r"0 checks, 0 failed, \d+ s", capsys.readouterr().out.strip())


@pytest.mark.parametrize("args", [[], ["--method.r", "4", "LoRA"]])
def test_without_a_name_first_it_asks_for_one(args, checked, capsys):
    assert main(["methods", "check", *args]) == 2
    assert capsys.readouterr().err.startswith("ftlab: error: methods check: of which method? name it first (")
    assert not checked


def test_its_help(checked, capsys):
    assert main(["methods", "check", "--help"]) == 0
    assert "Hold a method to the contract" in capsys.readouterr().out
