"""Settings that save memory change no gradient, and save what they say."""

from contextlib import nullcontext

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import AutoConfig, AutoModelForCausalLM

from ftlab import IA3, Adapter, Base, ChatData, FineTuner, Freeze, Full, LoRA, Prefix
from ftlab.errors import SettingError
from ftlab.experiment import Experiment
from ftlab.methods.anatomy import blocks
from ftlab.methods.base import trainable
from ftlab.training.checkpointing import checkpoint_blocks
from ftlab.training.compiling import compile_blocks
from ftlab.training.offload import Offload
from ftlab.training.share import shared_copy
from ftlab.training.streaming import Stream, Streamed, settle_stream, stream_blocks

IDS = torch.arange(1, 49).reshape(2, 24)


@pytest.fixture
def deep_model():
    """Return a function that makes a random model with four blocks."""

    def make(architecture="qwen2"):
        torch.manual_seed(0)
        sizes = {"vocab_size": 500, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **sizes, **heads))

    return make


def gradients(model, context=None):
    """Return the loss and each gradient of a batch, with dropout by one seed."""
    torch.manual_seed(1)
    model.train()
    with context or nullcontext():
        loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
    loss.backward()
    found = {name: p.grad.clone() for name, p in trainable(model).items()}
    model.zero_grad()
    return loss.item(), found


def moved(method, model):
    """Apply a method, and move its new weights from where they are zero and hide their partners' gradients."""
    torch.manual_seed(0)
    model = method.apply(model)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter += 0.02 * torch.randn_like(parameter)
    return model


def same(ours, theirs):
    assert ours[0] == theirs[0]
    assert ours[1].keys() == theirs[1].keys()
    assert all(torch.equal(gradient, theirs[1][name]) for name, gradient in ours[1].items())
    assert max(float(gradient.abs().max()) for gradient in theirs[1].values()) > 0


def counted(model):
    """Return how often each block's MLP is computed, as a list that fills."""
    calls = [0] * len(blocks(model))
    for i, block in enumerate(blocks(model).values()):
        block.mlp.register_forward_pre_hook(lambda *_, i=i: calls.__setitem__(i, calls[i] + 1))
    return calls


METHODS = [LoRA(r=4, dropout=0.1), Adapter(bottleneck=8), Prefix(num_virtual_tokens=3), IA3(), Full()]
LABELS = [type(method).__name__ for method in METHODS]


@pytest.mark.parametrize(
    ("method", "wanted", "twice"),
    [
        *[(METHODS[0], wanted, twice) for wanted, twice in ((True, [0, 1, 2, 3]), (2, [0, 2]), ([3], [3]))],
        *[(method, [1, 2], [1, 2]) for method in METHODS[1:]],
    ],
)
def test_selective_checkpointing_changes_no_gradient(method, wanted, twice, deep_model):
    plain_one, model = deep_model(), deep_model()
    checkpoint_blocks(model, wanted)
    plain_one, model = moved(method, plain_one), moved(method, model)
    calls = counted(model)
    same(gradients(model), gradients(plain_one))
    assert [i for i, count in enumerate(calls) if count == 2] == twice
    assert set(calls) <= {1, 2}


def test_checkpointed_blocks_of_another_architecture(deep_model):
    model = deep_model("llama")
    checkpoint_blocks(model, [0])
    calls = counted(model)
    same(gradients(model), gradients(deep_model("llama")))
    assert calls == [2, 1, 1, 1]


def test_blocks_that_are_not_there_are_named(small_model):
    with pytest.raises(SettingError, match=r"gradient_checkpointing: 5 is no block of this model, whose 2 are counted"):
        checkpoint_blocks(small_model(), [0, 5])


def test_what_autograd_saves_comes_back_equal(deep_model):
    plain_one, model = (moved(LoRA(r=4), deep_model()) for _ in range(2))
    offload = Offload(model, home=None, small=0)
    kept = {}
    pack = offload._pack

    def note(tensor):
        packed = pack(tensor)
        if packed is not tensor:
            kept[packed.held.data_ptr()] = packed
        return packed

    offload.pack_hook = note
    same(gradients(model, offload), gradients(plain_one))
    assert kept


