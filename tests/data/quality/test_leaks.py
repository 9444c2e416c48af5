"""Planted leaks are found, what only looks like one is not, and the run stops with both places named."""

import functools
import random
import re
import string

import numpy as np
import pytest

from ftlab.data.quality.leaks import Leaks, find_leaks, rows_to_drop
from ftlab.data.quality.text import question
from ftlab.data.rows import Row, Rows
from ftlab.errors import FtlabError
from tests.data.quality.conftest import chat, lesson, own, table


def exact(rng, text):
    return text


def case(rng, text):
    return rng.choice([str.upper, str.lower, str.title, str.swapcase])(text)


def punctuation(rng, text):
    """Another mark at the end, no marks behind words, or more white space."""
    way = rng.randrange(3)
    if way == 0:
        return text.rstrip(string.punctuation + " ") + rng.choice(["", "!", " ?", "...", "??"])
    if way == 1:
        return re.sub(r"[?.,!;:]+(?=\s|$)", "", text)
    return re.sub(r" ", lambda space: rng.choice([" ", "  ", "\n"]), text)


def last_line(change):
    """Changes the question and not the instructions above it."""

    @functools.wraps(change)
    def changed(rng, text):
        head, line, asked = text.rpartition("\n")
        new = change(rng, asked)
        return None if new is None else head + line + new

    return changed


@last_line
def number(rng, text):
    """One number is another one."""
    found = list(re.finditer(r"\d+", text))
    if not found:
        return None
    one = rng.choice(found)
    return text[: one.start()] + str(int(one[0]) + rng.randint(1, 9)) + text[one.end() :]


@last_line
def swap(rng, text):
    """Two words have changed places."""
    words = text.split(" ")
    if len(set(words)) < 6:
        return None
    i, j = rng.sample(range(len(words)), 2)
    words[i], words[j] = words[j], words[i]
    return " ".join(words)


@last_line
def synonym(rng, text):
    """One word is another one."""
    words = text.split(" ")
    found = [i for i, word in enumerate(words) if word.isalpha()]
    if len(found) < 8:
        return None
    words[rng.choice(found)] = rng.choice(["quickly", "object", "several", "person", "around", "bigger"])
    return " ".join(words)


RECALL = {exact: 0.99, case: 0.99, punctuation: 0.99, number: 0.95, swap: 0.95, synonym: 0.95}


def measured(texts, change, others):
    """Recall of the planted pairs; precision over all that is found, of which a pair that was not planted is none."""
    rng = random.Random(1)
    planted = []
    for i in rng.sample(range(len(texts)), len(texts)):
        new = change(rng, texts[i])
        if new is not None and (change is exact or new != texts[i]):
            planted.append((i, new))
        if len(planted) == 300:
            break
    assert len(planted) >= 200
    held = [new for _, new in planted] + others
    found = find_leaks({"train": table(texts), "exam": table(held, "exam")}).found
    pairs = {(i, j) for j, (i, _) in enumerate(planted)}
    hits = {(leak.row, leak.into_row) for leak in found}
    return len(hits & pairs) / len(pairs), hits, pairs


@pytest.mark.parametrize("change", RECALL, ids=lambda change: change.__name__)
def test_planted_leaks_in_the_lesson_are_found(change):
    texts = [question(row) for row in lesson("train_1k")]
    recall, hits, pairs = measured(texts, change, [question(row) for row in lesson("test")])
    assert recall >= RECALL[change]
    # two rows of the lesson are nearly equal: either is rightly found where the other one was planted
    plain = {i: set(re.findall(r"\w+", text.rpartition("\n")[2].lower())) for i, text in enumerate(texts)}
    planted = {j: i for i, j in pairs}
    false = [(i, j) for i, j in hits - pairs if j not in planted or not _alike(plain[i], plain[planted[j]])]
    assert len(false) <= 0.01 * len(hits)


def _alike(one, other):
    return len(one & other) >= 0.5 * len(one | other)


@pytest.mark.slow
@pytest.mark.parametrize("change", [c for c in RECALL if c is not number], ids=lambda change: change.__name__)
def test_planted_leaks_in_prose_are_found(change, docstrings):
    recall, hits, pairs = measured(docstrings[:450], change, docstrings[450:])
    assert recall >= RECALL[change]
    assert len(hits - pairs) <= 0.01 * len(hits)


def test_the_lesson_has_no_leak_into_its_test_and_one_question_twice():
    train = lesson("train_1k")
    assert len(find_leaks({"train": train, "test": lesson("test")})) == 0
    questions = [question(row) for row in train]
    assert len(questions) - len(set(questions)) == 1


@pytest.mark.parametrize("train", ["train_1k", "train_100"])
def test_exercises_of_one_generator_are_templates_and_no_leaks(train):
    leaks = find_leaks({"train": own(train), "validation": own("validation"), "exam": own("exam")})
    assert leaks.found == []
    assert min(leaks.templates.values()) > 10
    assert len(find_leaks({"train": own(train), "exam": own("exam")})) == 0


