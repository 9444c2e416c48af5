"""Checks of numbers that should be equal: the start, checkpointing, packing, merging, padding, precision, 4 bits."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import partial
from typing import Any

import torch
from torch import nn

from ftlab.conformance.bench import Bench, digests, largest_difference
from ftlab.conformance.findings import DoesNotApply, hold
from ftlab.data.loader import collate
from ftlab.errors import FtlabError
from ftlab.exam.generation import Generation, end_ids, evaluation_mode, generate, options
from ftlab.methods.anatomy import blocks
from ftlab.methods.base import trainable
from ftlab.methods.peft_format import is_peft
from ftlab.methods.qlora import QLoRA
from ftlab.training.packed import parameter_counts

NEW_TOKENS = 8

#: Learning rate at which the loss stays so high that its relative difference means something.
SLOW = 1e-4


def start_is_the_base(bench: Bench) -> str:
    """Before the first step the logits are the base's."""
    tuner = bench.tuner()
    if not tuner.method.starts_as_base:
        raise DoesNotApply("the method starts elsewhere than the base, by design")
    difference = bench.distance_from_base(tuner)
    return hold(difference <= 1e-5, f"largest difference of a logit {difference:.1e} of the largest logit")


def checkpointing_changes_nothing(bench: Bench) -> str:
    """With gradient checkpointing blocks are computed again, gradients are equal, and there are some.

    Each tensor's gradient is compared by its own largest number.
    """
    without, reached, calls = _gradients(bench, checkpointing=False)
    with_, _, again = _gradients(bench, checkpointing=True)
    for name in sorted(reached):  # a block that needs no gradient may be computed once or twice
        times = again[name] / calls[name]
        hold(times == 2, f"with checkpointing {name} is computed {times:g} times, not twice")
    scale = max(float(grad.abs().max()) for grad in without.values())
    hold(scale > 0, "all gradients are zero")
    worst = max(
        largest_difference(grad, with_[name]) / max(float(grad.abs().max()), 1e-3 * scale)
        for name, grad in without.items()
    )
    figure = f"largest relative difference of a gradient {worst:.1e}"
    return hold(worst <= 1e-5, f"{figure}; {len(reached)} of {len(calls)} blocks computed again")


def _gradients(bench: Bench, checkpointing: bool) -> tuple[dict[str, torch.Tensor], set[str], dict[str, int]]:
    """Return gradients by name, the blocks they go through, and how often each block's parts were computed."""
    tuner = bench.tuner(gradient_checkpointing=checkpointing)
    weights = trainable(bench.trained.model)  # past the start, where what is zero hides its partner's gradient
    tuner.model.load_state_dict(weights, strict=False)
    way = tuner.way  # found out by computing blocks, which is not to be counted
    calls: Counter[tuple[str, nn.Module]] = Counter()
    reached: set[str] = set()

    def count(name: str, part: nn.Module, args: Any) -> None:
        calls[name, part] += 1

    def reach(name: str, module: Any, args: Any, output: Any) -> None:
        if (output[0] if isinstance(output, tuple) else output).requires_grad:
            reached.add(name)

    for name, block in blocks(tuner.model).items():
        for part in block.children():  # a block's own hooks stay outside of what is computed again
            part.register_forward_pre_hook(partial(count, name))
        block.register_forward_hook(partial(reach, name))
    torch.manual_seed(0)  # of dropout
    way.losses(bench.batch).total.backward()
    free = trainable(tuner.model)
    lost = [name for name, p in free.items() if p.grad is None]
    hold(not lost, f"{min(lost, default='')} gets no gradient")
    often: dict[str, int] = {}
    for (name, _), number in calls.items():
        often[name] = max(number, often.get(name, 0))
    return {name: p.grad for name, p in free.items() if p.grad is not None}, reached, often


def packed_is_alone(bench: Bench) -> str:
    """Chats that share rows have the loss and the gradients that they have alone, or the method says why not."""
    if reason := bench.method.why_not_packed():
        raise DoesNotApply(reason)
    tuner = bench.tuner(bench.method.exact())
    bench.train(tuner, 3)  # past the start, where what looks across a row may be zero
    shared = collate([bench.examples[:3], bench.examples[3:]], bench.chat.pad_id, step_tokens=1)
    free = trainable(tuner.model)
    losses, gradients = [], []
    with evaluation_mode(tuner.model):  # dropout would draw differently
        for batch in (bench.batch, shared):
            loss = tuner.way.losses(batch).total
            losses.append(float(loss.detach()))
            gradients.append(torch.autograd.grad(loss, list(free.values())))
    scale = max(float(grad.abs().max()) for grad in gradients[0])
    worst = max(
        largest_difference(together, alone) / max(float(alone.abs().max()), 1e-2 * scale)
        for alone, together in zip(*gradients, strict=True)
    )
    loss_differs = abs(losses[1] / losses[0] - 1)
    figure = f"chats that share a row change the loss by {loss_differs:.1e} and a gradient by {worst:.1e}"
    return hold(max(loss_differs, worst) <= 1e-5, figure)


