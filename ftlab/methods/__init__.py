"""PEFT methods, one file each; importing this package registers the built-in ones."""

from ftlab.methods.base import Method
from ftlab.methods.chain import Chain
from ftlab.methods.full import Full
from ftlab.methods.lora import LoRA

__all__ = ["Chain", "Full", "LoRA", "Method"]
