import numpy as np
import pytest

from ftlab.data.plan import BatchPlan

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(5, 200, size=503).tolist()


def flat(steps):
    return [i for step in steps for batches in step for batch in batches for i in batch]


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("size", [{"batch_size": 1}, {"batch_size": 8}, {"batch_tokens": 600}])
@pytest.mark.parametrize("count", [4, 5, 97, 503])
def test_every_example_once_and_every_rank_as_many_batches(count, size, world_size, accumulate):
    plan = BatchPlan(LENGTHS[:count], accumulate=accumulate, world_size=world_size, **size)
    for epoch in (0, 1):
        steps = plan.epoch(epoch)
        assert sorted(flat(steps)) == list(range(count))
        assert all(len(batches) == world_size for step in steps for batches in step)
        assert all(batch for step in steps for batches in step for batch in batches)
        assert all(len(step) == accumulate for step in steps[:-1])
        assert 1 <= len(steps[-1]) <= accumulate
        assert sum(map(len, steps)) == plan.rounds


def test_same_seed_and_epoch_same_plan_and_others_differ():
    def plan(seed):
        return BatchPlan(LENGTHS, seed=seed)

    assert plan(1).epoch(3) == plan(1).epoch(3)
    assert plan(1).epoch(3) != plan(1).epoch(4)
    assert plan(1).epoch(3) != plan(2).epoch(3)


def test_accumulation_cuts_the_same_steps():
    whole = BatchPlan(LENGTHS, batch_size=16, seed=5).epoch(0)
    quarters = BatchPlan(LENGTHS, batch_size=4, accumulate=4, seed=5).epoch(0)
    singles = BatchPlan(LENGTHS, batch_size=1, accumulate=16, seed=5).epoch(0)
    assert [flat([step]) for step in whole] == [flat([step]) for step in quarters] == [flat([s]) for s in singles]


def test_length_grouping_saves_most_of_the_padding():
    def padding(plan):
        batches = [batch for step in plan.epoch(0) for batches in step for batch in batches]
        cells = sum(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches)
        return 1 - sum(LENGTHS) / cells

    order = np.random.default_rng(1).permutation(len(LENGTHS))
    random_cells = sum(len(b) * max(LENGTHS[i] for i in b) for b in np.array_split(order, len(order) // 8))
    assert padding(BatchPlan(LENGTHS, batch_size=8)) < 0.1 < 1 - sum(LENGTHS) / random_cells
    assert padding(BatchPlan(LENGTHS, batch_tokens=1600)) < 0.1


def test_token_budget_is_kept():
    for step in BatchPlan(LENGTHS, batch_tokens=600).epoch(2):
        for batch in step[0]:
            assert len(batch) == 1 or len(batch) * max(LENGTHS[i] for i in batch) <= 600


def test_examples_that_each_fill_a_batch_still_make_even_rounds():
    steps = BatchPlan([600] * 5, batch_tokens=1024, world_size=2).epoch(0)
    assert sorted(flat(steps)) == list(range(5))
    assert all(batch for step in steps for batches in step for batch in batches)


def test_without_shuffling_the_longest_come_first():
    first = BatchPlan(LENGTHS, batch_size=4, shuffle=False).epoch(0)[0][0][0]
    assert sorted(LENGTHS)[-4:] == sorted(LENGTHS[i] for i in first)


def test_too_few_examples_are_refused():
    with pytest.raises(ValueError, match="cannot be shared by 4"):
        BatchPlan([1, 2], world_size=4)
