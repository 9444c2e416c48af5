"""Findings: what the curves show, each a figure with its noise. They decide no state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ftlab.diagnosis.course import Course
from ftlab.diagnosis.curves import Curves

#: Standard errors from which a change counts as one: 1 of 700 by chance.
SURE = 3.0

#: The same for the fall at the end, which must also be worth going on for: 1 of 80.
_SURE_OF_FALL = 2.2

#: A tail that falls by less than this share of the whole fall is flat. The first steps teach a format, and may dwarf
#: what there is to learn: a fall by `_ROOM` of the level counts too, unless an exam has shown that little room is left.
_FLAT, _ROOM = 0.06, 0.15

#: Smallest rise of the validation loss above its best that counts: of the best, and of the whole fall or far above it.
_RISE_OF_BEST, _RISE_OF_FALL, _FAR = 0.04, 0.03, 0.25

#: Smallest fall of a whole run that is learning, of the first loss.
_LEARNT = 0.02

#: Standard errors of a trend, and the smallest fall, of a loss that falls too slowly to count as learning.
_TREND, _CREEP = 2.0, 0.003

#: Losses per token below this are low whatever they began at: nine of ten tokens' worth of certainty.
LOW = 0.1

#: Exam scores of 100 from which there is nothing left to gain, and up to which there is room.
CEILING, ROOM = 98.0, 90.0

#: A difference of exam scores without a p-value counts from these points on.
_POINTS = 5.0

#: Points below which the noise of a swinging curve cannot be told from its swings.
_SHORT = 16

#: A swing of the loss over a window above this is worth a word.
SWING = 0.1

#: Share of answers repeated word for word on changed questions above which they were memorised.
MEMORISED = 0.2


@dataclass(frozen=True)
class Findings:
    """What the curves of a run show."""

    curves: Curves

    @cached_property
    def train(self) -> Course | None:
        """The training loss."""
        return Course.of(self.curves.train, self.curves.learning_rate, self.curves.steps, averaged=False)

    @cached_property
    def validation(self) -> Course | None:
        """The validation loss."""
        return Course.of(self.curves.validation, self.curves.learning_rate, self.curves.steps, averaged=True)

    @property
    def courses(self) -> list[Course]:
        """Those of the two that there are."""
        return [course for course in (self.train, self.validation) if course]

    @cached_property
    def whole_fall(self) -> float:
        """From the highest start to the lowest level, what a change is measured by."""
        return max([max(c.start for c in self.courses) - min(c.best for c in self.courses), 1e-12])

    @cached_property
    def learnt(self) -> bool:
        """Whether a loss ended clearly below its start."""
        return any(
            c.start - c.end > SURE * np.hypot(c.end_noise, c.noise) and c.start - c.end > _LEARNT * abs(c.start)
            for c in self.courses
        )

    @cached_property
    def creeps(self) -> bool:
        """Whether the validation loss falls, by less than what counts as learning but from one time to the next.

        A trend by Mann (1945) and Kendall (1975): of all pairs of points the later is the lower one far more often.
        """
        course = self.validation
        if course is None or len(course.series) < 4:
            return False
        values = course.series.values
        count = len(values)
        falls = -np.sign(values[None, :] - values[:, None])[np.triu_indices(count, 1)].sum()
        sure = falls > _TREND * np.sqrt(count * (count - 1) * (2 * count + 5) / 18)
        return bool(sure and course.start - course.end > _CREEP * abs(course.start))

    @cached_property
    def lost(self) -> bool:
        """Whether the training did harm: a loss or the exam ended worse than it was."""
        train = self.train
        if train is None:
            return False
        above = train.end - train.start > SURE * np.hypot(train.end_noise, train.noise)
        thrown = self.surged and train.end > 0.5 * train.start and train.above_start > 0.2
        return above or thrown or self.worse_exam or (not self.restless and (self.gave_back or self.both_rise))

    @cached_property
    def gave_back(self) -> bool:
        """Whether the training loss fell and ended with half of that lost again."""
        train = self.train
        up = train.end - train.best if train else 0.0
        return bool(
            train
            and up > 0.5 * (train.start - train.best)
            and up > 0.25 * self.whole_fall
            and up > SURE * max(train.noise, 2 * train.end_noise)
        )

    @cached_property
    def both_rise(self) -> bool:
        """Whether the validation loss rose far, and the training loss, unlike in overfitting, stayed above its best."""
        train, validation = self.train, self.validation
        return bool(train and validation and self.rise > 0.25 * self.whole_fall and train.end > validation.best)

    @cached_property
    def worse_exam(self) -> bool:
        """Whether the exam lost points, and the training loss did not fall by half."""
        return bool(self.train and self.gain is not None and self.gain < 0 and self.train.end > 0.5 * self.train.start)

    @property
    def restless(self) -> bool:
        """Whether the training loss jumps, swings, or once stood far above its start."""
        return bool(self.spikes) or self.swings or self.surged

    @cached_property
    def spikes(self) -> list[float]:
        """Steps at which the training loss jumps by a third of its whole fall or more."""
        return self.train.spikes(0.35 * self.whole_fall) if self.train else []

    @cached_property
    def quiet(self) -> bool:
        """Whether the validation loss falls smoothly all the while: then what the training loss does is batch noise."""
        validation = self.validation
        if validation is None or len(validation.series) < 4 or validation.noise > 0.1 * self.whole_fall:
            return False
        return bool(np.maximum(np.diff(validation.series.values), 0).sum() < 0.15 * self.whole_fall)

    @cached_property
    def surged(self) -> bool:
        """Whether the training loss once stood far above its start."""
        return self.train is not None and not self.quiet and self.train.surged(SURE)

    @cached_property
    def swings(self) -> bool:
        """Whether the training loss swings by half of its whole fall and more, or goes up and down by large steps."""
        train = self.train
        if train is None or self.quiet or len(train.series) < 8:
            return False
        level = float(np.median(train.smooth))
        wide = train.swing() > max(0.5 * self.whole_fall, SWING, 0.35 * abs(level))
        highest = float(np.abs(train.smooth).max())
        least = 0.2 * highest if len(train.series) < _SHORT else 8 * train.rough
        return wide or train.turns(max(0.25 * self.whole_fall, least)) >= 2

    @cached_property
    def was_low(self) -> bool:
        """Whether a tenth of the training losses lay below three quarters of the first."""
        return self.train is not None and bool(np.quantile(self.train.series.values, 0.1) < 0.75 * self.train.start)

    def falls(self, course: Course | None) -> bool:
        """Return whether a loss still falls at its end, by what is worth going on for."""
        if course is None:
            return False
        much = course.fall > max(_FLAT * self.whole_fall, _LEARNT * abs(course.start))
        result = self.curves.result
        if result is None or result.after < ROOM:
            much = much or course.fall > _ROOM * abs(course.end)
        return much and course.fall > _SURE_OF_FALL * course.fall_noise

    def unsure(self, course: Course) -> bool:
        """Return whether the noise hides a fall that would count."""
        return course.fall_noise * SURE > _FLAT * self.whole_fall

    @cached_property
    def still_falls(self) -> bool:
        """Whether both losses fall at the end, or the one that can tell."""
        train, validation = self.train, self.validation
        if validation is None:
            return self.falls(train)
        few = len(validation.series) < 4
        if few and train and not self.unsure(train):
            return self.falls(train) and validation.fall > 0
        if self.falls(validation):
            return train is None or train.fall > -SURE * train.fall_noise
        hidden = self.unsure(validation)
        return train is not None and self.falls(train) and hidden and validation.fall > 0.3 * train.fall

    @cached_property
    def rise(self) -> float:
        """How far the validation loss ended above its best, 0 where that is noise or immaterial."""
        course = self.validation
        if course is None or course.best_step >= course.series.steps[-1]:
            return 0.0
        up = course.end - course.best
        far = max(_FAR * abs(course.best), LOW / 10)
        least = max(_RISE_OF_BEST * abs(course.best), min(_RISE_OF_FALL * self.whole_fall, far))
        return up if up > least and up > 1.3 * SURE * np.hypot(course.end_noise, course.noise / 1.7) else 0.0

    @cached_property
    def gap(self) -> float | None:
        """Validation loss minus training loss, at the end."""
        return self.validation.end - self.train.end if self.train and self.validation else None

    @cached_property
    def parting(self) -> bool:
        """Whether the training loss falls on while the validation loss stands still far above it."""
        train, validation = self.train, self.validation
        if train is None or validation is None or self.gap is None or len(validation.series) < 4:
            return False
        still = not self.falls(validation) and (validation.fall <= 0 or not self.unsure(validation))
        return still and self.falls(train) and self.gap > 0.2 * self.whole_fall

    @cached_property
    def gain(self) -> float | None:
        """Points that the exam gained, 0 where that may be chance; None without an exam before and after."""
        result = self.curves.result
        if result is None or result.before is None:
            return None
        points = result.after - result.before
        real = result.p_value < 0.05 if result.p_value is not None else abs(points) >= _POINTS
        return points if real else 0.0

    @cached_property
    def vanished(self) -> bool:
        """Whether the gradients have died away while the loss has not."""
        norms = self.curves.gradient_norm.finite.values
        if len(norms) < 4 or self.train is None or self.train.end < max(LOW, 0.5 * self.train.start):
            return False
        third = max(1, len(norms) // 3)
        return bool(np.median(norms[-third:]) < max(1e-8, 1e-3 * np.median(norms[:third])))

    @cached_property
    def nothing_supervised(self) -> bool:
        """Whether no token is learnt: a loss of exactly zero, or none that is a number, from the first step on."""
        values = self.curves.train.values
        nan = len(values) > 1 and not np.isfinite(values).any()
        return self.curves.supervised == 0 or nan or (len(values) > 1 and not values.any())
