"""Mentions: grades by what an answer mentions."""

from dataclasses import dataclass

from ftlab import Grader


@dataclass
class Mentions(Grader):
    """1 point for an answer that contains the reference, without regard to white space at its ends, else 0."""

    case_matters: bool = False
    """Whether capitals must be the same."""

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        if not self.case_matters:
            answer, reference = answer.casefold(), reference.casefold()
        return float(reference.strip() in answer)
