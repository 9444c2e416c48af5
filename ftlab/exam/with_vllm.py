"""vLLM: the exam's other engine, for many questions on a GPU. It knows nothing of grading."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from ftlab.data.chat import Chat
from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from ftlab.exam.generation import Generation

INSTALL = "uv tool install vllm"


def require_vllm() -> Path:
    """Return the Python that has vLLM.

    Raises:
        FtlabError: a GPU or the command `vllm` is missing.
    """
    if not torch.cuda.is_available():
        raise FtlabError("exam.engine: vllm needs a GPU of CUDA, and this machine shows none; take transformers")
    command = shutil.which("vllm")
    if command is None:
        raise FtlabError(
            "exam.engine: vllm needs the command vllm, in an environment of its own, since its libraries are other "
            f"versions than ours; install it with: {INSTALL}; or take transformers"
        )
    return Path(command).resolve().with_name("python")


def generate_with_vllm(
    model: Any, chat: Chat, prompts: Sequence[list[int]], settings: Generation, ends: list[int]
) -> list[list[str]]:
    """Return the answers to each prompt, in the prompts' order.

    vLLM loads the merged model anew from a folder, in a process of its own, while ours waits in the CPU's memory: it
    takes a minute or so at every sitting, and pays for exams of many questions. Answers are not cut at
    `Generation.stop`. Its rounding is its own: an answer here and there is another than that of transformers.

    Args:
        model: a causal language model of transformers, or peft's that can be merged; not in 4 bits.
        chat: whose template the prompts were rendered with.
        prompts: token ids, each up to where the assistant's turn begins.
        settings: length and sampling; the batches are vLLM's own.
        ends: ids that end an answer.

    Raises:
        FtlabError: vLLM cannot run here, or could not load such a model.
    """
    python, device = require_vllm(), model.device
    with TemporaryDirectory() as folder:
        model.to("cpu")
        torch.cuda.empty_cache()
        try:
            save_plain(model, Path(folder))
            answers = ask(python, Path(folder), str(model.dtype).removeprefix("torch."), prompts, settings, ends)
        finally:
            model.to(device)
    return [[chat.decode(ids) for ids in own] for own in answers]


def save_plain(model: Any, folder: Path) -> None:
    """Write a model as one that needs no peft, and leave it as it is.

    Args:
        model: a causal language model of transformers, or peft's.
        folder: where to.

    Raises:
        FtlabError: it has parts that the plain model has not.
    """
    cannot = "exam.engine: vllm answers for plain models and for adapters that can be merged; take transformers for"
    if getattr(model, "is_quantized", False):
        raise FtlabError(f"{cannot} a quantised base")
    plain = model
    if hasattr(model, "peft_config"):
        if not hasattr(model, "merge_and_unload"):
            raise FtlabError(f"{cannot} virtual tokens")
        plain = copy.deepcopy(model).merge_and_unload()
    with torch.device("meta"):
        expected = type(plain)(plain.config).state_dict().keys()
    if more := plain.state_dict().keys() - expected:
        raise FtlabError(f"{cannot} a model with {min(more)}")
    plain.save_pretrained(folder)


def ask(
    python: Path, folder: Path, dtype: str, prompts: Sequence[list[int]], settings: Generation, ends: list[int]
) -> list[list[list[int]]]:
    """Return the ids of each prompt's answers.

    Args:
        python: the one that has vLLM.
        folder: of the model.
        dtype: type to compute in.
        prompts: token ids.
        settings: length and sampling.
        ends: ids that end an answer.

    Raises:
        FtlabError: vLLM failed, with the last line that it said.
    """
    sampling = {
        "n": settings.samples,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_new_tokens,
        "stop_token_ids": ends,
    }
    job = {"dtype": dtype, "seed": settings.seed, "prompts": prompts, "sampling": sampling}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [str(python), str(Path(__file__).with_name("vllm_worker.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        raise FtlabError(f"exam.engine: vllm failed: {said[-1]}; take transformers")
    return json.loads((folder / "answers.json").read_text(encoding="utf-8"))