def saved(model, **settings):
    """Return what autograd saves in a forward pass, and what became of it."""
    offload, seen = Offload(model, **settings), []

    class Seen(torch.autograd.graph.saved_tensors_hooks):
        def __init__(self):
            super().__init__(self.pack, offload.unpack_hook)

        def pack(self, tensor):
            packed = offload.pack_hook(tensor)
            seen.append((tensor.data_ptr(), tensor.nbytes, packed))
            return packed

    return Seen(), seen


def test_parameters_and_small_tensors_stay(deep_model):
    plain_one, model = (moved(LoRA(r=4), deep_model()) for _ in range(2))
    context, seen = saved(model, home=None, small=6000)
    same(gradients(model, context), gradients(plain_one))
    own = {p.data_ptr() for p in model.parameters()}
    went = [(where, size) for where, size, packed in seen if not isinstance(packed, torch.Tensor)]
    stayed = [(where, size) for where, size, packed in seen if isinstance(packed, torch.Tensor)]
    assert went
    assert all(size >= 6000 and where not in own for where, size in went)
    assert all(size < 6000 or where in own for where, size in stayed)
    copies = {id(packed) for _, _, packed in seen if not isinstance(packed, torch.Tensor)}
    assert len(copies) < len(went)  # what several layers save is kept once


def test_offloading_needs_a_gpu(deep_model):
    model = moved(LoRA(r=4), deep_model())
    context, seen = saved(model, small=0)
    gradients(model, context)
    assert seen
    assert all(isinstance(packed, torch.Tensor) for _, _, packed in seen)


class Watched(Stream):
    """Counts the blocks whose copies are in memory at the same time."""

    def __init__(self, layers):
        super().__init__(layers, home=None)
        self.copies, self.most, self.fetched = {}, 0, []

    def _fetch(self, i):
        visits = super()._fetch(i)
        self.fetched.append(i)
        self.copies.setdefault(i, []).extend(StorageWeakRef(visit.copy.untyped_storage()) for visit in visits)
        self.most = max(self.most, len(self.alive()))
        return visits

    def alive(self):
        return {i for i, copies in self.copies.items() if not all(copy.expired() for copy in copies)}


def streamed(model):
    """Return the model with its blocks streamed to the CPU's own memory, and the stream."""
    checkpoint_blocks(model, True)
    stream_blocks(model)
    for block in blocks(model).values():
        block._forward_pre_hooks.clear()
        block._forward_hooks.clear()
    return model, Watched(list(blocks(model).values()))


@pytest.mark.parametrize("method", METHODS[:-1], ids=LABELS[:-1])
def test_streaming_changes_no_gradient(method, deep_model):
    plain_one = moved(method, deep_model())
    model, stream = streamed(deep_model())
    model = moved(method, model)
    settle_stream(model)
    stream.fetched.clear()  # a prefix starts from what the model makes of some tokens
    expected = gradients(plain_one)
    same(gradients(model), expected)
    assert stream.fetched == [0, 1, 2, 3, 2, 1, 0]
    assert stream.most == 2
    assert not stream.alive()
    same(gradients(model), expected)  # the second step as the first
    model.eval()
    plain_one.eval()
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, plain_one(input_ids=IDS).logits)
    assert stream.most == 2
    assert not stream.alive()


def test_gradients_in_evaluation_mode_keep_no_weights_either(deep_model):
    """Shortcuts and packing are tried in it before training."""
    plain_one, (model, stream) = moved(LoRA(r=4), deep_model()).eval(), streamed(deep_model())
    model = moved(LoRA(r=4), model).eval()
    for each in (plain_one, model):
        each(input_ids=IDS, labels=IDS).loss.backward()
    assert all(torch.equal(p.grad, trainable(plain_one)[name].grad) for name, p in trainable(model).items())
    assert stream.most == 2
    assert not any(module.training for module in model.modules())


def test_streamed_weights_stay_where_they_are_and_remain_the_models(deep_model):
    model, _ = streamed(deep_model())
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model(input_ids=IDS)
    inside = {name for name, _ in model.get_decoder().layers.named_parameters(prefix="model.layers")}
    torch.nn.Module.to(model, "meta")
    for name, parameter in model.named_parameters():
        assert parameter.device.type == ("cpu" if name in inside else "meta")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items() if name in inside)
    model.get_decoder().layers.to(torch.bfloat16)
    assert {p.dtype for p in model.get_decoder().layers.parameters()} == {torch.bfloat16}


