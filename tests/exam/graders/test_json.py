import json

import pytest

from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders import Json

REFERENCE = '{"name": "Ann", "age": 30, "tags": ["a", "b"]}'
SCHEMA = {"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        (REFERENCE, 1),
        ('{"age": 30.0, "tags": ["a", "b"], "name": "Ann", "more": null}', 1),
        (f"Sure! Here it is:\n```json\n{REFERENCE}\n```\nIs {{that}} all?", 1),
        (f"{{not json}} but [1] and {REFERENCE} so", 1),
        ('{"name": "Ann", "age": 31, "tags": ["b", "a"]}', 1 / 4),
        ('{"name": "Ann"}', 1 / 4),
        ('{"name": "Ann", "age": "30"}', 1 / 4),
        ('{"name": "Ann", "age": 30', 0),
        ("[]", 0),
        ('{"age": NaN, "name": "Ann"}', 0),
        ("", 0),
    ],
)
def test_share_of_right_fields(answer, points):
    assert Json().grade(answer, REFERENCE) == points


def test_true_is_not_one():
    assert Json().grade('{"a": 1}', '{"a": true}') == 0


def test_fields():
    assert Json(fields=["name"]).grade('{"name": "Ann"}', REFERENCE) == 1
    assert Json(fields=["tags"]).grade('{"tags": ["a", "c"]}', REFERENCE) == 1 / 2
    assert [Json(fields=[]).grade(given, "no JSON") for given in ("[1]", "null", "x")] == [1, 1, 0]


def test_schema(tmp_path):
    pytest.importorskip("jsonschema")
    file = tmp_path / "s.json"
    file.write_text(json.dumps(SCHEMA))
    for schema in (SCHEMA, str(file)):
        assert Json(schema=schema).grade(REFERENCE, REFERENCE) == 1
        assert Json(schema=schema).grade('{"name": "Ann", "age": "30"}', REFERENCE) == 0
    found = Json(schema=SCHEMA).totals([REFERENCE, '{"age": "x"}', "none", "{}"], [])
    assert found == {"valid": 0.75, "fits_schema": 0.25}
    with pytest.raises(FtlabError, match="it refers to '/nowhere', which is nowhere"):
        Json(schema={"$ref": "#/nowhere"}).grade("{}", "{}")


def test_faults(tmp_path, row):
    pytest.importorskip("jsonschema")
    bad = tmp_path / "s.json"
    bad.write_text("{")
    for schema, message in (
        ("none.json", "exam.grader.schema: 'none.json' is not a file that can be read: No such file"),
        (str(bad), "is not JSON"),
        ({"type": 3}, "exam.grader.schema: 3 is not part of a JSON Schema: 3 is not valid"),
    ):
        with pytest.raises(SettingError, match=message):
            Json(schema=schema)
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: no JSON in the reference"):
        Json().check([row(reference="x")])
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: the reference has no field b;"):
        Json(fields=["a", "b"]).check([row(reference='{"a": 1, "bc": 2}')])
