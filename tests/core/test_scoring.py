from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import Reading, StepMaskSettings
from weak2wise_core.records import MaskOutcomes, Verdict
from weak2wise_core.scoring import exact_bounds, is_judged, level_weights, s_avg, s_ew, score

HALF = Fraction(1, 2)
BITS = {"1": Verdict.CORRECT, "0": Verdict.INCORRECT, "?": Verdict.UNJUDGED}

readings = st.sampled_from(Reading)
betas = st.decimals(0, 1, places=3).map(float)


def outcomes(bits: str) -> MaskOutcomes:
    """Outcomes by level: 1 correct, 0 incorrect, ? unjudged."""
    return MaskOutcomes(
        question_id="q",
        strong_model="teacher",
        draw=0,
        outcomes=tuple(BITS[bit] for bit in bits),
        asked=tuple(bit != "?" for bit in bits),
        attempts=("",) * len(bits),
        normal_tokens=100,
        spent=(),
    )


@st.composite
def cases(draw: st.DrawFn, alphabet: str = "01") -> tuple[str, StepMaskSettings]:
    """Outcomes as bits, and settings with as many levels."""
    bits = draw(st.text(alphabet, min_size=2, max_size=12))
    settings = StepMaskSettings(granularity=len(bits), beta=draw(betas), reading=draw(readings))
    return bits, settings


@pytest.mark.parametrize(
    ("reading", "weights", "denominator"),
    [
        (Reading.UNIT_RANGE, (19, 19, 22, 28, 40, 64), 192),
        (Reading.AS_PRINTED, (95, 83, 86, 92, 104, 128), 960),
        (Reading.REFERENCE_CODE, (83, 83, 86, 92, 104, 128), 960),
    ],
)
def test_the_weights_of_the_paper_s_setting(
    reading: Reading, weights: tuple[int, ...], denominator: int
) -> None:
    """At n = 6 and beta = 1/2 the weights are these whole numbers."""
    assert level_weights(6, beta=HALF, reading=reading) == (weights, denominator)


@pytest.mark.parametrize(
    ("reading", "greatest_s_ew", "greatest_score"),
    [
        (Reading.UNIT_RANGE, 1.0, 1.0),
        (Reading.AS_PRINTED, 0.225, 0.6125),
        (Reading.REFERENCE_CODE, 0.2, 0.6),
    ],
)
def test_only_the_default_reading_reaches_one(
    reading: Reading, greatest_s_ew: float, greatest_score: float
) -> None:
    """The table of maxima in the module's docstring holds."""
    best = score(outcomes("111111"), settings=StepMaskSettings(reading=reading))
    assert (best.s_avg, best.s_ew, best.score) == (1.0, greatest_s_ew, greatest_score)


@given(cases())
def test_the_weights_are_equation_7(case: tuple[str, StepMaskSettings]) -> None:
    """The whole-number score equals beta * s_avg + (1 - beta) * s_ew, without rounding."""
    bits, settings = case
    verdicts = outcomes(bits).outcomes
    beta = settings.exact_beta
    expected = beta * s_avg(verdicts) + (1 - beta) * s_ew(verdicts, reading=settings.reading)
    assert exact_bounds(outcomes(bits), settings=settings) == (expected, expected)


@given(cases(), st.data())
def test_scores_are_monotone_in_each_outcome(
    case: tuple[str, StepMaskSettings], data: st.DataObject
) -> None:
    """One more correct answer raises a score, at any level and by any reading."""
    bits, settings = case
    level = data.draw(st.integers(0, len(bits) - 1))
    less, more = (bits[:level] + bit + bits[level + 1 :] for bit in "01")
    worse, better = (exact_bounds(outcomes(b), settings=settings)[0] for b in (less, more))
    assert worse < better


@given(cases())
def test_scores_stay_between_nothing_and_one(case: tuple[str, StepMaskSettings]) -> None:
    """No reading leaves [0, 1], and only an all-correct trace reaches 1."""
    bits, settings = case
    value, _ = exact_bounds(outcomes(bits), settings=settings)
    assert 0 <= value <= 1
    if settings.reading is Reading.UNIT_RANGE:
        assert (value == 1) == ("0" not in bits)
    assert (value == 0) == ("1" not in bits)


@given(st.integers(2, 12), betas)
def test_heavier_masks_count_at_least_as_much(granularity: int, beta: float) -> None:
    """By the default reading no level weighs more than a heavier one."""
    settings = StepMaskSettings(granularity=granularity, beta=beta)
    weights, _ = level_weights(granularity, beta=settings.exact_beta, reading=Reading.UNIT_RANGE)
    assert all(lighter <= heavier for lighter, heavier in pairwise(weights))


@given(cases("01?"))
def test_an_unjudged_level_leaves_a_trace_without_score(
    case: tuple[str, StepMaskSettings],
) -> None:
    """Not judged is neither right nor wrong: there are bounds, and no score."""
    bits, settings = case
    traced = score(outcomes(bits), settings=settings)
    scores = (traced.s_avg, traced.s_ew, traced.score)
    assert is_judged(outcomes(bits)) is ("?" not in bits)
    assert scores == (None, None, None) if "?" in bits else None not in scores


@given(cases("01?"))
def test_the_bounds_are_those_of_the_worst_and_the_best_case(
    case: tuple[str, StepMaskSettings],
) -> None:
    """Unjudged levels count as wrong for the lower and as right for the upper bound."""
    bits, settings = case
    bounds = exact_bounds(outcomes(bits), settings=settings)
    worst = exact_bounds(outcomes(bits.replace("?", "0")), settings=settings)
    best = exact_bounds(outcomes(bits.replace("?", "1")), settings=settings)
    assert bounds == (worst[0], best[0])


def test_a_score_is_exact_where_floats_are_not() -> None:
    """Beta 0.1 is one tenth, so equal scores are equal."""
    settings = StepMaskSettings(granularity=2, beta=0.1)
    lower, upper = exact_bounds(outcomes("01"), settings=settings)
    assert lower == upper == Fraction(1, 2)


def test_a_row_says_how_it_was_scored() -> None:
    """Reading, beta, outcomes and identity travel with the score."""
    row = score(outcomes("0?1"), settings=StepMaskSettings(granularity=3, beta=0.25))
    assert (row.reading, row.beta, row.question_id, row.draw) == ("unit_range", 0.25, "q", 0)
    assert row.outcomes == (Verdict.INCORRECT, Verdict.UNJUDGED, Verdict.CORRECT)
    assert row.asked == (True, False, True)
    assert 0 < row.lower < row.upper < 1


@pytest.mark.parametrize("bits", ["1?", ""])
def test_the_parts_of_a_score_need_verdicts(bits: str) -> None:
    """No number is made up for what was not judged."""
    with pytest.raises(ValueError, match="no score"):
        s_avg(outcomes(bits).outcomes)


@pytest.mark.parametrize("levels", [0, 1])
def test_equation_6_needs_two_levels(levels: int) -> None:
    """1 / (n-1) is undefined for n = 1."""
    with pytest.raises(ValueError, match="at least 2 mask levels"):
        s_ew(outcomes("1" * levels).outcomes, reading=Reading.AS_PRINTED)


def test_outcomes_of_another_granularity_are_an_error() -> None:
    """Scores of different granularities cannot be compared, so they are not mixed."""
    with pytest.raises(ValueError, match="3 mask levels, but granularity is 6"):
        exact_bounds(outcomes("101"), settings=StepMaskSettings())
