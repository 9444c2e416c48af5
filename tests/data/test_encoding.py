"""What is stored is what was encoded, in one process or several, and nothing stale is taken from the cache."""

import copy

import numpy as np
import pytest

from ftlab.data import encoding
from ftlab.data.cache import cached
from ftlab.data.chat import Chat, Learn
from ftlab.data.encoding import encode_rows
from ftlab.data.examples import Encoded, Examples, to_runs
from ftlab.data.rows import Row, Rows


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def chats(count):
    return [
        Row([{"role": "user", "content": f"What is {i}?"}, {"role": "assistant", "content": "x" * (i % 7)}], "a", i + 1)
        for i in range(count)
    ]


def document(text, line=1):
    return Row([{"role": "document", "content": text}], "b", line)


def test_weights_come_back_from_their_runs():
    rng = np.random.default_rng(0)
    examples = [
        Encoded(rng.integers(0, 99, n).astype(np.int32), rng.choice([0, 0.5, 1], n).astype(np.float32))
        for n in (5, 1, 0, 40)
    ]
    stored = Examples.of(examples)
    for wanted, found in zip(examples, stored, strict=True):
        assert (wanted.ids.tolist(), wanted.weights.tolist()) == (found.ids.tolist(), found.weights.tolist())
    assert stored.lengths.tolist() == [5, 1, 0, 40]
    assert stored.supervised.tolist() == [example.supervised for example in examples]
    assert len(to_runs(np.ones(9, np.float32))) == 1
    some = stored.take([3, 0])
    assert [len(example.ids) for example in some] == some.lengths.tolist() == [40, 5]
    assert some.fingerprint != stored.fingerprint == Examples.of(examples).fingerprint


def test_several_processes_store_what_one_does(chat, cache, monkeypatch):
    rows = Rows.of(chats(1100))
    alone = encode_rows(rows, chat, Learn(), 64).examples
    monkeypatch.setenv("FTLAB_CACHE", str(cache / "other"))
    monkeypatch.setattr(encoding, "SEVERAL", 100)
    together = encode_rows(rows, chat, Learn(), 64).examples
    assert len(alone) == 1100
    assert alone.fingerprint == together.fingerprint
    assert together.row_ids.tolist() == list(range(1100))
    [[expected]] = chat.encode([rows[777].messages])
    assert together[777].ids.tolist() == expected.ids.tolist()
    assert together[777].weights.tolist() == expected.weights.tolist()


def test_documents_are_cut_into_pieces_and_each_token_is_learnt_once(chat, cache):
    [[whole]] = chat.encode([document("one two three four five six seven eight").messages])
    rows = Rows.of([*chats(2), document("one two three four five six seven eight")])
    for length in (len(whole.ids) - 1, 5, 2, len(whole.ids), 3):  # a new length is never answered from the cache
        examples = encode_rows(rows, chat, Learn(), length).examples
        pieces = [examples[int(i)] for i in np.flatnonzero(examples.row_ids == 2)]
        assert max(len(piece.ids) for piece in pieces) <= length
        assert [token for piece in pieces for token in piece.ids[1:].tolist()] == whole.ids[1:].tolist()
        assert sum(piece.supervised for piece in pieces) == whole.supervised


def test_chats_are_cut_only_where_that_is_wanted(chat, cache):
    rows = Rows.of(chats(3))
    [whole, cut] = [encode_rows(rows, chat, Learn(), 6, truncate).examples for truncate in (False, True)]
    assert whole.lengths.min() > 6
    assert cut.lengths.tolist() == [6, 6, 6]
    assert cut.whole_lengths.tolist() == whole.whole_lengths.tolist() == whole.lengths.tolist()


def test_what_the_template_refuses_is_told_by_row(chat, cache):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = (
        "{% if messages[0].content == 'What is 1?' %}{{ raise_exception('not one') }}{% endif %}"
        + tokenizer.chat_template
    )
    done = encode_rows(Rows.of(chats(3)), Chat(tokenizer), Learn(), 64)
    assert [row for row, _ in done.faults] == [1]
    assert "not one" in done.faults[0][1]
    assert done.examples.row_ids.tolist() == [0, 2]


def test_the_cache_is_used_and_a_failed_writer_leaves_nothing(cache):
    written = []

    def write(folder):
        (folder / "x").write_text("y")
        written.append(folder)

    first = cached("kind", "key", write)
    assert cached("kind", "key", write) == first
    assert len(written) == 1

    def fail(folder):
        (folder / "half").write_text("y")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("kind", "other", fail)
    assert [file.name for file in (cache / "kind").iterdir()] == [first.name]
