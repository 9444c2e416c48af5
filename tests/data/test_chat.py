"""The mask must be right: the assistant's text and its end token, and nothing else, by either way of finding it."""

import copy
import datetime
import json
import os
import pickle
import random
import re
from pathlib import Path

import pytest

from ftlab.data.chat import Chat
from ftlab.data.loader import collate
from ftlab.errors import FtlabError

LESSON = Path(os.environ.get("FTLAB_LESSON_DATA", Path(__file__).parents[3] / "shared" / "data" / "lesson"))


def turns(*contents, system=None):
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": "system", "content": system}] if system is not None else []
    return messages + [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]


CHATS = {
    "one turn": turns("What is 2 + 3?", "5"),
    "two turns": turns("Hi", "Hello!", "What is 2 + 3?", "2 + 3 = 5"),
    "system": turns("Hi", "Hello!", system="You are terse."),
    "empty system": turns("Hi", "Hello!", system=""),
    "empty user": turns("", "Hello!"),
    "empty answer": turns("Hi", ""),
    "white space": turns("  Hi \n", "\n  Hello! \n\n"),
    "unicode": turns("日本語 👩‍👩‍👧?", "Grüße 🎉 \u200b!"),
    "control tokens in text": turns("<|im_end|> is what?", "A token: <|im_end|> or <|im_start|>user"),
    "digits": turns("1,010.50", "{{ans:1010.5}}"),
}


def supervised_text(chat, encoded):
    """The supervised tokens' text, one string a run of neighbours."""
    runs, current = [], []
    for token, learnt in zip(encoded.ids.tolist(), encoded.mask.tolist(), strict=True):
        if learnt:
            current.append(token)
        elif current:
            runs.append(current)
            current = []
    runs += [current] if current else []
    return [chat.tokenizer.decode(run) for run in runs]


@pytest.fixture(scope="module")
def unmarked(chat):
    """The same tokenizer with a template that lacks the markers."""
    tokenizer = copy.deepcopy(chat.tokenizer)
    # an empty comment keeps the marker's white space control
    tokenizer.chat_template = re.sub(r"\{%(-?) *(?:end)?generation *(-?)%\}", r"{#\1 \2#}", tokenizer.chat_template)
    other = Chat(tokenizer)
    assert chat.template.has_markers
    assert not other.template.has_markers
    return other


@pytest.mark.parametrize("name", CHATS)
def test_supervised_text_is_each_answer_and_its_end_token(chat, name):
    messages = CHATS[name]
    [[encoded]] = chat.encode([messages])
    assert supervised_text(chat, encoded) == [m["content"] + "<|im_end|>" for m in messages if m["role"] == "assistant"]


@pytest.mark.parametrize("name", CHATS)
def test_prefixes_find_what_the_markers_mark(chat, unmarked, name):
    [[marked]], [[found]] = chat.encode([CHATS[name]]), unmarked.encode([CHATS[name]])
    assert found.ids.tolist() == marked.ids.tolist()
    assert found.mask.tolist() == marked.mask.tolist()


def test_prefixes_find_what_the_markers_mark_in_random_chats(chat, unmarked):
    rng = random.Random(0)
    pieces = [
        "",
        " ",
        "\n",
        "a",
        "12",
        "Hi there",
        "<|im_end|>",
        "<|im_start|>assistant\n",
        "é",
        "👍",
        "{{ans:3}}",
        "\n\n",
    ]
    chats = [
        turns(
            *("".join(rng.choices(pieces, k=rng.randrange(5))) for _ in range(2 * rng.randrange(1, 5))),
            system=rng.choice([None, "", "Be kind."]),
        )
        for _ in range(200)
    ]
    for messages, [marked], [found] in zip(chats, chat.encode(chats), unmarked.encode(chats), strict=True):
        assert found.mask.tolist() == marked.mask.tolist(), messages
        assert found.ids.tolist() == marked.ids.tolist(), messages


@pytest.mark.parametrize("name", CHATS)
def test_training_and_exam_have_the_same_prompt(chat, name):
    messages = CHATS[name]
    [[encoded]] = chat.encode([messages])
    prompt = chat.prompt(messages[:-1])
    assert encoded.ids[: len(prompt)].tolist() == prompt
    assert encoded.mask[len(prompt) :].tolist()[0]  # the answer's first token, or the end token of an empty one


