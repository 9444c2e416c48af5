"""Statistics of exams: scores with intervals, and whether a difference is real. It knows nothing of models.

All figures are of 100, all intervals are of 95 %, and whatever is drawn at random is drawn from a fixed seed, so that a
report can be made again.
"""

from ftlab.exam.statistics.many import corrected, holm
from ftlab.exam.statistics.paired import Difference, difference, paired_p_value
from ftlab.exam.statistics.retention import Kept, format_kept, kept
from ftlab.exam.statistics.scores import Score, score
from ftlab.exam.statistics.seeds import SeedMean, compare_seeds, join_seeds
from ftlab.exam.statistics.verdicts import Verdict, base_with, format_p, three_way, verdict

__all__ = [
    "Difference",
    "Kept",
    "Score",
    "SeedMean",
    "Verdict",
    "base_with",
    "compare_seeds",
    "corrected",
    "difference",
    "format_kept",
    "format_p",
    "holm",
    "join_seeds",
    "kept",
    "paired_p_value",
    "score",
    "three_way",
    "verdict",
]
