"""The kit itself is tested: each planted fault is caught by the check that is meant for it, and says what it is."""

import json
from pathlib import Path

import pytest

from ftlab.conformance import CHECKS, check_method
from ftlab.conformance.bench import Bench
from ftlab.conformance.numbers import padding_changes_nothing
from ftlab.methods import LoRA
from tests.conformance import faulty_numbers as numbers
from tests.conformance import faulty_weights as weights

#: Number of the check that must fail, and what it must say.
PLANTED = {
    weights.NotTrained: (1, "forgotten is trained and did not move"),
    weights.TrainedByMistake: (1, "norm.weight is trainable or grouped, and not both"),
    weights.MovedByMistake: (1, "embed_tokens.weight moved and is not trained"),
    weights.ChangesTheBase: (1, "norm.weight is frozen and has other bytes than the stored base's"),
    weights.OneMoreThanItSays: (2, "by the formula"),
    weights.NoIdentity: (3, "largest difference of a logit"),
    numbers.TooWeakToLearn: (4, "in 300 steps at 0.1"),
    numbers.BlindToTheQuestion: (4, "1 of 8 answers"),
    weights.DropsATensor: (5, "loaded weights change a logit"),
    weights.DropsATensorInSave: (5, "loaded weights change a logit"),
    weights.DoesNotSaveItsNoise: (5, "loaded weights change a logit"),
    weights.RoundsWhatItSaves: (5, "loaded weights change a logit"),
    weights.SavesTheWholeModel: (6, "bytes of trained parameters"),
    weights.SavesTheWholeModelElsewhere: (6, "bytes of trained parameters"),
    numbers.HidesState: (7, "differs after resuming after an epoch"),
    numbers.ForgetsItsPlaceInAnEpoch: (7, "differs after resuming in mid-epoch"),
    numbers.DeafWhenCheckpointed: (8, "gets no gradient"),
    numbers.KeepsWhatItShouldComputeAgain: (8, "is computed 1 times, not twice"),
    numbers.InexactWhenCheckpointed: (8, "largest relative difference of a gradient"),
    weights.MergesTwice: (9, "largest difference of a logit"),
    numbers.LooksAtPadding: (10, "padding changes a logit"),
    numbers.HeedsTheCache: (10, "batch and cache change a generated token's logit"),
    weights.GroupsTwice: (11, "tensors in groups"),
    numbers.CoarseInBfloat16: (12, "largest relative difference of the loss"),
    numbers.LearnsBackwards: (12, "the loss does not fall"),
    numbers.KnowsFloat32Alone: (12, "BFloat16"),
    weights.ChangesItsSettings: (13, "settings through YAML"),
    numbers.StuckOnFourBits: (14, "moved or is trained, and not both"),
    numbers.TrainsLessOnFourBits: (14, "on an unpacked base"),
    weights.KeepsAnotherBest: (15, "answers equal those at step"),
    weights.LoadsNothing: (15, "loaded afresh"),
    numbers.LooksAcrossARow: (16, "chats that share a row change the loss by"),
}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda cls: cls.__name__)
def test_a_planted_fault_is_caught(planted):
    number, figure = PLANTED[planted]
    [finding] = check_method(planted(), architectures=["qwen2"], only=[number])
    assert finding.passed is False, finding
    assert figure in finding.figure


def test_the_method_that_they_are_planted_in_has_none():
    findings = check_method(LoRA(), architectures=["qwen2"])
    assert [str(finding) for finding in findings if not finding.passed] == []


def test_every_check_has_a_fault_that_it_catches():
    assert {number for number, _ in PLANTED.values()} == set(CHECKS)
    assert len(PLANTED) >= 30


@pytest.mark.slow
def test_the_generation_config_of_a_base_is_no_fault_of_the_method(tmp_path):
    bench = Bench("llama", tmp_path, LoRA(r=4))
    file = Path(bench.base.base) / "generation_config.json"
    likeliest = bench.logits(bench.load_base()).argmax(dim=-1).unique().tolist()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"suppress_tokens": likeliest}))
    padding_changes_nothing(bench)
