from collections import Counter

import numpy as np
import pytest

from ftlab.data.mixture import Mixture, Replay, Selection, join, quotas, select
from ftlab.data.rows import Row, Rows
from ftlab.data.sources import Source
from ftlab.errors import SettingError

SIZES = {"a": 1000, "b": 200, "c": 50}
NAMES = list(SIZES)
IDS = np.random.default_rng(0).permutation(np.repeat(np.arange(3, dtype=np.int32), list(SIZES.values())))


def sources(**settings):
    """A source for each name, with a weight, or what else is given."""
    made = {name: value if isinstance(value, dict) else {"weight": value} for name, value in settings.items()}
    return [Source(f"{name}.jsonl", name=name, **made.get(name, {})) for name in NAMES]


def drawn(selection, epoch=0, seed=0):
    return np.concatenate(selection.draw(seed, epoch))


def per_source(selection, epoch=0):
    return np.bincount(IDS[drawn(selection, epoch)], minlength=3).tolist()


def test_without_weights_everything_comes_once():
    assert select(IDS, NAMES, sources()) is None
    assert select(IDS, NAMES, sources(), Mixture(stop="all")) is None


def test_counts_are_kept_and_nothing_comes_twice_before_all_have_come():
    selection = select(IDS, NAMES, sources(a={"count": 300}, c={"count": 120}))
    seen = Counter()
    for epoch in range(10):
        assert per_source(selection, epoch) == [300, 200, 120]
        seen.update(drawn(selection, epoch).tolist())
        for source in range(3):
            times = [seen[i] for i in np.flatnonzero(source == IDS)]
            assert max(times) - min(times) <= 1
    assert set(np.bincount(list(seen.values()))[[3, 10, 24]]) == {1000, 200, 50}


@pytest.mark.parametrize(
    ("mixture", "expected"),
    [
        (Mixture(), [320, 160, 50]),  # c is used up first
        (Mixture(stop="all"), [1000, 500, 167]),  # a is the last to be seen
        (Mixture(size=100), [60, 30, 10]),
        (Mixture(size=100, replacement=True), [60, 30, 10]),
    ],
)
def test_weights_and_stopping_rules(mixture, expected):
    weights = {"a": 6, "b": 3, "c": 1} if mixture.size or mixture.stop == "all" else {"a": 6.4, "b": 3.2, "c": 1}
    selection = select(IDS, NAMES, sources(**weights), mixture)
    assert per_source(selection) == per_source(selection, 1) == expected
    assert selection.size == sum(expected)
    if mixture.stop == "all":
        assert set(np.flatnonzero(IDS < 3)) == set(drawn(selection).tolist())


def test_a_source_of_weight_0_is_left_out():
    assert per_source(select(IDS, NAMES, sources(a=1, b=0, c=1))) == [50, 0, 50]


def test_with_replacement_examples_come_as_often_as_chance_has_it():
    selection = select(IDS, NAMES, sources(), Mixture(replacement=True))
    assert per_source(selection) == [1000, 200, 50]
    distinct = len(set(drawn(selection).tolist()))
    assert distinct == pytest.approx(1250 * (1 - np.exp(-1)), rel=0.05)  # which is what a bootstrap sees


def test_a_size_alone_keeps_the_shares_of_the_sources():
    assert per_source(select(IDS, NAMES, sources(), Mixture(size=125))) == [100, 20, 5]


def test_weights_move_linearly_over_the_epochs_of_one_size():
    moving = sources(a={"weight": 1, "weight_end": 0}, b={"weight": 0, "weight_end": 1}, c=0)
    selection = select(IDS, NAMES, moving, Mixture(size=100), epochs=5)
    assert [per_source(selection, epoch)[:2] for epoch in range(7)] == [
        [100, 0], [75, 25], [50, 50], [25, 75], [0, 100], [0, 100], [0, 100]
    ]  # fmt: skip
    seen = Counter(i for epoch in range(5) for i in drawn(selection, epoch).tolist())
    assert max(seen.values()) == 2  # 250 draws of b's 200
    assert min(seen[i] for i in np.flatnonzero(IDS == 1)) == 1
    free = select(IDS, NAMES, moving, epochs=5)
    assert {free.draw(0, epoch)[0].size for epoch in range(5)} == {400}  # b, of mean weight 1/2, is used up first


def test_what_is_drawn_depends_on_seed_and_epoch_alone():
    for mixture in (Mixture(size=300), Mixture(size=300, replacement=True)):
        selection = select(IDS, NAMES, sources(a=1, b=1, c=1), mixture)
        again = select(IDS, NAMES, sources(a=1, b=1, c=1), mixture)
        assert (drawn(selection, 4, 7) == drawn(again, 4, 7)).all()
        assert (drawn(selection, 4, 7) != drawn(selection, 4, 8)).any()
        assert set(drawn(selection, 0).tolist()) != set(drawn(selection, 1).tolist())


