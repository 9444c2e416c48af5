"""What answers vote for: equal answers for one thing, others for another, and those that say nothing for nothing."""

import pytest

from ftlab import Marker
from ftlab.errors import FtlabError
from ftlab.exam.graders import Choice, Classification, ExactMatch, Json, Number, Regex
from ftlab.exam.grading import Marks

JSON = '{"name": "Mia", "age": 3}'


@pytest.mark.parametrize(
    ("grader", "same", "other", "nothing"),
    [
        (Number(), ["so 72", "72.0 clips", r"\boxed{72} of 80", "7200%"], "it is 5", "none"),
        (Number(after="####"), ["#### 72 of 3", "#### 72"], "72 #### 7", "#### none"),
        (Number(pattern=r"is (\S+)"), ["it is 1,010 of 3", "4 is 1010.0"], "is 3", "1010"),
        (Marker(), ["{{ans:72}} of 3", "{{ans: 72.0 clips}}", "{{ans:$72}}", "it is 72"], "{{ans:5}}", "none"),
        (Marker(), ["{{ans:New  York}} 3", "{{ans:new york}}"], "{{ans:York}}", "New York"),
        (Choice(), ["B", "The answer is (B).", "B. Paris, for A is wrong"], "A", "Paris"),
        (Regex(r"= (\w+)"), ["x = 1 = 72", "it = 072"], "x = 5", "72"),
        (Regex("yes|No"), ["yes, No", "No", "so No."], "yes", "never"),
        (Json(), [JSON, f"Here:\n```json\n{JSON}\n```", 'x {"age": 3.0, "name": "Mia"}'], '{"age": 3}', "Mia"),
        (Json(["age"]), [JSON, '{"age": 3, "name": "Ben"}'], '{"age": true}', '{"name": "Mia"}'),
        (Classification(["good", "bad"]), ["not bad but good", "**Good**"], "bad", "so so"),
        (Classification(), ["good", " Good."], "bad", "..."),
        (ExactMatch(), ["The end.", "end"], "ends", " "),
    ],
)
def test_votes(grader, same, other, nothing):
    votes = {grader.vote(answer) for answer in same}
    assert len(votes) == 1
    assert grader.vote(other) not in {*votes, ""}
    assert "" not in votes
    assert grader.vote(nothing) == ""


def test_a_choice_is_also_told_by_the_questions_words(row):
    asked = row("Which?", "B", choices=["Rome", "Paris"])
    votes = [Choice().vote_row(answer, asked) for answer in ("It is Paris.", "(B)", "Rome", "Oslo")]
    assert votes == ["B", "B", "A", ""]
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: where holds no options"):
        Choice("where").vote_row("B", asked)


@pytest.mark.parametrize(
    ("answers", "stands"),
    [
        (["it is 5", "so 72", "72 clips in all"], 1),
        (["it is 5", "so 72"], 0),  # the first one in a tie
        (["none", "nothing", "4 or 72", "72"], 2),  # what says nothing loses a tie
        (["none", "nothing", "72"], 0),
    ],
)
def test_the_majority_is_one_of_answers_not_of_texts(row, answers, stands):
    points = [i / 10 for i in range(len(answers))]
    found = Marks(answers, points).combine(Number(), row("q", "72"), "majority", 1)
    assert found == (answers[stands], points[stands])


def test_the_majority_of_choices_reads_the_question(row):
    asked = row("Which? (A) Rome (B) Paris", "B")
    found = Marks(["A", "It is Paris", "(B)"], [0, 1, 1]).combine(Choice(), asked, "majority", 1)
    assert found == ("It is Paris", 1)
