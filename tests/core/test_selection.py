from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import Reading, StepMaskSettings
from weak2wise_core.records import MaskOutcomes, Verdict
from weak2wise_core.scoring import exact_bounds
from weak2wise_core.selection import select_golden

BITS = {"1": Verdict.CORRECT, "0": Verdict.INCORRECT, "?": Verdict.UNJUDGED}
SETTINGS = StepMaskSettings(granularity=3)


def candidate(
    bits: str, *, tokens: int = 100, model: str = "a", draw: int = 0, question: str = "q"
) -> MaskOutcomes:
    """A candidate with outcomes by level: 1 correct, 0 incorrect, ? unjudged."""
    return MaskOutcomes(
        question_id=question,
        strong_model=model,
        draw=draw,
        outcomes=tuple(BITS[bit] for bit in bits),
        asked=tuple(bit != "?" for bit in bits),
        attempts=("",) * len(bits),
        normal_tokens=tokens,
        spent=(),
    )


@st.composite
def pools(draw: st.DrawFn, alphabet: str = "01?") -> list[MaskOutcomes]:
    """Candidates of one question, with many ties."""
    identities = st.tuples(st.sampled_from("abc"), st.integers(0, 2))
    return [
        candidate(
            draw(st.text(alphabet, min_size=3, max_size=3)),
            tokens=draw(st.integers(1, 3)),
            model=model,
            draw=number,
        )
        for model, number in draw(st.lists(identities, unique=True, max_size=6))
    ]


settings_of_any_reading = st.builds(
    StepMaskSettings, granularity=st.just(3), reading=st.sampled_from(Reading)
)


def completions(pool: Sequence[MaskOutcomes]) -> list[list[MaskOutcomes]]:
    """The pool with each unjudged candidate in turn given its best and its worst case."""
    result = []
    for at, one in enumerate(pool):
        bits = "".join(next(b for b, v in BITS.items() if v is verdict) for verdict in one.outcomes)
        for filling in "01":
            filled = candidate(
                bits.replace("?", filling),
                tokens=one.normal_tokens,
                model=one.strong_model,
                draw=one.draw,
            )
            result.append([*pool[:at], filled, *pool[at + 1 :]])
    return result


@given(pools(), st.data(), settings_of_any_reading)
def test_selection_ignores_the_order_of_its_input(
    pool: list[MaskOutcomes], data: st.DataObject, settings: StepMaskSettings
) -> None:
    """Replies may come in any order; the golden reasoning and its rivals stay the same."""
    shuffled = data.draw(st.permutations(pool))
    assert select_golden(shuffled, settings=settings) == select_golden(pool, settings=settings)


@given(pools("01"), settings_of_any_reading)
def test_the_winner_has_the_highest_score(
    pool: list[MaskOutcomes], settings: StepMaskSettings
) -> None:
    """Nobody scores higher, and nobody with the same score comes first in the tie-break."""
    choice = select_golden(pool, settings=settings)
    if choice.winner is None:
        assert not pool
        return
    winner = choice.winner
    best = exact_bounds(winner, settings=settings)[0]
    assert choice.score == best
    assert choice.is_proven
    for other in pool:
        rival = exact_bounds(other, settings=settings)[0]
        order = [(c.normal_tokens, c.strong_model, c.draw) for c in (winner, other)]
        assert best > rival or (best == rival and order[0] <= order[1])


@given(pools(), settings_of_any_reading)
def test_a_proven_winner_stays_whatever_the_missing_verdicts_are(
    pool: list[MaskOutcomes], settings: StepMaskSettings
) -> None:
    """The uncertain candidates are exactly those that a further verdict could make the winner."""
    choice = select_golden(pool, settings=settings)
    if choice.winner is None:
        assert set(choice.uncertain) == set(pool)
        return
    could_win = set()
    for completed in completions(pool):
        winner = select_golden(completed, settings=settings).winner
        if winner is not None and winner not in pool:
            could_win.add((winner.strong_model, winner.draw))
    assert could_win == {(one.strong_model, one.draw) for one in choice.uncertain}


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (candidate("011", tokens=900), candidate("110", tokens=1, model="b")),
        (candidate("011", tokens=99), candidate("011", tokens=100, model="b")),
        (candidate("011", tokens=99, model="b"), candidate("011", tokens=100)),
        (candidate("011", model="a", draw=9), candidate("011", model="b", draw=0)),
        (candidate("011", draw=2), candidate("011", draw=10)),
    ],
)
def test_ties_go_to_the_shortest_then_to_a_stable_order(
    winner: MaskOutcomes, loser: MaskOutcomes
) -> None:
    """Score first, then tokens, then the name of the strong model, then the draw as a number."""
    assert select_golden([loser, winner], settings=SETTINGS).winner is winner


def test_a_candidate_without_score_does_not_win() -> None:
    """Even the best bounds are no score; the choice says that it is not proven."""
    sure, unsure = candidate("001"), candidate("11?", model="b")
    choice = select_golden([unsure, sure], settings=SETTINGS)
    assert choice.winner is sure
    assert choice.uncertain == (unsure,)
    assert not choice.is_proven


def test_a_candidate_that_cannot_win_any_more_raises_no_doubt() -> None:
    """Levels that racing left unasked, or that nobody could judge, matter only if they could."""
    choice = select_golden([candidate("111"), candidate("?11", model="b")], settings=SETTINGS)
    assert choice.is_proven
    longer = candidate("?11", model="b", tokens=101)
    assert select_golden([longer, candidate("111")], settings=SETTINGS).is_proven


def test_a_tie_that_the_tie_break_would_decide_for_it_raises_doubt() -> None:
    """A shorter candidate wins with an equal score, so its missing verdict matters."""
    shorter = candidate("?11", model="b", tokens=99)
    assert select_golden([shorter, candidate("111")], settings=SETTINGS).uncertain == (shorter,)


def test_nobody_wins_where_nobody_has_a_score() -> None:
    """No candidate, or none judged: there is no winner, and no error."""
    assert select_golden([], settings=SETTINGS).winner is None
    unsure = candidate("??1")
    choice = select_golden([unsure], settings=SETTINGS)
    assert (choice.winner, choice.score, choice.uncertain) == (None, None, (unsure,))
    assert not choice.is_proven


def test_a_winner_may_score_nothing() -> None:
    """What to do with a golden score of 0 is for the recipe to say, not for the selection."""
    choice = select_golden([candidate("000")], settings=SETTINGS)
    assert choice.winner == candidate("000")
    assert choice.score == 0


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ([candidate("111"), candidate("111", question="other")], "2 questions"),
        ([candidate("111"), candidate("000")], "there twice"),
    ],
)
def test_mixed_up_candidates_are_an_error(pool: list[MaskOutcomes], message: str) -> None:
    """Selection compares candidates of one question, each of them once."""
    with pytest.raises(ValueError, match=message):
        select_golden(pool, settings=SETTINGS)