def test_what_a_method_trains_of_the_blocks_is_not_streamed(deep_model):
    plain_one = Freeze(last=1, norms=True).apply(deep_model())
    model, stream = streamed(deep_model())
    model = Freeze(last=1, norms=True).apply(model)
    settle_stream(model)
    same(gradients(model), gradients(plain_one))
    assert {p.requires_grad for p in model.parameters() if isinstance(p, Streamed)} == {False}
    assert not any(isinstance(p, Streamed) for p in trainable(model).values())
    assert stream.most == 2


def test_streaming_with_nothing_frozen_is_refused(deep_model):
    model, _ = streamed(deep_model())
    with pytest.raises(SettingError, match=r"model\.stream: the method trains all weights of the blocks"):
        settle_stream(Full().apply(model))


def test_a_streamed_model_saves_and_merges_as_the_plain_one(tmp_path, deep_model):
    method = LoRA(r=4)
    plain_one = moved(method, deep_model())
    model, _ = streamed(deep_model())
    model = moved(method, model)
    gradients(model)
    method.save(model, tmp_path / "adapter")
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.zero_()
    method.load(model, tmp_path / "adapter")
    method.merge(model).save_pretrained(tmp_path / "ours")
    method.merge(plain_one).save_pretrained(tmp_path / "theirs")
    ours, theirs = (Base(str(tmp_path / name), dtype="auto") for name in ("ours", "theirs"))
    assert all(
        torch.equal(p, q) for p, q in zip(ours.load_model().parameters(), theirs.load_model().parameters(), strict=True)
    )


def test_copies_of_a_streamed_base_stream_their_own_weights(deep_model):
    model, _ = streamed(deep_model())
    twin = shared_copy(model)
    with torch.no_grad():
        for parameter in blocks(twin)["model.layers.0"].parameters():
            parameter.zero_()
        assert not torch.equal(twin(input_ids=IDS).logits, model(input_ids=IDS).logits)
        assert torch.equal(model(input_ids=IDS).logits, deep_model()(input_ids=IDS).logits)


def test_the_settings_go_through_the_tuner():
    tuner = FineTuner(Base(stream=True), LoRA(r=4), seed=1)
    plain_one = FineTuner(Base(), LoRA(r=4), seed=1)
    tuner.configure_model()
    plain_one.configure_model()
    assert sum(isinstance(p, Streamed) for p in tuner.model.parameters()) > 10
    same(gradients(tuner.model), gradients(plain_one.model))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_checkpointing": 0}, "0 is not true, false, 1 or more, or a list"),
        ({"gradient_checkpointing": []}, "a list of blocks"),
        ({"gradient_checkpointing": [0, -1]}, "a list of blocks, counted from 0"),
        ({"stream": True, "gradient_checkpointing": 2}, "model.stream computes every block again"),
        ({"stream": True, "compile": True}, "compiled blocks cannot be streamed"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(settings, message):
    with pytest.raises(SettingError, match=message):
        Base(**settings)


def test_a_quantized_base_is_not_streamed():
    with pytest.raises(SettingError, match=r"model\.stream: a quantized base cannot be streamed"):
        Base(stream=True).load_model(quantization_config=None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which it is compiled")
def test_without_a_gpu_nothing_is_compiled():
    with pytest.raises(SettingError, match=r"model\.compile: does not pay without a GPU"):
        Experiment(FineTuner(Base("ftlab/tiny", compile=True), LoRA()), ChatData(train="none.jsonl")).fit({})
    Base("ftlab/tiny", compile=True).load_model()  # to talk to a run that was compiled elsewhere


def test_compiling_needs_a_compiler(deep_model):
    import torch._inductor.config as inductor

    without = inductor.patch({"cpp.cxx": ("/no/such/g++",)})
    with without, pytest.raises(SettingError, match=r"model\.compile: needs a C\+\+ compiler"):
        compile_blocks(deep_model())


@pytest.mark.slow
def test_compiled_blocks_train_alike_and_answer_as_they_are(deep_model):
    from torch._dynamo.utils import counters

    plain_one, model = (moved(LoRA(r=4), deep_model()) for _ in range(2))
    compile_blocks(model)
    counters.clear()
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, plain_one.eval()(input_ids=IDS).logits)
    assert not counters["stats"]
    with torch.compiler.set_stance(force_backend="aot_eager"):  # all of it but the C++, which takes a minute
        loss, ours = gradients(model)
    assert counters["stats"]["unique_graphs"] > 0
    expected, theirs = gradients(plain_one)
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-5 * gradient.norm(), name
