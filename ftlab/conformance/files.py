"""Checks of what a method writes: weights that come back, their size, their base, settings in YAML."""

from __future__ import annotations

import json
from typing import Any

import yaml

from ftlab.config import describe
from ftlab.conformance.bench import Bench, digests, largest_difference
from ftlab.conformance.findings import hold
from ftlab.errors import RefusedError
from ftlab.methods.base import TRAINABLE_FILE, Method, trainable
from ftlab.methods.peft_format import is_peft
from ftlab.training.tuner import FineTuner

#: Bytes that a tensor's entry takes in a safetensors header, and the header itself, at most.
ENTRY, HEADER = 250, 1000

#: Files that peft writes beside the weights.
CARDS = ("adapter_config.json", "README.md")


def weights_come_back(bench: Bench) -> str:
    """Saved and loaded onto new weights of another seed, the logits are bit-equal; so they are in plain peft.

    Plain peft is asked where the folder is one of PEFT's and holds all there is to know, and by its own kernels.
    """
    tuner = bench.trained
    folder = bench.folder / "saved"
    tuner.save(folder)
    expected = bench.logits(tuner.model)
    again = bench.tuner(seed=1)
    hold(largest_difference(bench.logits(again.model), expected) > 0, "training changed no logit, so nothing is shown")
    again.load(folder)
    difference = largest_difference(bench.logits(again.model), expected)
    hold(difference == 0, f"loaded weights change a logit by {difference:.1e}")
    found = digests(again.model)
    wrong = [name for name, digest in digests(tuner.model).items() if found.get(name) != digest]
    hold(not wrong, f"{min(wrong, default='')} is not the same after loading")
    if not is_peft(tuner.model) or not (folder / "adapter_config.json").is_file():
        return "logits bit-equal; the format is ftlab's own"
    if (folder / TRAINABLE_FILE).is_file() and not tuner.model.active_peft_config.is_prompt_learning:
        return "logits bit-equal; the folder is PEFT's and more, so plain peft cannot open all of it"

    from peft import PeftModel

    base = bench.load_base()
    slow = bench.tuner(seed=1, speed=None)
    slow.load(folder)
    in_peft = PeftModel.from_pretrained(base, folder)
    difference = largest_difference(bench.logits(in_peft), bench.logits(slow.model))
    return hold(difference <= 1e-5, f"logits bit-equal; in plain peft they differ by {difference:.1e}")


def bytes_follow_parameters(bench: Bench) -> str:
    """All files that the method saves are as large as what is trained and the names of its tensors, not larger."""
    tuner = bench.trained
    folder = bench.folder / "sized"
    tuner.method.save(tuner.model, folder)  # without the tokenizer and the base's identity
    files = [file for file in folder.rglob("*") if file.is_file() and file.name not in CARDS]
    written = sum(file.stat().st_size for file in files)
    tensors = trainable(tuner.model).values()
    trained = sum(p.numel() * p.element_size() for p in tensors)
    virtual = is_peft(tuner.model) and tuner.model.active_peft_config.is_prompt_learning
    # A network that makes virtual tokens is saved beside what it makes, for plain peft.
    share = 1.5 if virtual and (folder / TRAINABLE_FILE).is_file() else 1.1
    limit = share * trained + ENTRY * len(tensors) + HEADER
    figure = f"{written:,} bytes in {len(files)} files for {trained:,} bytes of trained parameters"
    return hold(trained <= written <= limit, figure)


def wrong_base_is_refused(bench: Bench) -> str:
    """A base of other weights, tokenizer or chat template is refused; the settings survive YAML and back."""
    folder = bench.folder / "owned"
    bench.trained.save(folder)
    others = {
        "weights": bench.make_base("reweighted", seed=1),
        "tokenizer": bench.make_base("retokenized", change=lambda tokenizer: tokenizer.add_tokens(["<another>"])),
        "template": bench.make_base("retold", change=_retell),
    }
    for part, base in others.items():
        try:
            FineTuner(base, bench.method, seed=0).load(folder)
        except RefusedError as error:
            hold(f"({part} " in str(error), f"for another {part} of the base the refusal is: {error}")
        else:
            hold(False, f"a base of other {part} was taken")
    text = yaml.safe_dump(describe(bench.method))
    again = _parse(yaml.safe_load(text))
    return hold(
        again == bench.method, f"other bases refused; settings through YAML: {json.dumps(describe(bench.method))}"
    )


def _retell(tokenizer: Any) -> None:
    tokenizer.chat_template = "{# another #}" + tokenizer.chat_template


def _parse(settings: dict[str, Any]) -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Method, "method")
    return parser.instantiate(parser.parse_object({"method": settings})).method
