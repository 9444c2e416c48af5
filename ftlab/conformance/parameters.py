"""Checks of what a method trains: which parameters, how many, in which groups. They look at no file."""

from __future__ import annotations

import re

import torch

from ftlab.conformance.bench import Bench, digests
from ftlab.conformance.findings import DoesNotApply, hold
from ftlab.methods.base import trainable
from ftlab.training.optimizer import Optimizer
from ftlab.training.packed import parameter_counts
from ftlab.training.tuner import FineTuner

#: What the peft library adds to the names of a base's own tensors, in the middle and at the start.
INSERTED, STARTS = re.compile(r"\.(base_layer|original_module)(?=\.)"), ("base_model.model.", "base_model.", "")


def only_declared_parameters_move(bench: Bench) -> str:
    """The groups hold just what requires grad; after three steps each of those has moved and nothing else has.

    What is frozen has the stored base's bytes. A method may replace some of them, as PiSSA does, if the logits stay.
    """
    tuner = bench.tuner()
    names = {id(p): name for name, p in tuner.model.named_parameters()}
    declared = {names[id(p)] for group in tuner.method.param_groups(tuner.model) for p in group["params"]}
    free = trainable(tuner.model).keys()
    hold(declared == free, f"{min(declared ^ free, default='')} is trainable or grouped, and not both")
    before = digests(tuner.model)
    base = _frozen_is_the_base(bench, tuner, before)
    bench.train(tuner, 3)
    after = digests(tuner.model)
    moved = {name for name in before if before[name] != after[name]}
    hold(not declared - moved, f"{min(declared - moved, default='')} is trained and did not move")
    hold(not moved - declared, f"{min(moved - declared, default='')} moved and is not trained")
    return f"{len(moved)} tensors moved, {len(after) - len(moved)} did not; {base}"


def _frozen_is_the_base(bench: Bench, tuner: FineTuner, found: dict[str, str]) -> str:
    """Hold that a tuner's frozen tensors are the stored base's; `found` are its digests before the first step."""
    stored = digests(bench.load_base())
    frozen = {}
    for name in found.keys() - trainable(tuner.model).keys():
        bare = INSERTED.sub("", name)
        for own in (bare.removeprefix(start) for start in STARTS):
            if own in stored:
                frozen[name] = stored[own]
                break
    other = [name for name, digest in frozen.items() if found[name] != digest]
    if not other:
        return f"{len(frozen)} have the base's bytes"
    hold(tuner.method.starts_as_base, f"{min(other)} is frozen and has other bytes than the stored base's")
    difference = bench.distance_from_base(tuner)
    return hold(
        difference <= 1e-5,
        f"{len(other)} of the base's replaced, which changes a logit by {difference:.1e} of the largest",
    )


def count_follows_the_formula(bench: Bench) -> str:
    """As many parameters are trained as the paper's formula says."""
    tuner = bench.tuner()
    expected = tuner.method.count(bench.load_base())
    if expected is None:
        raise DoesNotApply("the method gives no formula")
    found = parameter_counts(tuner.model)[0]
    return hold(found == expected, f"{found:,} parameters, {expected:,} by the formula")


def groups_are_a_partition(bench: Bench) -> str:
    """Every trainable parameter is in one group, and a group's scale of the learning rate outlives the schedule."""
    tuner = bench.tuner()
    groups = tuner.method.param_groups(tuner.model)
    grouped = [id(p) for group in groups for p in group["params"]]
    expected = [id(p) for p in trainable(tuner.model).values()]
    hold(sorted(grouped) == sorted(expected), f"{len(grouped)} tensors in groups, {len(expected)} are trainable")
    names = [group.get("name") for group in groups]
    hold(None not in names and len(set(names)) == len(names), f"names of groups: {names}")
    settings = Optimizer(lr=1.0, schedule="linear", warmup=2)
    optimizer, schedule = settings.build(groups, total_steps=6, embeddings=set())
    for step in range(6):
        for group, built in zip(groups, optimizer.param_groups, strict=True):
            wanted = group.get("lr_scale", 1.0) * settings.rate_at(step, 6)
            hold(abs(built["lr"] - wanted) < 1e-12, f"{group['name']}: rate {built['lr']} for {wanted} at step {step}")
        for parameter in trainable(tuner.model).values():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        schedule.step()
    scales = ", ".join(f"{g['name']} x {g.get('lr_scale', 1.0):g}" for g in groups[:4])
    return f"{len(groups)} groups over {len(grouped)} tensors: {scales}{', ...' if len(groups) > 4 else ''}"