def test_chats_encoded_together_and_alone_are_equal(chat):
    together = chat.encode(list(CHATS.values()))
    for messages, [encoded] in zip(CHATS.values(), together, strict=True):
        [[alone]] = chat.encode([messages])
        assert alone.ids.tolist() == encoded.ids.tolist()
        assert alone.mask.tolist() == encoded.mask.tolist()


def test_a_merge_over_the_boundary_is_cut_as_in_the_exam(chat):
    """A tokenizer that would join the prompt's newline with the answer's must not."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {token: i for i, token in enumerate(["u", "a", ":", "x", "y", "Ċ", "ĊĊ", "<e>"])}
    bpe = Tokenizer(models.BPE(vocab=vocab, merges=[("Ċ", "Ċ")]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<e>")
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}u:{{ m.content }}{% else %}"
        "a:\n{{ m.content }}<e>{% endif %}{% endfor %}{% if add_generation_prompt %}a:\n{% endif %}"
    )
    merging = Chat(tokenizer)
    messages = turns("x", "\ny")
    [[encoded]] = merging.encode([messages])
    prompt = merging.prompt(messages[:1])
    assert encoded.ids[: len(prompt)].tolist() == prompt
    assert encoded.mask.tolist() == [False] * len(prompt) + [True] * (len(encoded.ids) - len(prompt))
    assert tokenizer("a:\n\ny")["input_ids"].count(vocab["ĊĊ"]) == 1  # so the cut was needed


def test_no_second_beginning_token(chat):
    """A template that writes the beginning token, with a tokenizer that adds one by itself, must give one."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = copy.deepcopy(chat.tokenizer)
    begin = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", begin)]
    )
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    assert tokenizer("x")["input_ids"][0] == begin
    [[encoded]] = Chat(tokenizer).encode([CHATS["one turn"]])
    assert encoded.ids.tolist().count(begin) == 1
    assert Chat(tokenizer).prompt(CHATS["one turn"][:1]).count(begin) == 1


@pytest.mark.parametrize("marked", [True, False])
def test_the_end_of_a_turn_need_not_be_the_tokenizers_end_of_text(chat, unmarked, marked):
    """Many instruct models end a turn with another token than their tokenizer's eos."""
    tokenizer = copy.deepcopy((chat if marked else unmarked).tokenizer)
    tokenizer.eos_token = "<|endoftext|>"
    other = Chat(tokenizer)
    assert other.end_token == "<|im_end|>"
    assert set(other.end_ids) == set(tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"]))
    [[ours]], [[theirs]] = other.encode([CHATS["two turns"]]), chat.encode([CHATS["two turns"]])
    assert ours.mask.tolist() == theirs.mask.tolist()


def test_a_leading_space_that_offsets_leave_out_is_found(chat):
    from tokenizers.processors import ByteLevel

    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=True)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}\n{% else %}"
        "Answer: {{ m.content }}<|im_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}Answer: {% endif %}"
    )
    trimmed = Chat(tokenizer)
    messages = turns("Which box?", "box of shells")
    [[encoded]], prompt = trimmed.encode([messages]), trimmed.prompt(messages[:1])
    assert encoded.ids[: len(prompt)].tolist() == prompt
    assert supervised_text(trimmed, encoded) == ["box of shells<|im_end|>"]


def test_padding_never_hides_the_end_token(chat):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    same = Chat(tokenizer)
    assert same.pad_id == tokenizer.eos_token_id
    examples = same.encode([CHATS["one turn"], CHATS["two turns"]])
    batch = collate(examples, same.pad_id, step_tokens=1)
    for row, [example] in enumerate(examples):
        labels = batch["labels"][row]
        assert (labels == tokenizer.eos_token_id).sum() == sum(
            learnt and token == tokenizer.eos_token_id
            for token, learnt in zip(example.ids.tolist(), example.mask.tolist(), strict=True)
        )
        assert batch["attention_mask"][row].sum() == len(example.ids)


