"""Batches hold what the plan says: examples end to end, weights, positions, sources, and the tokens of the step."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from ftlab.data.examples import Encoded, Examples
from ftlab.data.loader import IGNORE, PlanLoader, collate
from ftlab.data.plan import BatchPlan

PAD = 9


def encoded(ids, weights):
    return Encoded(np.array(ids, np.int32), np.array(weights, np.float32))


FIRST, SECOND, THIRD = encoded([1, 2, 3], [1, 1, 0.5]), encoded([4, PAD], [0, 2]), encoded([6, 7, 8], [0, 0, 1])


def lists(batch):
    return {name: tensor.tolist() for name, tensor in batch.items()}


def test_rows_of_one_example_are_padded():
    batch = collate([[FIRST], [SECOND]], PAD, step_tokens=5)
    assert lists(batch) == {
        "input_ids": [[1, 2, 3], [4, PAD, PAD]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "labels": [[IGNORE, 2, 3], [IGNORE, PAD, IGNORE]],
        "weights": [[0, 1, 0.5], [0, 2, 0]],
        "step_tokens": 5.0,
    }
    assert batch["weights"].dtype == torch.float32


def test_rows_of_several_examples_restart_positions_and_predict_no_first_token():
    batch = collate([[FIRST, SECOND], [THIRD]], PAD, step_tokens=5, sources=[[1, 0], [2]])
    assert lists(batch) == {
        "input_ids": [[1, 2, 3, 4, PAD], [6, 7, 8, PAD, PAD]],
        "attention_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
        "labels": [[IGNORE, 2, 3, IGNORE, PAD], [IGNORE, IGNORE, 8, IGNORE, IGNORE]],
        "weights": [[0, 1, 0.5, 0, 2], [0, 0, 1, 0, 0]],
        "position_ids": [[0, 1, 2, 0, 1], [0, 1, 2, 0, 1]],
        "sources": [[1, 1, 1, 0, 0], [2, 2, 2, 0, 0]],
        "step_tokens": 5.0,
    }


RNG = np.random.default_rng(0)
MANY = [encoded(np.arange(n), RNG.choice([0, 0.5, 1], size=n)) for n in RNG.integers(3, 30, size=50)]


@dataclass(frozen=True)
class Counted(BatchPlan):
    """Notes the epochs that it was asked for."""

    asked: list = field(default_factory=list)

    def epoch(self, number):
        self.asked.append(number)
        return super().epoch(number)


def loader(pack_length=None, sources=None, plan=BatchPlan, **options):
    examples = Examples.of(MANY, **(sources or {}))
    settings = {"accumulate": 3, "batch_size": 2, "pack_length": pack_length}
    return PlanLoader(examples, plan(examples.lengths, **settings), PAD, **options)


@pytest.mark.parametrize("pack_length", [None, 40])
def test_the_steps_weights_add_up_over_its_batches(pack_length):
    batches = list(loader(pack_length))
    assert len(batches) == len(loader(pack_length))
    for start in range(0, len(batches), 3):
        step = batches[start : start + 3]
        total = sum(float(batch["weights"].sum()) for batch in step)
        assert [float(batch["step_tokens"]) for batch in step] == [pytest.approx(total)] * len(step)
    whole = sum(float(batch["weights"].sum()) for batch in batches)
    assert whole == pytest.approx(sum(example.weights[1:].sum() for example in MANY))
    assert any("position_ids" in batch for batch in batches) == (pack_length is not None)


@pytest.mark.parametrize("limit", [4, 0.5])
def test_a_step_that_is_cut_short_counts_what_is_left_of_it(limit):
    cut = loader(limit=limit)
    count = limit if limit == 4 else len(cut) // 2
    batches = list(cut)
    assert len(batches) == count
    last = batches[count - (count % 3 or 3) :]
    assert float(last[-1]["step_tokens"]) == pytest.approx(sum(float(batch["weights"].sum()) for batch in last))


@pytest.mark.parametrize("pack_length", [None, 40])
def test_a_resumed_epoch_goes_on_where_it_was(pack_length):
    whole = [lists(batch) for batch in loader(pack_length)]
    resumed = loader(pack_length, skip=5)
    rest = []
    for batch in resumed:
        assert resumed.delivered == 6 + len(rest)
        rest.append(lists(batch))
    assert rest == whole[5:]
    assert [lists(batch) for batch in resumed] == whole


def test_the_plan_is_asked_once_an_epoch():
    counted = loader(plan=Counted)
    assert len(list(counted)) == len(counted)
    counted.plan.asked.clear()
    assert len(list(counted)) == len(counted)
    assert counted.plan.asked == [0]


def test_sources_are_told_where_there_are_several():
    assert not any("sources" in batch for batch in loader())
    ids = RNG.integers(0, 2, size=len(MANY))
    several = loader(40, sources={"source_ids": ids, "sources": ["a", "b"]})
    assert several.sources == ["a", "b"]
    tokens = np.zeros(2)
    for batch in several:
        real = batch["attention_mask"].bool()
        tokens += np.bincount(batch["sources"][real].numpy(), minlength=2)
    assert tokens.tolist() == [sum(len(MANY[i].ids) for i in np.flatnonzero(ids == source)) for source in (0, 1)]
