"""The step-mask score of a candidate (equations 4-7), in whole numbers.

s(i) is 1 where the weak model answers correctly with the hint masked at level i of n, else 0.
s_avg is the mean of s(i); s_ew weighs heavy masks exponentially more; the score is
beta * s_avg + (1 - beta) * s_ew. Equation 6 can be read in three ways:

================  ==========================  ===========================  ============  =====
reading           weight of level i >= 1      weight of level 0            s_ew at most  score
================  ==========================  ===========================  ============  =====
unit_range        2^-(n-i)                    2^-(n-1)                     1             1
as_printed        2^-(n-i) / (n-1)            2^-(n-1)                     0.225         0.6125
reference_code    2^-(n-i) / (n-1)            2^-(n-1) / (n-1)             0.2           0.6
================  ==========================  ===========================  ============  =====

The maxima are those of n = 6 and beta = 1/2.

Source: paper section 3.4, equations 4-7; appendix C.1 gives the range [0, 1].
Departure: the default is unit_range, the only reading that reaches the maximum of appendix C.1.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm

from weak2wise_core.config import Reading, StepMaskSettings
from weak2wise_core.records import MaskOutcomes, ScoredTrace, Verdict


@lru_cache(maxsize=128)
def level_weights(
    granularity: int, *, beta: Fraction, reading: Reading
) -> tuple[tuple[int, ...], int]:
    """What one correct answer at each level adds to the score.

    Args:
        granularity: n, at least 2.
        beta: Weight of s_avg, in [0, 1].
        reading: How equation 6 is read.

    Returns:
        One whole number per level 0..n-1, and the denominator they share. As whole numbers over
        one denominator scores can be compared without rounding.

    Raises:
        ValueError: Fewer than two levels, for which equation 6 is undefined.

    Example:
        >>> level_weights(6, beta=Fraction(1, 2), reading=Reading.UNIT_RANGE)
        ((19, 19, 22, 28, 40, 64), 192)
    """
    mean = Fraction(1, granularity)
    exponential = _exponential_weights(granularity, reading=reading)
    exact = [beta * mean + (1 - beta) * weight for weight in exponential]
    denominator = lcm(*(weight.denominator for weight in exact))
    return tuple(int(weight * denominator) for weight in exact), denominator


def s_avg(outcomes: Sequence[Verdict]) -> Fraction:
    """Share of mask levels with a correct answer (equation 5).

    Args:
        outcomes: s(i) for levels 0..n-1, lightest mask first.

    Raises:
        ValueError: A level is unjudged, or there is none.
    """
    return Fraction(sum(_bits(outcomes)), len(outcomes))


def s_ew(outcomes: Sequence[Verdict], *, reading: Reading) -> Fraction:
    """Exponentially weighted score, heavier masks counting more (equation 6).

    Args:
        outcomes: s(i) for levels 0..n-1, lightest mask first; n >= 2.
        reading: How the factor 1 / (n-1) is read.

    Raises:
        ValueError: A level is unjudged, or there are fewer than two.
    """
    weights = _exponential_weights(len(outcomes), reading=reading)
    bits = _bits(outcomes)
    return sum((w for w, bit in zip(weights, bits, strict=True) if bit), Fraction(0))


def exact_bounds(
    outcomes: MaskOutcomes, *, settings: StepMaskSettings
) -> tuple[Fraction, Fraction]:
    """The least and the greatest score that the known outcomes allow.

    An unjudged level counts 0 for the one and 1 for the other, whether it was asked or not. Where
    every level is judged both are the score.

    Raises:
        ValueError: The number of outcomes is not `settings.granularity`.
    """
    _check_levels(outcomes, settings)
    weights, denominator = level_weights(
        settings.granularity, beta=settings.exact_beta, reading=settings.reading
    )
    pairs = list(zip(weights, outcomes.outcomes, strict=True))
    sure = sum(weight for weight, verdict in pairs if verdict is Verdict.CORRECT)
    possible = sum(weight for weight, verdict in pairs if verdict is not Verdict.INCORRECT)
    return Fraction(sure, denominator), Fraction(possible, denominator)


def is_judged(outcomes: MaskOutcomes) -> bool:
    """Whether every level has a verdict, so that there is a score."""
    return Verdict.UNJUDGED not in outcomes.outcomes


def has_unjudged(outcomes: MaskOutcomes) -> bool:
    """Whether a level was asked and nobody could judge the answer: such a candidate cannot win."""
    cells = zip(outcomes.outcomes, outcomes.asked, strict=True)
    return any(asked and verdict is Verdict.UNJUDGED for verdict, asked in cells)


def score(outcomes: MaskOutcomes, *, settings: StepMaskSettings) -> ScoredTrace:
    """The step-mask score of one candidate (equation 7), for tables and people.

    Floats are the nearest to the exact values; decisions compare `exact_bounds` instead.

    Returns:
        The outcomes with their bounds; `s_avg`, `s_ew` and `score` are None where a level is
        unjudged.

    Raises:
        ValueError: The number of outcomes is not `settings.granularity`.
    """
    lower, upper = exact_bounds(outcomes, settings=settings)
    judged = is_judged(outcomes)
    verdicts = outcomes.outcomes
    return ScoredTrace(
        question_id=outcomes.question_id,
        strong_model=outcomes.strong_model,
        draw=outcomes.draw,
        outcomes=verdicts,
        asked=outcomes.asked,
        normal_tokens=outcomes.normal_tokens,
        reading=settings.reading.value,
        beta=settings.beta,
        s_avg=float(s_avg(verdicts)) if judged else None,
        s_ew=float(s_ew(verdicts, reading=settings.reading)) if judged else None,
        score=float(lower) if judged else None,
        lower=float(lower),
        upper=float(upper),
    )


def _exponential_weights(levels: int, *, reading: Reading) -> tuple[Fraction, ...]:
    if levels < 2:
        raise ValueError(f"equation 6 needs at least 2 mask levels, found {levels}")
    lightest = Fraction(1, 2 ** (levels - 1))
    others = [Fraction(1, 2 ** (levels - level)) for level in range(1, levels)]
    if reading is not Reading.UNIT_RANGE:
        others = [weight / (levels - 1) for weight in others]
    if reading is Reading.REFERENCE_CODE:
        lightest /= levels - 1
    return (lightest, *others)


def _bits(outcomes: Sequence[Verdict]) -> list[int]:
    if Verdict.UNJUDGED in outcomes or not outcomes:
        raise ValueError("a trace with an unjudged level, or with none, has no score")
    return [int(verdict is Verdict.CORRECT) for verdict in outcomes]


def _check_levels(outcomes: MaskOutcomes, settings: StepMaskSettings) -> None:
    if len(outcomes.outcomes) != settings.granularity:
        raise ValueError(
            f"question {outcomes.question_id}, {outcomes.strong_model}, draw {outcomes.draw}: "
            f"{len(outcomes.outcomes)} mask levels, but granularity is {settings.granularity}"
        )
