"""Graders: from an answer and its reference to points. They know nothing of training."""

from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.bleu import BLEU
from ftlab.exam.graders.by_model import Measured, ModelGrader
from ftlab.exam.graders.choice import Choice
from ftlab.exam.graders.choice_by_likelihood import ChoiceByLikelihood
from ftlab.exam.graders.chrf import ChrF
from ftlab.exam.graders.classification import Classification
from ftlab.exam.graders.code import Code
from ftlab.exam.graders.contains import Contains
from ftlab.exam.graders.exact_match import ExactMatch
from ftlab.exam.graders.function import Function
from ftlab.exam.graders.json import Json
from ftlab.exam.graders.judge import Judge
from ftlab.exam.graders.marker import Marker
from ftlab.exam.graders.number import Number
from ftlab.exam.graders.numbers import LONGEST_NUMBER, last_number, parse_number, plain_numbers, same_answer
from ftlab.exam.graders.pass_at_k import pass_at_k
from ftlab.exam.graders.perplexity import Perplexity
from ftlab.exam.graders.regex import Regex
from ftlab.exam.graders.rouge import ROUGE
from ftlab.exam.graders.text import TextGrader
from ftlab.exam.graders.token_f1 import TokenF1

__all__ = [
    "BLEU",
    "LONGEST_NUMBER",
    "ROUGE",
    "Choice",
    "ChoiceByLikelihood",
    "ChrF",
    "Classification",
    "Code",
    "Contains",
    "ExactMatch",
    "Function",
    "Grader",
    "Json",
    "Judge",
    "Marker",
    "Measured",
    "ModelGrader",
    "Number",
    "Perplexity",
    "Regex",
    "TextGrader",
    "TokenF1",
    "last_number",
    "parse_number",
    "pass_at_k",
    "plain_numbers",
    "same_answer",
]
