import hashlib
import itertools
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from ftlab.data.evenly import resize
from ftlab.data.mixture import Selection
from ftlab.data.plan import BatchPlan

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(5, 200, size=503).tolist()


def flat(steps):
    return [i for step in steps for batches in step for batch in batches for row in batch for i in row]


def batches_of(steps):
    return [batch for step in steps for batches in step for batch in batches]


def cells(batch):
    return len(batch) * max(sum(LENGTHS[i] for i in row) for row in batch)


KEYS = RNG.integers(0, 9, size=503).astype(float)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("size", [{"batch_size": 1}, {"batch_size": 8}, {"batch_tokens": 600}])
@pytest.mark.parametrize("kind", ["plain", "packed", "ordered", "ordered and packed", "fixed", "fixed and packed"])
@pytest.mark.parametrize("count", [4, 5, 97, 503])
def test_every_example_once_and_every_rank_as_many_batches(count, kind, size, world_size, accumulate):
    more = {"pack_length": 400} if "packed" in kind else {}
    more |= {"keys": KEYS[:count]} if "ordered" in kind else {}
    more |= {"shuffle": False} if "fixed" in kind else {}
    plan = BatchPlan(LENGTHS[:count], accumulate=accumulate, world_size=world_size, **size, **more)
    for epoch in (0, 1, 2):
        steps = list(plan.epoch(epoch))
        assert sorted(flat(steps)) == list(range(count))
        assert all(len(batches) == world_size for step in steps for batches in step)
        assert all(batch for step in steps for batches in step for batch in batches)
        assert all(len(step) == accumulate for step in steps[:-1])
        assert 1 <= len(steps[-1]) <= accumulate
        assert sum(map(len, steps)) == plan.rounds


def test_same_seed_and_epoch_same_plan_and_others_differ():
    def plan(seed):
        return BatchPlan(LENGTHS, seed=seed)

    assert list(plan(1).epoch(3)) == list(plan(1).epoch(3))
    assert list(plan(1).epoch(3)) != list(plan(1).epoch(4))
    assert list(plan(1).epoch(3)) != list(plan(2).epoch(3))


def test_accumulation_cuts_the_same_steps():
    whole = BatchPlan(LENGTHS, batch_size=16, seed=5).epoch(0)
    quarters = BatchPlan(LENGTHS, batch_size=4, accumulate=4, seed=5).epoch(0)
    singles = BatchPlan(LENGTHS, batch_size=1, accumulate=16, seed=5).epoch(0)
    assert [flat([step]) for step in whole] == [flat([step]) for step in quarters] == [flat([s]) for s in singles]


def test_without_padding_steps_and_batches_have_nearly_as_many_tokens():
    def epoch(number=0, **cut):
        return BatchPlan(LENGTHS, padded=False, seed=5, **cut).epoch(number)

    for cut in ({"batch_size": 16}, {"batch_size": 4, "accumulate": 2, "world_size": 2}, {"accumulate": 2}):
        sums = [sum(LENGTHS[i] for row in batch for i in row) for batch in batches_of(list(epoch(**cut))[:-1])]
        assert np.std(sums) < 0.05 * np.mean(sums)
    random = np.random.default_rng(0).permutation(LENGTHS)[:496].reshape(-1, 16).sum(1)
    assert np.std(random) > 0.1 * np.mean(random)
    whole, cut = epoch(batch_size=16), epoch(batch_size=4, accumulate=4)
    assert [sorted(flat([step])) for step in whole] == [sorted(flat([step])) for step in cut]
    assert [sorted(flat([step])) for step in whole] != [sorted(flat([step])) for step in epoch(1, batch_size=16)]