@pytest.mark.parametrize(("share", "replayed"), [(0.1, 133), (0.5, 1200)])
def test_replay_has_its_share_of_every_epoch_and_all_else_comes_besides(share, replayed):
    selection = select(IDS, NAMES, sources()[:2], replay=Replay("c.jsonl", share), replayed=IDS == 2)
    for epoch in range(3):
        own, again = selection.draw(0, epoch)
        assert sorted(own.tolist()) == np.flatnonzero(IDS != 2).tolist()
        assert len(again) == replayed
        assert set(IDS[again].tolist()) == {2}
        assert len(again) / (len(own) + len(again)) == pytest.approx(share, abs=1e-3)


def test_a_source_that_is_both_trained_and_replayed_stays_apart():
    replayed = np.arange(len(IDS)) >= 1200
    selection = select(IDS, NAMES, sources(), replay=Replay("a.jsonl"), replayed=replayed)
    own, again = selection.draw(0, 0)
    assert sorted(own.tolist()) == list(range(1200))
    assert set(again.tolist()) <= set(range(1200, 1250))


def test_replay_goes_with_weights():
    selection = select(
        IDS, NAMES, sources(a=9, b=1)[:2], Mixture(size=90), Replay("c.jsonl"), replayed=IDS == 2, epochs=1
    )
    assert per_source(selection) == [81, 9, 10]


def test_rows_are_joined_without_losing_their_places():
    def rows(name, count):
        return Rows.of(
            Row([{"role": "user", "content": f"{name} {i}"}], f"{name}.jsonl", i + 1, source=name) for i in range(count)
        )

    joined = join(rows("a", 9).take([7, 2]), rows("b", 5)[1:3])
    assert [joined.place(i) for i in range(4)] == ["a.jsonl:8", "a.jsonl:3", "b.jsonl:2", "b.jsonl:3"]
    assert [row.messages[0]["content"] for row in joined] == ["a 7", "a 2", "b 1", "b 2"]
    assert (joined.sources, joined.source_ids.tolist()) == (["a", "b"], [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("settings", "mixture", "message"),
    [
        ({"a": 1, "b": {"count": 5}}, None, "a has a weight and b a count"),
        ({"a": 1}, None, "b has no weight, though others have"),
        ({"a": 1, "b": -1, "c": 1}, None, "b has a weight below 0"),
        ({"a": 0, "b": 0, "c": 0}, None, "the weights of all sources are 0"),
        ({"a": {"count": -1}}, None, "a has a count below 0"),
        ({"a": {"count": 0}, "b": {"count": 0}, "c": {"count": 0}}, None, "the counts of all sources are 0"),
        ({"a": {"count": 3}}, Mixture(size=4), "the counts of the sources make the size"),
        ({"a": {"weight": 1, "weight_end": 2}, "b": 1, "c": 1}, None, "set trainer.max_epochs to 2 or more"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, mixture, message):
    with pytest.raises(SettingError, match=message):
        select(IDS, NAMES, sources(**settings), mixture, epochs=1)


def test_a_source_that_has_lost_all_its_examples_is_named():
    with pytest.raises(SettingError, match=r"data\.train: d is to be drawn from and no example of it is left"):
        select(IDS, NAMES, [*sources(a=1, b=1, c=1), Source("d.jsonl", name="d", weight=1)])
    with pytest.raises(SettingError, match=r"data\.replay\.source: no example of it is left"):
        select(IDS, NAMES, sources(), replay=Replay("d.jsonl"), replayed=IDS == 3)


@pytest.mark.parametrize("make", [lambda: Replay("x", 0.0), lambda: Replay("x", 1.0), lambda: Mixture(size=0)])
def test_impossible_settings_are_refused(make):
    with pytest.raises(SettingError, match=r"data\.(replay\.share|mixture\.size): "):
        make()


def test_quotas_add_up():
    rng = np.random.default_rng(0)
    for size in (1, 7, 100):
        weights = rng.random(5) * (rng.random(5) < 0.8) + [0, 0, 0, 0, 0.1]
        counts = quotas(weights, size)
        assert counts.sum() == size
        assert np.abs(counts - weights / weights.sum() * size).max() < 1


def test_the_epoch_of_most_tokens_is_found():
    lengths = np.where(IDS == 1, 500, 10)
    moving = sources(a={"weight": 0, "weight_end": 1}, b={"weight": 1, "weight_end": 0}, c=0)
    assert select(IDS, NAMES, moving, epochs=3).longest_epoch(lengths) == 0
    assert Selection([np.arange(3)], np.array([[1]])).longest_epoch(lengths) == 0
