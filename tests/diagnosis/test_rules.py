"""Rules: what a diagnosis says besides the state, and the settings that it advises."""

import math

import numpy as np
import pytest
import yaml

from ftlab.diagnosis import Curves, Series, diagnose, state_line
from ftlab.diagnosis.curves import ExamResult
from ftlab.diagnosis.next_file import write_next
from ftlab.errors import FtlabError
from tests.conftest import ROOT
from tests.test_configs import parse

STEPS = np.arange(1.0, 41.0)

CONFIG = {
    "seed_everything": 7,
    "method": {"class_path": "ftlab.LoRA", "init_args": {"r": 32, "alpha": 64.0, "dropout": 0.0}},
    "optimizer": {"lr": 5e-4, "warmup": 0.03, "gradient_clip": 0.0},
    "trainer": {"max_epochs": 4, "max_steps": -1, "precision": "16-mixed"},
}


def series(values, steps=STEPS):
    noise = 1 + 0.01 * np.random.default_rng(1).standard_normal(len(steps))
    return Series(steps, values * noise)


def decay(speed, floor=0.5, start=4.0):
    return floor + (start - floor) * np.exp(-speed * (STEPS - 1) / 40)


FLAT = np.full(40, 4.0)
RISING = decay(12, 1.0) + np.maximum(0, STEPS - 15) / 25
GROWN = {**CONFIG, "optimizer": {**CONFIG["optimizer"], "lr": 0.1}}


def overfitted(**more):
    return Curves(train=series(decay(8, 0.01)), validation=series(RISING), epochs=4, **{"config": CONFIG, **more})


def test_failed_asks_for_a_lower_rate():
    found = diagnose(Curves(train=series(FLAT), config=GROWN))
    assert found.state == "failed"
    assert "too high (0.1)" in found.cause
    assert found.next["optimizer"]["lr"] == pytest.approx(math.sqrt(0.1 * 2e-4), rel=0.05)


def test_failed_at_a_tiny_rate_asks_for_a_higher_one():
    config = {**CONFIG, "optimizer": {"lr": 1e-6}}
    found = diagnose(Curves(train=series(FLAT), config=config))
    assert (found.state, found.next) == ("failed", {"optimizer": {"lr": 1e-5}})


def test_nothing_supervised():
    for losses in (np.zeros(40), np.full(40, np.nan)):
        found = diagnose(Curves(train=Series(STEPS, losses)))
        assert found.state == "failed"
        assert "nothing is supervised" in found.cause
    assert "nothing is supervised" in diagnose(Curves(train=series(FLAT), supervised=0)).cause
    assert "nothing is supervised" not in diagnose(Curves(train=series(FLAT), supervised=10)).cause


def test_gradients_that_vanish():
    dying = Series(STEPS, 2.0 * np.exp(-STEPS))
    found = diagnose(Curves(train=series(FLAT), gradient_norm=dying, config=CONFIG))
    assert found.state == "failed"
    assert "vanish" in found.cause
    learnt = diagnose(Curves(train=series(decay(12, 0.01)), gradient_norm=dying))
    assert "vanish" not in learnt.cause  # a loss near zero has small gradients


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_number_is_unstable(bad):
    losses = decay(2)
    losses[30:] = bad
    found = diagnose(Curves(train=Series(STEPS, losses), config=CONFIG))
    assert found.state == "unstable"
    assert found.evidence[0] == "training loss is no number at step 31 (10 of 40 points)"
    assert found.next == {
        "optimizer": {"lr": 1.7e-4, "warmup": 0.1, "gradient_clip": 1.0},
        "trainer": {"precision": "bf16-mixed"},
    }


def test_spikes_are_counted_and_placed():
    train = series(decay(5))
    train.values[[12, 25]] += 5
    found = diagnose(Curves(train=train))
    assert found.state == "unstable"
    assert found.evidence[0] == "training loss jumps at 2 of 40 points (step 13, 26)"


