import pytest

pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

from ftlab.exam.graders import BLEU, ROUGE, ChrF

RIGHT = "The quick brown fox jumps over the lazy dog."
NEAR = "The quick brown fox jumped over a lazy dog."


@pytest.mark.parametrize("grader", [BLEU(), ChrF(), ROUGE(), ROUGE(kind="rouge2", stemmer=True)])
def test_order_of_answers(grader):
    right, near, wrong, empty = (grader.grade(given, RIGHT) for given in (RIGHT, NEAR, "Nothing of it", ""))
    assert right == pytest.approx(1)
    assert 0.3 < near < 0.95
    assert wrong < 0.2
    assert empty == 0


def test_bleu_by_hand():
    """Precisions 5/6, 4/5, 3/4, 2/3, equal lengths."""
    grader = BLEU(tokenize="none")
    expected = (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert grader.grade("a b c d e x", "a b c d e f") == pytest.approx(expected)


def test_rouge_by_hand():
    assert ROUGE().grade("a x b c", "a b c d e") == pytest.approx(2 * 3 / (4 + 5))
    assert ROUGE(kind="rouge1").grade("c b a", "a b c") == 1
    assert ROUGE(kind="rouge2").grade("a b x", "a b c") == 0.5
    assert ROUGE(kind="rougeLsum").grade("c d\na b", "a b\nc d") == 1
    assert [ROUGE("rouge1", stems).grade("cats jumped", "cat jumping") for stems in (True, False)] == [1, 0]


def test_rouge_of_english_is_that_of_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer

    for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
        for stemmer in (False, True):
            expected = RougeScorer([kind], use_stemmer=stemmer).score(RIGHT, NEAR)[kind].fmeasure
            assert ROUGE(kind, stemmer).grade(NEAR, RIGHT) == expected


def test_rouge_knows_other_scripts():
    assert ROUGE(kind="rouge1").grade("我爱北京", "我爱上海") == 0.5
    assert ROUGE().grade("Привет мир", "привет, мир!") == 1


def test_totals_are_those_of_the_corpus(row):
    import sacrebleu

    answers, rows = [RIGHT, "a"], [row(reference=RIGHT), row(reference="a b c d e f g h")]
    references = [[one.reference for one in rows]]
    assert BLEU().totals(answers, rows)["bleu"] == sacrebleu.corpus_bleu(answers, references).score
    assert "tok:13a" in BLEU().totals(answers, rows)["signature"]
    assert (
        ChrF(word_order=2).totals(answers, rows)["chrf"]
        == sacrebleu.corpus_chrf(answers, references, word_order=2).score
    )