def merged_is_equal(bench: Bench) -> str:
    """The merged model is a plain one with the same logits, or the refusal says why."""
    method = bench.method.exact()
    tuner = bench.tuner(method)
    bench.train(tuner, 3)
    expected = bench.logits(tuner.model)
    try:
        merged = method.merge(tuner.model)
    except FtlabError as error:
        raise DoesNotApply(str(error).removeprefix("method: ")) from error
    hold(not is_peft(merged), "the merged model is still peft's")
    path = bench.folder / "merged"
    merged.save_pretrained(path)  # type: ignore[operator]

    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    difference = largest_difference(bench.logits(plain), expected) / float(expected.abs().max())
    figure = f"largest difference of a logit {difference:.1e} of the largest, saved and loaded as a plain model"
    return hold(difference <= 5e-5, figure)


def padding_changes_nothing(bench: Bench) -> str:
    """A padded batch gives the logits of single rows; so it does in generation, where a cache changes nothing either.

    The exam's answers are those that the single rows give without a cache.
    """
    model = bench.trained.model
    together = bench.logits(model)
    worst = 0.0
    for row, mask in enumerate(bench.batch["attention_mask"]):
        length = int(mask.sum())
        with evaluation_mode(model), torch.no_grad():
            alone = model(input_ids=bench.batch["input_ids"][row : row + 1, :length], use_cache=False).logits.float()
        worst = max(worst, largest_difference(together[row, :length], alone[0, -length:]))
    hold(worst <= 1e-4, f"padding changes a logit by {worst:.1e}")
    prompts = [bench.chat.prompt([{"role": "user", "content": "Say " + "more " * n}]) for n in (0, 3, 7)]
    ids, logits = _continued(bench, prompts, cached=True)
    singles = [_continued(bench, [prompt], cached=False) for prompt in prompts]
    same = sum(row.equal(single[0][0]) for row, single in zip(ids, singles, strict=True))
    hold(same == 3, f"{same} of 3 generated rows of tokens equal without batch and cache")
    single_logits = torch.cat([single[1] for single in singles])
    generated = largest_difference(logits, single_logits) / float(logits.abs().max())
    hold(generated <= 1e-4, f"batch and cache change a generated token's logit by {generated:.1e} of the largest")
    ends = end_ids(model, bench.chat)
    likeliest = [itertools.takewhile(lambda i: i not in ends, row.argmax(-1).tolist()) for row in single_logits]
    expected = [bench.chat.decode(list(row)) for row in likeliest]
    answers = generate(model, bench.chat, prompts, Generation(NEW_TOKENS, batch_size=3))
    same = sum(answer == other for [answer], other in zip(answers, expected, strict=True))
    figure = f"largest difference of a logit {worst:.1e}, of a generated one {generated:.1e} of the largest"
    return hold(same == 3, f"{figure}; {same} of 3 answers equal without batch and cache")


def _continued(bench: Bench, prompts: list[list[int]], cached: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eight greedy tokens for each prompt and their logits; an end that comes earlier is passed over."""
    model = bench.trained.model
    longest = max(map(len, prompts))
    rows = [[bench.chat.pad_id] * (longest - len(prompt)) + prompt for prompt in prompts]
    masks = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    more = {"min_new_tokens": NEW_TOKENS, "use_cache": cached, "output_logits": True, "return_dict_in_generate": True}
    with evaluation_mode(model), torch.inference_mode():
        output = model.generate(
            input_ids=torch.tensor(rows),
            attention_mask=torch.tensor(masks),
            **options(model, bench.chat, Generation(NEW_TOKENS)) | more,
        )
    ids, logits = output.sequences[:, longest:], torch.stack(output.logits, dim=1).float()
    hold(ids.shape == (len(prompts), NEW_TOKENS), f"{ids.shape[1]} tokens were generated for {NEW_TOKENS}")
    return ids, logits


def bfloat16_stays_close(bench: Bench) -> str:
    """Over 20 steps the loss falls, and under bf16 autocast it stays within 2 % of fp32; a bf16 base can be trained."""
    exact = bench.train(bench.tuner(rate=SLOW), 20)
    rounded = bench.train(bench.tuner(rate=SLOW), 20, bfloat16=True)
    stored = bench.train(bench.tuner(rate=SLOW, dtype="bfloat16"), 3)
    worst = max(abs(b / a - 1) for a, b in zip(exact, rounded, strict=True))
    course = f"from {exact[0]:.3f} to {exact[-1]:.3f}"
    hold(exact[-1] < exact[0], f"the loss does not fall: {course}")
    hold(all(map(math.isfinite, stored)), f"on a base in bfloat16 the loss is {stored[-1]}")
    return hold(worst <= 0.02, f"largest relative difference of the loss {worst:.2%}, {course}")


def composes_with_a_4bit_base(bench: Bench) -> str:
    """The method trains as many parameters on a base in 4 bits, or says that it cannot."""
    try:
        tuner = bench.tuner(**QLoRA().load_kwargs())
    except (ValueError, FtlabError) as error:
        raise DoesNotApply(str(error).removeprefix("method: ")) from error
    free = trainable(tuner.model)
    packed, full = (parameter_counts(model)[0] for model in (tuner.model, bench.trained.model))
    hold(packed == full, f"{packed:,} parameters are trained, on an unpacked base {full:,}")
    before = digests(tuner.model)
    losses = bench.train(tuner, 3)
    after = digests(tuner.model)
    moved = {name for name in after if before[name] != after[name]}
    hold(moved == free.keys(), f"{min(moved ^ free.keys(), default='')} moved or is trained, and not both")
    return hold(all(map(math.isfinite, losses)), f"loss {losses[0]:.2f} to {losses[-1]:.2f} in 3 steps")
