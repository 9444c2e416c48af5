"""Fused: lets linear layers, norms and rotary embeddings of a model compute by functions of ours. It knows no batches.

The layers stay what they are: saving, merging and switching an adapter off are peft's, and whatever `Linear` has no
formula for goes through their own forward pass.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ftlab.exam.generation import evaluation_mode
from ftlab.methods.anatomy import blocks, has_hooks, mixers, plain
from ftlab.methods.peft_format import is_peft
from ftlab.training.gated import SwiGLU
from ftlab.training.linear import Linear, LowRank
from ftlab.training.norm import RMSNorm
from ftlab.training.rotary import fast_rotary, rotating


def fuse(model: Any) -> None:
    """Let linear layers, norms and rotary embeddings compute faster, in place.

    Args:
        model: the base with the method applied.
    """
    head = plain(model).get_output_embeddings()
    updated = set()
    if is_peft(model):
        from peft.tuners.lora import LoraLayer

        layers: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]
        for module in layers:
            if _is_simple(module):
                whole = type(module.base_layer) is nn.Linear
                module.forward = partial(_lora if whole else _beside, module)
                updated |= {module.base_layer, *module.lora_A.values(), *module.lora_B.values()} if whole else set()
    for mixer in (part for block in blocks(model).values() for part in mixers(block)):
        if modules := rotating(mixer):
            mixer.forward = partial(_rotating, mixer, modules)
    for module in model.modules():
        if type(module) is nn.Linear and module is not head and module not in updated:
            module.forward = partial(_linear, module)  # type: ignore[method-assign]
        elif "RMSNorm" in type(module).__name__ and (formula := _formula(module)):
            module.forward = partial(_norm, module, *formula)
        elif _is_swiglu(module):
            module.forward = partial(_swiglu, module)


def _is_simple(layer: Any) -> bool:
    """Return whether a layer of peft's LoRA adds scale (x A^T) B^T and nothing else."""
    if len(layer.lora_A) != 1 or layer.lora_variant or getattr(layer, "fan_in_fan_out", False):
        return False
    (name,) = layer.lora_A
    parts = (layer.base_layer, layer.lora_A[name], layer.lora_B[name])
    return (
        isinstance(layer.base_layer, nn.Linear)  # bitsandbytes' layers are, too
        and layer.active_adapters == [name]
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and not layer.lora_bias[name]
        and not any(map(has_hooks, parts))
    )


def _stays(layer: Any, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a layer of peft's is asked for something else at the moment."""
    return bool(args or kwargs or layer.disable_adapters or layer.merged or torch.is_autocast_enabled(x.device.type))


def _lora(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    (name,) = layer.lora_A
    base, a, b = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    if _stays(layer, x, args, kwargs) or not x.dtype == base.weight.dtype == a.dtype:
        return type(layer).forward(layer, x, *args, **kwargs)
    return Linear.apply(x, base.weight, base.bias, a, b, layer.scaling[name])


def _beside(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    (name,) = layer.lora_A
    if _stays(layer, x, args, kwargs):
        return type(layer).forward(layer, x, *args, **kwargs)
    y = layer.base_layer(x)
    return LowRank.apply(y, x, layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    if torch.is_autocast_enabled(x.device.type) or x.dtype != torch.float32 or x.device.type != "cpu":
        return nn.functional.linear(x, layer.weight, layer.bias)
    return Linear.apply(x, layer.weight, layer.bias, None, None, 0.0)


@torch.no_grad()
def _formula(norm: nn.Module) -> tuple[float, float] | None:
    """Return the epsilon and the shift of a norm that computes what `RMSNorm` does, as a try shows; None for others."""
    weight: Any = getattr(norm, "weight", None)
    eps: Any = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if not isinstance(weight, Tensor) or weight.ndim != 1 or weight.dtype != torch.float32 or not eps:
        return None
    x = torch.linspace(-1, 2, 3 * len(weight), device=weight.device).view(3, -1)
    for shift in (0.0, 1.0):
        if torch.allclose(norm(x), RMSNorm.apply(x, weight, eps, shift), rtol=1e-5, atol=1e-6):
            return eps, shift
    return None


def _norm(norm: Any, eps: float, shift: float, x: Tensor) -> Tensor:
    if x.dtype != torch.float32:
        return type(norm).forward(norm, x)
    return RMSNorm.apply(x, norm.weight, eps, shift)


@torch.no_grad()
def _is_swiglu(mlp: Any) -> bool:
    """Return whether a module is down(silu(gate(x)) * up(x)), as a try shows."""
    parts = [getattr(mlp, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    if not all(isinstance(part, nn.Module) and not has_hooks(part) for part in parts) or has_hooks(mlp):
        return False
    size = getattr(mlp.gate_proj, "in_features", 0)
    weights = list(mlp.parameters())
    dtype = next((weight.dtype for weight in weights if weight.is_floating_point()), torch.float32)
    x = torch.linspace(-1, 2, 3 * size, dtype=dtype, device=weights[0].device).view(3, size)
    try:
        with evaluation_mode(mlp):
            return torch.allclose(mlp(x), _swiglu(mlp, x), rtol=1e-5, atol=1e-6)
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False


def _swiglu(mlp: Any, x: Tensor) -> Tensor:
    return mlp.down_proj(SwiGLU.apply(mlp.gate_proj(x), mlp.up_proj(x)))


def _rotating(mixer: Any, modules: list[str], *args: Any, **kwargs: Any) -> Any:
    with fast_rotary(modules):  # inside the blocks, whose forward pass may come again in the backward pass
        return type(mixer).forward(mixer, *args, **kwargs)
