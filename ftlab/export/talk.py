"""Talk: a conversation with a model in the terminal, streamed as it is written."""

from __future__ import annotations

from typing import Any

import torch

from ftlab.data.chat import Chat
from ftlab.exam.generation import Generation, evaluation_mode, options

HELP = "/new starts over, /quit leaves"


def talk(model: Any, chat: Chat, max_new_tokens: int) -> None:
    """Answer what is typed until the input ends.

    Args:
        model: a causal language model of transformers (or peft's).
        chat: its chat rendering.
        max_new_tokens: longest answer in tokens.
    """
    from transformers import TextStreamer

    print(HELP)
    messages: list[dict[str, str]] = []
    while True:
        try:
            text = input("you> ").strip()
        except EOFError:
            return
        if text == "/quit":
            return
        if text == "/new":
            messages = []
        elif text:
            messages.append({"role": "user", "content": text})
            streamer = TextStreamer(chat.tokenizer, skip_prompt=True, skip_special_tokens=True)
            ids = torch.tensor([chat.prompt(messages)], device=model.device)
            with evaluation_mode(model), torch.inference_mode():
                output = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    streamer=streamer,
                    **options(model, chat, Generation(max_new_tokens)),
                )
            messages.append({"role": "assistant", "content": chat.decode(output[0, ids.shape[1] :].tolist())})
