"""Penalties in a run: one gradient however the step is cut, none of strength 0, weights that stay, resuming."""

import lightning.pytorch as pl
import pytest
import torch

from ftlab import EWC, ChatData, FineTuner, Freeze, FtlabError, Full, KLToBase, L2ToBase, LoRA, Optimizer, Regularizer
from ftlab.methods.base import trainable
from ftlab.training.regularizers.sample import sample
from ftlab.training.speed import Speed
from ftlab.training.trainer import make_trainer

PAIRS = [
    pytest.param(lambda s: L2ToBase(s), LoRA(r=4), id="L2ToBase-LoRA"),
    pytest.param(lambda s: EWC(s, examples=3), Freeze(last=1), id="EWC-Freeze"),
    pytest.param(lambda s: KLToBase(s), LoRA(r=4), id="KLToBase-LoRA"),
    pytest.param(lambda s: KLToBase(s, positions="all"), Freeze(last=1), id="KLToBase-Freeze"),
    pytest.param(lambda s: EWC(s, examples=3), LoRA(r=4), id="EWC-LoRA"),
]

RECORDED = {}


@pytest.fixture
def chats(write_chats):
    """Eight short chats of different lengths."""
    return write_chats(
        "chats.jsonl", *((f"What is {i} and {i}?", f"{'It is so. ' * (i % 3)}{2 * i}.") for i in range(8))
    )


@pytest.fixture
def base(small_model, chat, tmp_path):
    """A folder with a small random model."""
    for part in (small_model(), chat.tokenizer):
        part.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


class Recorder(pl.Callback):
    """Keeps what each step logs, its gradient, the weights after it, and a checkpoint of the first epoch."""

    def __init__(self, checkpoint=None):
        self.gradients, self.weights, self.logged = [], [], []
        self.checkpoint = checkpoint

    def on_train_epoch_end(self, trainer, pl_module):
        if self.checkpoint and trainer.current_epoch == 0:
            trainer.save_checkpoint(self.checkpoint, weights_only=False)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append(torch.cat([p.grad.flatten() for p in trainable(pl_module.model).values()]).clone())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step > len(self.weights):
            self.weights.append(flat(pl_module))
            self.logged.append({k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("train/")})


def flat(tuner):
    return torch.cat([p.detach().flatten() for p in trainable(tuner.model).values()]).clone()


@pytest.fixture
def run(base, chats):
    """Return a function that trains a few steps and returns the tuner and what was recorded."""
    return lambda *args, **options: train(base, chats, *args, **options)


def train(
    base,
    chats,
    method,
    regularizer=None,
    *,
    size=4,
    accumulate=1,
    steps=3,
    lr=1e-2,
    save=None,
    resume=None,
    packing=False,
    speed=Speed(),  # noqa: B008
):
    recorder = Recorder(save)
    settings = Optimizer(lr=lr, schedule="constant", warmup=0, gradient_clip=0)
    tuner = FineTuner(base, method, settings, seed=3, regularizer=regularizer, speed=speed)
    options = {"accelerator": "cpu", "enable_progress_bar": False, "max_steps": steps, "log_every_n_steps": 1}
    trainer = make_trainer(options | {"accumulate_grad_batches": accumulate}, [], [recorder])
    data = ChatData(train=chats, batch_size=size, packing=packing)
    trainer.fit(tuner, data, ckpt_path=resume, weights_only=True if resume else None)
    return tuner, recorder


@pytest.fixture
def plain(run):
    """Return a function that gives what three steps without a regularizer record, once for each method.

    Without shortcuts, as with a regularizer that reads logits: another way draws other batches.
    """

    def recorded(method):
        if method.title not in RECORDED:
            RECORDED[method.title] = run(method, speed=None)[1]
        return RECORDED[method.title]

    return recorded


@pytest.mark.parametrize(("make", "method"), PAIRS[:3])
def test_strength_0_is_no_penalty_bit_for_bit(run, plain, make, method):
    without, with_none = plain(method), run(method, make(0.0), speed=None)[1]
    assert len(without.weights) == 3
    assert all(torch.equal(a, b) for a, b in zip(without.weights, with_none.weights, strict=True))
    assert [logged["train/penalty"] for logged in with_none.logged] == [0, 0, 0]
    assert not any("train/penalty" in logged for logged in without.logged)


@pytest.mark.parametrize(("make", "method"), PAIRS)
def test_one_big_batch_equals_many_small_ones(run, make, method):
    whole = run(method, make(30.0), size=8, steps=2)[1]
    cut = run(method, make(30.0), size=3, accumulate=3, steps=2)[1]
    for ours, theirs in zip(cut.gradients, whole.gradients, strict=True):
        assert (ours - theirs).norm() <= 1e-3 * theirs.norm()
    for key in ("train/penalty", "train/loss"):
        assert [x[key] for x in cut.logged] == pytest.approx([x[key] for x in whole.logged], rel=1e-3, abs=1e-9)
    assert whole.logged[-1]["train/penalty"] > 1e-4


