"""Laws of final answers: where they stand, and when two of them are the same."""

import pytest

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
