"""Checks of numbers that should be equal: the start, checkpointing, merging, padding, precision, a 4-bit base."""

from __future__ import annotations

import math
from typing import Any

import torch

from ftlab.conformance.bench import Bench, digests, largest_difference
from ftlab.conformance.findings import DoesNotApply, hold
from ftlab.errors import FtlabError
from ftlab.exam.generation import end_ids, evaluation_mode, generate
from ftlab.methods.base import trainable
from ftlab.methods.peft_format import is_peft
from ftlab.methods.qlora import QLoRA

NEW_TOKENS = 8

#: Learning rate at which the loss stays so high that its relative difference means something.
SLOW = 1e-4


def start_is_the_base(bench: Bench) -> str:
    """Before the first step the logits are the base's."""
    tuner = bench.tuner()
    if not tuner.method.starts_as_base:
        raise DoesNotApply("the method starts elsewhere than the base, by design")
    base = bench.logits(bench.base.load_model(**tuner.method.load_kwargs()))
    difference = largest_difference(bench.logits(tuner.model), base) / float(base.abs().max())
    return hold(difference <= 1e-5, f"largest difference of a logit {difference:.1e} of the largest logit")


def checkpointing_changes_nothing(bench: Bench) -> str:
    """Gradients are equal with and without gradient checkpointing, and there are some."""
    gradients = []
    weights = trainable(bench.trained.model)  # past the start, where what is zero hides its partner's gradient
    for checkpointing in (False, True):
        tuner = bench.tuner(gradient_checkpointing=checkpointing)
        tuner.model.load_state_dict(weights, strict=False)
        torch.manual_seed(0)  # of dropout
        tuner.loss_sum(bench.batch)[0].backward()
        free = trainable(tuner.model)
        lost = [name for name, p in free.items() if p.grad is None]
        hold(not lost, f"{min(lost, default='')} gets no gradient")
        gradients.append({name: p.grad for name, p in free.items() if p.grad is not None})
    without, with_ = gradients
    scale = max(float(grad.abs().max()) for grad in without.values())
    hold(scale > 0, "all gradients are zero")
    worst = max(largest_difference(without[name], with_[name]) for name in without)
    return hold(worst <= 1e-5 * scale, f"largest relative difference of a gradient {worst / scale:.1e}")


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
    difference = largest_difference(bench.logits(plain), expected)
    return hold(
        difference <= 1e-4, f"largest difference of a logit {difference:.1e}, saved and loaded as a plain model"
    )


def padding_changes_nothing(bench: Bench) -> str:
    """A padded batch gives the logits of single rows; answers do not depend on the batch or on the cache."""
    model = bench.trained.model
    together = bench.logits(model)
    worst = 0.0
    for row, mask in enumerate(bench.batch["attention_mask"]):
        length = int(mask.sum())
        with torch.no_grad():
            alone = model(input_ids=bench.batch["input_ids"][row : row + 1, :length], use_cache=False).logits.float()
        worst = max(worst, largest_difference(together[row, :length], alone[0, -length:]))
    hold(worst <= 1e-4, f"padding changes a logit by {worst:.1e}")
    prompts = [bench.chat.prompt([{"role": "user", "content": "Say " + "more " * n}]) for n in (0, 3, 7)]
    batched = generate(model, bench.chat, prompts, NEW_TOKENS, batch_size=3)
    singles = [_without_cache(bench, model, prompt) for prompt in prompts]
    same = sum(first == second for first, second in zip(batched, singles, strict=True))
    return hold(
        same == 3, f"largest difference of a logit {worst:.1e}; {same} of 3 answers equal without batch and cache"
    )


def _without_cache(bench: Bench, model: Any, prompt: list[int]) -> str:
    ids = torch.tensor([prompt])
    with evaluation_mode(model), torch.inference_mode():
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            use_cache=False,
            eos_token_id=end_ids(model, bench.chat),
            pad_token_id=bench.chat.pad_id,
        )
    return bench.chat.decode(output[0, len(prompt) :].tolist())


def bfloat16_stays_close(bench: Bench) -> str:
    """Under bf16 autocast the loss stays within 2 % of fp32 over 20 steps."""
    exact = bench.train(bench.tuner(rate=SLOW), 20)
    rounded = bench.train(bench.tuner(rate=SLOW), 20, bfloat16=True)
    worst = max(abs(b / a - 1) for a, b in zip(exact, rounded, strict=True))
    return hold(
        worst <= 0.02, f"largest relative difference of the loss {worst:.2%}, from {exact[0]:.2f} to {exact[-1]:.2f}"
    )


def composes_with_a_4bit_base(bench: Bench) -> str:
    """The method trains on a base in 4 bits, or says that it cannot."""
    try:
        tuner = bench.tuner(**QLoRA().load_kwargs())
    except (ValueError, FtlabError) as error:
        raise DoesNotApply(str(error).removeprefix("method: ")) from error
    free = trainable(tuner.model)
    before = digests(tuner.model)
    losses = bench.train(tuner, 3)
    after = digests(tuner.model)
    moved = {name for name in after if before[name] != after[name]}
    hold(moved == free.keys(), f"{min(moved ^ free.keys(), default='')} moved or is trained, and not both")
    return hold(all(map(math.isfinite, losses)), f"loss {losses[0]:.2f} to {losses[-1]:.2f} in 3 steps")
