"""What of a chat is learnt, and how much."""

import copy

import pytest

from ftlab.data.chat import Chat, Learn
from ftlab.errors import FtlabError
from tests.data.test_chat import CHATS, supervised_text, turns
from tests.data.test_rewriting import CLOSE, chat_with
from tests.data.trl_pairs import tokenizer_for


def test_all_turns_by_default(chat):
    [[encoded]] = chat.encode([CHATS["two turns"]])
    assert set(encoded.weights.tolist()) == {0.0, 1.0}
    assert supervised_text(chat, encoded) == ["Hello!<|im_end|>", "2 + 3 = 5<|im_end|>"]


def test_the_last_turn_alone(chat):
    [[encoded]] = chat.encode([CHATS["two turns"]], learn=Learn("last_assistant"))
    assert supervised_text(chat, encoded) == ["2 + 3 = 5<|im_end|>"]


def test_every_token(chat):
    [[encoded]] = chat.encode([CHATS["two turns"]], learn=Learn("all"))
    assert encoded.weights.tolist() == [1.0] * len(encoded.ids)


@pytest.mark.parametrize("on", ["all_assistant", "all"])
def test_a_turns_weight_holds_up_to_its_end_token(chat, on):
    messages = turns("a", "b", "c", "d", "e", "f")
    messages[1]["train"] = False
    messages[3]["weight"] = 0.5
    messages[5]["weight"] = 2
    [[encoded]] = chat.encode([messages], learn=Learn(on))
    bare = turns("a", "b", "c", "d", "e", "f")
    [[plain]] = chat.encode([bare])
    assert encoded.ids.tolist() == plain.ids.tolist()  # the template sees nothing of it
    ends = [i for i, token in enumerate(encoded.ids) if token == chat.tokenizer.eos_token_id]
    assert encoded.weights[ends[1::2]].tolist() == [0, 0.5, 2]
    assert encoded.weights[ends[::2]].tolist() == [float(on == "all")] * 3
    assert sorted(encoded.weights[plain.mask].tolist()) == [0, 0, 0.5, 0.5, 2, 2]


def test_a_chat_without_an_answer_teaches_nothing(chat):
    for messages in (turns("a", "b", "c")[:1], [turns("a", "b")[0], {**turns("a", "b")[1], "train": False}]):
        [[encoded]] = chat.encode([messages])
        assert not encoded.mask.any()


REASONING = [
    {"role": "user", "content": "2 + 3?"},
    {"role": "assistant", "reasoning_content": "analysis", "content": "5"},
]
INLINE = [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "<think>\nanalysis\n</think>\n\n5"}]


@pytest.mark.parametrize(
    ("template", "messages", "left"),
    [
        ("qwen3", REASONING, "\n\n5<|im_end|>"),
        ("qwen3", INLINE, "\n\n5<|im_end|>"),
        ("qwen3_5_think", REASONING, "\n\n5<|im_end|>"),  # the prompt opens the thought
        ("qwen3_5_nothink", REASONING, "\n\n5<|im_end|>"),
        ("nemotron_3_nano", INLINE, "\n\n5<|im_end|>"),
        ("llama3", INLINE, "\n\n5<|eot_id|>"),
        ("llama3", REASONING, "5<|eot_id|>"),  # knows of no reasoning
        # `analysis` is the template's word first
        (
            "gptoss",
            REASONING,
            "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final<|message|>5<|return|>",
        ),
        ("muse_glimmer", REASONING, " to=self<|message|><|eom|><|start|>assistant to=user<|message|>5<|eot|>"),
        ("diffusion_gemma", REASONING, "<|channel>thought\n\n<channel|>5<turn|>"),
    ],
)
def test_reasoning_may_be_left_out(chat, template, messages, left):
    tokenizer, _ = tokenizer_for(template, chat.tokenizer)
    thinking = Chat(tokenizer)
    [[with_it]], [[without]] = thinking.encode([messages]), thinking.encode([messages], learn=Learn(reasoning=False))
    assert with_it.ids.tolist() == without.ids.tolist()
    assert tokenizer.decode(without.ids[without.mask]) == left
    hidden = tokenizer.decode(with_it.ids[with_it.mask & ~without.mask])
    assert ("analysis" in hidden) == (template != "llama3" or messages is INLINE)


def test_reasoning_may_be_left_out_of_a_chat_that_holds_the_probe(chat):
    tokenizer, _ = tokenizer_for("gptoss", chat.tokenizer)
    asked = {"role": "user", "content": "Qzftlabthoughtz Qzftlabthoughtxz QzftlabthoughtzQ?"}
    [[encoded]] = Chat(tokenizer).encode([[asked, REASONING[-1]]], learn=Learn(reasoning=False))
    left = "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final<|message|>5<|return|>"
    assert tokenizer.decode(encoded.ids[encoded.mask]) == left


def test_a_weight_that_cannot_be_given_is_refused(chat):
    gone = chat_with(
        chat,
        "{% for m in messages %}{{ m.role }}:"
        "{% if m.role == 'assistant' and not loop.last %}(gone){% else %}{{ m.content }}{% endif %}" + CLOSE,
    )
    messages = copy.deepcopy(CHATS["two turns"])
    [[whole]] = gone.encode([messages], learn=Learn("all"))
    assert gone.tokenizer.decode(whole.ids).count("(gone)") == 1
    assert whole.mask.all()
    messages[1]["weight"] = 0.5
    with pytest.raises(FtlabError, match=r"rewrites turn 2 .* weight 0\.5 cannot"):
        gone.encode([messages], learn=Learn("all"))
    messages[1]["weight"] = 0
    [[last]] = gone.encode([messages])  # nothing else to learn
    assert supervised_text(gone, last) == ["2 + 3 = 5<|im_end|>"]
