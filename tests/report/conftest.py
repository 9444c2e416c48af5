"""Run folders as `fit` leaves them, made up: finished, under way, without an exam, without validation."""

from __future__ import annotations

import csv
import math
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftlab.exam.outcome import compare_sittings, describe_retention
from ftlab.exam.sitting import Answer, Sitting
from ftlab.report.page import write_report
from ftlab.runs import Run

#: What an answer may hold and a page must show as it is.
HOSTILE = (
    "</script><script>window.hacked = 1; document.title = 'hacked'</script>\n"
    "<img src=x onerror='window.hacked = 2'> {{ 7 * 7 }} {% raw %} &amp; </div> \u202eabc 日本語 🦙\n"
    "  indented <b>bold</b>\u2028\x85next"
)

CONFIG: dict[str, Any] = {
    "name": "quickstart",
    "seed_everything": 7,
    "model": {"base": "ftlab/tiny"},
    "method": {
        "class_path": "ftlab.methods.lora.LoRA",
        "init_args": {"r": 8, "alpha": 16.0, "dropout": 0.0, "target_modules": "all-linear"},
    },
    "data": {"train": "experiments/lesson/train_1k.jsonl", "batch_tokens": 4096},
    "exam": {"questions": "exam.jsonl", "grader": {"class_path": "Marker", "init_args": {"begin": "{{ans:"}}},
    "note": "</code><script>window.hacked = 3</script>",
}


def make_sittings(questions: int) -> tuple[Sitting, Sitting]:
    """Return a sitting before and after training: mostly wrong, then mostly right, some half right, a few worse."""
    draw = random.Random(7)
    before, after = [], []
    for i in range(questions):
        packs, each, more = draw.randint(3, 12), draw.randint(2, 9), draw.randint(10, 40)
        right = packs * each + more
        question = f"Finn buys {packs} packs of {each} stamps and finds {more} more. How many stamps is that?"
        reference = f"{packs} * {each} = {packs * each}\n{packs * each} + {more} = {right}\n{{{{ans:{right}}}}}"
        chance, late = draw.random(), draw.random()
        first = 1.0 if chance < 0.08 else 0.5 if chance < 0.16 else 0.0
        last = 0.0 if late < 0.06 else 0.5 if late < 0.1 else 1.0
        texts = {
            1.0: reference,
            0.5: f"There are {packs} packs of {each}, and then {more}, so it is {right}",
            0.0: f"Once upon a time there were {more} stamps. They liked to play in the park, and {each} of them sang. "
            * draw.randint(0, 3),
        }
        before.append(Answer(f"exam-{i:03}", question, reference, texts[first], first))
        after.append(Answer(f"exam-{i:03}", question, reference, texts[last], last))
    return Sitting(before), Sitting(after)


