"""The base model: a name into a tokenizer and a causal LM of transformers. It knows no methods and no training."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ftlab.carried import carried
from ftlab.data.chat import Chat
from ftlab.errors import FtlabError, SettingError, require
from ftlab.training.packed import keep_packing

#: What a config holds besides: the type of the weights in memory, and who wrote it.
NOT_ARCHITECTURE = ("dtype", "transformers_version")


@dataclass
class Base:
    """The model to start from."""

    base: str = "ftlab/tiny"
    """`ftlab/tiny` (carried by the package), a folder, or a Hub id; loaded by transformers, never with remote code."""
    revision: str | None = None
    """Commit, branch or tag of a Hub id; pin it to make a run repeatable."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Type of the weights in memory. `bfloat16` halves the memory and is less exact; `auto` is as stored."""
    from_scratch: bool = False
    """Take only the architecture and the tokenizer, and start from random weights: pre-training."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"] = "auto"
    """How attention is computed; the results are the same. `eager` is the fastest for short chats on a CPU."""
    gradient_checkpointing: bool | int | list[int] = False
    """Compute activations again in the backward pass: much less memory for about a third more time. `true` is for all
    blocks, a number n for every n-th, a list for those blocks, counted from 0 at the bottom: less of both."""
    offload_activations: bool = False
    """Keep the activations for the backward pass in the CPU's memory; on a CPU it changes nothing. With gradient
    checkpointing these are the inputs of the blocks, few enough to be copied in little time."""
    stream: bool = False
    """Keep the frozen weights of the blocks in the CPU's memory and bring them to the GPU block by block, two at a
    time: for a base that does not fit the GPU. Each step reads the base twice over the bus, each new token of an exam
    once, so it pays with large batches. Turns gradient checkpointing on for all blocks; on a CPU weights are used where
    they are. One GPU only, no quantized base."""
    compile: bool = False
    """Compile the blocks for training with torch.compile, which needs a GPU and a C++ compiler: on a CPU steps are as
    fast as before, the first of them take half a minute longer, and with some compilers it fails."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        key, wanted = "model.gradient_checkpointing", self.gradient_checkpointing
        if isinstance(wanted, list):
            good = bool(wanted) and min(wanted) >= 0
            require(good, key, wanted, "a list of blocks, counted from 0; false is none")
        else:
            require(isinstance(wanted, bool) or wanted >= 1, key, wanted, "true, false, 1 or more, or a list")
        if self.stream and wanted not in (False, True):
            raise SettingError(key, "model.stream computes every block again; leave it out")
        if self.stream and self.compile:
            raise SettingError("model.compile", "compiled blocks cannot be streamed; set it or model.stream to false")

    def require_compilable(self) -> None:
        """Refuse to compile for a training without a GPU; a run that was compiled on one can be opened anywhere.

        Raises:
            SettingError: there is none.
        """
        if self.compile and not torch.cuda.is_available():
            raise SettingError("model.compile", "does not pay without a GPU; set it to false")

    def source(self) -> str:
        """Return what transformers is given: a folder or a Hub id."""
        return str(carried(self.base) or self.base)

    def load_chat(self) -> Chat:
        """Load the tokenizer.

        Raises:
            FtlabError: there is no such model, or its tokenizer has no chat template.
        """
        from transformers import AutoTokenizer

        return Chat(self._load(AutoTokenizer.from_pretrained), self.base)

    def load_model(self, **method_kwargs: Any) -> Any:
        """Load the model, in evaluation mode as transformers gives it, with all parameters trainable.

        Args:
            method_kwargs: what the method adds to `from_pretrained`.

        Raises:
            FtlabError: there is no such model.
        """
        from transformers import AutoConfig, AutoModelForCausalLM

        from ftlab.training.checkpointing import checkpoint_blocks
        from ftlab.training.streaming import stream_blocks

        if self.stream and "quantization_config" in method_kwargs:
            raise SettingError("model.stream", "a quantized base cannot be streamed; set it to false, or take LoRA")
        kwargs: dict[str, Any] = {"dtype": self.dtype}
        if self.attention != "auto":
            kwargs["attn_implementation"] = self.attention
        if self.from_scratch:
            config = self._load(AutoConfig.from_pretrained)
            kwargs |= {key: value for key, value in method_kwargs.items() if key == "dtype"}
            with torch.device("cpu"):  # one seed is one model on every device
                model = AutoModelForCausalLM.from_config(config, **kwargs)
        else:
            with torch.device("cpu") if self.stream else nullcontext():
                model = self._load(AutoModelForCausalLM.from_pretrained, **kwargs | method_kwargs)
        keep_packing(model)
        if wanted := self.gradient_checkpointing or self.stream:
            checkpoint_blocks(model, wanted)
        if self.stream:
            stream_blocks(model)
            model.to(torch.get_default_device())  # all else
        return model

    def settle(self, model: Any) -> None:
        """Do what must wait until a method is applied: stream what it left frozen only, and compile the blocks.

        Args:
            model: of `load_model`, with the method applied.

        Raises:
            SettingError: nothing frozen is left, or there is no compiler.
        """
        from ftlab.training.compiling import compile_blocks
        from ftlab.training.streaming import settle_stream

        settle_stream(model)
        if self.compile:
            compile_blocks(model)

    def offloading(self, model: Any) -> AbstractContextManager[Any]:
        """Return a context for a forward pass whose activations wait where `offload_activations` says.

        Args:
            model: whose forward pass it is.
        """
        from ftlab.training.offload import Offload

        return Offload(model) if self.offload_activations else nullcontext()

    def architecture(self) -> str:
        """Return the model's config as JSON, without what tells nothing of the architecture."""
        from transformers import AutoConfig

        config = self._load(AutoConfig.from_pretrained).to_dict()
        told = {key: value for key, value in config.items() if key[0] != "_" and key not in NOT_ARCHITECTURE}
        return json.dumps(told, sort_keys=True, default=str)

    def weight_files(self) -> list[Path]:
        """Return the files of weights that `load_model` read; empty for a model from scratch.

        Nothing is downloaded: a Hub id's files lie in the cache once it has been loaded.
        """
        if self.from_scratch:
            return []
        for name in ("model.safetensors", "pytorch_model.bin"):
            if file := self._file(name):
                return [file]
            if index := self._file(f"{name}.index.json"):
                names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
                return [index.with_name(name) for name in sorted(set(names))]
        return []

    def _file(self, name: str) -> Path | None:
        from transformers.utils.hub import cached_file

        found = cached_file(
            self.source(),
            name,
            revision=self.revision,
            local_files_only=True,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return Path(found) if found else None

    def _load(self, load: Any, **kwargs: Any) -> Any:
        try:
            return load(self.source(), revision=self.revision, trust_remote_code=False, **kwargs)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise FtlabError(
                f"model.base: cannot load {self.base!r} ({reason}); name ftlab/tiny, a folder with a config.json, or a "
                "Hub id that this machine can reach"
            ) from error
