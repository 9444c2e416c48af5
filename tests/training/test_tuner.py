"""One gradient, however the step is cut; checkpoints that hold what was trained; rates that follow the plan."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from ftlab import Base, BatchPlan, ChatData, FineTuner, Full, LoRA, Optimizer, Prefix
from ftlab.callbacks.meter import Meter
from ftlab.data.examples import Encoded, Examples
from ftlab.data.loader import PlanLoader
from ftlab.data.sources import read_rows
from ftlab.errors import FtlabError, SettingError
from ftlab.methods.base import trainable
from ftlab.training.trainer import make_trainer
from tests.conformance.faulty_numbers import LooksAcrossARow
from tests.conftest import ROOT

LESSON = ROOT / "experiments/lesson"


def trainer(callbacks=(), **options):
    return make_trainer({"accelerator": "cpu", "enable_progress_bar": False} | options, [], list(callbacks))


class Recorder(pl.Callback):
    """Keeps each step's loss and gradient."""

    def __init__(self):
        self.losses, self.gradients = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append(torch.cat([p.grad.flatten() for p in trainable(pl_module.model).values()]).clone())
        # callbacks come before the module's own hook, so this is the loss of the step before, and NaN at first
        self.losses.append(float(trainer.callback_metrics.get("train/loss", torch.nan)))


def one_epoch(batch_size, accumulate, steps=3, method=None, base="ftlab/tiny"):
    recorder = Recorder()
    tuner = FineTuner(base, method or LoRA(r=4), Optimizer(lr=1e-3, gradient_clip=0), seed=3)
    data = ChatData(train=str(LESSON / "train_100.jsonl"), batch_size=batch_size)
    lightning = trainer(max_steps=steps, accumulate_grad_batches=accumulate, callbacks=[recorder], log_every_n_steps=1)
    lightning.fit(tuner, data)
    return tuner, recorder


@pytest.mark.parametrize("method", [LoRA(r=4), Full()], ids=["LoRA", "Full"])
def test_one_big_batch_equals_many_small_ones(method):
    whole = one_epoch(16, 1, method=method)
    for size, accumulate in ((4, 4), (1, 16)):
        cut = one_epoch(size, accumulate, method=method)
        assert len(cut[1].gradients) == len(whole[1].gradients) == 3
        for ours, theirs in zip(cut[1].gradients, whole[1].gradients, strict=True):
            assert (ours - theirs).norm() <= 1e-5 * theirs.norm()
        assert cut[1].losses[1:] == pytest.approx(whole[1].losses[1:], rel=1e-5)


