"""How sure an accuracy, or a difference of two, is; 95% intervals throughout.

Questions are the sample: another test would have asked others. The k answers to one question are
not independent, so with k > 1 whole questions are drawn, not answers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
_AT_ONCE = 1000
_FLIPS = 9_999

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Significance:
    """How often chance alone gives a difference at least this large."""

    p_value: float
    method: str


def accuracy_interval(items: Sequence[float], *, samples: int, resamples: int) -> Interval:
    """pass@1 with its interval.

    Args:
        items: For each question the share of its answers that are right, in [0, 1].
        samples: k, the answers to one question.
        resamples: Draws of the bootstrap.

    Returns:
        Wilson's interval for k = 1, a percentile bootstrap over questions for k > 1. Where all
        questions have the same share, a bootstrap would be certain of it: then Wilson's interval
        over the questions stands in.

    Raises:
        ValueError: There is no question.
    """
    if not items:
        raise ValueError("an accuracy needs at least one question")
    value = float(np.mean(items))
    if samples == 1 or len(set(items)) == 1:
        low, high = wilson(value * len(items), len(items))
        return Interval(value=value, low=low, high=high, method="wilson")
    return _bootstrap(np.asarray(items), resamples=resamples)


def difference_interval(
    first: Sequence[float], second: Sequence[float], *, samples: int, resamples: int
) -> Interval:
    """Accuracy of the first less that of the second, on the same questions.

    Args:
        first: Share of right answers by question.
        second: The same of the other model, in the same order.
        samples: The larger k of the two.
        resamples: Draws of the bootstrap.

    Returns:
        Newcombe's interval for paired proportions (his method 10) for k = 1, a percentile bootstrap
        over questions for k > 1. Where all questions have the same difference, a bootstrap would be
        certain of it: then Newcombe's interval over the questions stands in.
    """
    differences = np.asarray(first) - np.asarray(second)
    if samples > 1 and float(np.ptp(differences)) > 0:
        return _bootstrap(differences, resamples=resamples)
    low, high = _newcombe(np.asarray(first), np.asarray(second))
    return Interval(value=float(differences.mean()), low=low, high=high, method="newcombe")


def paired_test(
    first: Sequence[float], second: Sequence[float], *, samples: int, seed: int = 0
) -> Significance:
    """Whether two models differ on the same questions.

    Returns:
        The exact McNemar test for k = 1; for k > 1, where a question is not simply right or wrong,
        a permutation test that swaps the models question by question; one question tells nothing.
        Both are two-sided.
    """
    stats: Any = _scipy_stats()
    if samples == 1:
        only_first = sum(a > b for a, b in zip(first, second, strict=True))
        only_second = sum(a < b for a, b in zip(first, second, strict=True))
        either = only_first + only_second
        p_value = stats.binomtest(only_first, either, 0.5).pvalue if either else 1.0
        return Significance(p_value=float(p_value), method="mcnemar")
    if len(first) == 1:  # swapped or not, the difference is as large
        return Significance(p_value=1.0, method="permutation")
    result = stats.permutation_test(
        (np.asarray(first), np.asarray(second)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_FLIPS,
        batch=_AT_ONCE,
        rng=np.random.default_rng(seed),
    )
    return Significance(p_value=float(result.pvalue), method="permutation")


def wilson(right: float, total: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Args:
        right: How many are right; a fraction where each of `total` counts in part.
        total: Of how many, at least 1.
    """
    z = float(_scipy_stats().norm.ppf((1 + CONFIDENCE) / 2))
    share = right / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = (
        z
        / (1 + z * z / total)
        * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    )
    # at the ends rounding must not leave [0, 1], nor the share outside
    return max(0.0, min(share, centre - spread)), min(1.0, max(share, centre + spread))


def _newcombe(first: Reals, second: Reals) -> tuple[float, float]:
    """Newcombe (1998), interval estimation for the difference of paired proportions, method 10."""
    total = len(first)
    p1, p2 = float(first.mean()), float(second.mean())
    (low1, high1), (low2, high2) = wilson(p1 * total, total), wilson(p2 * total, total)
    phi = _correlation(first, second)
    down, up = _joined(p1 - low1, high2 - p2, phi), _joined(high1 - p1, p2 - low2, phi)
    return max(-1.0, p1 - p2 - down), min(1.0, p1 - p2 + up)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _correlation(first: Reals, second: Reals) -> float:
    """Correlation of two rows of 0 and 1, a positive one corrected for continuity."""
    total = len(first)
    both = float((first * second).sum())
    neither = float(((1 - first) * (1 - second)).sum())
    only_first, only_second = float(first.sum()) - both, float(second.sum()) - both
    product = both * neither - only_first * only_second
    margins = first.sum() * (total - first.sum()) * second.sum() * (total - second.sum())
    if margins == 0:
        return 0.0
    corrected = max(0.0, product - total / 2) if product > 0 else product
    return corrected / math.sqrt(float(margins))


def _bootstrap(values: Reals, *, resamples: int) -> Interval:
    rng = np.random.default_rng(0)
    means: list[Reals] = []
    for start in range(0, resamples, _AT_ONCE):
        rows = min(_AT_ONCE, resamples - start)
        means.append(values[rng.integers(len(values), size=(rows, len(values)))].mean(axis=1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(
        value=float(values.mean()), low=float(low), high=float(high), method="bootstrap"
    )


def _scipy_stats() -> Any:
    from scipy import stats  # comes with the harness

    return stats
