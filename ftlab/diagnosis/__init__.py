"""Diagnosis: from what a run has logged to its state, the evidence, and the next thing to try. It knows no model."""

from ftlab.diagnosis.curves import Curves, Series
from ftlab.diagnosis.diagnose import Diagnosis, diagnose, state_line

__all__ = ["Curves", "Diagnosis", "Series", "diagnose", "state_line"]
