"""False credit: the right answer to another question, as text, earns nothing on the lesson's real data."""

import json
import os
import random
from pathlib import Path

import pytest

from ftlab.exam.graders import Marker, Number, same_answer

LESSON = Path(os.environ.get("FTLAB_LESSON_DATA", Path(__file__).parents[4] / "shared" / "data" / "lesson"))


@pytest.mark.skipif(not LESSON.is_dir(), reason="the lesson's data set is not on this machine")
@pytest.mark.parametrize("grader", [Marker(), Number(), Number(after="ans:")])
@pytest.mark.parametrize("marked", [True, False])
def test_false_credit_is_at_most_one_of_a_hundred(grader, marked):
    """Without the marks the answers have to be found in the text."""
    lines = [line for name in ("test.jsonl", "train_1k.jsonl") for line in (LESSON / name).read_text().splitlines()]
    references = [json.loads(line)["messages"][-1]["content"] for line in lines]
    rights = [reference.rpartition("{{ans:")[2].partition("}}")[0] for reference in references]
    assert len(references) == 1125
    rights.pop(541)  # its last number is a ratio, without which `Number` has nothing to compare with
    assert "3:4, not 12:9" in references.pop(541)
    given = references if marked else [text.replace("{{ans:", "").replace("}}", "") for text in references]
    own = [grader.grade(text, reference) for text, reference in zip(given, references, strict=True)]
    assert sum(own) / len(own) > (0.99 if marked or isinstance(grader, Number) else 0.49)
    draw, credit = random.Random(0), []
    while len(credit) < 2000:
        one, other = draw.randrange(len(given)), draw.randrange(len(given))
        # an answer may well be another one's too
        if not same_answer(rights[one], rights[other]):
            credit.append(grader.grade(given[other], references[one]))
    print(f"{grader}, marked {marked}: own {sum(own) / len(own):.4f}, false {sum(credit) / 2000:.5f}")
    assert sum(point > 0 for point in credit) / len(credit) <= 0.01
