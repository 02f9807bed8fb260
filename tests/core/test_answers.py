import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.growth import TIMES, growth
from weak2wise_core.answers import (
    Agreement,
    final_answer,
    find_mentions,
    rule,
    strip_thinking,
)
from weak2wise_core.answers.quantities import quantity

AGREE, DISAGREE, UNDECIDED = Agreement.AGREE, Agreement.DISAGREE, Agreement.UNDECIDED

numbers = st.integers(-(10**9), 10**9)
PIECES = [
    *"0123456789.,;:!?-+*/=^_(){}[]$%#<>|&~ \n\\'\"aAxe",
    "\\boxed{", "\\frac{", "\\text{", "\\(", "\\]", "<think>", "</think>", "answer is ", "Answer:",
    "####", "A:", "**", "and ", "or ", "\\pm ", "\\le ", "½", "\u2212", "π", "\ud83d", "\u2028",
]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


# --- what an attempt ends with -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<think>14?</think>The answer is 15.", "The answer is 15."),
        ("14?</think>15", "15"),
        ("<think>a</think>b</think>c", "c"),
        ("no tags", "no tags"),
        ("<think>perhaps 14", None),
        ("<think>a</think>15 <think>or", None),
    ],
)
def test_an_unfinished_thought_is_no_answer(text: str, visible: str | None) -> None:
    """Only what follows the last closing tag is visible; a thought without an end hides all."""
    assert strip_thinking(text) == visible
    assert visible is not None or final_answer(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"First \boxed{3}, but no: \boxed{\frac{4}{5}}.", r"\frac{4}{5}"),
        (r"\fbox{6}", "6"),
        (r"The roots are \boxed{2}, \boxed{3} and \boxed{7}.", "2, 3, 7"),
        (r"\boxed{\boxed{6}}", r"\boxed{6}"),
        (r"$x = -\boxed{6}$", "-(6)"),
        (r"about \boxed{6} million people", "6 million"),
        ('{"reasoning": "6 * 7", "answer": "42"}', "42"),
        ('```json\n{"reasoning": "6 * 7 = 42", "answer": 42}\n```', "42"),
        ("6 * 7 = <<6*7=42>>42 in all\n#### 42", "42"),
        ("He buys 6 bags of 7.\nA: 42", "42"),
        ("## Final Answer\n\n42", "42"),
        ("**Final Answer:** $42", "$42"),
        ("**Answer:** Ada pays **\\$42.00** for 6 bags.", "42.00"),
        ("So the answer is 42. I hope it is correct.", "42"),
        ("Therefore the final answer is $\\frac{x}{2}$.", r"\frac{x}{2}"),
        ("The correct answer is (D).", "(D)"),
        ("I take option (D), since it is the shortest.", "D"),
        ("Ada has 50 - 8 = 42 coins left after 3 days.", "42"),
        ("6 bags of 7 make 6 * 7 = 42.\nIn 2 weeks, Ada sells 42 apples.", "42"),
        ("On 7 days she works 6 hours.\nShe works 42 hours.\n", "42"),
        (r"Hence \( 2x + 1 \) is what remains.", "2x + 1"),
        ("42", "42"),
        ("Lisbon", "Lisbon"),
        ("", None),
        ("...", None),
    ],
)
def test_the_final_answer_is_found(text: str, answer: str | None) -> None:
    """Boxes come first, then fields, announcements and the last sentence that holds a value."""
    assert final_answer(text) == answer


def test_a_strict_reading_wants_an_announcement() -> None:
    """A closing sentence is read as an answer only where that is asked for."""
    assert final_answer("Ada has 42 coins.", lenient=False) is None
    assert final_answer("Ada has 42 coins. Answer: 42", lenient=False) == "42"


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="{}\\<>")), hostile)
def test_the_last_box_is_read_whatever_stands_before(content: str, before: str) -> None:
    """Any text in a last, balanced box is the final answer."""
    visible = strip_thinking(before + "</think>")
    assert visible is not None
    assert final_answer(f"{before}</think>So: \\boxed{{{content}}}") == (content.strip() or None)


# --- a whole attempt -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gold", "attempt"),
    [
        ("42", r"6 \cdot 7 = 42, so \boxed{42}."),
        (r"Thus 6 times 7 is \boxed{42} coins.", "42"),
        ("She has 6 * 7 = 42 coins.\n#### 42", r"\boxed{42}"),
        ("42", "6 * 7 = 42\n\nSo in 7 days Ada earns $42."),
        ("42", "The answer is not 24. The answer is 42."),
        ("42", "The total is forty-two, that is 42."),
        ("12 and 13", r"It lies between \boxed{12 $ and $13 }."),
        ("A", "Answer: A) The first one"),
        ("10200", r"It earns \boxed{200} first. Final Answer: The final answer is $10,200$."),
    ],
)
def test_a_right_attempt_agrees(gold: str, attempt: str) -> None:
    """The gold may be a bare answer or a solution, the attempt a box, a sentence or a line."""
    assert rule(gold, attempt).agreement is AGREE


@pytest.mark.parametrize(
    ("gold", "attempt"),
    [
        ("42", "<think>It must be 42"),
        ("42", "<think>42</think>"),
        ("42", ""),
        ("42", "6 * 7 = 42\n\nSo Ada pays $48."),
        ("42", r"\boxed{42}, wait, \boxed{48}"),
        ("9", "She pays 9 + 33 = 42 dollars."),
        ("42", "Yes. The answer is 41. Say that 41 is right. Yes"),
        ("[0, 4)", "Final Answer: The final answer is $(0, 4)$. I hope it is correct."),
    ],
)
def test_a_wrong_or_missing_answer_disagrees(gold: str, attempt: str) -> None:
    """What is only thought, computed on the way, or boxed and replaced is no answer."""
    assert rule(gold, attempt).agreement is DISAGREE


