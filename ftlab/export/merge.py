"""Merge: a run's adapter folded into a plain transformers model, proved equal before it is kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from ftlab.data.chat import Chat
from ftlab.errors import FtlabError
from ftlab.exam.generation import evaluation_mode
from ftlab.training.tuner import FineTuner

#: Largest difference of a logit between the merged and the unmerged model, in fp32.
TOLERANCE = 1e-3

#: What both models are asked.
PROMPTS = (
    "Hello!",
    "What is 12 + 30?",
    "Spell the word garden.",
    "Which is larger, 7 or 9?",
    "Name a colour.",
    "A box holds 6 eggs. How many eggs are in 4 boxes?",
    "Copy this: red blue green",
    "Was ist 3 mal 4? 日本語も。",
)


def merge(tuner: FineTuner, output: Path, dtype: str = "float32") -> float:
    """Write the merged model with its tokenizer and template; return the largest difference of a logit.

    The model is written beside `output`, loaded again without peft, compared, and only then moved into place.

    Args:
        tuner: with the weights to merge loaded, in fp32.
        output: folder to make.
        dtype: type to store the weights in once they have been compared.

    Raises:
        FtlabError: the folder exists, the method cannot be merged, or the logits differ.
    """
    if output.exists():
        raise FtlabError(f"--output: {output} exists; name a new folder")
    expected = _logits(tuner.model, tuner.chat)
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    tuner.method.merge(tuner.model).save_pretrained(str(partial))  # type: ignore[operator]
    tuner.chat.tokenizer.save_pretrained(str(partial))

    from transformers import AutoModelForCausalLM

    reloaded = AutoModelForCausalLM.from_pretrained(str(partial), dtype=torch.float32, trust_remote_code=False)
    pairs = zip(expected, _logits(reloaded, tuner.chat), strict=True)
    difference = max(float((first - second).abs().max()) for first, second in pairs)
    if not difference <= TOLERANCE:
        raise FtlabError(
            f"--output: the merged model's logits differ by {difference:.2g} (allowed {TOLERANCE:.0e} in fp32); "
            f"it is left in {partial} for a look"
        )
    if dtype in ("bfloat16", "float16"):
        reloaded.to(getattr(torch, dtype)).save_pretrained(str(partial))
    partial.rename(output)
    return difference


def _logits(model: Any, chat: Chat) -> list[torch.Tensor]:
    prompts = [chat.prompt([{"role": "user", "content": text}]) for text in PROMPTS]
    with evaluation_mode(model), torch.inference_mode():
        return [model(torch.tensor([ids], device=model.device)).logits.float().cpu() for ids in prompts]
