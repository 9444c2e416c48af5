"""What is kept as the best, and when a run stops, in real runs with an exam whose scores are given."""

from dataclasses import dataclass, field

import pytest

from ftlab import ChatData, EarlyStopping, Exam, FineTuner, LoRA, Optimizer, WandB, fit
from ftlab.errors import SettingError
from ftlab.exam.sitting import Answer, Sitting
from tests.conftest import ROOT

LESSON = ROOT / "experiments/lesson"


@dataclass
class GivenScores(Exam):
    """An exam of ten questions that gives what it is told, sitting by sitting."""

    scores: list[int] = field(default_factory=list)

    def sit(self, *args, **settings):
        right = self.scores.pop(0) if self.scores else 0
        return Sitting([Answer(str(i), "q", "r", "a", float(i < right)) for i in range(10)])


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def start(
        scores=None, lr=1e-3, patience=None, every=1, validation=True, epochs=None,
        general=None, general_every=1, best=None, only_while=None, **trainer,
    ):  # fmt: skip
        exam = GivenScores(str(LESSON / "exam.jsonl"), every=every, scores=[0, *scores]) if scores is not None else None
        given = GivenScores(str(LESSON / "exam.jsonl"), every=general_every, scores=general or [])
        retention = {"general": given} if general else None
        validation_file = str(LESSON / "train_100.jsonl") if validation else None
        return fit(
            FineTuner("ftlab/tiny", LoRA(r=2), Optimizer(lr=lr, schedule="constant", warmup=0), seed=1),
            ChatData(train=str(LESSON / "train_1k.jsonl"), validation=validation_file, batch_size=4),
            exam=exam,
            early_stopping=EarlyStopping(patience or 9, only_while) if patience or only_while else None,
            retention=retention,
            best=best,
            wandb=WandB("off"),
            **{
                "max_epochs": epochs or len(scores),
                "limit_train_batches": 2,
                "limit_val_batches": 1,
                "enable_progress_bar": False,
                **trainer,
            },
        ).summary

    return start


def test_the_highest_score_wins_whatever_the_loss(run):
    best = run([3, 7, 5])["best"]
    assert (best["step"], best["epoch"], best["by"], best["value"]) == (4, 2, "exam/score", 70.0)


def test_a_tie_goes_to_the_lower_validation_loss(run):
    falling = run([5, 5, 5])["best"]
    assert falling["step"] == 6
    rising = run([5, 5, 5], lr=20.0)["best"]
    assert rising["step"] < 6
    assert rising["validation_loss"] > falling["validation_loss"]


def test_without_an_exam_the_lowest_validation_loss_wins(run):
    best = run(epochs=3)["best"]
    assert (best["step"], best["by"]) == (6, "validation/loss")
    assert best["value"] == best["validation_loss"]


def test_without_anything_to_compare_the_newest_is_kept(run):
    assert run(epochs=2, validation=False)["best"]["by"] == "newest"


def test_an_exam_sat_at_every_second_validation_decides_there_only(run):
    best = run([4, 6], every=2, epochs=4)["best"]
    assert (best["step"], best["value"]) == (8, 60.0)


def test_an_exam_before_and_after_only_leaves_it_to_the_loss(run):
    summary = run([9], every=0, epochs=2)
    assert summary["best"]["by"] == "validation/loss"
    assert summary["exam"]["after"]["score"] == 90.0


def test_a_run_stops_when_its_best_is_not_beaten(run):
    summary = run([6, 5, 5, 5, 5, 5], patience=2)
    assert (summary["epochs"], summary["stopped_early"], summary["best"]["step"]) == (3, True, 2)


def test_the_best_keeps_what_the_base_could_do_before(run):
    """The highest score counts only where the condition holds; where it never does, the highest is kept and told."""
    rule = "exam/score if retention/score >= 0.9 of before"
    summary = run([5, 9, 6], general=[10, 9, 8, 9], best=rule)
    assert (summary["best"]["step"], summary["best"]["value"], summary["best"]["condition_held"]) == (6, 60.0, True)
    summary = run([5, 9, 6], general=[10, 8, 8, 8], best=rule)
    assert (summary["best"]["step"], summary["best"]["condition_held"]) == (4, False)
    lost = summary["retention"]["general"]
    assert (lost["before"]["score"], lost["difference"]["points"]) == (100.0, -100.0)  # no score is left to give after


@pytest.mark.slow
def test_a_metric_that_is_better_when_lower_may_decide(run):
    best = run([9, 1, 5], best="validation/loss")["best"]
    assert (best["step"], best["by"]) == (6, "validation/loss")


@pytest.mark.slow
def test_a_condition_that_was_not_measured_does_not_hold(run):
    """The general exam is sat at every second validation: what it has not seen is not kept before what it has."""
    rule = "exam/score if retention/score >= 0.9 of before"
    best = run([6, 5, 9, 4], general=[10, 10, 10], general_every=2, best=rule)["best"]
    assert (best["value"], best["condition_held"]) == (50.0, True)


@pytest.mark.slow
def test_a_run_stops_when_a_general_ability_is_lost(run):
    summary = run([5, 6, 7, 8], general=[10, 9, 4, 9, 9], only_while="retention/score >= 0.5 of before")
    assert (summary["epochs"], summary["stopped_early"]) == (2, True)


@pytest.mark.slow
def test_before_the_first_sitting_the_loss_decides(run):
    """An exam that never comes due leaves the best to the loss, and the first sitting beats any loss."""
    best = run([9, 9], every=3, epochs=2)["best"]
    assert (best["by"], best["step"]) == ("validation/loss", 4)
    best = run([1], every=3, epochs=3)["best"]
    assert (best["by"], best["step"], best["value"]) == ("exam/score", 6, 10.0)


@pytest.mark.slow
def test_a_run_that_is_over_before_its_first_validation_is_validated_at_its_end(run):
    """Whatever its settings say; only a validation that is switched off leaves the newest."""
    best = run(epochs=3, val_check_interval=100, check_val_every_n_epoch=None)["best"]
    assert (best["by"], best["step"], best["value"]) == ("validation/loss", 6, best["validation_loss"])
    best = run([4], epochs=3, max_steps=3, check_val_every_n_epoch=9)["best"]
    assert (best["by"], best["step"], best["value"]) == ("exam/score", 3, 40.0)
    assert best["validation_loss"] > 0
    assert run(epochs=1, limit_val_batches=0)["best"]["by"] == "newest"
    with pytest.raises(SettingError, match=r"trainer.val_check_interval: an epoch has fewer than 100 batches; take"):
        run(epochs=3, val_check_interval=100)
