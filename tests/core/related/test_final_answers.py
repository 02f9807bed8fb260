"""Laws of final answers: where they stand, and when two of them are the same."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import AnswerSettings, AnswerStyle, Normalisation
from weak2wise_core.related.final_answers import Vote, answer_rule, same_number, stated_answer
from weak2wise_core.related.gair import normalised


@pytest.mark.parametrize(
    ("style", "response", "answer"),
    [
        (AnswerStyle.HASHES, "7 + 5 = 12\n#### 12", "12"),
        (AnswerStyle.HASHES, "#### 12\nThat is all.", ""),
        (AnswerStyle.HASHES, "x\n#### 12\n\nQuestion: next?\n#### 13", "12"),
        (AnswerStyle.HASHES, "The answer is 1,050.", "1050"),
        (AnswerStyle.HASHES, "x\n#### 12</s>", "12"),
        (AnswerStyle.STATED, "so\nThe answer is: x = 3", "x = 3"),
        (AnswerStyle.RELEASED, "The answer is 4.\n#### 300 miles", "300 miles"),
        (AnswerStyle.RELEASED, r"so \boxed{1}. The answer is: \frac{1}{2}", r"\frac{1}{2}"),
        (AnswerStyle.RELEASED, "The answer is 1,050 dollars.", "1050"),
        (AnswerStyle.RELEASED, r"hence \boxed{9}", ""),
        (AnswerStyle.BOXED, r"\boxed{3} or rather \boxed{4}", "4"),
        (AnswerStyle.BOXED, "The answer is 4.", ""),
        (AnswerStyle.LAST_NUMBER, "2 apples and 1,050.5 pears", "1,050.5"),
        (AnswerStyle.LAST_NUMBER, "from 3-5 to -7.", "-7"),
        (AnswerStyle.LAST_NUMBER, "no number", ""),
        (AnswerStyle.ANY, "so\n#### 9", "9"),
        (AnswerStyle.ANY, r"hence \boxed{9}", "9"),
    ],
)
def test_an_answer_is_found_where_its_style_puts_it(
    style: AnswerStyle, response: str, answer: str
) -> None:
    """And nowhere else; none is the empty text."""
    assert stated_answer(response, style=style) == answer


@pytest.mark.parametrize("style", AnswerStyle)
def test_thinking_and_emptiness_state_nothing(style: AnswerStyle) -> None:
    """What a model thinks is not what it answers."""
    assert stated_answer("", style=style) == ""
    assert stated_answer("<think>\\boxed{4}\n#### 4</think>", style=style) == ""


@pytest.mark.parametrize(
    ("one", "other", "released", "ours"),
    [
        ("3.0", "3", True, True),
        ("75%", "75", True, True),
        ("1,050", "1050", True, True),
        ("x = 3", "3", True, True),
        ("$5", "5", True, True),
        ("0.5", "0.50", False, True),
        ("1/2", "0.5", False, True),
        ("5", "6", False, False),
        ("", "", True, True),
        ("", "0", False, False),
    ],
)
def test_two_rules_differ_where_equal_values_are_written_otherwise(
    one: str, other: str, released: bool, ours: bool
) -> None:
    """The released code compares normal forms as text, ours compares values."""
    for kind, same in ((Normalisation.GAIR, released), (Normalisation.OURS, ours)):
        rule = answer_rule(AnswerSettings(style=AnswerStyle.HASHES, normalise=kind))
        read = [rule.read(f"so\n#### {text}" if text else "") for text in (one, other)]
        assert rule.same(read[0], read[1]) is rule.same(read[1], read[0]) is same


@pytest.mark.parametrize("answer", ["1,050", "3.0", "75%", "0.50", r"\frac12", "(A)", "", "a dog"])
def test_a_normal_form_is_its_own(answer: str) -> None:
    """Normalising twice changes nothing on common answers."""
    assert normalised(normalised(answer)) == normalised(answer)


def test_numbers_of_one_value_are_the_same_number() -> None:
    """Whatever their notation; other texts must be the same text."""
    assert same_number("0.5", "0.50")
    assert same_number("1,000", "1000")
    assert same_number("a", "a")
    assert not same_number("a", "b")
    assert not same_number("", "0")


def test_a_tie_is_not_decided_by_the_order_of_the_samples() -> None:
    """Of two equally frequent answers the first of the alphabet wins, both ways."""
    rule = answer_rule(AnswerSettings())
    assert Vote(answers=("b", "a"), rule=rule).winner == "a"
    assert Vote(answers=("a", "b"), rule=rule).winner == "a"


OURS = answer_rule(AnswerSettings(style=AnswerStyle.HASHES, normalise=Normalisation.OURS))
AMBIGUOUS = (
    "20%", "20", "0.2", "1/5", "5", "5 m", "5 cm", "5.0", "500 cm", "12", "1 dozen", "dozen", "1",
    "1/3", "0.333333333333", "0.3333333333334", "(1,2)", "1,2", "2,1", "{1,2}", "x = 5", "y = 5",
    "A", "(A) 5", "A. 7", "10_2", "10_3", "10", "3:00", "3:00 pm", "3:00 am", "0.5", "50%", "50",
    "",
)  # fmt: skip
"""Answers some of which are the same as two that differ."""
votes = st.lists(st.sampled_from(AMBIGUOUS), min_size=1, max_size=12)


@given(votes, st.randoms(use_true_random=False))
@pytest.mark.parametrize("normalise", Normalisation)
def test_the_order_of_the_samples_decides_nothing(
    normalise: Normalisation, answers: list[str], rng: random.Random
) -> None:
    """Answer, confidence and who gave it stay, though being the same is not transitive."""
    rule = answer_rule(AnswerSettings(style=AnswerStyle.HASHES, normalise=normalise))
    order = rng.sample(range(len(answers)), len(answers))
    vote = Vote(answers=tuple(answers), rule=rule)
    other = Vote(answers=tuple(answers[place] for place in order), rule=rule)
    assert other.spelled == vote.spelled
    assert (other.winner, other.confidence) == (vote.winner, vote.confidence)
    for ours, theirs in zip(vote.split(), other.split(), strict=True):
        assert sorted(order[place] for place in theirs) == sorted(ours)
    assert [vote.is_winner(one) for one in AMBIGUOUS] == [other.is_winner(one) for one in AMBIGUOUS]


@given(votes)
def test_no_answer_is_counted_with_one_that_differs(answers: list[str]) -> None:
    """Every two spellings of a group are the same, and each response is in one group."""
    vote = Vote(answers=tuple(answers), rule=OURS)
    for group in vote.spelled:
        assert all(OURS.same(one, other) for one in group for other in group)
    assert sorted(place for _, places in vote.groups for place in places) == list(
        range(len(answers))
    )
    assert [vote.is_winner(one) for one in answers] == [one in vote.spelled[0] for one in answers]


@given(st.sampled_from(AMBIGUOUS), st.sampled_from(AMBIGUOUS))
def test_being_the_same_has_no_direction(one: str, other: str) -> None:
    """Neither of two responses is the ground truth."""
    assert OURS.same(one, other) is OURS.same(other, one)


def test_what_could_be_either_counts_with_the_more_frequent_one() -> None:
    """20% is 20 and is 0.2: it makes neither sure, and does not join the two."""
    vote = Vote(answers=("0.2", "20%", "20", "0.2", "20", "20"), rule=OURS)
    assert vote.spelled == (("20", "20%"), ("0.2",))
    assert (vote.winner, vote.confidence) == ("20", Fraction(2, 3))
    assert vote.is_winner("20%")
    assert not vote.is_winner("0.2")
    assert not vote.is_winner("1/5")


def test_what_could_be_either_counts_with_the_answer_that_was_given_more_often() -> None:
    """However it was spelled: 0.2 was given four times, 20 three times."""
    answers = ("20", "20", "20", "0.2", "0.2", "1/5", "1/5", "20%")
    vote = Vote(answers=answers, rule=OURS)
    assert vote.spelled == (("0.2", "1/5", "20%"), ("20",))
    assert vote.confidence == Fraction(5, 8)
