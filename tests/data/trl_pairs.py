"""The oracle: TRL's pairs of templates, and a tokenizer and random dialogues for each."""

from __future__ import annotations

import importlib.util
import random
import re
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

FOLDER = Path(importlib.util.find_spec("trl").submodule_search_locations[0]) / "chat_templates"
PAIRS = sorted(
    file.name.removesuffix("_training.jinja")
    for file in FOLDER.glob("*_training.jinja")
    if (FOLDER / file.name.replace("_training", "")).exists()
)
OTHERS = sorted({file.stem for file in FOLDER.glob("*.jinja") if "training" not in file.stem} - {*PAIRS})

#: Beginning of the text and end of the text, by how a template's name begins; the first that fits.
ENDS = {
    "cohere": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
    "deepseek": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "diffusion_gemma": ("<bos>", "<eos>"),
    "gemma": ("<bos>", "<eos>"),
    "glm": (None, "<|endoftext|>"),
    "gptoss": ("<|startoftext|>", "<|return|>"),
    "idefics3": ("<|begin_of_text|>", "<|end_of_text|>"),
    "lfm2": ("<|startoftext|>", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
    "llava": ("<s>", "</s>"),
    "muse": ("<|begin_of_text|>", "<|eot|>"),
    "nemotron": ("<s>", "<|im_end|>"),
    "phi3": ("<s>", "<|endoftext|>"),
    "qwen": (None, "<|im_end|>"),
    "smolvlm": ("<|im_start|>", "<end_of_utterance>"),
}

#: How control tokens are written. Others, as `<think>` and `<tool_call>`, their authors left to any text.
CONTROL = re.compile(
    r"<\|[^<>|\s'\"{}]+\|>|<\|[a-z_\"]+\|?>|<[a-z_]+\|>|<｜[^<>｜]+｜>|<(?:start|end)_of_\w+>|</?s>|\[gMASK\]|<sop>"
)
TEXTUAL = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
#: Templates for pictures want contents as lists of parts.
PARTS = {"idefics3", "llava_next", "smolvlm"}


def source(name: str) -> str:
    return (FOLDER / f"{name}.jinja").read_text()


def tokenizer_for(pair: str, tiny):
    """Return a byte-level tokenizer that has the control tokens of a pair."""
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    begin, end = next(ends for start, ends in ENDS.items() if pair.startswith(start))
    backend = Tokenizer.from_str(tiny.backend_tokenizer.to_str())
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in TEXTUAL])
    control = sorted({*CONTROL.findall(source(pair)), end, *([begin] if begin else [])})
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    options = {} if begin is None else {"bos_token": begin}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end, **options)
    tokenizer.chat_template = source(pair)
    return tokenizer, control


def by_markers(name: str, tokenizer, messages, tools, control: list[str]):
    """Return the text that a training template makes, and the spans that it marks.

    Control tokens in contents are broken by a mark while the template looks at them, for they are only text.
    """
    mark = "\u2063"
    pattern = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))))

    def broken(value):
        if isinstance(value, dict):
            return {key: broken(item) for key, item in value.items()}
        if isinstance(value, list):
            return [broken(item) for item in value]
        while pattern.search(value):
            value = pattern.sub(lambda found: found[0][0] + mark + found[0][1:], value)
        return value

    messages = broken(messages)
    if name.removesuffix("_training") in PARTS:
        messages = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    [text], [spans] = render_jinja_template(
        conversations=[messages],
        tools=tools,
        chat_template=source(name),
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    return text.replace(mark, ""), [[bound - text[:bound].count(mark) for bound in span] for span in spans]


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where."}},
            "required": ["city"],
        },
    },
}


def dialogues(pair: str, control: list[str], count: int, rng: random.Random):
    """Return random (messages, tools): all that the template knows, and contents of all kinds."""
    text = source(pair)
    pieces = [
        "",
        " ",
        "\n",
        "  \n",
        "a",
        "Hi there",
        "12",
        "é",
        "👩‍👩‍👧",
        "日本語",
        "{{ans:3}}",
        "\u200b",
        *control,
        *TEXTUAL,
    ]
    half = [token[: len(token) // 2] for token in control]

    def content(empty: bool = True) -> str:
        written = "".join(rng.choices(pieces if rng.random() < 0.6 else pieces[:12] + half, k=rng.randrange(6)))
        return written if written or (empty and rng.random() < 0.5) else rng.choice(["Word", " Word \n", "Two words"])

    reasons = "reasoning_content" in text or "message.thinking" in text
    calls = "tool_calls" in text
    for _ in range(count):
        messages = [{"role": "system", "content": content(empty=False)}] if rng.random() < 0.4 else []
        with_tools = calls and rng.random() < 0.4
        for _ in range(rng.randrange(1, 7)):
            messages.append({"role": "user", "content": content()})
            while with_tools and rng.random() < 0.4:
                call = {
                    "type": "function",
                    "id": "call12345",
                    "function": {"name": "weather", "arguments": {"city": content()}},
                }
                messages.append({"role": "assistant", "content": rng.choice(["", "", content()]), "tool_calls": [call]})
                if reasons and rng.random() < 0.4:
                    messages[-1]["reasoning_content"] = content(empty=False)
                messages.append({"role": "tool", "content": content(), "name": "weather", "tool_call_id": "call12345"})
            messages.append({"role": "assistant", "content": content()})
            if reasons and rng.random() < 0.4:
                messages[-1]["reasoning_content"] = content(empty=False)
        yield messages, [TOOL] if with_tools else None
