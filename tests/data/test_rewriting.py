"""Templates that rewrite, drop or move what was said: each turn is learnt as it is when it is the last."""

import copy
import random

import pytest

from ftlab.data.chat import Chat
from ftlab.errors import FtlabError
from tests.data.test_chat import CHATS, supervised_text, turns
from tests.data.trl_pairs import PAIRS, dialogues, tokenizer_for

CLOSE = "<|im_end|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"


def chat_with(chat, template):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = template
    return Chat(tokenizer)


def test_a_turn_that_is_rewritten_later_has_an_example_of_its_own(chat):
    gone = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:"
        "{% if m.role == 'assistant' and not loop.last %}(gone){% else %}{{ m.content }}{% endif %}" + CLOSE,
    )
    [examples] = gone.encode([CHATS["two turns"]])
    assert [gone.tokenizer.decode(example.ids) for example in examples] == [
        "user:Hi<|im_end|>assistant:(gone)<|im_end|>user:What is 2 + 3?<|im_end|>assistant:2 + 3 = 5<|im_end|>",
        "user:Hi<|im_end|>assistant:Hello!<|im_end|>",
    ]
    assert [supervised_text(gone, example) for example in examples] == [["2 + 3 = 5<|im_end|>"], ["Hello!<|im_end|>"]]


def test_no_more_examples_than_turns_that_are_rewritten(chat):
    """Of six turns the template rewrites the two that think."""
    thinking = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:"
        "{% if m.reasoning_content and loop.last %}({{ m.reasoning_content }}){% endif %}{{ m.content }}" + CLOSE,
    )
    messages = turns(*"abcdefghijkl")
    messages[3]["reasoning_content"] = messages[7]["reasoning_content"] = "R"
    [examples] = thinking.encode([messages])
    assert [supervised_text(thinking, example) for example in examples] == [
        [f"{text}<|im_end|>" for text in "bfjl"],
        ["(R)h<|im_end|>"],
        ["(R)d<|im_end|>"],
    ]
    assert [len(example.ids) for example in examples] == sorted((len(e.ids) for e in examples), reverse=True)


def test_a_history_that_is_rewritten_by_the_answer_is_as_the_prompt_has_it(chat):
    last = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:"
        "{% if messages[-1].role == 'assistant' and not loop.last %}~{% endif %}{{ m.content }}" + CLOSE,
    )
    messages = CHATS["two turns"]
    [[example]] = last.encode([messages])
    assert supervised_text(last, example) == ["Hello!<|im_end|>", "2 + 3 = 5<|im_end|>"]
    for end in (1, 3):
        prompt = last.prompt(messages[:end])
        assert example.ids[: len(prompt)].tolist() == prompt
        assert example.mask[len(prompt) - 1 : len(prompt) + 1].tolist() == [False, True]


def test_a_turn_without_an_end_token_ends_with_what_opens_the_next(chat):
    open_ended = chat_with(
        chat,
        "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }}:"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}",
    )
    [[example]] = open_ended.encode([CHATS["two turns"]])
    assert supervised_text(open_ended, example) == ["Hello!<|im_start|>", "2 + 3 = 5<|im_start|>"]
    assert open_ended.end_token == "<|im_start|>"


def test_a_template_without_any_end_token_gets_the_tokenizers(chat):
    plain = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
    )
    [examples] = plain.encode([CHATS["two turns"]])
    assert [supervised_text(plain, example) for example in examples] == [
        [" 2 + 3 = 5<|im_end|>"],
        [" Hello!<|im_end|>"],
    ]


def test_a_turn_whose_end_token_the_template_forgets_gets_it(chat):
    forgetful = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:{{ m.content }}{% if m.content %}<|im_end|>{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
    )
    forgetful.tokenizer.eos_token = "<|endoftext|>"
    [examples] = Chat(forgetful.tokenizer).encode([turns("a", "", "c", "d")])
    assert [supervised_text(forgetful, example) for example in examples] == [["d<|im_end|>"], ["<|im_end|>"]]


def test_the_end_of_all_text_asks_for_no_examples_of_its_own(chat):
    tokenizer, _ = tokenizer_for("phi3", chat.tokenizer)
    phi = Chat(tokenizer)
    [[example]] = phi.encode([CHATS["two turns"]])
    assert supervised_text(phi, example) == ["Hello!<|end|>", "2 + 3 = 5<|end|>\n<|endoftext|>"]


