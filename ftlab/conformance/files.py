"""Checks of what a method writes: weights that come back, their size, their base, settings in YAML."""

from __future__ import annotations

import json
from typing import Any

import yaml

from ftlab.config import describe
from ftlab.conformance.bench import Bench, digests, largest_difference
from ftlab.conformance.findings import hold
from ftlab.errors import RefusedError
from ftlab.methods.base import Method, trainable
from ftlab.methods.peft_format import is_peft

#: Bytes that a tensor's entry takes in a safetensors header, and the header itself, at most.
ENTRY, HEADER = 250, 1000


def weights_come_back(bench: Bench) -> str:
    """Saved and loaded, the logits are bit-equal; plain peft opens a PEFT folder and gives the same."""
    tuner = bench.trained
    folder = bench.folder / "saved"
    tuner.save(folder)
    expected = bench.logits(tuner.model)
    again = bench.tuner()
    hold(largest_difference(bench.logits(again.model), expected) > 0, "training changed no logit, so nothing is shown")
    again.load(folder)
    difference = largest_difference(bench.logits(again.model), expected)
    hold(difference == 0, f"loaded weights change a logit by {difference:.1e}")
    wrong = [n for n, digest in digests(tuner.model).items() if digests(again.model).get(n) != digest]
    hold(not wrong, f"{min(wrong, default='')} is not the same after loading")
    if not is_peft(tuner.model) or not (folder / "adapter_config.json").is_file():
        return "logits bit-equal; the format is ftlab's own"
    if (folder / "trainable.safetensors").is_file() and not tuner.model.active_peft_config.is_prompt_learning:
        return "logits bit-equal; the folder is PEFT's and more, so plain peft cannot open all of it"

    from peft import PeftModel

    base = bench.base.load_model(**tuner.method.load_kwargs())
    difference = largest_difference(bench.logits(PeftModel.from_pretrained(base, folder)), expected)
    return hold(difference <= 1e-5, f"logits bit-equal; in plain peft they differ by {difference:.1e}")


def bytes_follow_parameters(bench: Bench) -> str:
    """The saved weights are as large as what is trained, the name of each tensor added, and not larger."""
    tuner = bench.trained
    folder = bench.folder / "sized"
    tuner.save(folder)
    written = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    tensors = trainable(tuner.model).values()
    trained = sum(p.numel() * p.element_size() for p in tensors)
    # A network that makes virtual tokens is saved beside what it makes, for plain peft.
    limit = 1.5 * trained + ENTRY * len(tensors) + HEADER
    return hold(trained <= written <= limit, f"{written:,} bytes for {trained:,} bytes of trained parameters")


def wrong_base_is_refused(bench: Bench) -> str:
    """Another base of the same shape is refused; the settings survive YAML and back."""
    folder = bench.folder / "owned"
    bench.trained.save(folder)
    other = bench.make_base("other", seed=1)
    stranger = bench.tuner(base=other.base)
    try:
        stranger.load(folder)
    except RefusedError as error:
        refusal = str(error)
    else:
        refusal = ""
    hold(bool(refusal), "a base of other weights was taken")
    text = yaml.safe_dump(describe(bench.method))
    again = _parse(yaml.safe_load(text))
    return hold(
        again == bench.method, f"other base refused; settings through YAML: {json.dumps(describe(bench.method))}"
    )


def _parse(settings: dict[str, Any]) -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Method, "method")
    return parser.instantiate(parser.parse_object({"method": settings})).method
