import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weak2wise_core.answers import Agreement, compare, find_mentions, mentions
from weak2wise_core.answers.enumerations import enumeration
from weak2wise_core.answers.normalising import plain
from weak2wise_core.answers.prose import pick_number
from weak2wise_core.answers.quantities import quantity, without_unit
from weak2wise_core.answers.rationals import rational

PIECES = [*"0123456789.,;:-/^_(){}$% \n\\xA", "\\frac{", "Step ", "\\,", "\u2212", "\ud83d"]
numbers = st.integers(-(10**9), 10**9)
hostile = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


# --- mentions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("2450", "it costs $2,450."),
        ("2450", r"it costs \$2{,}450 or \(2\,450.00\)"),
        ("6", "x = 9-3=6"),
        ("6", "6km"),
        ("-6", "it falls to -6 degrees"),
        ("3/4", r"that is \dfrac{3}{4} or so"),
        ("0.75", "we get 3/4"),
        ("3/4", "0.750"),
        ("x = 6", "hence x = 6"),
        ("(3, 4)", r"\left( 3,\; 4 \right)"),
        (r"2\sqrt{3}", r"2 \sqrt 3"),
        ("15\\%", "15 percent"),
        ("New Delhi", "in new\ndelhi,"),
        ("B", "so (B) is right"),
        ("4 million", "4,000,000 people"),
    ],
)
def test_an_answer_that_stands_by_itself_is_mentioned(gold: str, text: str) -> None:
    """Separators, zeros at the end, LaTeX's spacing and the case of words do not hide it."""
    assert mentions(text, gold)


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("6", "16, 61, 6.5, 0.6, 1,600 and 6,000"),
        ("6", "x^6 + a_6 + 6/7 + 7/6 + 6x and the 6th"),
        ("6", "Step 6: go on\n6. Then\n6) Next"),
        ("6", "at 12:06 it is -6"),
        ("-6", "6"),
        ("2450", "24500"),
        ("A", "A man had A plan"),
        ("Oslo", "Osloer"),
        ("", "anything"),
        ("6", ""),
    ],
)
def test_a_part_of_something_else_is_no_mention(gold: str, text: str) -> None:
    """Digits in a longer number, a term, a label or a word are not the answer."""
    assert not mentions(text, gold)


@settings(deadline=None)
@given(numbers, hostile, hostile)
def test_a_span_holds_exactly_the_answer(gold: int, before: str, after: str) -> None:
    """Every span lies in the text, in order, and reads as the gold."""
    text = f"{before} is {gold:,} . {after}"
    spans = list(find_mentions(text, str(gold)))
    assert any(quantity(plain(text[a:b])) == quantity(str(gold)) for a, b in spans)
    assert all(compare(str(gold), text[a:b]) is Agreement.AGREE for a, b in spans)
    assert spans == sorted(spans)


@pytest.mark.slow
def test_real_traces_mention_their_answers(shared_data: Path) -> None:
    """At least 98 of 100 right traces state their gold in the clear."""
    path = shared_data / "traces/gsm8k_r1_qwq_s11_dsq_120q.jsonl"
    traces = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    right = [row for row in traces if row["label"] == "correct" and row["reasoning_content"]]
    found = sum(mentions(row["reasoning_content"], row["gold"]) for row in right)
    assert found >= 0.98 * len(right)


# --- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["9^{9^{9^9}}", "(" * 90 + "1" + ")" * 90, "1/0", "5!!!!", "x"])
def test_huge_and_foreign_values_are_no_numbers(text: str) -> None:
    """Arithmetic is bounded in nesting and size, and gives up instead of computing on."""
    assert rational(text) is None


def test_a_list_is_cut_outside_of_its_brackets_only() -> None:
    """Commas inside of points belong to the points."""
    found = enumeration(r"\{(1, 2), [3, 4)\}")
    assert found is not None
    assert found.items == ("(1, 2)", "[3, 4)")
    assert enumeration("((1, 2)") is None


def test_a_unit_is_told_from_a_symbol() -> None:
    """Letters that may be symbols are never taken away as units."""
    assert without_unit(r"2\sqrt{5} inches") == (r"2\sqrt{5}", "in")
    assert without_unit(r"2\sqrt{5} m") == (r"2\sqrt{5} m", "")
    assert without_unit(r"\sin 30°") == (r"\sin 30°", "")


def test_a_number_is_picked_with_its_rivals() -> None:
    """Whoever reads a sentence learns which other numbers it holds."""
    pick = pick_number("Rita runs 50 miles in 7 hours.", before="30 + 20 = 50")
    assert pick is not None
    assert (pick.value, pick.others, pick.certain) == ("50", ("7",), True)