def test_markers_around_what_the_prompt_has_written(chat):
    greedy = chat_with(
        chat,
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}<|im_end|>{% else %}"
        "{% generation %}assistant:{{ m.content }}<|im_end|>{% endgeneration %}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
    )
    [[example]] = greedy.encode([CHATS["two turns"]])
    assert supervised_text(greedy, example) == ["Hello!<|im_end|>", "2 + 3 = 5<|im_end|>"]


@pytest.mark.parametrize(
    ("after", "end"),
    [("<|im_end|>\n", "<|im_end|>"), (" \n<|im_end|>\n", " \n<|im_end|>"), (" \n", "<|im_end|>")],
    ids=["right after", "after white space", "written by nobody"],
)
@pytest.mark.parametrize("answer", ["Hello!", ""])
def test_markers_that_stop_short_of_the_end_token_get_it(chat, after, end, answer):
    short = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}" + after + "{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
    )
    [examples] = short.encode([turns("Hi", answer, "And?", "2 + 3 = 5")])
    learnt = [text for example in reversed(examples) for text in supervised_text(short, example)]
    assert learnt == [answer + end, "2 + 3 = 5" + end]


def test_markers_that_leave_out_more_than_the_end_token_get_that_token_alone(chat):
    signed = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{% endgeneration %} signed{% else %}{{ m.content }}{% endif %}" + CLOSE,
    )
    [[example]] = signed.encode([CHATS["two turns"]])
    assert supervised_text(signed, example) == ["Hello!", "<|im_end|>", "2 + 3 = 5", "<|im_end|>"]


#: What a finder of turns looks for, and what it looks for instead where a chat holds that.
PROBES = "QzftlablastzQ Qzftlablastz Qzftlablastxz Qzftlabout2z Qzftlabmark Qzftlabmarkbegin Qzftlabmarkend Qzftlab0z"


@pytest.mark.parametrize(
    ("template", "cue"),
    [
        (
            "{% for m in messages %}{{ m.role }} of {{ messages | length }}:{{ m.content }}",
            "assistant of {{ messages | length + 1 }}:",
        ),
        ("{% for m in messages[-2:] %}{{ m.role }}:{{ m.content }}", "assistant:"),
        (
            "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}({% generation %}{{ m.content }}"
            "{% endgeneration %}).{% else %}{{ m.content }}{% endif %}",
            "assistant:",
        ),
    ],
    ids=["numbered", "the last two", "marked"],
)
def test_a_chat_may_hold_the_probes(chat, template, cue):
    """They are drawn so that it does not: the same is learnt as with other words in their place."""
    probing = chat_with(chat, template + CLOSE.replace("assistant:", cue))
    for place in range(4):
        found = []
        for words in (PROBES, "other words"):
            messages = turns("Hi", "Hello!", "And?", "2 + 3 = 5")
            messages[place]["content"] = f"{words} {messages[place]['content']}"
            for [examples] in (probing.encode([messages]), careful(probing).encode([messages])):
                learnt = [supervised_text(probing, example) for example in examples]
                found.append([[text.replace(words, "_") for text in texts] for texts in learnt])
        assert [text.endswith("<|im_end|>") for texts in found[0] for text in texts].count(True) == 2
        assert all(other == found[0] for other in found)


def test_a_turn_of_the_user_that_holds_a_probe_is_never_learnt(chat):
    """The answer's header is not the prompt's, so what it answers must not be taken for its start."""
    named = chat_with(chat, "{% for m in messages %}{{ m.name or m.role }}:{{ m.content }}" + CLOSE)
    messages = turns("Hi", "Hello!", PROBES, f"{PROBES} yes")
    messages[3]["name"] = "Bob"
    with pytest.raises(FtlabError, match="rewrites what is before turn 4"):
        named.encode([messages])


def careful(chat):
    """Return a chat that looks at each conversation by itself."""
    other = Chat(chat.tokenizer)
    other._skeleton = lambda messages: []
    return other


