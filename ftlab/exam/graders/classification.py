"""Classification: grades labels, each and in all. It knows nothing of models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, require
from ftlab.exam.graders.base import Grader

if TYPE_CHECKING:
    from ftlab.data.rows import Row

#: What the confusion matrix calls answers that are no label.
NO_LABEL = "(no label)"


@dataclass
class Classification(Grader):
    """1 point for the right label, else 0: the mean is the accuracy.

    The totals, through torchmetrics, are `precision` = TP / (TP + FP), `recall` = TP / (TP + FN) and
    `f1` = 2TP / (2TP + FP + FN), each as the plain mean over the labels (macro) and `per_class`, and the `confusion`
    matrix, a row for each right label and a column for each label given; an answer that is no label is an error of its
    own column. Case, white space and marks around a label are nothing.
    """

    labels: list[str] | None = None
    """The labels. An answer gives the one that it mentions; of several the last, of two in one place the longer. Null
    takes the references as labels, and an answer must be a label alone."""

    def __post_init__(self) -> None:
        """Refuse labels that are none."""
        if self.labels is not None:
            names = [_bare(label) for label in self.labels]
            require(
                len(set(names)) == len(names) > 1 and all(names),
                "exam.grader.labels",
                self.labels,
                "two labels or more",
            )

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        return float(self._label(answer) == self._right(reference))

    def vote(self, answer: str) -> str:
        """Return the label."""
        return self._label(answer) or ""

    def totals(self, answers: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
        """Return precision, recall and F1, in all and per class, and the confusion matrix."""
        import torch
        from torchmetrics.functional import classification as metrics

        right = [self._right(row.reference or "") for row in rows]
        names = {
            _bare(label): label for label in self.labels or sorted({(row.reference or "").strip() for row in rows})
        }
        order = {name: i for i, name in enumerate(names)}
        given = torch.tensor([order.get(self._label(answer) or "", len(order)) for answer in answers])
        target = torch.tensor([order[name] for name in right])
        size = len(order) + 1
        confusion = metrics.multiclass_confusion_matrix(given, target, num_classes=size)
        seen = [i for i in range(len(order)) if confusion[i].sum() + confusion[:, i].sum()]
        found: dict[str, Any] = {}
        classes: dict[str, dict[str, float]] = {label: {} for label in names.values()}
        for key in ("precision", "recall", "f1"):
            metric = getattr(metrics, f"multiclass_{'f1_score' if key == 'f1' else key}")
            values = metric(given, target, num_classes=size, average=None).tolist()
            found[key] = sum(values[i] for i in seen) / max(1, len(seen))
            for i, label in enumerate(names.values()):
                classes[label][key] = values[i]
        columns = [*names.values(), NO_LABEL]
        return found | {"per_class": classes, "confusion": {"labels": columns, "matrix": confusion[:-1].tolist()}}

    def _right(self, reference: str) -> str:
        right = _bare(reference)
        if not right or (self.labels is not None and right not in map(_bare, self.labels)):
            known = f" of {', '.join(self.labels)}" if self.labels else ""
            raise FtlabError(f"the reference {reference[:60]!r} is no label{known}; mend it or the grader's labels")
        return right

    def _label(self, answer: str) -> str | None:
        """Return the label that an answer gives; None where it gives none of the labels."""
        if self.labels is None:
            return _bare(answer) or None
        longest_first = sorted(map(_bare, self.labels), key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        found = re.findall(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", " ".join(answer.casefold().split()))
        return found[-1] if found else None


def _bare(text: str) -> str:
    """Return a label without case and without marks around it."""
    return re.sub(r"^\W+|[^\w+#%]+$", "", " ".join(text.casefold().split()))
