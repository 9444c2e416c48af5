import copy
from itertools import pairwise

import pytest
import torch

from ftlab import Optimizer
from ftlab.training.muon import MuonAdamW


def rates(total=100, **settings):
    optimizer = Optimizer(**settings)
    return [optimizer.rate_at(step, total) for step in range(total + 1)]


def test_warmup_as_share_and_as_steps_are_one_thing():
    assert rates(warmup=0.1) == rates(warmup=10)
    assert rates(warmup=10)[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert rates(warmup=0)[0] == 1.0


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_fall_from_the_peak_to_the_floor(schedule):
    course = rates(schedule=schedule, warmup=10, min_lr_ratio=0.1)
    assert course[10] == 1.0
    assert course[100] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(course[10:]))
    assert course[55] == pytest.approx(0.55)  # half way, both are half down


def test_constant_stays():
    assert set(rates(schedule="constant", warmup=0)) == {1.0}


def parameters():
    torch.manual_seed(0)
    return {
        "matrix": torch.nn.Parameter(torch.randn(4, 3)),
        "vector": torch.nn.Parameter(torch.randn(3)),
        "embedding": torch.nn.Parameter(torch.randn(5, 3)),
    }


def test_scales_survive_the_schedule():
    p = parameters()
    groups = [
        {"name": "a", "params": [p["matrix"]], "lr_scale": 0.1},
        {"name": "b", "params": [p["vector"], p["embedding"]]},
    ]
    optimizer, schedule = Optimizer(lr=1.0, warmup=0).build(groups, 10, set())
    for _ in range(5):
        optimizer.step()
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.5])


def muon(p):
    groups = [{"name": "all", "params": list(p.values())}]
    return Optimizer(name="muon", lr=0.1, warmup=0).build(groups, 10, {id(p["embedding"])})


def test_muon_takes_matrices_and_adamw_the_rest():
    p = parameters()
    optimizer, schedule = muon(p)
    assert isinstance(optimizer, MuonAdamW)
    split = [[id(q) for q in group["params"]] for group in optimizer.param_groups]
    assert split == [[id(p["matrix"])], [id(p["vector"]), id(p["embedding"])]]
    before = {name: q.detach().clone() for name, q in p.items()}
    sum((q**2).sum() for q in p.values()).backward()
    optimizer.step()
    schedule.step()
    assert all(not torch.equal(before[name], q) for name, q in p.items())
    inner = [group["lr"] for part in optimizer.parts for group in part.param_groups]
    assert inner == schedule.get_last_lr() == [0.1 * Optimizer(warmup=0).rate_at(1, 10)] * 2


def test_muons_state_survives():
    def steps(optimizer, p, count):
        for _ in range(count):
            optimizer.zero_grad()
            sum((q**3).sum() for q in p.values()).backward()
            optimizer.step()

    p = parameters()
    optimizer, _ = muon(p)
    steps(optimizer, p, 3)
    q = {name: torch.nn.Parameter(value.detach().clone()) for name, value in p.items()}
    other, _ = muon(q)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, p, 2)
    steps(other, q, 2)
    assert all(torch.equal(p[name], q[name]) for name in p)
