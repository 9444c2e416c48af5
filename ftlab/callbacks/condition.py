"""Condition: a rule of a few words over metrics, such as a share of an ability that has to stay. It trains nothing."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ftlab.errors import SettingError

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_WORDS = re.compile(r"(?P<metric>[\w./-]+) *(?P<sign>>=|<=|>|<) *(?P<limit>[-+.\deE]+)(?P<before> +of +before)?")
#: What a rule looks like, for messages.
EXAMPLE = "exam/score if retention/score >= 0.9 of before"
#: Parts of the names of metrics of which less is better.
LOWER_IS_BETTER = {"loss", "perplexity", "penalty", "gradient_norm"}


@dataclass(frozen=True)
class Condition:
    """A metric held against a number, or against a share of what it was before training."""

    metric: str
    sign: str
    limit: float
    of_before: bool

    @classmethod
    def parse(cls, text: str, setting: str) -> Condition:
        """Return the condition that a text such as `retention/score >= 0.9 of before` says.

        Args:
            text: the words.
            setting: where they stand, for messages.

        Raises:
            SettingError: it says none.
        """
        found = _WORDS.fullmatch(text.strip())
        try:
            if found is None:
                raise ValueError
            return cls(found["metric"], found["sign"], float(found["limit"]), bool(found["before"]))
        except ValueError:
            reason = f"{text!r} is no condition; write one such as `retention/score >= 0.9 of before`"
            raise SettingError(setting, reason) from None

    def holds(self, metrics: Mapping[str, float], before: Mapping[str, float]) -> bool | None:
        """Return whether it holds; None where the metric was not measured now.

        Args:
            metrics: the newest values by name.
            before: those before training.
        """
        if self.metric not in metrics or (self.of_before and self.metric not in before):
            return None
        limit = self.limit * before[self.metric] if self.of_before else self.limit
        return _COMPARE[self.sign](metrics[self.metric], limit)


@dataclass(frozen=True)
class BestRule:
    """What decides which checkpoint is best: the highest of a metric, where a condition holds."""

    metric: str
    condition: Condition | None = None

    @property
    def metrics(self) -> list[str]:
        """All metrics that it names."""
        return [self.metric] + ([self.condition.metric] if self.condition else [])

    @classmethod
    def parse(cls, text: str) -> BestRule:
        """Return the rule that a text such as `exam/score if retention/score >= 0.9 of before` says.

        Raises:
            SettingError: it says none.
        """
        metric, _, rest = text.partition(" if ")
        if not re.fullmatch(r"[\w./-]+", metric.strip()):
            raise SettingError("best", f"{text!r} names no metric; write one such as `{EXAMPLE}`")
        return cls(metric.strip(), Condition.parse(rest, "best") if rest else None)
