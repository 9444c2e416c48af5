"""One gradient, however the step is cut; checkpoints that hold what was trained; rates that follow the plan."""

import lightning.pytorch as pl
import pytest
import torch

from ftlab import Base, BatchPlan, ChatData, FineTuner, Full, LoRA, Optimizer
from ftlab.data.loader import PlanLoader
from ftlab.data.rows import read_rows
from ftlab.errors import FtlabError
from ftlab.methods.base import trainable
from ftlab.training.trainer import make_trainer
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


def test_padding_changes_nothing(chat):
    """A batch's loss is the sum of its rows' alone."""
    tuner = FineTuner("ftlab/tiny", Full())
    tuner.configure_model()
    data = ChatData(max_length=512)
    examples = data.encode(read_rows(LESSON / "train_100.jsonl")[:8], chat)
    whole = PlanLoader(examples, BatchPlan([len(e.ids) for e in examples], batch_size=8), chat.pad_id)
    alone = PlanLoader(examples, BatchPlan([len(e.ids) for e in examples], batch_size=1), chat.pad_id)
    [batch] = list(whole)
    assert (batch["attention_mask"] == 0).any()
    loss, tokens = tuner.loss_sum(batch)
    parts = [tuner.loss_sum(batch) for batch in alone]
    assert tokens == sum(n for _, n in parts) == int(batch["step_tokens"])
    assert loss.item() == pytest.approx(sum(part.item() for part, _ in parts), rel=1e-5)


def test_validation_loss_is_per_supervised_token(chat):
    """Not the mean of batch means, and not over padding or prompts."""
    tuner = FineTuner("ftlab/tiny", Full())
    data = ChatData(validation=str(LESSON / "train_100.jsonl"), batch_size=7)
    [result] = trainer().validate(tuner, data, verbose=False)
    total, count = 0.0, 0
    for example in data.examples["validation"]:
        ids = torch.tensor(example.ids, dtype=torch.long)
        logprobs = tuner.model(ids[None]).logits[0, :-1].log_softmax(-1)
        chosen = logprobs[torch.arange(len(ids) - 1), ids[1:]][torch.tensor(example.mask[1:])]
        total, count = total - float(chosen.sum()), count + len(chosen)
    assert result["validation/loss"] == pytest.approx(total / count, rel=1e-5)
    assert result["validation/perplexity"] == pytest.approx(torch.tensor(total / count).exp().item(), rel=1e-5)


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
