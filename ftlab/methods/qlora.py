"""QLoRA: LoRA on a base whose linear layers are held in 4 or 8 bits. It knows no trainer and no data."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftlab.errors import SettingError
from ftlab.methods.lora import LoRA
from ftlab.methods.peft_format import wrap

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Starts of LoRA's that do not read the base's weights, which are packed here, and the one that is for packed weights.
STARTS = ("default", "gaussian", "eva", "loftq")


@dataclass
class QLoRA(LoRA):
    """Train low-rank updates of a quantized base: a fraction of the memory, slower steps.

    Source: Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, arXiv:2305.14314.
    """

    bits: Literal[4, 8] = 4
    """Bits of a base weight. 8 is closer to the base, and bitsandbytes then rounds the activations too; 4 halves the
    memory again."""
    quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 16 values of 4 bits: spaced for normal distributions, or as a float. `nf4` loses less; 4 bits only."""
    double_quant: bool = True
    """Quantize the scales of the blocks as well: 0.4 bits less for each weight, hardly less exact; 4 bits only."""
    compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What weights are unpacked to for a product. `auto` is bfloat16 where the GPU has it, else float32. With 8
    bits, answers are computed on integers unless this is `float32` on a CPU."""

    def _check_init(self) -> None:
        if self.init not in STARTS:
            raise SettingError(
                "method.init", f"{self.init} reads the base's weights, which are packed here; use {', '.join(STARTS)}"
            )
        if self.bits == 8 and (self.dora or self.init == "loftq"):
            raise SettingError("method.bits", "peft loses the scales of 8 bits for DoRA and LoftQ; take 4")
        if self.dora and self.init == "loftq":
            raise SettingError("method.init", "loftq has no rule for DoRA's magnitudes; leave one of the two out")

    @property
    def starts_as_base(self) -> bool:  # type: ignore[override]
        """Whether the first answers are those of the quantized base; with LoftQ they are nearer the original's."""
        return self.init != "loftq"

    def load_kwargs(self) -> dict[str, Any]:
        """Return the quantization, and the device that the trainer works on: packed weights are made there."""
        import torch
        from transformers import BitsAndBytesConfig

        if self.bits == 8:
            config = BitsAndBytesConfig(load_in_8bit=True)
        else:
            name = self.compute_dtype
            if name == "auto":
                name = "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
            config = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type=self.quant_type,
                bnb_4bit_use_double_quant=self.double_quant,
                bnb_4bit_compute_dtype=getattr(torch, name),
            )
        return {"quantization_config": config, "device_map": {"": torch.get_default_device()}}

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the updates to a quantized base, whose other weights are cast to float32.

        Raises:
            ValueError: the base is not quantized.
        """
        from peft import prepare_model_for_kbit_training

        if not getattr(model, "is_quantized", False):
            raise ValueError("the base is not quantized, which a model from scratch cannot be; use LoRA")
        self._check_biases(model)
        if self.compute_dtype == "float32":
            keep_activations(model)
        # Gradient checkpointing is the base's setting, in the variant that needs no help here.
        return super().apply(prepare_model_for_kbit_training(model, use_gradient_checkpointing=False))

    def initialize(self, model: nn.Module, batches: Iterable[dict[str, Tensor]]) -> None:
        """Let EVA or LoftQ set the new weights; LoftQ reads the base's files once more."""
        super().initialize(model, batches)
        if self.init == "loftq":
            _make_up_for_rounding(model)

    def _check_biases(self, model: nn.Module) -> None:
        """Refuse biases that would be trained in lower precision.

        Raises:
            ValueError: there are such.
        """
        kinds = {str(module.compute_dtype) for module in model.modules() if hasattr(module, "compute_dtype")}
        if self.bias != "none" and kinds - {"torch.float32"}:
            raise ValueError("bias: bitsandbytes holds biases in compute_dtype; set that to float32 to train them")

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the unpacked base with the updates added, as a model that nothing is quantized in.

        peft's own merge would round the sum to the packed format again.
        """
        import torch
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        peft: Any = model
        config = copy.copy(peft.active_peft_config)
        tensors = get_peft_model_state_dict(peft, save_embedding_layers=False)
        config.init_lora_weights = True  # EVA's would ask for data
        base = peft.unload().dequantize(torch.float32).float()  # biases were cast to compute_dtype
        unpacked = wrap(base, config)
        set_peft_model_state_dict(unpacked, tensors)
        return super().merge(unpacked)

    def exact(self) -> QLoRA:
        """Return the same method computing in float32."""
        return dataclasses.replace(self, compute_dtype="float32")


def keep_activations(model: nn.Module) -> None:
    """Let layers of 8 bits round their weights alone: in evaluation mode they would round activations too."""
    for module in model.modules():
        if hasattr(module, "init_8bit_state"):
            module.train(True).train = lambda mode=True, module=module: module  # type: ignore[method-assign,misc]


def _make_up_for_rounding(model: Any) -> None:
    """Set A and B to the main part of what quantization took from each weight: one round of LoftQ.

    peft's own needs a GPU and takes no notice of alpha.
    """
    import torch
    from peft.utils.integrations import dequantize_module_weight
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    base = model.get_base_model()
    revision = getattr(base.config, "_commit_hash", None)
    original = AutoModelForCausalLM.from_pretrained(
        base.name_or_path, revision=revision, dtype=torch.float32, device_map={"": "cpu"}, trust_remote_code=False
    )
    for name, module in original.named_modules():
        layer = base.get_submodule(name)
        if not hasattr(layer, "lora_A"):
            continue
        weight = module.weight.T if isinstance(module, Conv1D) else module.weight
        rounded = dequantize_module_weight(layer.base_layer).float()
        u, s, v = torch.linalg.svd(weight.detach().to(rounded.device) - rounded, full_matrices=False)
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        root = (s[: len(a)] / layer.scaling["default"]).sqrt()
        a.data.copy_(root[:, None] * v[: len(a)])
        b.data.copy_(u[:, : len(a)] * root)