def test_length_grouping_saves_most_of_the_padding():
    def padding(plan):
        return 1 - sum(LENGTHS) / sum(map(cells, batches_of(plan.epoch(0))))

    order = np.random.default_rng(1).permutation(len(LENGTHS))
    random_cells = sum(len(b) * max(LENGTHS[i] for i in b) for b in np.array_split(order, len(order) // 8))
    assert padding(BatchPlan(LENGTHS, batch_size=8)) < 0.1 < 1 - sum(LENGTHS) / random_cells
    assert padding(BatchPlan(LENGTHS, batch_tokens=1600)) < 0.1


def test_token_budget_is_kept():
    for batch in batches_of(BatchPlan(LENGTHS, batch_tokens=600).epoch(2)):
        assert len(batch) == 1 or cells(batch) <= 600


def test_examples_that_each_fill_a_batch_still_make_even_rounds():
    steps = BatchPlan([600] * 5, batch_tokens=1024, world_size=2).epoch(0)
    assert sorted(flat(steps)) == list(range(5))
    assert all(batch for step in steps for batches in step for batch in batches)


def test_without_shuffling_the_longest_come_first():
    first = BatchPlan(LENGTHS, batch_size=4, shuffle=False).epoch(0)[0][0][0]
    assert sorted(LENGTHS)[-4:] == sorted(LENGTHS[i] for [i] in first)


def test_too_few_examples_are_refused():
    with pytest.raises(ValueError, match="cannot be shared by 4"):
        BatchPlan([1, 2], world_size=4)


def source_lines(steps):
    """A few hundred batches in a text short enough to compare."""
    return hashlib.sha256(repr(list(steps)).encode()).hexdigest()


def mixed(replayed=False, counts=((150, 60, 40), (100, 110, 40), (50, 160, 40))):
    """Three sources of 300, 153 and 50 examples, of which the last are the longest."""
    order = np.argsort(LENGTHS, kind="stable")
    return Selection([order[:300], order[300:453], order[453:]], np.array(counts), replayed=replayed)


PLANS = {
    "plain": {},
    "tokens": {"batch_tokens": 600},
    "packed": {"pack_length": 400},
    "ordered": {"keys": KEYS},
    "ordered, packed": {"keys": KEYS, "pack_length": 400},
    "ordered, tokens": {"keys": KEYS, "batch_tokens": 600},
    "mixed": {"selection": mixed()},
    "mixed, tokens": {"selection": mixed(), "batch_tokens": 600},
    "mixed evenly, tokens": {"selection": mixed(counts=((100, 100, 30),)), "batch_tokens": 600},
    "replayed, packed": {"selection": mixed(True), "pack_length": 400},
    "replayed, packed, tokens": {"selection": mixed(True), "pack_length": 400, "batch_tokens": 800},
    "replayed, ordered": {"selection": mixed(True), "keys": KEYS},
    "replayed, ordered, packed, tokens": {
        "selection": mixed(True), "keys": KEYS, "pack_length": 400, "batch_tokens": 800
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANS)
def test_a_plan_depends_on_seed_and_epoch_alone(kind):
    def steps(seed, epoch, before=()):
        plan = BatchPlan(LENGTHS, seed=seed, accumulate=2, world_size=2, **PLANS[kind])
        for other in before:  # what was planned before leaves no trace
            plan.epoch(other)
        return source_lines(plan.epoch(epoch))

    assert steps(1, 3) == steps(1, 3, before=(5, 0, 3))
    assert len({steps(1, 3), steps(1, 4), steps(2, 3)}) == 3


def test_every_process_makes_the_same_plan():
    code = (
        "from tests.data.test_plan import *\n"
        "for name, kind in PLANS.items():\n"
        "    print(name, source_lines(BatchPlan(LENGTHS, seed=3, **kind).epoch(2)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    }
    here = {name: source_lines(BatchPlan(LENGTHS, seed=3, **kind).epoch(2)) for name, kind in PLANS.items()}
    assert outputs == {"".join(f"{name} {text}\n" for name, text in here.items())}


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("kind", PLANS)
def test_all_epochs_have_as_many_rounds(kind, accumulate, world_size):
    plan = BatchPlan(LENGTHS, accumulate=accumulate, world_size=world_size, **PLANS[kind])
    for epoch in range(6):
        steps = list(plan.epoch(epoch))
        assert sum(map(len, steps)) == plan.rounds
        assert all(len(step) == accumulate for step in steps[:-1])
        assert 1 <= len(steps[-1]) <= accumulate
        assert all(len(batches) == world_size and all(batches) for step in steps for batches in step)
        assert all(row for batch in batches_of(steps) for row in batch)


@pytest.mark.parametrize("kind", [kind for kind in PLANS if "tokens" in kind or "packed" in kind])
def test_no_budget_is_ever_exceeded(kind):
    plan = BatchPlan(LENGTHS, **PLANS[kind])
    for epoch in range(8):
        for batch in batches_of(plan.epoch(epoch)):
            assert all(sum(LENGTHS[i] for i in row) <= (plan.pack_length or 200) for row in batch)
            if plan.batch_tokens:
                assert len(batch) == 1 or cells(batch) <= plan.batch_tokens
            else:
                assert len(batch) <= plan.batch_size


@pytest.mark.parametrize("kind", [kind for kind in PLANS if "mixed" in kind or "replayed" in kind])
def test_what_is_drawn_is_what_comes(kind):
    """With a count, exactly; with rows or batches brought to a number, all but a few."""
    plan = BatchPlan(LENGTHS, **PLANS[kind])
    for epoch in range(4):
        drawn = Counter(np.concatenate(plan.selection.draw(plan.seed, epoch)).tolist())
        came = Counter(flat(plan.epoch(epoch)))
        assert came <= drawn
        exact = plan.pack_length is None and plan.batch_tokens is None
        assert came.total() == drawn.total() if exact else came.total() > 0.95 * drawn.total()


def test_packing_fills_rows_and_still_mixes_them():
    plan = BatchPlan(LENGTHS * 4, batch_size=4, pack_length=400)

    def rows(epoch):
        return [row for batch in batches_of(plan.epoch(epoch)) for row in batch]

    first, second = rows(0), rows(1)
    assert sum(LENGTHS) * 4 / (len(first) * 400) > 0.98
    assert len(first) == len(second)
    assert len(set(map(frozenset, first)) & set(map(frozenset, second))) < 0.05 * len(first)


def test_an_order_is_kept_and_equal_keys_are_mixed():
    plan = BatchPlan(LENGTHS, batch_size=4, accumulate=2, keys=KEYS)
    steps = [flat([step]) for step in plan.epoch(0)]
    for before, after in itertools.pairwise(steps):
        assert max(KEYS[before]) <= min(KEYS[after])
    assert steps[0] != flat([plan.epoch(1)[0]])
    for kind in ("ordered, tokens", "ordered, packed"):
        came = KEYS[flat(BatchPlan(LENGTHS, **PLANS[kind]).epoch(0))]
        assert np.corrcoef(came, np.arange(len(came)))[0, 1] > (0.95 if kind == "ordered, tokens" else 0.4)


@pytest.mark.parametrize("more", [{}, {"keys": KEYS}, {"batch_tokens": 600}, {"pack_length": 400}])
def test_what_is_replayed_is_spread_evenly(more):
    """Also though all of it is longer than the rest: each stretch of the epoch has its share to within a batch."""
    plan = BatchPlan(LENGTHS, batch_size=10, selection=mixed(True), **more)
    replayed = set(plan.selection.pools[2].tolist())
    batches = batches_of(plan.epoch(1))
    shares = [np.mean([i in replayed for i in row]) for batch in batches for row in batch]
    assert set(shares) == {0, 1}
    came = np.array([np.mean([row[0] in replayed for row in batch]) for batch in batches])
    if plan.batch_tokens is None:
        assert np.abs(came - np.mean(shares)).max() < 0.25
    else:
        gaps = np.diff(np.flatnonzero(came))
        assert set(came) == {0, 1}
        assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("wanted", [1, 3, 4, 5, 9, 12])
def test_pieces_are_halved_merged_or_left_out(wanted):
    pieces = [[1], [2, 3, 4, 5, 6, 7], [8, 9], [10, 11, 12]]
    resized = resize(pieces, wanted, np.random.default_rng(0))
    merged = resize(list(map(np.array, pieces)), wanted, np.random.default_rng(0), merge=True)
    assert len(resized) == len(merged) == wanted
    assert all(map(len, resized))
    assert sorted(i for piece in merged for i in piece) == list(range(1, 13))
    if wanted >= 4:
        assert sorted(i for piece in resized for i in piece) == list(range(1, 13))
        assert max(map(len, resized)) <= {4: 6, 5: 3, 9: 2, 12: 1}[wanted]
    else:
        assert all(piece in pieces for piece in resized)


def test_rounds_of_a_plan_by_count_need_no_plan(monkeypatch):
    plan = BatchPlan(LENGTHS)
    monkeypatch.setattr(BatchPlan, "epoch", None)
    monkeypatch.setattr(BatchPlan, "_parts", None)
    assert plan.rounds == 63


@pytest.mark.parametrize("kind", ["ordered", "replayed, ordered"])
def test_within_a_step_like_lengths_share_a_batch(kind):
    for step in BatchPlan(LENGTHS, batch_size=4, accumulate=3, **PLANS[kind]).epoch(1):
        lengths = [LENGTHS[i] for i in flat([step])]
        assert lengths == sorted(lengths, reverse=True)
