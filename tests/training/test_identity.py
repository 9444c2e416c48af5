"""A base is told by its bytes: whatever it is loaded as, wherever it lies, and whatever changes in it."""

import json
import shutil
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftlab import Base, FineTuner, FtlabError, Full, LoRA
from ftlab.carried import carried
from ftlab.errors import RefusedError
from ftlab.training.identity import CHUNK_BYTES, CHUNKS, Identity, fingerprint_of_files

TINY = carried("ftlab/tiny")


def identity(base, method=None, seed=7):
    tuner = FineTuner(base, method or LoRA(), seed=seed)
    tuner.load_base()
    return tuner.identity


@pytest.fixture(scope="module")
def tiny():
    return identity("ftlab/tiny")


@pytest.fixture
def moved(tmp_path):
    """A copy of ftlab/tiny in another folder."""
    return shutil.copytree(TINY, tmp_path / "moved")


def hashes(found):
    return found.weights, found.tokenizer, found.template


def test_type_method_seed_and_folder_do_not_matter(tiny, moved):
    assert all(len(part) == 16 and int(part, 16) for part in hashes(tiny))
    assert identity("ftlab/tiny") == tiny
    for base in (Base(dtype="bfloat16"), Base(attention="eager", gradient_checkpointing=True), Base(str(moved))):
        assert hashes(identity(base, Full(), seed=1)) == hashes(tiny)


def test_use_of_the_tokenizer_does_not_matter(tiny):
    tuner = FineTuner("ftlab/tiny", LoRA())
    tuner.chat.tokenizer(["a", "a longer text"], padding=True, truncation=True, max_length=2)
    tuner.load_base()
    assert tuner.identity == tiny


def test_shards_do_not_matter_but_names_types_shapes_do(tmp_path):
    torch.manual_seed(0)
    tensors = {"a": torch.randn(300, 400), "b": torch.randn(7), "c": torch.tensor(1.5), "d": torch.zeros(0, 3)}

    def of(*parts):
        files = [tmp_path / f"{i}.safetensors" for i in range(len(parts))]
        for file, part in zip(files, parts, strict=True):
            save_file(part, file, {"format": "pt"})
        return fingerprint_of_files(files)

    whole = of(tensors)
    assert of({"c": tensors["c"], "b": tensors["b"]}, {"d": tensors["d"], "a": tensors["a"]}) == whole
    a = tensors["a"]
    changed = [{"a": a.reshape(400, 300)}, {"a": a.view(torch.int32)}, {"b": -tensors["b"]}, {"e": torch.zeros(1)}]
    found = [of(tensors | change) for change in changed]
    found.append(of({("z" if name == "a" else name): tensor for name, tensor in tensors.items()}))
    assert len({whole, *found}) == 6


def test_both_ends_of_a_tensor_and_sixteen_places_are_looked_at(tmp_path):
    size = 4 * CHUNKS * CHUNK_BYTES
    file = tmp_path / "x.safetensors"
    found = set()
    for place in (None, 0, size - 1, (size - CHUNK_BYTES) * 7 // 15):
        content = torch.zeros(size, dtype=torch.uint8)
        if place is not None:
            content[place] = 1
        save_file({"x": content}, file)
        found.add(fingerprint_of_files([file]))
    assert len(found) == 4


def test_random_weights_are_told_by_their_seed(tiny):
    scratch = Base(from_scratch=True)
    first = identity(scratch, seed=1)
    assert identity(scratch, seed=1) == first
    assert len({first.weights, identity(scratch, seed=2).weights, tiny.weights}) == 3
    assert hashes(first)[1:] == hashes(tiny)[1:]


def test_the_type_in_memory_does_not_matter():
    kinds = [Base(from_scratch=scratch, dtype=dtype) for scratch in (False, True) for dtype in ("float32", "bfloat16")]
    weights = [identity(base, seed=1).weights for base in kinds]
    assert weights[0] == weights[1] != weights[2] == weights[3]


def test_a_base_without_safetensors_is_told_by_its_files(moved, tiny):
    tensors = load_file(moved / "model.safetensors")
    (moved / "model.safetensors").unlink()
    found = []
    for change in (0.0, 0.0, 1.0):
        torch.save({k: v + change for k, v in tensors.items()}, moved / "pytorch_model.bin")
        assert [file.name for file in Base(str(moved)).weight_files()] == ["pytorch_model.bin"]
        found.append(identity(Base(str(moved), dtype="bfloat16" if len(found) else "float32")).weights)
    assert found[0] == found[1] != found[2]


def test_a_base_in_shards_is_read_whole(moved, tiny):
    tensors = load_file(moved / "model.safetensors")
    (moved / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, moved / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in shards.items() for name in part}}
    (moved / "model.safetensors.index.json").write_text(json.dumps(index))
    assert identity(str(moved)).weights == tiny.weights


def test_a_hub_id_is_told_by_the_cache_and_its_commit(tiny, tmp_path, monkeypatch):
    """The layout of the hub's cache, as a download leaves it; no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--someone--tiny"
    shutil.copytree(TINY, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(commit)
    base = Base("someone/tiny")
    assert base.weight_files() == [repo / "snapshots" / commit / "model.safetensors"]
    found = identity(base)
    assert found == replace(tiny, base="someone/tiny", revision=commit)
    assert "someone/tiny at 0123456789ab (weights " in str(refusal(found, replace(tiny, weights="0" * 16)))


def refusal(trained, there):
    with pytest.raises(RefusedError) as caught:
        trained.require(there, "runs/x/best")
    return caught.value


def test_a_refusal_names_what_differs_with_both_hashes(tiny):
    other = replace(tiny, base="./other", tokenizer="1" * 16, template="2" * 16)
    assert str(refusal(tiny, other)) == (
        f"runs/x/best: trained on base ftlab/tiny (tokenizer {tiny.tokenizer}, template {tiny.template}), "
        f"this is ./other (tokenizer {'1' * 16}, template {'2' * 16}); use the base of the run"
    )
    tiny.require(replace(tiny, base="./moved", revision="x", ftlab="9.9"), "runs/x/best")


def test_a_saved_folder_says_what_it_belongs_to(tiny, tmp_path):
    tuner = FineTuner("ftlab/tiny", LoRA(r=2), seed=7)
    tuner.configure_model()
    tuner.save(tmp_path / "w")
    assert json.loads((tmp_path / "w/ftlab.json").read_text())["base"] == "ftlab/tiny"
    assert Identity.read(tmp_path / "w") == tiny
    tuner.load(tmp_path / "w")
    (tmp_path / "w/ftlab.json").write_text("{}")
    with pytest.raises(FtlabError, match=r"ftlab\.json: not what this ftlab writes"):
        tuner.load(tmp_path / "w")
    (tmp_path / "w/ftlab.json").unlink()
    with pytest.raises(FtlabError, match=r"has no ftlab\.json") as caught:
        tuner.load(tmp_path / "w")
    assert caught.value.exit_code == 2


def test_a_file_in_another_format_is_one_line(tmp_path):
    for content in (b"", b"no tensors at all", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]"):
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(FtlabError, match=r"x\.safetensors: not a safetensors file"):
            fingerprint_of_files([tmp_path / "x.safetensors"])


def test_the_fingerprint_of_the_tiny_base_takes_no_time():
    start = time.perf_counter()
    fingerprint_of_files(Base().weight_files())
    assert time.perf_counter() - start < 0.2
