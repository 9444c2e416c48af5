"""Every built-in and every example plugin passes the conformance kit, with the settings that matter."""

import re

import pytest

from ftlab import IA3, Adapter, Chain, DifferentialLR, Freeze, Full, LoRA, Peft, Prefix, Prompt, PTuning, QLoRA
from ftlab.conformance import ARCHITECTURES, CHECKS, check_method
from ftlab.methods import Method
from ftlab.plugins import load_plugins, registered
from tests.conftest import ROOT

load_plugins(folder=ROOT / "plugins")

#: One of each, on both architectures.
METHODS = {
    "Full": Full(),
    "LoRA": LoRA(),
    "QLoRA": QLoRA(),
    "Adapter": Adapter(),
    "Prefix": Prefix(),
    "Prompt": Prompt(),
    "PTuning": PTuning(),
    "IA3": IA3(),
    "Freeze": Freeze(last=1),
    "DifferentialLR": DifferentialLR(layer_decay=0.5),
    "Peft": Peft("LOHA"),
    "Chain": Chain([Freeze(last=0, norms=True), LoRA(), DifferentialLR(layer_decay=0.5)]),
    **{name: registered(Method)[name]() for name in ("BitFit", "LoHa")},
}

#: Settings that go other ways through the code, on one architecture: a method is a promise for each of them. Dropout in
#: two of them shows that a resumed run draws as an unharmed one does.
VARIANTS = {
    "DoRA": LoRA(dora=True, dropout=0.1),
    "rsLoRA+": LoRA(r=4, rslora=True, lora_plus_ratio=16, rank_pattern={"q_proj": 2}),
    "PiSSA": LoRA(init="pissa"),
    "LoRA of some layers": LoRA(layers=[1], target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]),
    "QLoRA in 8 bits": QLoRA(bits=8, compute_dtype="float32"),  # on integers an answer depends on its batch
    "parallel Adapter": Adapter(placement="parallel", scaling=4.0),
    "Houlsby Adapter": Adapter(placement="houlsby", bottleneck=8, activation="gelu", dropout=0.1),
    "Prefix by a network": Prefix(projection=True, encoder_hidden_size=32),
    "Freeze to a feature extractor": Freeze(last=0, head=True),
}

#: The variants whose head is trained, which in the base of the other architecture is tied to the embeddings.
WITH_HEAD = ("LoRA of some layers", "Freeze to a feature extractor")

#: Checks that do not apply, by method or variant; those that are not named take them all. Soft prompts start elsewhere
#: than the base (3) and stand before rows, not chats (16); they and adapters cannot be merged (9); a list that regroups
#: and peft's own types give no formula (2); packed weights cannot be trained, split, or read by peft's LoHa (14).
SKIPS = {
    "Full": {14},
    "Adapter": {9},
    "Prefix": {3, 9, 16},
    "Prompt": {3, 9, 16},
    "PTuning": {3, 9, 16},
    "Freeze": {14},
    "DifferentialLR": {14},
    "Peft": {2, 14},
    "Chain": {2},
    "LoHa": {14},
    "PiSSA": {14},
    "parallel Adapter": {9},
    "Houlsby Adapter": {9},
    "Prefix by a network": {3, 9, 16},
}


def faults(findings):
    return [str(finding) for finding in findings if finding.passed is False]


def skipped(findings):
    return {finding.number for finding in findings if finding.passed is None}


#: One of each kind: through peft, packed weights, virtual tokens, modules of our own, the model's own parameters.
QUICK = ("LoRA", "QLoRA", "Prefix", "Adapter", "Freeze", "BitFit")


@pytest.mark.parametrize("architecture", [pytest.param("llama", marks=pytest.mark.slow), "qwen2"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in METHODS]
)
def test_a_method_conforms(name, architecture):
    assert architecture in ARCHITECTURES
    findings = check_method(METHODS[name], architectures=[architecture])
    assert faults(findings) == []
    assert skipped(findings) == SKIPS.get(name, set())
    assert len(findings) == len(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "architecture"), [*((name, "llama") for name in VARIANTS), *((name, "qwen2") for name in WITH_HEAD)]
)
def test_its_settings_conform(name, architecture):
    findings = check_method(VARIANTS[name], architectures=[architecture])
    assert faults(findings) == []
    assert skipped(findings) == SKIPS.get(name, set())


def test_what_is_skipped_is_said_of_methods_that_are_tried():
    assert not METHODS.keys() & VARIANTS.keys()
    assert SKIPS.keys() <= METHODS.keys() | VARIANTS.keys()


def test_no_built_in_is_left_out():
    built_in = {name for name, cls in registered(Method).items() if cls.__module__.startswith("ftlab.")}
    assert built_in == METHODS.keys() - {"BitFit", "LoHa"}


def test_what_does_not_apply_says_why():
    findings = check_method(Prefix(), architectures=["qwen2"], only=[3, 9])
    assert [finding.passed for finding in findings] == [None, None]
    assert all(re.search(r"\w+ \w+ \w+", finding.figure) for finding in findings)
