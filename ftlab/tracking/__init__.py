"""Tracking: the Weights & Biases runs beside the folders of runs, exams and comparisons."""

from ftlab.tracking.answers import answer_table
from ftlab.tracking.results import LARGEST, track_exam, track_results
from ftlab.tracking.wandb_run import WandB, finish, logged_in, place_line

__all__ = [
    "LARGEST",
    "WandB",
    "answer_table",
    "finish",
    "logged_in",
    "place_line",
    "track_exam",
    "track_results",
]
