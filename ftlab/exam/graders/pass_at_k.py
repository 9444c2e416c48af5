"""Pass@k: how often at least one of several samples is right. It knows no grader."""

from __future__ import annotations

from math import comb

from ftlab.errors import FtlabError


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Return the unbiased estimate that one of k samples is right: 1 - C(n - c, k) / C(n, k).

    Source: Chen et al., "Evaluating Large Language Models Trained on Code", 2021, arXiv:2107.03374, section 2.1. The
    score of an exam is its mean over the questions.

    Args:
        samples: n, the answers drawn to one question.
        right: c, how many of them are right.
        k: how many tries.

    Raises:
        FtlabError: k is below 1 or above n, or c is not between 0 and n.
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise FtlabError(f"pass@{k} of {samples} samples, {right} right: k is 1 to the number of samples; draw more")
    return 1.0 - comb(samples - right, k) / comb(samples, k)
