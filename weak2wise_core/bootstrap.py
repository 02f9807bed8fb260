"""How sure an accuracy is: a bootstrap over training seeds and over test questions.

Both are samples: another seed trains another model, another test would have asked other questions.
Each resample draws seeds and questions with replacement, the same ones for every arm, so that a
difference of two arms is a difference on the same questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Reals: TypeAlias = npt.NDArray[np.float64]

_AT_ONCE = 1000
"""Resamples held in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with the range that holds 95% of its resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The share of a gap that was recovered."""

    gap: float
    value: Interval | None
    """None where the gap is not positive. The range is that of the resamples with a gap."""
    without_gap: float
    """Share of the resamples in which there is no gap; where it is large, so is the range in truth.
    """


class Bootstrap:
    """Resampled accuracies of several arms, drawn together."""

    def __init__(self, accuracies: Mapping[str, Reals], *, resamples: int, seed: int = 0) -> None:
        """Draw.

        Args:
            accuracies: For each arm one row a training seed and one column a question, values in
                [0, 1]; a model that was not trained has one row. Columns are the same questions.
            resamples: How many times seeds and questions are drawn.
            seed: Decides all of it.

        Raises:
            ValueError: Arms with different questions, or with different numbers of seeds.
        """
        self._values = {name: float(rows.mean()) for name, rows in accuracies.items()}
        seeds, questions = _shape(accuracies)
        rng = np.random.default_rng(seed)
        parts = [
            _draw(accuracies, seeds, questions, count=count, rng=rng)
            for count in _chunks(resamples)
        ]
        self._drawn = {name: np.concatenate([part[name] for part in parts]) for name in accuracies}

    def accuracy(self, arm: str) -> Interval:
        """The mean over seeds and questions, with its 95% interval."""
        return _interval(self._values[arm], self._drawn[arm])

    def difference(self, first: str, second: str) -> Interval:
        """The accuracy of the first arm less that of the second, with its 95% interval."""
        value = self._values[first] - self._values[second]
        return _interval(value, self._drawn[first] - self._drawn[second])

    def recovered(self, after: str, *, before: str, best: str) -> "Recovered":
        """The share of a gap that an arm recovers: (after - before) / (best - before).

        Args:
            after: The arm that closes the gap, or part of it.
            before: Where the gap begins.
            best: Where it ends.
        """
        gap = self._values[best] - self._values[before]
        gaps = self._drawn[best] - self._drawn[before]
        if gap <= 0:
            return Recovered(gap=gap, value=None, without_gap=float((gaps <= 0).mean()))
        open_ = gaps > 0
        shares = (self._drawn[after] - self._drawn[before])[open_] / gaps[open_]
        value = (self._values[after] - self._values[before]) / gap
        return Recovered(
            gap=gap,
            value=_interval(value, shares),
            without_gap=float(1 - open_.mean()),
        )


def _shape(accuracies: Mapping[str, Reals]) -> tuple[int, int]:
    """Number of seeds and of questions."""
    questions = {rows.shape[1] for rows in accuracies.values()}
    seeds = {rows.shape[0] for rows in accuracies.values()} - {1}
    if len(questions) != 1 or len(seeds) > 1 or 0 in questions | seeds:
        shapes = {name: rows.shape for name, rows in accuracies.items()}
        raise ValueError(f"arms with different seeds or questions cannot be compared: {shapes}")
    return max(seeds, default=1), questions.pop()


def _chunks(resamples: int) -> list[int]:
    return [min(_AT_ONCE, resamples - start) for start in range(0, resamples, _AT_ONCE)]


def _draw(
    accuracies: Mapping[str, Reals],
    seeds: int,
    questions: int,
    *,
    count: int,
    rng: np.random.Generator,
) -> dict[str, Reals]:
    """`count` resampled means of every arm: how often each seed and question was drawn, weighed."""
    # Counted first and divided last: sums of whole numbers are exact.
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=count).astype(float)
    of_questions = rng.multinomial(questions, np.full(questions, 1 / questions), size=count)
    once = np.ones((count, 1))
    return {
        name: ((of_seeds if len(rows) > 1 else once) @ rows * of_questions).sum(axis=1)
        / (len(rows) * questions)
        for name, rows in accuracies.items()
    }


def _interval(value: float, drawn: Reals) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))
