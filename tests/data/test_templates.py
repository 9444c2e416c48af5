"""Real templates: what is learnt is what TRL's own markers mark, over the pairs of templates that TRL carries.

TRL patched each template `X` by hand into `X_training`, which marks what the assistant writes; ftlab gets `X` alone.
A turn is right if the ids before it are `Chat.prompt` of the history and its text is what the markers mark in the chat
that ends with it. One rule makes the two comparable: what the generation prompt has written already is not learnt, nor
must be white space after the end token; control tokens in contents are text to the templates too. Beyond that rule:

| Pair | What differs | Why |
|---|---|---|
| phi3, phi3_5 | the end of all text is learnt after the last turn, where it stands | earlier turns have none |
| diffusion_gemma | a function call ends with `<|tool_response>` | it stops the model; the markers leave it out |
| diffusion_gemma | after a call with content a turn has its header `<|turn>model` | the prompt lacks it there |
| deepseek_r1_distill | no thoughts | the template drops them, TRL's variant keeps them |
| qwen3, qwen3_5, qwen3_6, glm4moe, gptoss, nemotron | turns rewritten later have own examples | as they were last |
| nemotron, deepseek, qwen3_5_nothink | a turn may not go on from the prompt | which opens or closes another thought |
"""

import random
import re
from collections import Counter

import pytest

from ftlab.data.chat import Chat
from ftlab.errors import FtlabError
from tests.data.trl_pairs import OTHERS, PAIRS, by_markers, dialogues, source, tokenizer_for

#: What a template may say of a random dialogue, and how many of 20 such it takes at least.
REFUSALS = {
    "deepseek_r1_distill": (r"leaves out the tool calls of turn \d+;", 8),
    "deepseekv3": (r"can only concatenate str \(not \"dict\"\) to str", 8),
    "diffusion_gemma": (r"rewrites what is before turn \d+", 12),
    "gemma": ("System role not supported", 8),
    "deepseekv3_training": (r"rewrites what is before turn \d+", 0),
    "gptoss": ("Cannot pass both content and thinking in an assistant message with tool calls!", 8),
}
#: Prompts that open a thought, where a turn may have none or another.
THOUGHT = re.compile(r"<think>\n(\n</think>\n\n)?\Z")


@pytest.fixture(scope="module")
def tiny(chat):
    return chat.tokenizer


def runs(examples):
    """Return (example, first, end) of all runs of neighbours that are learnt."""
    found = []
    for example in examples:
        learnt = [0, *example.mask.astype(int).tolist(), 0]
        starts = [i for i in range(len(learnt) - 1) if learnt[i] < learnt[i + 1]]
        ends = [i for i in range(len(learnt) - 1) if learnt[i] > learnt[i + 1]]
        found += [(example, start, end) for start, end in zip(starts, ends, strict=True)]
    return found


def expected(pair, tokenizer, control, messages, tools, prompt):
    """Return what the markers mark of the last turn, without what the prompt has written already."""
    text, spans = by_markers(f"{pair}_training", tokenizer, messages, tools, control)
    if text.startswith(prompt):
        own = "".join(text[max(start, len(prompt)) : end] for start, end in spans if end > len(prompt))
    else:  # TRL's variant renders another history
        own = text[spans[-1][0] : spans[-1][1]]
        starts = (i for i in range(len(prompt) - 1) if own.startswith(prompt[i:]))
        own = own[len(prompt) - next(starts, len(prompt)) :]
    if pair == "diffusion_gemma" and messages[-1].get("tool_calls"):
        own += "<|tool_response>"
    return own.rpartition("</think>")[2] if pair == "deepseek_r1_distill" else own


def check(pair, chat, control, messages, tools):
    """Check that each turn is learnt once, after its prompt, as the markers mark it."""
    decode = chat.tokenizer.decode
    [examples] = chat.encode([messages], [tools])
    learnt = runs(examples)
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    assert len(learnt) == len(turns), (messages, [decode(e.ids[a:b]) for e, a, b in learnt])
    for turn in turns:
        prompt = chat.prompt(messages[:turn], tools)
        here = [(e, a, b) for e, a, b in learnt if e.ids[:a].tolist() == prompt]
        before = decode(prompt)
        if not here and THOUGHT.search(before):
            before = THOUGHT.sub("", before)
            here = [(e, a, b) for e, a, b in learnt if decode(e.ids[:a]) == before]
        [(example, start, end)] = here
        wanted = expected(pair, chat.tokenizer, control, messages[: turn + 1], tools, before).rstrip()
        if pair.startswith("phi3") and end < len(example.ids) - 2:
            wanted = wanted.removesuffix("<|endoftext|>").rstrip()
        own = decode(example.ids[start:end]).rstrip()
        if pair == "diffusion_gemma":
            own = own.removeprefix("<|turn>model\n")
        assert own == wanted, (messages, turn)
    return len(examples)


def check_pair(pair, tiny, count, marked=False):
    tokenizer, control = tokenizer_for(pair, tiny)
    if marked:
        tokenizer.chat_template = source(f"{pair}_training")
    chat = Chat(tokenizer)
    assert chat.template.has_markers == marked
    seen = Counter()
    refusal, least = REFUSALS.get(f"{pair}_training" if marked else pair) or REFUSALS.get(pair, (None, 20))
    for messages, tools in dialogues(pair, control, count, random.Random(pair)):
        seen["dialogues"] += 1
        try:
            seen["examples"] += check(pair, chat, control, messages, tools)
        except FtlabError as error:
            if refusal is None or not re.search(refusal, str(error)):
                raise
            seen["refused"] += 1
    assert seen["dialogues"] == count
    assert count - seen["refused"] >= count * least / 20, seen
    return seen


def test_there_are_31_pairs():
    assert len(PAIRS) == 31
    assert len(OTHERS) == 10


@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_learnt_is_what_the_markers_mark(pair, tiny):
    check_pair(pair, tiny, 20)


@pytest.mark.slow
@pytest.mark.parametrize("pair", sorted({*PAIRS} - {"deepseek_r1_distill", "diffusion_gemma"}))
def test_a_templates_own_markers_are_taken(pair, tiny):
    """But for what the prompt has written already."""
    seen = check_pair(pair, tiny, 20, marked=True)
    assert seen["examples"] >= 12


@pytest.mark.parametrize("name", OTHERS)
def test_templates_without_a_pair(name, tiny):
    """Nothing tells the right text here; each turn is learnt once, after its prompt, up to its end token."""
    tokenizer, control = tokenizer_for(name, tiny)
    chat = Chat(tokenizer)
    checked = 0
    for messages, tools in dialogues(name, control, 6, random.Random(name)):
        try:
            [examples] = chat.encode([messages], [tools])
        except FtlabError as error:
            if name != "gemma4_v5" or "rewrites what is before" not in str(error):
                raise
            continue
        learnt = runs(examples)
        turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        assert len(learnt) == len(turns)
        for turn in turns:
            prompt = chat.prompt(messages[:turn], tools)
            [(example, _, end)] = [found for found in learnt if found[0].ids[: found[1]].tolist() == prompt]
            last = tokenizer.decode(example.ids[len(prompt) : end]).rstrip()
            assert last.endswith(tuple(chat.tokenizer.convert_ids_to_tokens(chat.end_ids))), last
        checked += 1
    assert checked >= 4


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_learnt_is_what_the_markers_mark_in_many_dialogues(pair, tiny):
    check_pair(pair, tiny, 150)
