from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weak2wise_core.answers import Agreement, compare
from weak2wise_core.answers.normalising import plain
from weak2wise_core.answers.rationals import rational

AGREE, DISAGREE, UNDECIDED = Agreement.AGREE, Agreement.DISAGREE, Agreement.UNDECIDED

PIECES = [*"0123456789.,:!+-*/^_=(){}[]$% \n\\xA", "\\frac{", "\\pm ", "or ", "\u2212", "\ud83d"]
numbers = st.integers(-(10**9), 10**9)
hostile = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("0.25", r"\frac{1}{4}"),
        (r"\tfrac34", "3/4"),
        ("-7/3", r"-2\frac{1}{3}"),
        ("3.5", "3 1/2"),
        ("4,567,890", "4567890"),
        ("4567890", r"4{,}567{,}890"),
        ("12000", r"12\,000"),
        ("12000", "12 000"),
        ("12,345", r"$12,\!345$"),
        ("6e4", r"6\times 10^4"),
        ("0.00042", "4.2e-4"),
        ("007", "7"),
        ("-0.0", "0"),
        ("81", "9^2"),
        ("720", "6!"),
        ("30\\%", "0.3"),
        ("30%", "30"),
        ("30%", "30 percent"),
        ("\\$8.50", "8.5"),
        ("8.5", "$8.50"),
        (r"12\text{ kg}", "12"),
        (r"12\text{ kg}", "12 kilograms"),
        (r"7\text{ cm}^2", "7 square centimeters"),
        ("60", r"60^\circ"),
        ("2", "2 dozen"),
        ("24", "2 dozen"),
        ("3000000", "3 million"),
        ("11", "eleven"),
        ("2,75", "2.75"),
        ("0.142857142857143", "1/7"),
    ],
)
def test_one_number_agrees_with_itself_in_every_notation(gold: str, answer: str) -> None:
    """How a number is written, and a unit that one side leaves out, make no difference."""
    assert compare(gold, answer) is AGREE


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("C", r"\text{(C)}"),
        ("C", "C. 19"),
        ("(C)", "C"),
        ("x = 9", "9"),
        ("9", r"f(2) = 9"),
        (r"\frac{PQ}{RS} = \frac{2}{5}", "2/5"),
        ("w = 4 + 5 = 9", "9"),
        ("9", r"x \approx 9"),
        ("(p, q) = (4, 9)", "(4,9)"),
        (r"\{4, 6\}", r"\{6, 4\}"),
        ("x = 4 \\text{ or } x = 6", "6, 4"),
        ("(1,5),(2,6)", "(2, 6), (1, 5)"),
        ("x = 4, y = 6", "y = 6, x = 4"),
        (r"5 \pm 2", "3, 7"),
        ("[2, 8)", r"\left[2,\ 8\right)"),
        (r"x \in (2, 8]", "(2,8]"),
        (r"(-\infty, 1) \cup (2, 3)", r"(2,3) \cup (-\infty,1)"),
        ("3:5", r"\frac{3}{5}"),
        ("7:05", "07:05"),
        ("354_6", "354_{6}"),
        ("Lisbon", r"\text{Lisbon}"),
        ("The Danube", "danube"),
        (r"$\left(2x-1\right)\left(x+3\right)$", "(2x-1)(x+3)"),
    ],
)
def test_answers_that_say_the_same_agree(gold: str, answer: str) -> None:
    """Choices, assignments, lists, intervals and words agree whatever their dress."""
    assert compare(gold, answer) is AGREE


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("17", "18"),
        ("17", "-17"),
        ("1.5", "15"),
        ("2/3", "3/2"),
        ("C", "D"),
        ("[2, 8)", "[2, 8]"),
        ("(2, 8)", "(8, 2)"),
        (r"\pm 12", "12"),
        ("12", "12, 13"),
        ("(1,5),(2,6)", "(1,5),(2,7)"),
        ("(1,5,2)", "(1,5)"),
        ("7:05", "8:05"),
        ("7:05 am", "7:05 pm"),
        ("even", "odd"),
        ("Yes", "no"),
        ("3x + y = 4", "4"),
        ("x = 4", "x = 5"),
        ("16386.20", "16386.16"),
    ],
)
def test_answers_that_differ_for_certain_disagree(gold: str, answer: str) -> None:
    """Another number, choice, bracket, order of a point, or number of parts is another answer."""
    assert compare(gold, answer) is DISAGREE


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("8 m", "8 cm"),
        ("8 dollars", "8 euros"),
        ("8 am", "8 pm"),
        ("3.14", "22/7"),
        ("2/3", "0.667"),
        ("2/3", "0.6666667"),
        ("0.4", "40"),
        ("0.4", "0.4%"),
        ("6", "6 million"),
        ("7, 3, -1", "3, 7, -1"),
        ("7 and 3", "3 and 7"),
        ("(3, 7)", "[3, 7]"),
        (r"\{3, 7\}", "(3, 7)"),
        ("x = 5", "y = 5"),
        ("f(1) = 5", "f(2) = 5"),
        ("1011_2", "11"),
        ("1011_2", "1011_3"),
        ("5x", "5"),
        ("2 thirds", "2"),
        ("3 below zero", "3"),
        ("Vienna", "Austria"),
        ("A. Turing", "A. Church"),
        ("x", "X"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("", "5"),
        ("5", ""),
    ],
)
def test_what_rules_cannot_know_is_undecided(gold: str, answer: str) -> None:
    """Units, rounding, rankings, other spellings and algebra are left to others, never guessed."""
    assert compare(gold, answer) is UNDECIDED


@given(numbers, numbers)
def test_whole_numbers_agree_if_and_only_if_they_are_equal(one: int, other: int) -> None:
    """No pair of whole numbers is undecided, and thousands separators change nothing."""
    assert compare(str(one), f"{other:,}") is (AGREE if one == other else DISAGREE)
    assert compare(str(one), f"{one:,}.00") is AGREE


@given(numbers, st.integers(1, 10**6), st.integers(1, 9))
def test_a_fraction_agrees_with_its_expansion(above: int, below: int, factor: int) -> None:
    """A fraction that is not in lowest terms is the same answer, in LaTeX and in line."""
    latex = rf"\frac{{{above * factor}}}{{{below * factor}}}"
    assert compare(f"{above}/{below}", latex) is AGREE
    assert rational(latex) == Fraction(above, below)


@settings(deadline=None)
@given(hostile, hostile)
def test_comparison_is_reflexive_and_never_fails(one: str, other: str) -> None:
    """Any two texts have an outcome, and a text that says anything agrees with itself."""
    assert compare(one, other) in Agreement
    assert compare(one, one) is (AGREE if plain(one) else UNDECIDED)
