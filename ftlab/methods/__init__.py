"""PEFT methods, one file each; importing this package registers the built-in ones."""

from ftlab.methods.adapter import Adapter
from ftlab.methods.base import Method
from ftlab.methods.chain import Chain
from ftlab.methods.differential_lr import DifferentialLR
from ftlab.methods.freeze import Freeze
from ftlab.methods.full import Full
from ftlab.methods.ia3 import IA3
from ftlab.methods.lora import LoRA
from ftlab.methods.p_tuning import PTuning
from ftlab.methods.peft_type import Peft
from ftlab.methods.prefix import Prefix
from ftlab.methods.prompt import Prompt
from ftlab.methods.qlora import QLoRA

__all__ = [
    "IA3",
    "Adapter",
    "Chain",
    "DifferentialLR",
    "Freeze",
    "Full",
    "LoRA",
    "Method",
    "PTuning",
    "Peft",
    "Prefix",
    "Prompt",
    "QLoRA",
]