@pytest.mark.parametrize(
    ("gold", "attempt"),
    [
        ("15", "15 + 5 = 20\nTherefore there are 15 sheep and 5 geese."),
        ("5", "10 + 5 = 15 and 20 - 15 = 5.\nTherefore there are 15 sheep and 5 geese."),
        ("450", "300 + 150 = 450\nShe earns $450 for goods worth $2500."),
        ("42", r"\boxed{42}. Actually, I made a mistake."),
        ("42", "The answer is 42.\n\nSo in total she pays 48 dollars."),
        ("42", r"\boxed{42} The final answer is 48."),
        ("42", r"She has \boxed{4} cows and \boxed{42} hens."),
        ("2", r"\boxed{1} and \boxed{2}"),
        ("5", "The answer is less than 5."),
        ("5", "Either 5 or 6 hours."),
        ("42", r"So it is \boxed{42"),
        ("Danube", "It is the river Danube, or perhaps the Rhine."),
    ],
)
def test_several_or_doubtful_answers_are_undecided(gold: str, attempt: str) -> None:
    """Where a reader could point at two answers, rules point at none."""
    assert rule(gold, attempt).agreement is UNDECIDED


def test_algebra_is_offered_formulas_only() -> None:
    """Words never reach algebra, which would multiply their letters; nor do plain numbers."""
    assert rule("x+x", r"\boxed{2x}").algebra == ("x+x", "2x")
    assert rule("dog", r"\boxed{god}").algebra is None
    assert rule("7, 3", r"\boxed{3, 7}").algebra is None
    assert rule(r"\sqrt{2}\text{ cm}", r"\boxed{\sqrt{2}\text{ mm}}").algebra is None


@settings(deadline=None)
@given(hostile, hostile)
def test_no_text_breaks_a_ruling(gold: str, attempt: str) -> None:
    """Attempts are untrusted: every text has a ruling and never raises."""
    assert rule(gold, attempt).agreement in Agreement
    final_answer(attempt)


@settings(deadline=None)
@given(numbers, numbers, st.sampled_from(["\\boxed{%d}", "A: %d", "The answer is %d.", "#### %d"]))
def test_a_stated_number_is_right_if_and_only_if_it_is_the_gold(
    gold: int, other: int, form: str
) -> None:
    """Numbers on the way to another answer never make an attempt right."""
    attempt = f"First {gold} + 1 = {gold + 1}. " + "\n" + form % other
    assert rule(str(gold), attempt).agreement is (AGREE if gold == other else DISAGREE)


# --- hostile texts and real data -----------------------------------------------------------------

TRAPS = {
    "open boxes": "\\boxed{" * 140_000,
    "nested braces": "\\boxed{" + "{" * 10_000 + "5" + "}" * 10_000 + "}",
    "one open box": "\\boxed{" + "(" * 1_000_000,
    "blanks": " " * 1_000_000,
    "lines": "\n- " * 330_000,
    "digits": "9" * 1_000_000,
    "commas": "1," * 500_000,
    "equations": "1=1=" * 250_000,
    "dollars": "$1" * 500_000,
    "announcements": "answer is " * 100_000,
    "marks": "####\n" * 200_000,
    "open fields": '{"answer": "' * 80_000,
    "backslashes": "\\" * 1_000_000,
    "stars": "**1**" * 200_000,
    "tags": "<think>" * 140_000 + "</think>" * 20_000,
    "prose": "Ada had 5 + 3 = 8 apples, 9 pears and 2 plums. " * 21_000,
    "list in a box": "\\boxed{" + ", ".join(f"({i},1)" for i in range(29)) + "}",
    "tower": "\\boxed{9^{9^{9^{9}}}}",
    "deep point": "\\boxed{" + "(" * 60 + "1,2" + ")" * 60 + "}",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.parametrize(
    "gold", ["5", r"\frac{1}{2} + x", ", ".join(f"({i},2)" for i in range(29))]
)
def test_no_hostile_attempt_makes_ruling_slow(name: str, gold: str) -> None:
    """Time grows with the length of an attempt, up to a megabyte, and not with its square."""

    def work(size: int) -> None:
        attempt = TRAPS[name][:size]
        rule(gold, attempt)
        final_answer(attempt)
        list(find_mentions(attempt[: size // 16], gold))

    assert rule(gold, TRAPS[name]).agreement is not AGREE
    assert growth(work, len(TRAPS[name]) // TIMES) < 3 * TIMES


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of one file of real data."""
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["verify/gsm8k_attempts_labelled.jsonl", "attempts/gsm8k_openai_6b_175b.jsonl"]
)
def test_no_other_number_of_a_right_attempt_passes_for_its_answer(
    shared_data: Path, name: str
) -> None:
    """Right attempts are never right for a gold that is another whole number of their own text."""
    for row in rows(shared_data, name):
        gold = Fraction(row["gold"])
        if not row.get("label", row.get("correct")) or "dozen" in row["attempt"]:
            continue
        seen = {quantity(word.strip(".,$")) for word in row["attempt"].split()[-80:]}
        for other in {found.value for found in seen if found is not None} - {gold}:
            if other.denominator == 1:
                assert rule(str(other), row["attempt"]).agreement is not AGREE, (row["id"], other)