@pytest.mark.parametrize("method", [LoRA(r=4), Full()], ids=["LoRA", "Full"])
def test_gradient_checkpointing_changes_no_gradient(method):
    plain = one_epoch(16, 1, steps=1, method=method)[1].gradients
    checkpointed = one_epoch(16, 1, steps=1, method=method, base=Base(gradient_checkpointing=True))
    layers = checkpointed[0].model.get_base_model() if isinstance(method, LoRA) else checkpointed[0].model
    assert layers.is_gradient_checkpointing
    for ours, theirs in zip(checkpointed[1].gradients, plain, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def weighted(chat, count):
    """Return the first chats, each token that is learnt with a weight of its own."""
    rows = read_rows(str(LESSON / "train_100.jsonl"))[:count]
    random = np.random.default_rng(0)
    return Examples.of(
        Encoded(example.ids, example.weights * random.choice([0.5, 1, 3], size=len(example.ids)).astype(np.float32))
        for [example] in chat.encode([row.messages for row in rows])
    )


def test_padding_changes_nothing(chat):
    """A batch's loss is the sum of its rows' alone."""
    tuner = FineTuner("ftlab/tiny", Full())
    tuner.configure_model()
    examples = weighted(chat, 8)
    [batch], alone = (
        list(PlanLoader(examples, BatchPlan(examples.lengths, batch_size=size), chat.pad_id)) for size in (8, 1)
    )
    assert (batch["attention_mask"] == 0).any()
    loss, weight = summed(tuner, batch)
    parts = [summed(tuner, batch) for batch in alone]
    assert weight == pytest.approx(sum(part for _, part in parts))
    assert weight == pytest.approx(examples.supervised.sum())
    assert weight == pytest.approx(float(batch["step_tokens"]))
    assert loss.item() == pytest.approx(sum(part.item() for part, _ in parts), rel=1e-5)


def summed(tuner, batch):
    losses = tuner.way.losses(batch)
    return losses.total, float(losses.weights.sum())


def logged_by_hand(model, examples):
    """Return the mean loss by its definition: every example alone, each learnt token times its weight."""
    total = weight = 0.0
    for example in examples:
        ids = torch.tensor(example.ids, dtype=torch.long)
        with torch.no_grad():
            logprobs = model(ids[None]).logits[0, :-1].log_softmax(-1)
        chosen = logprobs[torch.arange(len(ids) - 1), ids[1:]]
        total, weight = total - float((chosen * torch.tensor(example.weights[1:])).sum()), weight + example.supervised
    return total / weight


class Weighted(pl.LightningDataModule):
    """The lesson's first chats with weights, of two sources."""

    def __init__(self, chat, packing):
        super().__init__()
        self.chat, self.packing = chat, packing
        self.examples = weighted(chat, 30)
        self.examples.source_ids = np.arange(len(self.examples)) % 3 // 2
        self.examples.sources = ["lesson", "replay"]

    def loader(self, accumulate=1):
        plan = BatchPlan(self.examples.lengths, 3, accumulate=accumulate, pack_length=256 if self.packing else None)
        return PlanLoader(self.examples, plan, self.chat.pad_id)

    def train_dataloader(self):
        return self.loader(self.trainer.accumulate_grad_batches)

    def val_dataloader(self):
        return self.loader()

    def look(self):
        return self.loader()

    def of(self, source):
        return [self.examples[i] for i in np.flatnonzero(self.examples.source_ids == source)]

    def losses(self, model):
        """Return what should be logged."""
        model.eval()
        every = {"loss": self.examples, "loss/lesson": self.of(0), "loss/replay": self.of(1)}
        return {name: pytest.approx(logged_by_hand(model, examples), rel=1e-5) for name, examples in every.items()}


@pytest.mark.parametrize("packing", [False, True], ids=["", "packing"])
def test_the_validation_loss_is_per_weight_in_all_and_by_source(chat, packing):
    """Not the mean of batch means, and not over padding or prompts."""
    tuner, data = FineTuner("ftlab/tiny", Full()), Weighted(chat, packing)
    [result] = trainer().validate(tuner, data, verbose=False)
    assert any("position_ids" in batch for batch in data.loader()) == packing
    expected = data.losses(tuner.model)
    assert {name: result[f"validation/{name}"] for name in expected} == expected
    assert np.log(result["validation/perplexity"]) == expected["loss"]


@pytest.mark.parametrize("packing", [False, True], ids=["", "packing"])
def test_a_steps_loss_by_source_is_over_all_of_its_batches(chat, packing):
    tuner, data = FineTuner("ftlab/tiny", Full(), Optimizer(lr=1e-12), seed=3), Weighted(chat, packing)
    meter = Meter()
    options = {"max_epochs": 1, "accumulate_grad_batches": 100, "log_every_n_steps": 1, "limit_val_batches": 0}
    lightning = trainer(**options, callbacks=[meter])
    lightning.fit(tuner, data)
    assert meter.tokens == data.examples.lengths.sum()  # padding is none
    assert lightning.num_training_batches > 1
    assert lightning.global_step == 1
    expected = data.losses(tuner.model)
    assert {name: float(lightning.callback_metrics[f"train/{name}"]) for name in expected} == expected


@pytest.mark.parametrize("method", [LoRA(r=4), Full()], ids=["LoRA", "Full"])
def test_packing_changes_no_gradient_of_a_step(chat, method):
    gradients = []
    for packing in (False, True):
        recorder = Recorder()
        tuner = FineTuner("ftlab/tiny", method, Optimizer(gradient_clip=0), seed=3)
        options = {"max_epochs": 1, "accumulate_grad_batches": 100, "limit_val_batches": 0}
        trainer(**options, callbacks=[recorder]).fit(tuner, Weighted(chat, packing))
        gradients += recorder.gradients
    [alone, packed] = gradients
    assert (packed - alone).norm() <= 1e-5 * alone.norm()


def test_a_method_that_cannot_be_packed_is_refused_before_the_base_is_loaded(chat):
    tuner = FineTuner("ftlab/tiny", Prefix())
    with pytest.raises(SettingError, match=r"data\.packing: Prefix cannot be packed: .*; set data\.packing to false"):
        trainer(max_steps=1).fit(tuner, Weighted(chat, packing=True))
    assert tuner.model is None
    trainer(max_steps=1, limit_val_batches=0).fit(tuner, Weighted(chat, packing=False))


def test_a_method_that_does_not_say_so_is_refused_before_the_first_step(chat):
    tuner = FineTuner("ftlab/tiny", LooksAcrossARow())
    said = r"data\.packing: LooksAcrossARow on ftlab/tiny \(qwen2\) cannot be packed: chats that share a row change"
    with pytest.raises(SettingError, match=said):
        trainer(max_steps=1).fit(tuner, Weighted(chat, packing=True))
    assert tuner.global_step == 0


def test_one_source_has_no_loss_of_its_own():
    data = ChatData(validation=str(LESSON / "train_100.jsonl"))
    [result] = trainer().validate(FineTuner("ftlab/tiny", Full()), data, verbose=False)
    assert result.keys() == {"validation/loss", "validation/perplexity", "step"}


def test_checkpoint_holds_the_trainable_weights_only(tmp_path):
    tuner, _ = one_epoch(16, 1, steps=2)
    tuner.trainer.save_checkpoint(tmp_path / "c.ckpt", weights_only=False)
    checkpoint = torch.load(tmp_path / "c.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {f"model.{name}" for name in trainable(tuner.model)}
    tuner.method.save(tuner.model, tmp_path / "a")
    adapter = (tmp_path / "a" / "adapter_model.safetensors").stat().st_size
    tensors = sum(t.nbytes for t in checkpoint["state_dict"].values())
    moments = sum(
        t.nbytes for state in checkpoint["optimizer_states"][0]["state"].values() for t in state.values() if t.ndim
    )
    assert moments == 2 * tensors
    assert (tmp_path / "c.ckpt").stat().st_size < 3 * adapter


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    one_epoch(16, 1, steps=1)[0].trainer.save_checkpoint(tmp_path / "c.ckpt", weights_only=False)
    tuner = FineTuner("ftlab/tiny", LoRA(r=8), seed=3)
    data = ChatData(train=str(LESSON / "train_100.jsonl"))
    with pytest.raises(FtlabError, match="differ from what LoRA trains here"):
        trainer(max_steps=2).fit(tuner, data, ckpt_path=tmp_path / "c.ckpt", weights_only=True)


def test_groups_must_be_a_partition():
    class Forgetful(Full):
        def param_groups(self, model):
            return [{"name": "some", "params": list(model.parameters())[1:]}]

    tuner = FineTuner("ftlab/tiny", Forgetful(), seed=3)
    with pytest.raises(FtlabError, match="every trainable parameter must be in one group"):
        trainer(max_steps=1).fit(tuner, ChatData(train=str(LESSON / "train_100.jsonl")))


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_3", "model_parallel"])
def test_a_strategy_that_spreads_the_weights_is_refused(strategy):
    with pytest.raises(SettingError, match=f"{strategy} spreads the weights"):
        make_trainer({"strategy": strategy}, [], [])
