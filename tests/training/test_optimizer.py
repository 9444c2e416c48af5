import copy
from itertools import pairwise

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision

from ftlab import ChatData, FineTuner, LoRA, Optimizer
from ftlab.training.muon import MuonAdamW
from ftlab.training.trainer import make_trainer


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


BITSANDBYTES = ["adamw_8bit", "paged_adamw", "paged_adamw_8bit"]


def large_parameters():
    torch.manual_seed(0)
    shapes = {"matrix": (64, 128), "vector": (64,), "embedding": (128, 64)}
    return {name: torch.nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}


def bits(p, name, **settings):
    """Build one of bitsandbytes' optimizers with the matrix at half the rate."""
    groups = [
        {"name": "half", "params": [p["matrix"]], "lr_scale": 0.5},
        {"name": "whole", "params": [p["vector"], p["embedding"]]},
    ]
    return Optimizer(name=name, lr=0.01, warmup=0, **settings).build(groups, 10, {id(p["embedding"])})


def step(optimizer, schedule, p, count=1):
    for _ in range(count):
        optimizer.zero_grad()
        sum((q**3).sum() for q in p.values()).backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", BITSANDBYTES)
def test_bitsandbytes_steps_as_adamw_does(name):
    """The rates, the groups and the weight decay are the same; 8 bits move the matrix a little differently."""
    settings = {"betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}
    p, q = large_parameters(), large_parameters()
    ours, theirs = bits(p, name, **settings), bits(q, "adamw", **settings)
    before = {key: value.detach().clone() for key, value in p.items()}
    step(*ours, p, 5)
    step(*theirs, q, 5)
    assert [g["lr"] for g in ours[0].param_groups] == [g["lr"] for g in theirs[0].param_groups]
    for key in p:
        rounded = key == "matrix" and "8bit" in name
        assert not torch.equal(p[key], before[key])
        share = ((p[key] - q[key]).norm() / (q[key] - before[key]).norm()).item()
        assert share < (0.3 if rounded else 1e-4), (key, share)


@pytest.mark.parametrize("name", BITSANDBYTES)
def test_only_large_matrices_have_moments_of_8_bits(name):
    p = large_parameters()
    optimizer, schedule = bits(p, name)
    step(optimizer, schedule, p)
    kinds = {key: optimizer.state[q]["state1"].dtype for key, q in p.items()}
    small = torch.uint8 if "8bit" in name else torch.float32
    assert kinds == {"matrix": small, "vector": torch.float32, "embedding": torch.float32}


@pytest.mark.parametrize("name", BITSANDBYTES)
def test_bitsandbytes_resumes_from_a_safe_checkpoint(name, tmp_path):
    p = large_parameters()
    optimizer, schedule = bits(p, name)
    step(optimizer, schedule, p, 3)
    torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, tmp_path / "x.ckpt")
    q = {key: torch.nn.Parameter(value.detach().clone()) for key, value in p.items()}
    other, other_schedule = bits(q, name)
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)
    other.load_state_dict(saved["optimizer"])
    other_schedule.load_state_dict(saved["schedule"])
    step(optimizer, schedule, p, 3)
    step(other, other_schedule, q, 3)
    assert all(torch.equal(p[key], q[key]) for key in p)
    fresh = {key: torch.nn.Parameter(value.detach().clone()) for key, value in p.items()}
    step(*bits(fresh, name), fresh)
    step(optimizer, schedule, p)
    assert not torch.equal(fresh["matrix"], p["matrix"])  # the moments matter


@pytest.mark.parametrize("name", BITSANDBYTES)
def test_new_settings_win_over_a_checkpoints(name):
    p = large_parameters()
    optimizer, schedule = bits(p, name)
    step(optimizer, schedule, p)
    Optimizer(name=name, lr=1.0, warmup=0, betas=(0.5, 0.6), weight_decay=0.3).override(optimizer, schedule)
    assert [g["initial_lr"] for g in optimizer.param_groups] == [0.5, 1.0]
    assert {(g["betas"], g["weight_decay"]) for g in optimizer.param_groups} == {((0.5, 0.6), 0.3)}


def fused(p, fused=True):
    groups = [
        {"name": "half", "params": [p["matrix"]], "lr_scale": 0.5},
        {"name": "whole", "params": [p["vector"], p["embedding"]]},
    ]
    return Optimizer(lr=0.01, warmup=0, weight_decay=0.1, fused=fused).build(groups, 40, set())


def test_the_fused_step_is_the_other_up_to_rounding():
    p, q = large_parameters(), large_parameters()
    ours, theirs = fused(p), fused(q, False)
    assert [[group["fused"] for group in each[0].param_groups] for each in (ours, theirs)] == [[True] * 2, [None] * 2]
    step(*ours, p, 20)
    step(*theirs, q, 20)
    start = large_parameters()
    for key in p:
        assert (p[key] - start[key]).abs().max() > 0.05
        assert (p[key] - q[key]).abs().max() <= 1e-6 * q[key].abs().max()


def test_the_fused_step_resumes_bit_for_bit_and_can_be_switched_off(tmp_path):
    p = large_parameters()
    ours = fused(p)
    step(*ours, p, 3)
    torch.save({"optimizer": ours[0].state_dict(), "schedule": ours[1].state_dict()}, tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)

    def resumed(setting):
        q = {key: torch.nn.Parameter(value.detach().clone()) for key, value in p.items()}
        other = fused(q, setting)
        for part, state in zip(other, (saved["optimizer"], saved["schedule"]), strict=True):
            part.load_state_dict(copy.deepcopy(state))
        Optimizer(lr=0.01, warmup=0, weight_decay=0.1, fused=setting).override(*other)
        assert {group["fused"] for group in other[0].param_groups} == {setting or None}
        return q, other

    same, off = resumed(True), resumed(False)
    for q, other in ((p, ours), same, off):
        step(*other, q, 3)
    for key in p:
        assert torch.equal(p[key], same[0][key])
        assert torch.allclose(p[key], off[0][key], rtol=0, atol=1e-6)


def test_scaled_gradients_are_clipped_by_their_true_norm(in_workplace):
    """With 16-mixed a fused optimizer would take the scaling back only after the clipping."""

    def norms(setting):
        plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
        kept = []

        class Keep(pl.Callback):
            def on_train_batch_end(self, trainer, *args):
                kept.append(float(trainer.callback_metrics["train/gradient_norm"]))

        trainer = make_trainer(
            {"accelerator": "cpu", "enable_progress_bar": False, "max_steps": 2, "plugins": [plugin]}, [], [Keep()]
        )
        data = ChatData(train="experiments/lesson/train_100.jsonl", batch_size=2, max_length=96)
        optimizer = Optimizer(fused=setting, gradient_clip=0.1)
        trainer.fit(FineTuner("ftlab/tiny", LoRA(r=2), optimizer, seed=1, speed=None), data)
        return kept

    ours, theirs = norms(True), norms(False)
    assert len(ours) == 2
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert max(ours) < 1024
