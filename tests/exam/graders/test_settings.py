"""Every grader is named in an exam's YAML by its short name, alone or with its settings."""

import pytest
import yaml
from jsonargparse import ArgumentParser

from ftlab.cli.settings import add_settings
from ftlab.config import describe
from ftlab.errors import FtlabError
from ftlab.exam import graders
from ftlab.exam.graders.libraries import optional


@pytest.fixture(scope="module")
def parser():
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser)
    return parser


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Number", graders.Number()),
        ("{class_path: Number, init_args: {after: '####', relative: 0.01}}", graders.Number("####", relative=0.01)),
        ("ExactMatch", graders.ExactMatch()),
        (
            "{class_path: Contains, init_args: {case: true, aliases: names}}",
            graders.Contains(case=True, aliases="names"),
        ),
        ("{class_path: Regex, init_args: {pattern: '<(.*)>'}}", graders.Regex("<(.*)>")),
        ("Choice", graders.Choice()),
        ("{class_path: ChoiceByLikelihood, init_args: {turn: text}}", graders.ChoiceByLikelihood(turn="text")),
        ("{class_path: Json, init_args: {fields: [a.b]}}", graders.Json(fields=["a.b"])),
        ("TokenF1", graders.TokenF1()),
        ("{class_path: BLEU, init_args: {tokenize: zh}}", graders.BLEU("zh")),
        ("ChrF", graders.ChrF()),
        ("{class_path: ROUGE, init_args: {kind: rouge1}}", graders.ROUGE("rouge1")),
        ("{class_path: Classification, init_args: {labels: [a, b]}}", graders.Classification(["a", "b"])),
        ("Perplexity", graders.Perplexity()),
        ("{class_path: Function, init_args: {function: 'operator:eq'}}", graders.Function("operator:eq")),
        ("{class_path: Code, init_args: {seconds: 3}}", graders.Code(seconds=3)),
        ("{class_path: Judge, init_args: {url: 'http://x/v1', model: m}}", graders.Judge("http://x/v1", "m")),
    ],
)
def test_yaml(parser, text, expected):
    written = yaml.safe_load(text)
    for grader in (written, describe(expected)):  # as a user writes it, and as a run's config has it
        exam = {"questions": "e.jsonl", "grader": grader}
        settings = parser.parse_object({"exam": exam, "data": {"train": "t.jsonl"}})
        assert parser.instantiate_classes(settings).exam.grader == expected


def test_a_missing_library_is_named_with_its_remedy():
    message = r"^BLEU needs the library no_such_library; install it with: pip install 'ftlab\[exam\]'$"
    with pytest.raises(FtlabError, match=message):
        optional("no_such_library", "BLEU")