@pytest.mark.parametrize(
    ("state", "losses"),
    [
        ("failed", [7.1, 2.2, 10.9, 7.6, 11.5, 12.1, 9.0, 8.1, 6.0, 5.7, 4.6, 4.2, 4.2]),
        ("unstable", [6.6, 4.1, 2.1, 1.6, 1.2, 1.1, 3.5, 3.0, 3.2, 6.1, 6.5, 8.7, 7.3, 5.1, 4.7, 4.1, 3.7, 3.3, 3.1]),
    ],
)
def test_a_loss_thrown_far_up_asks_for_a_lower_rate(state, losses):
    """Taken from runs at 20 and 4 times the rate that suits, the second of rank 64."""
    losses = np.array(losses)
    found = diagnose(Curves(train=Series(STEPS[: len(losses)], losses), config=GROWN))
    assert found.state == state
    assert found.next["optimizer"]["lr"] < 0.1


def test_underfitting_asks_for_more_epochs():
    train, validation = series(decay(1)), series(decay(1))
    found = diagnose(Curves(train=train, validation=validation, epochs=4, config=CONFIG))
    assert found.state == "underfitting"
    assert found.next["trainer"]["max_epochs"] > 8
    assert found.next["early_stopping"] == {"patience": max(3, len(validation) // 2)}
    assert "over the last third it falls by" in found.evidence[1]
    assert "noise" in found.evidence[1]


def test_steps_are_advised_where_steps_end_the_run():
    config = {"trainer": {"max_epochs": -1, "max_steps": 40}}
    found = diagnose(Curves(train=series(decay(1)), config=config))
    assert found.next["trainer"].keys() == {"max_steps"}
    assert found.next["trainer"]["max_steps"] >= 80


def test_overfitting_names_the_best_step_and_regularises():
    found = diagnose(overfitted(rows=100))
    assert found.state == "overfitting"
    assert found.evidence[0].startswith("since step 1")
    assert found.next["trainer"] == {"max_epochs": 2}
    assert found.next["method"] == {
        "class_path": "ftlab.LoRA",
        "init_args": {"r": 16, "alpha": 32.0, "dropout": 0.1},
    }
    assert "more and more varied rows" in found.advice


def test_overfitting_without_rank_and_dropout_decays_weights():
    config = {**CONFIG, "method": {"class_path": "ftlab.Full", "init_args": {"dtype": "float32"}}}
    found = diagnose(overfitted(config=config))
    assert found.next["optimizer"] == {"weight_decay": 0.1}
    assert "method" not in found.next


def test_parameters_and_rank_are_held_against_the_data():
    found = diagnose(overfitted(rows=90, trainable=100_000, supervised=2_000))
    assert "100,000 trained parameters for 2,000 learnt tokens: 50 each" in found.evidence
    assert "rank 32 for 90 rows; 4 is usual" in found.evidence
    rich = diagnose(overfitted(rows=50_000, trainable=100_000, supervised=2_000_000))
    assert not any("trained parameters" in text or "is usual" in text for text in rich.evidence)


def test_answers_learnt_by_heart_are_overfitting():
    flat = {"train": series(decay(12)), "validation": series(decay(12))}
    assert diagnose(Curves(**flat, verbatim=0.05)).state == "converged"
    found = diagnose(Curves(**flat, verbatim=0.6))
    assert found.state == "overfitting"
    assert found.evidence[0] == "60% of training answers come back word for word when the question is changed"


def test_a_training_loss_that_falls_on_far_below_a_level_validation_loss_is_overfitting():
    train = series(decay(1.5, 0.0))
    assert diagnose(Curves(train=train, validation=series(decay(30, 2.5)))).state == "overfitting"


def test_the_exam_decides_between_converged_and_successful():
    flat = {"train": series(decay(12)), "validation": series(decay(12))}

    def state(result):
        return diagnose(Curves(**flat, result=result)).state

    assert state(None) == "converged"
    assert state(ExamResult(10.0, 12.0, 0.4)) == "converged"
    assert state(ExamResult(10.0, 60.0, 0.001)) == "successful"
    assert state(ExamResult(10.0, 60.0)) == "successful"


def test_nothing_is_left_to_learn_at_a_full_score():
    falling = {"train": series(decay(1.5)), "validation": series(decay(1.5))}
    assert diagnose(Curves(**falling, result=ExamResult(10.0, 60.0, 0.001))).state == "underfitting"
    assert diagnose(Curves(**falling, result=ExamResult(10.0, 99.0, 0.001))).state == "successful"


def test_an_exam_that_lost_points_is_a_failure():
    found = diagnose(Curves(train=series(decay(12, 2.5)), result=ExamResult(40.0, 5.0, 0.001)))
    assert found.state == "failed"


def test_a_loss_that_fluctuates_is_told():
    noisy = Series(STEPS, decay(12, 1.0) + 0.1 * np.random.default_rng(2).standard_normal(40))
    assert any("fluctuates by" in text for text in diagnose(Curves(train=noisy)).evidence)
    assert not any("fluctuates" in text for text in diagnose(Curves(train=series(decay(12)))).evidence)


def test_too_few_points_are_refused():
    with pytest.raises(FtlabError, match=r"2 training losses, fewer than 4.*log_every_n_steps"):
        diagnose(Curves(train=Series.of([(1, 2.0), (2, 1.0)])))


def test_the_line_for_the_terminal():
    found = diagnose(overfitted())
    assert state_line(found) == f"state      overfitting: {found.evidence[0]}"


@pytest.mark.parametrize(
    ("end", "rate", "state", "factor"),
    [
        (2.46, 1e-5, "underfitting", 10),
        (2.46, 2e-3, "underfitting", 3),
        (2.5, 1e-5, "failed", 10),
        (2.5, 2e-3, "failed", 0.1),
    ],
)
def test_a_loss_that_creeps_down_asks_for_a_higher_rate_and_one_that_stands_still_by_its_rate(end, rate, state, factor):
    draw, steps = np.random.default_rng(0), np.arange(1.0, 201.0)
    line = np.linspace(2.5, end, 200)
    train = Series(steps, line * (1 + 0.04 * draw.standard_normal(200)))
    held_out = Series(steps[19::20], line[19::20] + 0.001 * draw.standard_normal(10))
    found = diagnose(Curves(train=train, validation=held_out, learning_rate=Series(steps, np.full(200, rate))))
    assert found.state == state
    assert found.next["optimizer"]["lr"] == pytest.approx(rate * factor)


def test_next_yaml_goes_on_top_of_a_run(tmp_path):
    file = tmp_path / "next.yaml"
    write_next(diagnose(overfitted(rows=100)), file)
    cli = parse(ROOT / "configs/quickstart.yaml", file)
    method = cli.experiment.tuner.method
    assert (type(method).__name__, method.r, method.alpha, method.dropout) == ("LoRA", 16, 32, 0.1)
    assert cli.config.fit.trainer.max_epochs == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "curves",
    [
        Curves(train=series(FLAT), config=GROWN),
        Curves(train=series(FLAT), supervised=0, config=CONFIG),
        Curves(train=Series(STEPS, np.where(STEPS > 20, np.nan, 1.0)), config=CONFIG),
        Curves(train=series(decay(1)), validation=series(decay(1)), config=CONFIG),
        Curves(train=series(decay(12)), config=CONFIG),
        Curves(train=series(decay(12)), result=ExamResult(1.0, 90.0), config=CONFIG),
    ],
    ids=["failed", "nothing", "unstable", "underfitting", "converged", "successful"],
)
def test_every_advice_is_settings_of_fit(tmp_path, curves):
    found = diagnose(curves)
    assert found.next
    write_next(found, tmp_path / "next.yaml")
    config = yaml.safe_load(
        parse(ROOT / "configs/quickstart.yaml", tmp_path / "next.yaml").parser.dump(
            parse(ROOT / "configs/quickstart.yaml", tmp_path / "next.yaml").config
        )
    )["fit"]
    for section, settings in found.next.items():
        if not isinstance(settings, dict):
            assert config[section] == settings
        else:
            own = settings.get("init_args", settings)
            there = config[section].get("init_args", config[section])
            assert {key: there[key] for key in own} == own
