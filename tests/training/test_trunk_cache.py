"""What leaves the frozen blocks is computed once, and every bit of the training stays what it was."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from ftlab import Adapter, BatchPlan, Chain, ChatData, FineTuner, Freeze, Full, LoRA, Optimizer
from ftlab.data.cache import cache_folder
from ftlab.data.examples import Encoded, Examples
from ftlab.data.loader import PlanLoader
from ftlab.methods.base import trainable
from ftlab.training import trunk_cache, trunk_file
from ftlab.training.applying import apply_method
from ftlab.training.speed import Speed
from ftlab.training.trainer import make_trainer
from ftlab.training.trunk import Trunk
from ftlab.training.trunk_file import TrunkFile, make_room
from tests.conftest import ROOT
from tests.training.test_packing import VOCABULARY, make

LESSON = ROOT / "experiments/lesson"
OFF = Speed(trunk_cache_gb=0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "cache"))


class Recorder(pl.Callback):
    """Keeps the loss of each batch, in training and in validation, and how many rows began above the trunk."""

    def __init__(self):
        self.losses, self.passed = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())

    def on_validation_end(self, trainer, pl_module):
        self.losses.append(trainer.callback_metrics["validation/loss"].item())
        self.passed.append(pl_module.way.cache.rows_passed if pl_module.way.cache else 0)


class Random(pl.LightningDataModule):
    """Examples of random tokens, the same in each instance."""

    packing = False

    def __init__(self, longest=40):
        super().__init__()
        random = np.random.default_rng(0)
        self.parts = [self.some(random, number, longest) for number in (18, 5)]

    @staticmethod
    def some(random, number, longest):
        lengths = random.integers(2, longest, size=number)
        return Examples.of(Encoded(random.integers(3, VOCABULARY, n), np.ones(n, np.float32)) for n in lengths)

    def loader(self, part, shuffle=False):
        plan = BatchPlan(self.parts[part].lengths, 3, shuffle=shuffle)
        return PlanLoader(self.parts[part], plan, 0, epoch=lambda: self.trainer.current_epoch if self.trainer else 0)

    def train_dataloader(self):
        return self.loader(0, shuffle=True)

    look = train_dataloader

    def val_dataloader(self):
        return self.loader(1)


def fit(method, speed=Speed(), model="llama", data=None, epochs=3, **options):  # noqa: B008
    """Return a tuner after some epochs, and what was recorded of them."""
    model = make(model) if isinstance(model, str) else model
    recorder = Recorder()
    tuner = FineTuner("ftlab/tiny", method, Optimizer(lr=1e-2), seed=1, speed=speed)
    torch.manual_seed(1)
    tuner.model = apply_method(method, model, speed)
    settings = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "max_epochs": epochs} | options
    make_trainer(settings, [], [recorder]).fit(tuner, data or Random())
    return tuner, recorder


def require_equal(one, other):
    (one, recorded), (other, others) = one, other
    assert recorded.losses == others.losses
    assert len(set(recorded.losses)) > 10
    for ours, theirs in zip(trainable(one.model).values(), trainable(other.model).values(), strict=True):
        assert torch.equal(ours, theirs)


METHODS = [
    Freeze(last=1),
    Freeze(last=0, head=True),
    LoRA(r=4, layers=[1]),
    LoRA(r=4, layers=[1], dropout=0.2),
    Chain([Freeze(last=1), LoRA(r=4, layers=[1])]),
]


@pytest.mark.parametrize(
    ("architecture", "method"), zip(["llama", "qwen2", "gemma2", "llama", "qwen2"], METHODS, strict=True)
)
def test_every_bit_is_as_without_it(architecture, method, capsys):
    with_cache = fit(method, model=architecture)
    assert "speed      caching what leaves the" in capsys.readouterr().out
    assert with_cache[1].passed[0] == 0
    assert with_cache[1].passed[2] - with_cache[1].passed[1] == 6 + 2, "all rows of the last epoch"
    require_equal(with_cache, fit(method, OFF, architecture))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_states_are_kept_in_the_type_of_the_run(precision):
    runs = [fit(Freeze(last=1), each, precision=precision) for each in (Speed(), OFF)]
    assert runs[0][0].way.cache.dtype == (torch.bfloat16 if precision == "bf16-true" else torch.float32)
    assert runs[0][1].passed[-1] > 0
    require_equal(*runs)


@pytest.mark.parametrize("options", [{"fused": False}, {"supervised_head": False}], ids=str)
def test_other_shortcuts_may_be_off(options):
    runs = [fit(Freeze(last=1), Speed(**options, trunk_cache_gb=limit)) for limit in (10, 0)]
    assert runs[0][1].passed[-1] > 0
    require_equal(*runs)


def test_blocks_may_be_computed_again_in_the_backward_pass():
    runs = []
    for speed in (Speed(), OFF):
        model = make("llama")
        model.activation_checkpointing_enable({"use_reentrant": False})
        runs.append(fit(LoRA(r=4, layers=[1]), speed, model))
    assert runs[0][1].passed[-1] > 0
    require_equal(*runs)


def test_the_next_run_begins_with_what_this_one_left():
    first = fit(Freeze(last=1), epochs=2)
    assert len(first[0].way.cache.file) == 18 + 5
    del first[0].way
    second = fit(Freeze(last=1))
    assert second[1].passed[0] == 6 + 2 - trunk_cache.COMPARED
    require_equal(second, fit(Freeze(last=1), OFF))


@pytest.mark.parametrize("change", ["weights", "data", "method", "precision"])
def test_another_trunk_or_other_data_have_a_cache_of_their_own(change):
    fit(Freeze(last=1), epochs=2)
    model = make("llama")
    if change == "weights":
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight[0, 0] += 1
    method = Freeze(last=0, head=True) if change == "method" else Freeze(last=1)
    data = Random(longest=30) if change == "data" else None
    precision = "bf16-mixed" if change == "precision" else None
    _, recorder = fit(method, model=model, data=data, epochs=2, precision=precision)
    assert recorder.passed[0] == 0
    assert len(list((cache_folder() / "trunk").iterdir())) == 2


@pytest.mark.parametrize(
    "method",
    [Full(), Freeze(embeddings=True), Freeze(first=1), LoRA(r=4), Adapter(bottleneck=4)],
    ids=lambda m: m.title,
)
def test_without_a_frozen_trunk_nothing_is_cached_or_said(method, capsys):
    tuner, _ = fit(method, epochs=2)
    assert tuner.way.cache is None
    assert capsys.readouterr().out == ""


def test_a_tied_head_that_is_trained_trains_the_embeddings():
    model = make("gemma2")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert Trunk.of(apply_method(Freeze(modules=["embed_tokens"]), model)) is None


def refusal(capsys):
    return capsys.readouterr().out.strip().splitlines()[-1].removeprefix("speed      trunk_cache left out: ")


def test_dropout_below_makes_it_random(capsys):
    model = make("llama")
    model.model.layers[0].self_attn.attention_dropout = 0.1
    tuner, _ = fit(Freeze(last=1), model=model, epochs=2)
    assert tuner.way.cache is None
    assert refusal(capsys) == "dropout below the first trained block makes it random"


def test_experts_may_give_an_example_other_bits_in_other_company(capsys):
    tuner, _ = fit(Freeze(last=1), model="mixtral", epochs=2)
    assert tuner.way.cache is None
    assert refusal(capsys).startswith("experts compute")


def test_a_layer_that_sees_what_lies_below_the_trunk(capsys):
    model = make("llama")
    below = {}
    model.model.layers[0].register_forward_hook(lambda module, args, output: below.update(states=output))
    model.model.layers[1].mlp.register_forward_hook(lambda module, args, output: output + below.get("states", 0))
    tuner, _ = fit(Freeze(last=1), model=model, epochs=2)
    assert tuner.way.cache is None
    assert refusal(capsys) == "blocks above it see more than what leaves it"


@pytest.mark.parametrize(
    ("limit", "share", "told"), [(1e-6, 0.25, "more than speed.trunk_cache_gb: 1e-06"), (10, 0, "left")]
)
def test_it_must_fit_on_the_disk(limit, share, told, capsys, monkeypatch):
    monkeypatch.setattr(trunk_cache, "SHARE", share)
    tuner, _ = fit(Freeze(last=1), Speed(trunk_cache_gb=limit), epochs=2)
    assert tuner.way.cache is None
    assert told in refusal(capsys)
    assert not (cache_folder() / "trunk").exists()


def test_one_epoch_gains_nothing(capsys):
    assert fit(Freeze(last=1), epochs=1)[0].way.cache is None
    assert capsys.readouterr().out == ""


class Thaw(pl.Callback):
    """Changes the trunk, as somebody's own callback may."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            with torch.no_grad():
                pl_module.model.model.layers[0].mlp.down_proj.weight.mul_(2)