def test_few_exercises_of_one_generator_are_no_leaks_either():
    leaks = find_leaks({"train": own("train_1k")[:40], "validation": own("validation")[:20]})
    assert leaks.found == []
    assert leaks.templates["validation"] > 0


TRAIN = "A train runs {} km in {} hours without a stop on the way, and stands for {} minutes. How fast is it?"
GIFT = "Then {} had 8 books, and got 4 more of them from a friend. How many books are there now?"
CITY = "Which city is the capital of {} today, and where does its government sit? Answer with the name only."


@pytest.mark.parametrize(
    ("text", "one", "other", "count"),
    [
        (TRAIN, ((60, 3, 9), "20"), ((61, 2, 9), "30"), 0),
        (TRAIN, ((60, 3, 9), "20"), ((61, 2, 9), "20"), 0),
        (TRAIN, ((60, 3, 9), "20"), ((61, 3, 9), "20"), 1),
        (TRAIN, ((60, 3, 9), "20"), ((60, 3, 5), "30"), 0),
        (GIFT, (("Anna",), "Anna has 12."), (("Ben",), "8 + 4 = 12"), 1),
        (GIFT, (("Anna",), "12"), (("Ben",), "4"), 0),
        (CITY, (("Peru",), "Lima"), (("Cuba",), "Havana"), 0),
        (CITY, (("the country of Peru",), "Lima"), (("the state of Peru",), "Lima"), 1),
    ],
)
def test_the_answers_tell_whether_close_questions_are_one(text, one, other, count):
    train, exam = (table([(text.format(*filled), answer)]) for filled, answer in (one, other))
    assert len(find_leaks({"train": train, "exam": exam})) == count


def test_a_long_question_with_one_other_word_is_a_leak_whatever_the_answer(docstrings):
    text = max(docstrings, key=len)
    train, exam = table([(text, "One thing.")]), table([(text.replace(" the ", " this ", 1), "Another.")])
    [leak] = find_leaks({"train": train, "exam": exam}).found
    assert (leak.kind, leak.same_answer) == ("near", False)


def exercises(rng, count):
    """Exercises of five templates, whose answers follow from their numbers or words."""
    cities = {"Peru": "Lima", "Cuba": "Havana", "Norway": "Oslo", "Kenya": "Nairobi", "Japan": "Tokyo"}
    found = set()
    while len(found) < count:
        a, b, name, land = rng.randint(2, 12), rng.randint(2, 60), rng.choice(["Anna", "Ben"]), rng.choice([*cities])
        found.add(
            rng.choice(
                [
                    (
                        f"{name} has {b} books and gets {a} more from a friend. How many books are there now?",
                        f"{a + b}",
                    ),
                    (f"A ribbon of {a * b} cm is cut into {a} equal pieces. How long is each of the pieces?", f"{b}"),
                    (f"How far does a train get in {a} hours if it drives {b} km per hour all the time?", f"{a * b}"),
                    (f"What do you get when you multiply the number {a} by {b}? Write it in digits.", f"{a * b}"),
                    (CITY.format(land), cities[land]),
                ]
            )
        )
    return rng.sample(sorted(found), count)