def test_what_the_template_refuses_is_its_own_word(chat):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = "{{ raise_exception('roles must\\nalternate') }}"
    with pytest.raises(FtlabError, match=r"\(roles must alternate\); merge turns .* put what the system says") as error:
        Chat(tokenizer).prompt(CHATS["one turn"])
    assert "\n" not in str(error.value)


def test_named_templates_have_a_default(chat):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = {"other": "{{ raise_exception('not I') }}", "default": chat.tokenizer.chat_template}
    assert Chat(tokenizer).prompt(CHATS["system"][:2]) == chat.prompt(CHATS["system"][:2])
    tokenizer.chat_template = {"other": "x"}
    with pytest.raises(FtlabError, match=r"no chat template named `default` \(other\)"):
        Chat(tokenizer, "m")


def test_tools_are_rendered_for_training_and_exam(chat):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = "{% for t in tools %}{{ t.name }};{% endfor %}" + tokenizer.chat_template
    other = Chat(tokenizer)
    [[encoded]] = other.encode([CHATS["one turn"]], [[{"name": "weather"}]])
    prompt = other.prompt(CHATS["one turn"][:1], [{"name": "weather"}])
    assert tokenizer.decode(prompt).startswith("weather;<|im_start|>")
    assert encoded.ids[: len(prompt)].tolist() == prompt
    assert supervised_text(other, encoded) == ["5<|im_end|>"]


def test_contents_become_parts_where_the_template_wants_parts(chat):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}:{% for p in m.content %}{{ p['text'] }}{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    [[encoded]] = Chat(tokenizer).encode([CHATS["one turn"]])
    assert tokenizer.decode(encoded.ids) == "user:What is 2 + 3?<|im_end|>assistant:5<|im_end|>"


@pytest.mark.parametrize("day", [1, 2])
def test_all_renderings_tell_the_date_that_the_chat_was_made_with(chat, day):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = "{{ strftime_now('%d %B %Y') }}" + tokenizer.chat_template
    dated = Chat(tokenizer, now=datetime.datetime(2031, 1, day, 23, 59, 59, 999999))
    for other in (dated, pickle.loads(pickle.dumps(dated))):
        for encoded in (other.prompt(CHATS["system"][:2]), other.encode([CHATS["system"]])[0][0].ids):
            assert tokenizer.decode(encoded).startswith(f"0{day} January 2031<|im_start|>")


def test_the_fingerprint_tells_what_changes_tokens(chat):
    def changed(change=lambda tokenizer: None, **options):
        tokenizer = copy.deepcopy(chat.tokenizer)
        change(tokenizer)
        return Chat(tokenizer, **options).fingerprint

    def template(tokenizer):
        tokenizer.chat_template += "x"

    def dated(tokenizer):
        tokenizer.chat_template += "{{ strftime_now('%d') }}"

    today, tomorrow = datetime.datetime(2031, 1, 1, 5), datetime.datetime(2031, 1, 2)
    same = [chat.fingerprint, changed(), changed(name="another"), changed(now=today), pickled(chat).fingerprint]
    others = [
        changed(template),
        changed(lambda tokenizer: tokenizer.add_tokens(["quick"])),
        changed(lambda tokenizer: setattr(tokenizer, "eos_token", "<|endoftext|>")),
        changed(dated, now=today),
        changed(dated, now=tomorrow),
    ]
    assert len(set(same)) == 1
    assert len({*same, *others}) == 6
    assert changed(dated, now=today) == changed(dated, now=today.replace(hour=22))


def pickled(chat):
    return pickle.loads(pickle.dumps(chat))


def test_what_an_earlier_use_left_on_the_tokenizer_is_off(chat):
    tokenizer = copy.deepcopy(chat.tokenizer)
    other = Chat(tokenizer)
    tokenizer(["a", "b " * 50], padding="max_length", truncation=True, max_length=4, split_special_tokens=True)
    tokenizer.backend_tokenizer.enable_padding(length=400)
    [[encoded]], [[wanted]] = (c.encode([CHATS["system"]]) for c in (other, chat))
    assert encoded.ids.tolist() == wanted.ids.tolist()


def test_a_document_is_learnt_whole_and_closed(chat):
    texts = ["Once upon a time\n\nthere was <|im_start|>", ""]
    found = chat.encode([[{"role": "document", "content": text}] for text in texts])
    for text, [encoded] in zip(texts, found, strict=True):
        assert chat.tokenizer.decode(encoded.ids) == text + chat.tokenizer.eos_token
        assert encoded.ids[-1] == chat.tokenizer.eos_token_id
        assert encoded.mask.all()


def test_a_document_begins_as_its_tokenizer_begins_texts(chat):
    from tokenizers.processors import TemplateProcessing

    tokenizer = copy.deepcopy(chat.tokenizer)
    begin = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", begin)]
    )
    [[encoded]] = Chat(tokenizer).encode([[{"role": "document", "content": "Hi"}]])
    assert encoded.ids.tolist() == [begin, *chat.tokenizer("Hi")["input_ids"], tokenizer.eos_token_id]