def test_a_trunk_that_is_changed_is_computed_again(capsys):
    runs = [fit(Freeze(last=1), each, epochs=4, callbacks=[Thaw()]) for each in (Speed(), OFF)]
    assert 0 < runs[0][1].passed[1] == runs[0][1].passed[3]
    require_equal(*runs)
    assert "computed again from here on: its weights have changed" in capsys.readouterr().out


def test_states_that_are_not_what_is_computed_are_not_used(capsys):
    first, _ = fit(Freeze(last=1), epochs=2)
    del first.way
    [file] = (cache_folder() / "trunk").glob("*/states.bin")
    content = np.memmap(file, np.uint8, "r+")
    content[:] = 0
    content.flush()
    del content
    second = fit(Freeze(last=1))
    assert second[1].passed[0] == 0
    require_equal(second, fit(Freeze(last=1), OFF))


def test_rows_whose_length_rounds_otherwise_are_computed(monkeypatch):
    """The answer of a kernel is made other for one length; no loss may tell that the cache is there."""
    data = Random(longest=90)
    rows = {-(-int(batch["attention_mask"].sum()) // 64) * 64 for batch in data.loader(0)}
    assert len(rows) > 1
    odd = max(rows)

    def model():
        made = make("llama")
        made.model.layers[0].mlp.register_forward_hook(
            lambda module, args, output: output * 1.0001 if output.shape[1] == odd else output
        )
        return made

    runs = [fit(Freeze(last=1), each, model(), Random(longest=90), epochs=4) for each in (Speed(), OFF)]
    cache = runs[0][0].way.cache
    assert not cache.agreeing[odd]
    assert any(cache.agreeing.values())
    require_equal(*runs)


def test_the_file_keeps_what_it_was_given(tmp_path):
    random = np.random.default_rng(0)
    entries = {bytes([i]) * 16: random.integers(256, size=100 + i, dtype=np.uint8) for i in range(5)}
    file = TrunkFile(tmp_path / "a", 450)
    assert file.read([b"\0" * 16]) is None
    for each, content in [*entries.items(), *entries.items()]:
        file.add(each, content)
    assert len(file) == 4, "the fifth has no room"
    del file
    with (tmp_path / "a/index.bin").open("ab") as index:
        index.write(b"half an ent")
    file = TrunkFile(tmp_path / "a", 450)
    order = [bytes([i]) * 16 for i in (3, 0, 2)]
    np.testing.assert_array_equal(file.read(order), np.concatenate([entries[each] for each in order]))
    assert file.read([*order, b"\4" * 16]) is None
    other = TrunkFile(tmp_path / "a", 450)
    assert len(other) == 0, "another process's, of its own"
    other.add(order[0], entries[order[0]])
    del other
    assert len(list(tmp_path.rglob("*"))) == 3


def test_files_not_used_for_longest_make_room(tmp_path):
    used = TrunkFile(tmp_path / "used", 10_000)
    for at, name in enumerate(["used", "old", "new", "own"]):
        file = used if name == "used" else TrunkFile(tmp_path / name, 10_000)
        file.add(b"1" * 16, np.ones(10_000, np.uint8))
        del file
        trunk_file.os.utime(tmp_path / name, (at, at))
    make_room(tmp_path / "own", 10_000, 40_000)
    assert {each.name for each in tmp_path.iterdir()} == {"used", "new", "own"}
    make_room(tmp_path / "own", 10_000, 10_000)
    assert {each.name for each in tmp_path.iterdir()} == {"used", "own"}


@pytest.mark.slow
def test_the_lesson_has_the_same_losses():
    def run(speed):
        tuner = FineTuner("ftlab/tiny", Freeze(last=1), Optimizer(lr=1e-3), seed=3, speed=speed)
        recorder = Recorder()
        data = ChatData(
            train=str(LESSON / "train_100.jsonl"), validation=str(LESSON / "validation.jsonl"), batch_tokens=2048
        )
        settings = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "val_check_interval": 0.5}
        make_trainer(settings, [], [recorder]).fit(tuner, data)
        return tuner, recorder

    runs = [run(each) for each in (Speed(), OFF)]
    assert runs[0][1].passed[-1] > 0
    require_equal(*runs)
