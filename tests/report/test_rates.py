"""What of the report depends on the method: its name and settings, and a learning rate for each of its groups."""

import re

import pytest

from ftlab.report.curves import charts
from ftlab.report.facts import Fact, origin


def rates(scales):
    rows = [{"step": step, **{f"lr/{name}": step * scale for name, scale in scales.items()}} for step in (1.0, 2.0)]
    [chart] = charts(rows, None, {})
    assert chart.title == "Learning rate"
    return chart.legend, re.search("<desc[^>]*>(.*)</desc>", chart.svg)[1], chart.svg


def test_one_rate_needs_no_legend():
    assert rates({"trainable": 1})[:2] == ([], "Learning rate from 1 at step 1 to 2 at step 2.")


def test_each_group_has_a_curve_and_equal_ones_share_it():
    legend, told, svg = rates({"LoRA/A": 1, "LoRA/B": 16, "Freeze/<b>": 1, "$x$": 4})
    assert legend == [("LoRA/B", "train"), ("$x$", "validation"), ("LoRA/A, Freeze/<b>", "after")]
    assert "Learning rate of LoRA/B from 16 at step 1 to 32 at step 2; learning rate of $x$ from 4" in told
    assert "LoRA/A, Freeze/&lt;b&gt; from 1" in told
    assert all(f"stroke: var(--{colour})" in svg for _, colour in legend)


def test_many_groups_are_shades_between_the_named_ends():
    legend, told, svg = rates({f"block.{i}": 0.8 ** (24 - i) for i in range(24)} | {"head": 1, "norm": 1})
    assert legend == [("25 rates, from head, norm down to block.0", "train")]
    assert told.count("learning rate of") == 1
    assert len(set(re.findall(r"stroke-opacity: ([\d.]+)", svg))) == 24


MEMBERS = [
    {
        "class_path": "ftlab.methods.freeze.Freeze",
        "init_args": {"last": 1, "first": None, "modules": [], "head": False},
    },
    {"class_path": "LoRA", "init_args": {"r": 8, "target_modules": ["a", "b"]}},
]


@pytest.mark.parametrize(
    ("method", "fact"),
    [
        (MEMBERS, Fact("Method", "Freeze + LoRA", "Freeze: last 1; LoRA: r 8, target_modules a, b")),
        (
            {"class_path": "ftlab.methods.chain.Chain", "init_args": {"methods": MEMBERS[:1]}},
            Fact("Method", "Freeze", "last 1"),
        ),
        (["Full", MEMBERS[1]], Fact("Method", "Full + LoRA", "LoRA: r 8, target_modules a, b")),
        (MEMBERS[1], Fact("Method", "LoRA", "r 8, target_modules a, b")),
        ("LoRA", Fact("Method", "LoRA")),
    ],
)
def test_the_method_is_named_with_the_settings_of_its_members(method, fact):
    assert origin({}, {"method": method}) == [fact]
    assert origin({"method": fact.value}, {"method": method}) == [fact]