@pytest.mark.parametrize("text", ["Once upon a time", "there was <|im_start|>", ""])
@pytest.mark.parametrize("begins", [False, True])
def test_the_prompt_of_a_document_is_the_document_without_its_end(chat, text, begins):
    from tokenizers.processors import TemplateProcessing

    tokenizer = copy.deepcopy(chat.tokenizer)
    begin = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    if begins:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", begin)]
        )
    document = [{"role": "document", "content": text}]
    ids = Chat(tokenizer).prompt(document)
    [[encoded]] = Chat(tokenizer).encode([document])
    assert ids == encoded.ids[:-1].tolist()
    assert tokenizer.decode(ids) == ("<|endoftext|>" if begins else "") + text


@pytest.mark.parametrize("eos", ["<|im_end|>", "<|endoftext|>"])
@pytest.mark.parametrize(
    ("after", "learnt"),
    [
        (" (said)\n<|im_end|>\n", ["Hello!", "<|im_end|>"]),
        ("\n</answer><|im_end|>", ["Hello!", "<|im_end|>"]),
        (" \n<|im_end|>", ["Hello! \n<|im_end|>"]),
        ("{% generation %}<|im_end|>{% endgeneration %} (said) <|im_start|>", ["Hello!<|im_end|>"]),
    ],
)
def test_the_end_token_is_learnt_whatever_stands_before_it(chat, eos, after, learnt):
    """The markers leave what is between the two unlearnt; a control token after the marked end is not the end."""
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.eos_token = eos
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}<|im_start|>\n{% else %}"
        f"A: {{% generation %}}{{{{ m.content }}}}{{% endgeneration %}}{after}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
    )
    other = Chat(tokenizer)
    [[encoded]] = other.encode([CHATS["two turns"]])
    assert supervised_text(other, encoded) == learnt + [text.replace("Hello!", "2 + 3 = 5") for text in learnt]
    assert other.end_token == "<|im_end|>"
    control = turns("<|im_end|>", "Hello!", "What is 2 + 3?", "2 + 3 = 5")  # the letters alone: by the tokenizer's twin
    [[encoded]] = other.encode([control])
    assert supervised_text(other, encoded) == learnt + [text.replace("Hello!", "2 + 3 = 5") for text in learnt]


@pytest.mark.parametrize("eos", ["<|im_end|>", "<|endoftext|>"])
def test_an_end_token_that_the_template_rewrites_later_has_its_own_example(chat, eos):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.eos_token = eos
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}<|im_start|>\n{% else %}"
        "A: {% generation %}{{ m.content }}{% endgeneration %}{{ ' (last)' if loop.last }} .<|im_end|>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
    )
    other = Chat(tokenizer)
    [whole, first] = other.encode([CHATS["two turns"]])[0]
    assert supervised_text(other, whole) == ["2 + 3 = 5", "<|im_end|>"]
    assert supervised_text(other, first) == ["Hello!", "<|im_end|>"]


@pytest.mark.skipif(not LESSON.is_dir(), reason="the lesson's data set is not on this machine")
def test_every_row_of_the_lesson_supervises_exactly_the_answer(chat):
    rows = [json.loads(line)["messages"] for line in (LESSON / "train_1k.jsonl").read_text().splitlines()]
    assert len(rows) == 1115
    for messages, [encoded] in zip(rows, chat.encode(rows), strict=True):
        expected = [m["content"] + "<|im_end|>" for m in messages if m["role"] == "assistant"]
        assert supervised_text(chat, encoded) == expected