def write_metrics(run: Run, steps: int, exam: bool = True, validation: bool = True) -> None:
    """Write `metrics.csv`: a training loss at each step, the rest at each of five validations."""
    draw = random.Random(7)
    columns = ["step", "epoch", "train/loss", "validation/loss", "validation/perplexity"]
    exams = [f"{name}/{value}" for name in ("exam", "retention/stories") for value in ("score", "low", "high")]
    columns += [*exams, "lr/trainable", "train/gradient_norm"]
    with (run.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns)
        writer.writeheader()
        for step in range(1, steps + 1):
            loss = 0.15 + 2.4 * math.exp(-step / 40)
            row: dict[str, float] = {"step": step, "epoch": (step - 1) * 5 // steps}
            rate = 2e-3 * min(step / 10, 0.5 + 0.5 * math.cos(math.pi * step / steps))
            writer.writerow(row | {"train/loss": loss * draw.uniform(0.7, 1.3), "lr/trainable": rate})
            if step % (steps // 5) == 0 and validation:
                held = 0.3 + 2 * math.exp(-step / 40) + step / 3000
                writer.writerow(row | {"validation/loss": held, "validation/perplexity": math.exp(held)})
            if step % (steps // 5) == 0 and exam:
                score = 91 * (1 - math.exp(-step / 70))
                values = score, score - 6, min(100, score + 5), 95 - step / 20, 90 - step / 20, 99 - step / 20
                writer.writerow(row | dict(zip(exams, values, strict=True)))


#: Totals of a classification into many classes, whose confusion matrix is wider than a phone.
CLASSES = [f"class {i}" for i in range(14)]
CLASSIFIED = {
    "f1": 0.8125,
    "per_class": {name: {"precision": 0.75, "f1": 1 / 3} for name in CLASSES},
    "confusion": {"labels": [*CLASSES, "none"], "matrix": [[20 * (i == j) + 3 for j in range(15)] for i in range(14)]},
}

NEXT = f"trainer:\n  max_epochs: 2\nnote: {HOSTILE!r}\n"


def summarize(sittings: dict[str, Sitting], kept: tuple[Sitting, Sitting] | None = None) -> dict[str, Any]:
    """Return a summary with every key that `fit` writes."""
    exam = {"grader": "Marker", **compare_sittings(sittings)} if sittings else {}
    general = {"retention": {"stories": describe_retention(*kept)}} if kept else {}
    return {
        "name": "quickstart",
        "ftlab": "0.1.0",
        "base": "ftlab/tiny",
        "method": "LoRA",
        "seed": 7,
        "resumed_from": None,
        **({"exam": exam} if exam else {}),
        **general,
        "memorisation": {
            "questions": 40,
            "repeated": 1,
            "share": 0.025,
            "examples": [{"trained_on": "How much is 4 + 9?", "asked": "How much is 3 + 7?", "answer": "4 + 9 = 13"}],
        },
        "diagnosis": {
            "state": "underfitting",
            "evidence": ["training loss 2.6 -> 0.15", "validation loss falls by 0.2 (noise 0.01)"],
            "cause": "training stopped too early",
            "advice": "train longer",
            "next": NEXT,
        },
        "best": {
            "step": 200,
            "epoch": 3,
            "by": "exam/score" if exam else "validation/loss",
            "value": 91.0 if exam else 0.3801,
            "validation_loss": 0.3801,
        },
        "parameters": {"trainable": 162816, "total": 2646144},
        "adapter_bytes": 656_800,
        "data": {
            "train": {"chats": 1000, "tokens": 53120, "supervised": 21000},
            "validation": {"chats": 100, "tokens": 5290, "supervised": 2110},
            "dropped": 3,
        },
        "steps": 250,
        "epochs": 5,
        "stopped_early": True,
        "seconds": {"fit": 86.2, "train": 71.2, "exam": 12.0, "total": 90.1},
        "tokens_per_second": 3745.3,
        "memory": {"peak_bytes": 1_288_490_188},
        "wandb": {"mode": "offline", "folder": "wandb/offline-run"},
    }


class Maker:
    """Makes runs in a folder, in every state that a report can meet."""

    hostile = HOSTILE

    def __init__(self, root: Path) -> None:
        self.root = root

    def begun(self) -> Run:
        """Make a run that holds its settings and nothing else."""
        return Run.create("quickstart", CONFIG, self.root)

    def under_way(self) -> Run:
        """Make a run whose exam was sat before training, and that trains since."""
        run = self.begun()
        write_metrics(run, 37)
        make_sittings(30)[0].write(run.sitting_file("before"))
        return run

    def without_exam(self, validation: bool = True) -> Run:
        """Make a run that ended, without an exam, and where it is said so without validation."""
        run = self.begun()
        write_metrics(run, 50, exam=False, validation=validation)
        run.write_summary(summarize({}) if validation else {"steps": 50, "best": None, "exam": None})
        return run

    def finished(self, questions: int = 200) -> Run:
        """Make a run that ended, with a hostile and a long question at its end."""
        run = self.begun()
        before, after = make_sittings(questions - 2)
        few = [replace(answer, points=0.5 * (i % 4 == 0)) for i, answer in enumerate(before.answers)]
        long = "very" * 400
        before.answers.append(Answer("hostile <b>&", HOSTILE, HOSTILE, HOSTILE, 0.0))
        few.append(Answer("hostile <b>&", HOSTILE, HOSTILE, f"few {HOSTILE}", 0.0))
        samples = [f"after {HOSTILE}", "another"]
        after.answers.append(Answer("hostile <b>&", HOSTILE, HOSTILE, samples[0], 0.5, "hard", {"BLEU": 0.25}, samples))
        before.answers.append(Answer("long", "Which word is long?", long, "", 0.0))
        few.append(Answer("long", "Which word is long?", long, long, 1.0))
        after.answers.append(Answer("long", "Which word is long?", long, f"It is {long}\n\nİstanbul, ﬁnally", 1.0))
        after = Sitting(after.answers, {"Classification": CLASSIFIED, "BLEU": {"bleu": 31.2345, "signature": "x"}})
        sittings = {"before": before, "shots-2": Sitting(few), "after": after}
        kept = Sitting(after.answers[:50]), Sitting(before.answers[:10] + after.answers[10:50])
        for name, sitting in sittings.items():
            sitting.write(run.sitting_file(name))
        for name, sitting in zip(("before", "after"), kept, strict=True):
            sitting.write(run.sitting_file(name, "retention/stories"))
        write_metrics(run, 250)
        run.write_summary(summarize(sittings, kept))
        return run


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Return what makes runs."""
    return Maker(tmp_path)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run that ended, with 200 questions and its report."""
    run = Maker(tmp_path_factory.mktemp("runs")).finished()
    write_report(run)
    return run


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return one headless Chromium for all tests of a module."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs Chromium and its driver; on Debian: apt-get install chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium; pip install selenium")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    switches = ["headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "disable-sync"]
    switches += ["disable-background-networking", "disable-component-update"]
    for switch in [*switches, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(f"--{switch}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()
