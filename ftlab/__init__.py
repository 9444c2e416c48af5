"""ftlab: a fine-tuning lab for language models, whose numbers can be trusted."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: Public names and the modules that define them; imported at first use, so that `ftlab --help` needs no torch.
_PUBLIC = {
    "Adapter": "ftlab.methods.adapter",
    "Alpaca": "ftlab.data.formats",
    "BLEU": "ftlab.exam.graders",
    "Base": "ftlab.training.base",
    "BatchPlan": "ftlab.data.plan",
    "Chain": "ftlab.methods.chain",
    "Chat": "ftlab.data.chat",
    "ChatData": "ftlab.data.module",
    "Choice": "ftlab.exam.graders",
    "ChoiceByLikelihood": "ftlab.exam.graders",
    "ChrF": "ftlab.exam.graders",
    "Classification": "ftlab.exam.graders",
    "Code": "ftlab.exam.graders",
    "Contains": "ftlab.exam.graders",
    "Curriculum": "ftlab.data.curriculum",
    "DifferentialLR": "ftlab.methods.differential_lr",
    "EarlyStopping": "ftlab.callbacks.keep_best",
    "ExactMatch": "ftlab.exam.graders",
    "EWC": "ftlab.training.regularizers",
    "Exam": "ftlab.exam.exam",
    "FineTuner": "ftlab.training.tuner",
    "Format": "ftlab.data.formats",
    "Freeze": "ftlab.methods.freeze",
    "FtlabError": "ftlab.errors",
    "Full": "ftlab.methods.full",
    "Function": "ftlab.exam.graders",
    "Grader": "ftlab.exam.graders",
    "IA3": "ftlab.methods.ia3",
    "Json": "ftlab.exam.graders",
    "Judge": "ftlab.exam.graders",
    "KLToBase": "ftlab.training.regularizers",
    "L2ToBase": "ftlab.training.regularizers",
    "LoRA": "ftlab.methods.lora",
    "Marker": "ftlab.exam.graders",
    "Messages": "ftlab.data.formats",
    "Method": "ftlab.methods.base",
    "Mixture": "ftlab.data.mixture",
    "ModelGrader": "ftlab.exam.graders",
    "Number": "ftlab.exam.graders",
    "Optimizer": "ftlab.training.optimizer",
    "PTuning": "ftlab.methods.p_tuning",
    "Peft": "ftlab.methods.peft_type",
    "Perplexity": "ftlab.exam.graders",
    "Preference": "ftlab.data.formats",
    "Prefix": "ftlab.methods.prefix",
    "Prompt": "ftlab.methods.prompt",
    "PromptCompletion": "ftlab.data.formats",
    "QLoRA": "ftlab.methods.qlora",
    "QuestionAnswer": "ftlab.data.formats",
    "ROUGE": "ftlab.exam.graders",
    "Regex": "ftlab.exam.graders",
    "Regularizer": "ftlab.training.regularizers",
    "Replay": "ftlab.data.mixture",
    "Run": "ftlab.runs",
    "ShareGPT": "ftlab.data.formats",
    "Source": "ftlab.data.sources",
    "Split": "ftlab.data.splits",
    "Step": "ftlab.data.quality.cleaning",
    "Text": "ftlab.data.formats",
    "TokenF1": "ftlab.exam.graders",
    "WandB": "ftlab.tracking",
    "fit": "ftlab.experiment",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ftlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return [*globals(), *_PUBLIC]
