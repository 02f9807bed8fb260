"""Laws of all selectors: one pool, one rule for ties, no dependence on order."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.ablation.making import candidate, outcomes
from weak2wise_core.config import SelectionSettings, Selector, StepMaskSettings
from weak2wise_core.records import CandidateTrace, MaskOutcomes, TraceMeasure
from weak2wise_core.scoring import exact_bounds
from weak2wise_core.selection import select_golden
from weak2wise_core.selectors.choosing import (
    Choosing,
    Evidence,
    key_of,
    preference,
    select,
)

SETTINGS = StepMaskSettings(granularity=3)
CHOOSING = Choosing(selection=SelectionSettings(), step_mask=SETTINGS)
READERS = [one for one in Selector if one.reads_model]


def measures(values: dict[int, float | None], selector: Selector) -> list[TraceMeasure]:
    """A value for each draw of teacher a."""
    return [
        TraceMeasure(
            question_id="q", strong_model="a", draw=draw, selector=selector.value, value=value
        )
        for draw, value in values.items()
    ]


def evidence(rows: list[MaskOutcomes], values: dict[int, float | None] | None = None) -> Evidence:
    """Traces that say little, and the same values for every selector that reads."""
    traces: list[CandidateTrace] = [
        candidate(model=one.strong_model, draw=one.draw) for one in rows
    ]
    given = values or {one.draw: float(one.draw % 3) for one in rows}
    return Evidence.of(traces, [row for one in READERS for row in measures(given, one)])


def pick(rows: list[MaskOutcomes], by: Selector, **kind: Evidence) -> MaskOutcomes | None:
    """The choice, with the evidence of `evidence` where none is given."""
    found = kind.get("evidence") or evidence(rows)
    return select(rows, by=by, evidence=found, choosing=CHOOSING)


@st.composite
def pools(draw: st.DrawFn, alphabet: str = "01?") -> list[MaskOutcomes]:
    """Candidates of one question, with many ties."""
    numbers = draw(st.lists(st.integers(0, 8), unique=True, max_size=6))
    return [
        outcomes(
            draw(st.text(alphabet, min_size=3, max_size=3)),
            draw=number,
            tokens=draw(st.integers(1, 3)),
        )
        for number in numbers
    ]


@given(pools().flatmap(lambda pool: st.tuples(st.just(pool), st.permutations(pool))))
def test_no_selector_looks_at_the_order_of_its_input(
    drawn: tuple[list[MaskOutcomes], list[MaskOutcomes]],
) -> None:
    """Replies may come in any order."""
    pool, shuffled = drawn
    for by in Selector:
        assert pick(shuffled, by) == pick(pool, by), by


@given(pools())
def test_every_selector_takes_a_candidate_with_a_score(pool: list[MaskOutcomes]) -> None:
    """All choose from the same candidates; where none has a score, nobody chooses."""
    scored = [one for one in pool if "?" not in _bits(one)]
    for by in Selector:
        found = pick(pool, by)
        assert (found is None) == (not scored)
        assert found is None or found in scored


def _bits(one: MaskOutcomes) -> str:
    return "".join("?" if verdict.value == "unjudged" else "." for verdict in one.outcomes)


@given(pools("01"))
def test_step_mask_is_the_selection_of_the_build(pool: list[MaskOutcomes]) -> None:
    """There is one golden reasoning, however it is asked for; `lowest` is its opposite."""
    assert pick(pool, Selector.STEP_MASK) == select_golden(pool, settings=SETTINGS).winner
    lowest = pick(pool, Selector.LOWEST)
    if lowest is not None:
        scores = [exact_bounds(one, settings=SETTINGS)[0] for one in pool]
        assert exact_bounds(lowest, settings=SETTINGS)[0] == min(scores)


@given(pools("01"))
def test_nobody_is_preferred_to_the_choice(pool: list[MaskOutcomes]) -> None:
    """The preference that is measured is the one that chooses; ties go to the fewest tokens."""
    found = evidence(pool)
    for by in Selector:
        chosen = pick(pool, by)
        if chosen is not None:
            wish = preference(by, evidence=found, choosing=CHOOSING)
            best = min(wish(one) for one in pool)
            equal = [one for one in pool if wish(one) == best]
            assert chosen in equal
            assert chosen.normal_tokens == min(one.normal_tokens for one in equal)


@pytest.mark.parametrize("by", READERS)
def test_measures_are_preferred_in_their_own_direction(by: Selector) -> None:
    """Likelihoods: the highest; ratios and lengths: the lowest; undefined ones come last."""
    rows = [outcomes("111", draw=draw) for draw in range(3)]
    found = evidence(rows, {0: 5.0, 1: None, 2: 7.0})
    chosen = pick(rows, by, evidence=found)
    assert chosen is not None
    assert chosen.draw == (0 if by.lower_is_better else 2)
    nothing = evidence(rows, {0: None, 1: None, 2: None})
    assert pick(rows, by, evidence=nothing) == rows[0]


def test_the_shortest_looks_at_length_alone() -> None:
    """Fewest tokens win, whatever the score."""
    short = outcomes("000", tokens=1)
    assert pick([outcomes("111", draw=1), short], Selector.SHORTEST) is short


def test_random_gives_each_candidate_its_share() -> None:
    """Over many questions every draw is chosen about as often, and a seed fixes the choice."""
    chosen: Counter[int] = Counter()
    changed = 0
    for number in range(600):
        rows = [outcomes("000", draw=draw, question=f"q{number}") for draw in range(3)]
        first, second = (
            select(
                rows,
                by=Selector.RANDOM,
                evidence=Evidence(),
                choosing=Choosing(selection=SelectionSettings(seed=seed), step_mask=SETTINGS),
            )
            for seed in (1, 2)
        )
        assert first is not None
        chosen[first.draw] += 1
        changed += first != second
    assert all(140 < count < 260 for count in chosen.values())
    assert 320 < changed < 480


def test_sound_and_short_prefers_followed_then_agreeing_then_short() -> None:
    """A shorter trace that misleads, or whose steps tell another story, does not win."""
    told = "## Step\n6 x 7 = 42\n\n## Final Answer\n42"
    rows = [
        outcomes("011", draw=0, tokens=1),  # not followed with the lightest mask
        outcomes("111", draw=1, tokens=2),  # followed, but the thinking says something else
        outcomes("100", draw=2, tokens=9),
        outcomes("110", draw=3, tokens=9),  # as long, with the better score
    ]
    thinking = {0: "6 x 7 = 42", 1: "6 x 7 = 41, no, 40", 2: "6 x 7 = 42", 3: "6 x 7 = 42"}
    traces = [
        CandidateTrace(
            question_id="q",
            strong_model="a",
            draw=draw,
            normal_reasoning=text,
            step_reasoning=told,
            refusal=None,
            detail="",
            answer_leak=False,
            told_answer=False,
            model="m",
            spent=(),
        )
        for draw, text in thinking.items()
    ]
    found = Evidence.of(traces)
    assert pick(rows, Selector.SOUND_SHORT, evidence=found) == rows[3]
    assert pick(rows[:3], Selector.SOUND_SHORT, evidence=found) == rows[2]
    assert pick(rows[:2], Selector.SOUND_SHORT, evidence=found) == rows[1]


def test_mixed_up_candidates_are_an_error() -> None:
    """A selector compares candidates of one question, each of them once."""
    other = outcomes("111", question="other")
    for by in Selector:
        with pytest.raises(ValueError, match="2 questions"):
            select([outcomes("111"), other], by=by, evidence=evidence([other]), choosing=CHOOSING)


def test_evidence_is_found_by_candidate() -> None:
    """Question, strong model and draw name it."""
    one = candidate(draw=3)
    assert Evidence.of([one]).traces[key_of(one)] is one