def test_markers_inside_a_macro_are_found(chat):
    """transformers tells the wrong places for these."""
    messages = CHATS["two turns"]
    macro = chat_with(
        chat,
        "{% macro say(m) %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
        "{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{% endmacro %}"
        "{% for m in messages %}{{ say(m) }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    )
    [[example]] = macro.encode([messages])
    assert supervised_text(macro, example) == ["Hello!<|im_end|>", "2 + 3 = 5<|im_end|>"]


def test_markers_that_change_the_text_when_they_show_are_not_believed(chat):
    trimmed = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:{% set own %}{% generation %}  {{ m.content }}  {% endgeneration %}"
        "{% endset %}{{ own | trim }}" + CLOSE,
    )
    [[example]] = trimmed.encode([CHATS["two turns"]])
    assert supervised_text(trimmed, example) == ["Hello!<|im_end|>", "2 + 3 = 5<|im_end|>"]


@pytest.mark.parametrize("absent", [{"tool_calls": []}, {"tool_calls": None}, {"train": True}, {"weight": 1.0}])
def test_keys_without_a_value_and_the_trainings_own_are_not_the_templates(chat, absent):
    keys = chat_with(chat, "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ m | list | sort | join }}" + CLOSE)
    messages = turns("a", "b")
    [[wanted]] = keys.encode([messages])
    [[example]] = keys.encode([[messages[0], {**messages[1], **absent}]])
    assert example.ids.tolist() == wanted.ids.tolist()


def test_markers_may_leave_a_turn_out(chat):
    last = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:"
        "{% if loop.index == 2 %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
        "{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
    )
    [[example]] = last.encode([turns("a", "b", "c", "d")])
    assert supervised_text(last, example) == ["b<|im_end|>"]


@pytest.mark.parametrize(("role", "turn"), [("system", 1), ("tool", 3)])
def test_a_template_must_not_leave_out_what_was_said(chat, role, turn):
    deaf = chat_with(
        chat,
        "{% for m in messages if m.role in ['user', 'assistant'] %}{{ m.role }}:{{ m.content }}" + CLOSE,
    )
    messages = turns("a", "b", "c", "d")
    messages.insert(turn - 1, {"role": role, "content": "Listen!"})
    with pytest.raises(FtlabError, match=f"leaves out turn {turn}, of the role {role};"):
        deaf.encode([messages])


def test_what_is_left_out_later_was_said(chat):
    """The result of a tool is there for the answer to it."""
    forgets = chat_with(
        chat,
        "{% for m in messages if m.role != 'tool' or m in messages[-2:] %}{{ m.role }}:{{ m.content }}" + CLOSE,
    )
    messages = turns("a", "b", "c", "d", "e", "f")
    messages[2] = {"role": "tool", "content": "Listen!"}
    [examples] = forgets.encode([messages])
    assert [supervised_text(forgets, example) for example in examples] == [
        ["b<|im_end|>", "f<|im_end|>"],
        ["d<|im_end|>"],
    ]
    assert ["Listen!" in forgets.tokenizer.decode(example.ids) for example in examples] == [False, True]


@pytest.mark.parametrize("pair", PAIRS)
def test_one_rendering_finds_what_many_find(chat, pair):
    """Chats of one shape share a skeleton; it must not change what is found."""
    tokenizer, _ = tokenizer_for(pair, chat.tokenizer)
    quick, careful = Chat(tokenizer), Chat(tokenizer)
    careful._skeleton = lambda messages: []
    rng = random.Random(pair)
    chats = [messages for messages, tools in dialogues(pair, ["word"], 14, rng) if not tools]
    found = 0
    for messages in chats:
        try:
            wanted = careful.encode([messages])
        except FtlabError:
            with pytest.raises(FtlabError):
                quick.encode([messages])
            continue
        found += 1
        for ours, theirs in zip(*quick.encode([messages]), *wanted, strict=True):
            assert ours.ids.tolist() == theirs.ids.tolist(), messages
            assert ours.weights.tolist() == theirs.weights.tolist(), messages
    assert found >= 2
    assert any(quick._skeletons.values())


def test_what_is_empty_once_stripped_has_no_place_in_a_skeleton(chat):
    """A template may ask for a thought, strip it, and write other tags than around one that is left."""
    tokenizer, _ = tokenizer_for("qwen3_5_nothink", chat.tokenizer)
    thinking = Chat(tokenizer)
    messages = turns("Hi", "Hello!")
    for reasoning, learnt in (("Why?", "<think>\nWhy?\n</think>\n\nHello!<|im_end|>"), (" \n", "Hello!<|im_end|>")):
        messages[1]["reasoning_content"] = reasoning
        [[example]] = thinking.encode([messages])
        assert supervised_text(thinking, example) == [learnt]