@pytest.mark.parametrize(("make", "method"), PAIRS[:3])
def test_the_loss_that_is_logged_is_the_cross_entropy_alone(run, plain, make, method):
    """Of the first two steps: the penalty begins at 0, so it changes no weight before the second."""
    without, heavy = plain(method), run(method, make(1e3), steps=2, speed=None)[1]
    assert [x["train/loss"] for x in heavy.logged] == pytest.approx(
        [x["train/loss"] for x in without.logged[:2]], rel=1e-4
    )
    assert [x["train/penalty"] > 0.01 for x in heavy.logged] == [False, True]
    assert (heavy.gradients[1] - without.gradients[1]).norm() > without.gradients[1].norm()


def cost(tuner):
    """Return what a trained model would pay at strength 1."""
    tuner.regularizer.strength = 1.0
    batch = next(iter(tuner.trainer.datamodule.look()))
    with torch.no_grad():
        tuner.training_step(batch, 0)
    return float(tuner.penalty.read(lambda x: x)["penalty"])


@pytest.mark.parametrize(("make", "method"), PAIRS[:3])
def test_a_huge_strength_holds_the_model_where_it_is(run, make, method):
    """Adam's steps are whole ones whatever the gradient's size, so it is held near its base, not on it."""
    free, held = (cost(run(method, make(strength), steps=10, lr=1e-3)[0]) for strength in (0.0, 1e6))
    assert held < 0.1 * free


@pytest.mark.parametrize(("make", "method"), [*PAIRS[:3], PAIRS[-1]])
def test_a_resumed_run_is_held_to_the_same_base(run, make, method, tmp_path):
    whole = run(method, make(30.0), steps=4, save=tmp_path / "c.ckpt")
    resumed = run(method, make(30.0), steps=4, resume=tmp_path / "c.ckpt")
    assert torch.equal(flat(resumed[0]), flat(whole[0]))
    assert [x["train/penalty"] for x in resumed[1].logged] == [x["train/penalty"] for x in whole[1].logged[2:]]
    before, after = (run[0].penalty._start.values for run in (whole, resumed))
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_packed_rows_pay_what_their_chats_pay_alone(run):
    alone, packed = (run(LoRA(r=4), KLToBase(30.0), size=8, steps=2, packing=packing)[1] for packing in (False, True))
    for ours, theirs in zip(packed.gradients, alone.gradients, strict=True):
        assert (ours - theirs).norm() <= 1e-3 * theirs.norm()


def test_the_sample_is_drawn_from_the_source(chats, chat, write_chats):
    other = write_chats("other.jsonl", *((f"Say {i}.", str(i)) for i in range(30)))
    data = ChatData(train=chats)
    data.load(chat, "fit")
    own, drawn = sample(EWC(examples=5), data, chat), sample(EWC(examples=5, source=other), data, chat)
    texts = [chat.decode(batch["input_ids"][0].tolist()) for batch in drawn]
    assert all("Say" in text for text in texts)
    assert len(set(texts)) == len(own) == 5
    assert all("What is" in chat.decode(batch["input_ids"][0].tolist()) for batch in own)
    assert all(batch["step_tokens"] == batch["weights"].sum() for batch in own)
    assert len(sample(EWC(source=other), data, chat)) == 30
    assert sample(L2ToBase(), data, chat) == []
    assert data.dropped == []


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (None, r"none\.jsonl: no such data file"),
        (("Hi", "long " * 2000), r"regularizer\.source: .*other\.jsonl:1.*length"),
    ],
)
def test_a_source_at_fault_is_told_before_the_base_is_loaded(chats, write_chats, turns, said):
    source = write_chats("other.jsonl", turns) if turns else "none.jsonl"
    tuner = FineTuner("ftlab/tiny", Full(), regularizer=EWC(source=source))
    trainer = make_trainer({"accelerator": "cpu", "max_steps": 1}, [], [])
    with pytest.raises(FtlabError, match=said):
        trainer.fit(tuner, ChatData(train=chats))
    assert tuner.model is None


def test_a_regularizer_of_ones_own_needs_two_functions(run):
    class Norms(Regularizer):
        def prepare(self, model, method, start, batches):
            self.seen = len(start.values), batches

        def penalty(self, model, batch, logits):
            return sum(p.abs().sum() for p in trainable(model).values()) * batch["weights"].sum() / batch["step_tokens"]

    tuner, recorder = run(LoRA(r=4), Norms(), steps=1)
    weights = trainable(tuner.model)
    assert tuner.regularizer.seen == (len(weights), [])
    assert recorder.logged[0]["train/penalty"] > 1
