"""Compiling: the blocks by torch.compile, for training alone. It knows no method and no loss."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ftlab.errors import SettingError
from ftlab.methods.anatomy import blocks


def compile_blocks(model: Any) -> None:
    """Let the blocks be compiled when a batch first comes through them in training mode.

    Answers are generated with the blocks as they are: keys and values of every length would be compiled anew.

    Args:
        model: with the method applied.

    Raises:
        SettingError: there is no compiler to compile with.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise SettingError("model.compile", "needs a C++ compiler; install g++, or set it to false") from error
    for block in blocks(model).values():
        compiled = torch.compile(block._call_impl, dynamic=True)
        block._compiled_call_impl = partial(_call, block, compiled)  # copies leave it out


def _call(block: nn.Module, compiled: Any, *args: Any, **kwargs: Any) -> Any:
    return (compiled if block.training else block._call_impl)(*args, **kwargs)
