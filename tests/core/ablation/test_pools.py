"""Laws of the pool that all arms choose from."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.core.ablation.making import candidate, outcomes, pool_of, recipe
from weak2wise_core.ablation.pools import BALANCED, is_complete, length_balanced, whole_pool
from weak2wise_core.records import MaskOutcomes, Question, Refusal
from weak2wise_core.scoring import exact_bounds

RECIPE = recipe()
SETTINGS = RECIPE.step_mask


def test_a_question_that_no_candidate_helps_with_is_in_no_arm() -> None:
    """The build drops it; with `zero_score.action: keep` it stays, in the build and here."""
    rows = {"p": [outcomes("100", question="p")], "z": [outcomes("000", question="z")]}
    pool = pool_of(rows, settings=RECIPE)
    assert [one.id for one in pool.questions] == ["p"]
    assert pool.left_out == {"zero_score": 1}
    kept = pool_of(rows, settings=recipe(zero_score={"action": "keep"}))
    assert [one.id for one in kept.questions] == ["p", "z"]


def test_a_candidate_with_an_unjudged_level_is_in_no_arms_reach() -> None:
    """Without a score it can be neither highest nor lowest, so no arm may have it."""
    pool = pool_of({"q": [outcomes("1?1"), outcomes("100", draw=1)]}, settings=RECIPE)
    assert [one.draw for one in pool.outcomes["q"]] == [1]
    alone = pool_of({"q": [outcomes("1?1")]}, settings=RECIPE)
    assert alone.left_out == {"no_scored_candidate": 1}


def test_questions_without_candidates_are_not_counted() -> None:
    """What the weak model solved alone never came to the pool; what was all refused did."""
    questions = [Question(id=name, question="?", answer="42") for name in ("solved", "refused")]
    refused = [candidate(question="refused", refusal=Refusal.NO_STEP)]
    pool = whole_pool(questions, candidates=refused, outcomes=[], recipe=RECIPE)
    assert not pool.questions
    assert pool.left_out == {"no_scored_candidate": 1}


def test_a_raced_pool_is_not_complete() -> None:
    """A level that was never asked is found; one that nobody could judge was asked."""
    assert is_complete([outcomes("1?0")])
    assert not is_complete([outcomes("110"), outcomes("1-0")])


def test_a_balanced_group_is_the_one_whose_scores_differ_most() -> None:
    """Of several groups of one length the widest range of scores wins."""
    rows = [
        outcomes("100", draw=0, tokens=100),
        outcomes("000", draw=1, tokens=110),
        outcomes("111", draw=2, tokens=200),
        outcomes("000", draw=3, tokens=219),
        outcomes("110", draw=4, tokens=400),
    ]
    pool = length_balanced(pool_of({"q": rows}, settings=RECIPE), tolerance=0.1, settings=SETTINGS)
    assert pool.name == BALANCED
    assert [one.draw for one in pool.outcomes["q"]] == [2, 3]


def test_ten_percent_longer_is_still_one_length() -> None:
    """The bound is inclusive and exact: 110 belongs to 100 at 0.1, and 111 does not."""
    at, over = (
        pool_of(
            {"q": [outcomes("111", tokens=100), outcomes("100", draw=1, tokens=tokens)]},
            settings=RECIPE,
        )
        for tokens in (110, 111)
    )
    assert len(length_balanced(at, tolerance=0.1, settings=SETTINGS).questions) == 1
    assert not length_balanced(over, tolerance=0.1, settings=SETTINGS).questions


def test_a_question_of_one_score_is_not_balanced() -> None:
    """Where all candidates of a length score the same, arms could not differ; it is counted."""
    rows = {
        "same": [outcomes("110", question="same"), outcomes("110", question="same", draw=1)],
        "zero": [outcomes("000", question="zero")],
    }
    pool = length_balanced(pool_of(rows, settings=RECIPE), tolerance=0.1, settings=SETTINGS)
    assert not pool.questions
    assert pool.left_out == {"zero_score": 1, "no_two_of_one_length": 1}


@st.composite
def rows_of_one_question(draw: st.DrawFn) -> list[MaskOutcomes]:
    """Candidates with any scores and lengths."""
    return [
        outcomes(
            draw(st.text("01", min_size=3, max_size=3)),
            draw=number,
            tokens=draw(st.integers(1, 60)),
        )
        for number in range(draw(st.integers(1, 6)))
    ]


@given(rows_of_one_question(), st.sampled_from([0, 0.1, 0.5]), st.randoms())
def test_a_balanced_question_has_one_length_and_two_scores(
    rows: list[MaskOutcomes], tolerance: float, shuffler: random.Random
) -> None:
    """Lengths lie within the tolerance, scores differ, and the order of candidates is nothing."""
    settings = recipe(zero_score={"action": "keep"})
    shuffled = shuffler.sample(rows, len(rows))
    found, again = (
        length_balanced(
            pool_of({"q": given}, settings=settings), tolerance=tolerance, settings=SETTINGS
        ).outcomes.get("q", ())
        for given in (rows, shuffled)
    )
    assert set(found) == set(again)
    if found:
        lengths = [one.normal_tokens for one in found]
        assert max(lengths) <= min(lengths) * (1 + tolerance) + 1e-9
        assert len({exact_bounds(one, settings=SETTINGS) for one in found}) > 1
