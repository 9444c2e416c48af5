"""Code: grades programs by running them with their tests. It knows nothing of models."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab.errors import FtlabError, require
from ftlab.exam.graders.base import Grader, placed
from ftlab.exam.graders.sandbox import runs_through

if TYPE_CHECKING:
    from ftlab.data.rows import Row

_FENCED = re.compile(r"```[ \t]*(?:python3?|py|Python)?[ \t]*\n(.*?)(?:```|\Z)", flags=re.DOTALL)
#: Columns that data sets keep the tests in.
COLUMNS = ("tests", "test", "test_list")


@dataclass
class Code(Grader):
    """1 point for a Python program that passes its question's tests, else 0.

    The program is the answer's last fenced block, else the whole answer; the tests, Python statements such as asserts,
    run after it. `check(candidate)` in the tests is called with the row's `entry_point`, as HumanEval has it. Each
    program gets a process of its own with limits of time and memory, in an empty folder and, on Linux with
    unprivileged namespaces, without network; it can still read your files, so examine models that you trust.
    Several answers to a question are joined by `pass_at_k`.
    Source: Chen et al., "Evaluating Large Language Models Trained on Code", 2021, arXiv:2107.03374.
    """

    tests: str | None = None
    """Column with the tests, a text or a list of texts; null takes `tests`, `test` or `test_list`."""
    seconds: float = 10.0
    """How long a program may run."""
    megabytes: int = 1024
    """How much memory it may take."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(0 < self.seconds < float("inf"), "exam.grader.seconds", self.seconds, "above 0")
        require(self.megabytes >= 64, "exam.grader.megabytes", self.megabytes, "64 or more, which Python itself needs")

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0; the reference is the tests."""
        return self._points(answer, reference, None)

    def grade_row(self, answer: str, row: Row) -> float:
        """Return 1 or 0, by the tests in the row's column."""
        with placed(row):
            return self._points(answer, self._tests(row), row.extra.get("entry_point"))

    def _points(self, answer: str, tests: str, entry_point: object) -> float:
        tests = _called(tests, entry_point)
        program = program_of(answer)
        if not program.strip():
            return 0.0
        return float(runs_through(f"{program}\n\n{tests}\n", self.seconds, self.megabytes))

    def _tests(self, row: Row) -> str:
        columns = [self.tests] if self.tests else [name for name in COLUMNS if name in row.extra]
        tests = row.extra.get(columns[0]) if columns else None
        if isinstance(tests, list) and all(isinstance(test, str) for test in tests):
            tests = "\n".join(tests)
        if not isinstance(tests, str) or not tests.strip():
            raise FtlabError(f"no tests in the column {columns[0] if columns else 'tests'}; write Python asserts there")
        return tests


def program_of(answer: str) -> str:
    """Return the program in an answer: its last fenced block, which may be left open, else all of it."""
    blocks = _FENCED.findall(answer)
    return blocks[-1] if blocks else answer


def _called(tests: str, entry_point: object) -> str:
    """Return the tests with a call of their `check`, where they only define it.

    Raises:
        FtlabError: they are no Python, or nothing.
    """
    try:
        statements = ast.parse(tests).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FtlabError(f"the tests are no Python: {error}; write asserts, or a function check(candidate)") from error
    defined = any(isinstance(one, ast.FunctionDef) and one.name == "check" for one in statements)
    if defined and isinstance(entry_point, str) and entry_point.isidentifier():
        return f"{tests}\n\ncheck({entry_point})"
    if not statements:
        raise FtlabError("there are no tests, which every program passes; write asserts")
    return tests
