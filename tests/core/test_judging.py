"""Laws of reading and counting votes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.judging import read_verdict, settled
from weak2wise_core.records import Verdict

SIDES = st.sampled_from(list(Verdict))


@pytest.mark.parametrize(
    "line",
    [
        "Yes",
        "yes",
        "YES.",
        '"Yes"',
        "**Yes**",
        "`Yes`",
        "> Yes",
        "## Yes",
        r"\boxed{Yes}",
        "_Yes_.",
        "Yes\n---",
        "Yes\n```",
    ],
)
def test_a_dressed_up_yes_is_a_yes(line: str) -> None:
    """Markup, quotes, full stops and case do not turn a yes into a no."""
    assert read_verdict(f"The values are equal.\n{line}\n\n") is Verdict.CORRECT


@pytest.mark.parametrize("line", ["No", "no.", "**No**", "“No”", r"$\boxed{\text{No}}$"])
def test_a_dressed_up_no_is_a_no(line: str) -> None:
    """The same holds for a no."""
    assert read_verdict(f"They differ.\n\n{line}") is Verdict.INCORRECT


@pytest.mark.parametrize(
    "reply", ["", " \n ", "Yes\nI think so", "Yes and no", "Verdict: Yes", "Nope", "Yes!", "是"]
)
def test_anything_else_is_no_vote(reply: str) -> None:
    """A reply whose last line is not a bare yes or no is invalid, not a vote against."""
    assert read_verdict(reply) is Verdict.UNJUDGED


@given(st.lists(SIDES, min_size=3, max_size=3))
def test_stopping_early_gives_the_full_majority(votes: list[Verdict]) -> None:
    """As soon as a ballot is settled, no further vote changes its outcome."""
    full = settled(votes, of=3)
    assert full is not None
    for cast in range(4):
        early = settled(votes[:cast], of=3)
        assert early is None or early is full


def test_a_majority_is_of_all_votes_not_of_the_valid_ones() -> None:
    """One yes among two invalid votes decides nothing."""
    votes = [Verdict.CORRECT, Verdict.UNJUDGED, Verdict.UNJUDGED]
    assert settled(votes, of=3) is Verdict.UNJUDGED


def test_the_order_of_votes_does_not_matter() -> None:
    """Every order of the same votes gives the same outcome."""
    for votes in itertools.product(Verdict, repeat=3):
        outcomes = {settled(order, of=3) for order in itertools.permutations(votes)}
        assert len(outcomes) == 1