@pytest.mark.parametrize("count", [20, 50])
def test_small_data_of_a_few_templates_have_no_leaks(count):
    stopped = 0
    for seed in range(25):
        rows = exercises(random.Random(seed), count)
        train, test = table(rows[: count * 4 // 5]), table(rows[count * 4 // 5 :], "test")
        stopped += len(find_leaks({"train": train, "test": test})) > 0
    assert stopped <= 1


def test_several_templates_of_words_do_not_stand_out():
    lands = {
        "Peru": "Lima",
        "Cuba": "Havana",
        "Norway": "Oslo",
        "Kenya": "Nairobi",
        "Japan": "Tokyo",
        "Iraq": "Baghdad",
    }
    text = "Tell me please: " + CITY + " Do not add a word of explanation to it, and write it in capital letters."
    rows = [(text.format(land), city) for land, city in lands.items()]
    assert len(find_leaks({"train": table(rows[:1]), "exam": table(rows[5:], "exam")})) == 1
    assert len(find_leaks({"train": table(rows[:5]), "exam": table(rows[5:], "exam")})) == 0


def test_equal_questions_of_a_generator_are_leaks_all_the_same():
    train, exam = own("train_1k"), own("exam")
    copies = [question(row).upper() for row in train[100:110]]
    leaks = find_leaks({"train": train, "exam": table([question(row) for row in exam] + copies, "exam")})
    assert [(leak.kind, leak.row, leak.into_row) for leak in leaks.found] == [
        ("normalised", 100 + i, 200 + i) for i in range(10)
    ]


def test_shared_instructions_and_system_prompts_make_no_leak(docstrings):
    rules = "You are given a text. Say in one word what it is about. " + " ".join(docstrings[-8:])
    ask = [f"{rules}\nText: {text}" for text in docstrings[:400]]
    system = {"role": "system", "content": rules}

    def rows(texts, name):
        return Rows.of(
            Row([system, *chat(text).messages], name, i) for i, text in enumerate(texts, start=1)
        )  # fmt: skip

    assert len(find_leaks({"train": table(ask[:200]), "exam": table(ask[200:])})) == 0
    assert len(find_leaks({"train": rows(docstrings[:200], "a"), "exam": rows(docstrings[200:400], "b")})) == 0
    leaks = find_leaks({"train": table(ask[:200]), "exam": table([*ask[200:], swap(random.Random(0), ask[7])])})
    assert [(leak.kind, leak.row, leak.into_row) for leak in leaks.found] == [("near", 7, 200)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hi", "Hi there"),
        ("What is 3 + 4?", "What is 5 + 6?"),
        ("What is 3 - 4?", "What is 3 * 4?"),
        ("What is 3.5 kg in g?", "What is 35 kg in g?"),
        ("What is 2 * (3 + 4)?", "What is 2 * 3 + 4?"),
        ("Is 30% much?", "Is 30 much?"),
        ("Who wrote Faust?", "Who wrote Hamlet?"),
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("-5 + 3?", "5 + 3?"),
        ("Is x = -y?", "Is x = y?"),
        ("What is C?", "What is C#?"),
        ("What is C?", "What is C++?"),
        ("What is a_b?", "What is a b?"),
        ("ab*cd", "ab/cd"),
        ("x != y", "x = y"),
        ("???", "!!!"),
        ("", "..."),
        ("今日の天気はどうですか", "明日の会議は何時ですか"),
    ],
)
def test_different_questions_are_no_leak(one, other):
    assert len(find_leaks({"train": table([one]), "exam": table([other])})) == 0


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("Hi", "Hi", "exact"),
        ("Hi!", "hi", "normalised"),
        ("A 240-page book: it costs 1,200 yen.", "a 240 page book it costs 1200 yen", "normalised"),
        ("It’s ﬁne, isn't it?", "its fine isnt it", "normalised"),
        ("What is 8 × 7?", "what is 8 * 7", "normalised"),
        ("Is −5 less, __really__?", "- is -5 *less* really", "normalised"),
        ("今日の天気はどうですか？", "今日の 天気は どうですか", "normalised"),
        ("A train runs 60 km in 2 hours. How fast?", "A train runs 61 km in 2 hours. How fast?", "number_masked"),
    ],
)  # fmt: skip
def test_equal_questions_are_leaks(one, other, kind):
    [leak] = find_leaks({"train": table([one]), "validation": table([other])}).found
    assert leak.kind == kind
    assert leak.similarity == 1


def test_places_and_answers_are_named_and_what_is_selected_by_counts_too():
    splits = {
        "train": table(["Who wrote Faust?", ("Where is Rome?", "In Italy.")], "train"),
        "validation": table([("where is rome", "in italy"), "When was that?"], "validation"),
        "exam": table(["Who wrote Faust?", "When was that?"], "exam", answer="no"),
        "test": table(["Who wrote Faust?"], "test"),
    }
    found = find_leaks(splits).found
    assert [(leak.place, leak.into_place, leak.kind, leak.same_answer) for leak in found] == [
        ("train.jsonl:1", "test.jsonl:1", "exact", True),
        ("train.jsonl:1", "exam.jsonl:1", "exact", False),
        ("train.jsonl:2", "validation.jsonl:1", "normalised", True),
        ("validation.jsonl:2", "exam.jsonl:2", "exact", False),
    ]
    with pytest.raises(FtlabError) as error:
        rows_to_drop(Leaks(found))
    assert str(error.value).startswith(
        "train.jsonl:1 (train) asks what test.jsonl:1 (test) asks (exact, the same answer), and 3 more "
        "(ftlab data check CONFIG --html FILE lists them): a score on it would be a lie; "
    )
    assert "\n" not in str(error.value)
    assert rows_to_drop(Leaks(found), "drop") == [0, 1]
    assert rows_to_drop(Leaks(found), "warn") == []
    assert rows_to_drop(Leaks(), "stop") == []
    kept = splits["train"].take(np.delete(np.arange(2), rows_to_drop(Leaks(found), "drop")))
    assert len(find_leaks({**splits, "train": kept}).found) == 1


def test_nothing_to_compare():
    assert find_leaks({"train": table(["a"])}) == Leaks()
    assert find_leaks({"train": table([]), "exam": table(["a"])}) == Leaks()
    assert find_leaks({"train": table(["a"]), "exam": table([])}) == Leaks()


def test_documents_and_calls_are_compared_too(docstrings):
    def document(text):
        return Rows.of([Row([{"role": "document", "content": text}], "d.txt", 1)])

    def call(city):
        function = {"type": "function", "function": {"name": "weather", "arguments": {"city": city}}}
        turn = {"role": "assistant", "content": "", "tool_calls": [function]}
        result = {"role": "tool", "content": "Sunny."}
        user, closing = chat("And there?").messages
        return Rows.of([Row([user, turn, result, closing], "c.jsonl", 1)])

    assert find_leaks({"train": document(docstrings[0]), "exam": document(docstrings[0])}).found[0].kind == "exact"
    assert len(find_leaks({"train": call("Rome"), "exam": call("Rome")})) == 1
    assert len(find_leaks({"train": call("Rome"), "exam": call("Oslo")})) == 0
