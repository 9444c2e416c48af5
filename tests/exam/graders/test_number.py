import pytest

from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders import Number

GSM8K = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nShe sold 48+24 = <<48+24=72>>72 in all.\n#### 72"


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("She sold 72 clips.", GSM8K),
        ("48 + 24 = 72\n#### 72", GSM8K),
        ("72.0", GSM8K),
        ("**72**", GSM8K),
        ("72 72 72", "72"),
        (r"so \boxed{\frac{3}{4}} of 9", "0.75"),
        (r"\boxed{\dfrac{-3}{4}}", "-3/4"),
        (r"1\frac{1}{2}", "1.5"),
        (r"\frac12", ".5"),
        ("5 1/2", "5.5"),
        ("1 / 2.", "0.5"),
        ("½", "0.5"),
        ("2½", "2.5"),
        ("1,010", "1010"),
        (r"1\,010", "1010.0"),
        ("1{,}010", "1010"),
        ("1\u00a0010", "1010"),
        ("1'010", "1010"),
        ("1,00,000", "100000"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("−5", "-5"),
        (r"\$3.50", "3.5 dollars"),
        ("€ 3.50", "3.5"),
        ("Rs.500", "500"),
        ("USD500", "500"),
        ("$5$", "5"),
        ("60 km/h", "60"),
        ("25 m^2", "25"),
        ("25 m2", "25"),
        ("25 m²", "25"),
        (r"25\text{ cm}^2", "25"),
        (r"90^\circ", "90"),
        ("90°", "90"),
        ("30%", "30"),
        ("30", "30 %"),
        (r"30\%", "30 percent"),
        ("0.3", "30%"),
        ("1.5e3", "1500"),
        (r"1.5 \times 10^{3}", "1500"),
        ("2.5 × 10^-3", "0.0025"),
        ("5–10", "10"),
        ("４２", "42"),
        ("答案是-42。", "-42"),
        ("42 (see GPT-4, H2O, x_1)", "42"),
    ],
)
def test_right(answer, reference):
    assert Number().grade(answer, reference) == 1.0


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("", "72"),
        ("seventy-two", "72"),
        ("7272", "72"),
        ("72 or 73", "72"),
        ("7" * 5000, "7"),
        ("72." + "0" * 5000, "72"),
        ("0.3", "30"),
        ("3000%", "30%"),
        ("-5", "5"),
        ("1,01", "101"),
        ("1,2,42", "42"),  # a list is no number
        ("5 at 10:30", "30"),
        ("5 at 10:30", "5"),  # and what cannot be read does not give way to what stands before it
        ("192.168.1.5", "5"),
        ("2^5", "5"),
        ("2^5", "2"),
        ("2**5", "5"),
        ("5²", "5"),
        ("H2O", "2"),
        ("COVID-19", "19"),
        (r"\frac{\sqrt{3}}{2}", "2"),
        (r"3\pi", "3"),
        ("1/0", "1"),
        ("5e999", "5"),
        (r"\boxed{41} 42", "42"),
    ],
)
def test_wrong(answer, reference):
    assert Number().grade(answer, reference) == 0.0


def test_tolerance():
    assert [Number(absolute=0.1).grade(given, "5") for given in ("5.1", "4.9", "5.11")] == [1.0, 1.0, 0.0]
    assert [Number(relative=0.01).grade(given, "-200") for given in ("-202", "-198", "-203")] == [1.0, 1.0, 0.0]


def test_where_the_number_stands():
    after = Number(after="answer is")
    assert after.grade("The answer is 5, of 7", "5") == 1.0
    assert after.grade("The answer is 4. No, the answer is 5 of 7", "5") == 1.0
    assert after.grade("I say 5", "... the answer is 5 of 7") == 1.0
    assert after.grade("5, so the answer is unknown", "5") == 0.0
    pattern = Number(pattern=r"<(.*?)>")
    assert pattern.grade("<4> <$5> 7", "x <5> 9") == 1.0
    assert pattern.grade("<$5> 7", "5") == 1.0
    assert pattern.grade("5", "5") == 0.0
    assert Number(decimal=",").grade("1.010,50", "1010,5") == 1.0


def test_a_reference_without_a_number_is_named_before_a_model_is_asked(row):
    rows = [row(reference="#### 72"), row(reference="at 10:30", line=7)]
    with pytest.raises(FtlabError, match=r"^e\.jsonl:7: no number in the reference 'at 10:30'; mend it, or choose"):
        Number().check(rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"absolute": -1.0}, "exam.grader.absolute: -1.0 is not 0 or more"),
        ({"relative": float("nan")}, "exam.grader.relative: nan is not 0 or more"),
        ({"pattern": "("}, r"exam.grader.pattern: '\(' is not a regular expression: "),
    ],
)
def test_settings(settings, message):
    with pytest.raises(SettingError, match=f"^{message}"):
        Number(**settings)
