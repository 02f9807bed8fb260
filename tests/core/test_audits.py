"""Laws of the audits: what they find is there, and what they do not understand is no finding."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core import near_duplicates as near_duplicates_module
from weak2wise_core.audits import Auditor, counted
from weak2wise_core.near_duplicates import ALIKE, SHINGLE, near_duplicates
from weak2wise_core.questions import normal_form
from weak2wise_core.records import (
    Audit,
    CandidateTrace,
    Finding,
    Question,
    Refusal,
    Rejection,
    RejectionKind,
    SFTExample,
    Truncation,
)
from weak2wise_core.steps import split_steps
from weak2wise_core.traces import find_disagreement

QUESTION = Question(id="q", question="How many?", answer="7")


def candidate(stated: str, thought: str, *, draw: int = 0, **marks: Any) -> CandidateTrace:
    """A trace whose steps state one answer and whose thinking states another, or the same."""
    trace = CandidateTrace(
        question_id="q",
        strong_model="a",
        draw=draw,
        normal_reasoning=f"So the answer is {thought}.",
        step_reasoning=f"## Step\nx\n\n## Final Answer\n{stated}",
        refusal=None,
        detail="",
        answer_leak=False,
        told_answer=False,
        model="a",
        spent=(),
    )
    differ = find_disagreement(
        split_steps(trace.step_reasoning), normal_reasoning=trace.normal_reasoning
    )
    return replace(trace, **{"steps_disagree": bool(differ), "detail": differ, **marks})


def audited(candidates: Sequence[CandidateTrace]) -> tuple[Finding, ...]:
    """Findings about one question; draw 0 is trained on."""
    example = SFTExample(
        question_id="q",
        prompt="",
        response="",
        answer="7",
        strong_model="a",
        draw=0,
        score=1.0,
        truncation=Truncation.NOT_NEEDED,
        tokens=1,
    )
    auditor = Auditor()
    auditor.add(QUESTION, candidates=candidates, train=[example])
    return auditor.findings([QUESTION], [])


def test_different_final_answers_are_a_disagreement() -> None:
    """Only where the thinking states an answer, and a rule calls it another one."""
    for stated, thought, expected in (
        ("7", "8", True),
        ("7", "7.0", False),
        ("$7$", "7", False),
        (r"\boxed{1/2}", "0.5", False),
        ("7", "the same as before", False),
    ):
        assert candidate(stated, thought).steps_disagree is expected, (stated, thought)
    silent = find_disagreement(split_steps("## A\nx\n## Final Answer\n7"), normal_reasoning="Hm, 8")
    assert silent == ""


def test_marks_of_candidates_are_findings() -> None:
    """Each with its candidate, and whether that one is trained on."""
    rows = audited(
        [
            candidate("7", "7", answer_leak=True),
            candidate("7", "7", draw=1, answer_leak=True, told_answer=True),
            candidate("7", "9", draw=2),
        ]
    )
    assert [(one.audit, one.draw, one.trained_on) for one in rows] == [
        (Audit.ANSWER_LEAK, 0, True),
        (Audit.ANSWER_LEAK, 1, False),
        (Audit.TOLD_ANSWER, 1, False),
        (Audit.STEPS_DISAGREE, 2, False),
    ]
    assert "'7'" in rows[-1].detail
    assert "'9'" in rows[-1].detail


def test_gold_is_suspicious_where_all_come_to_one_other_answer() -> None:
    """Refused ones count by what they state, others by what they think; one dissent clears it."""
    wrong = candidate("8", "8", refusal=Refusal.WRONG_FINAL_ANSWER)
    secret = candidate("7", "8", draw=1)
    (found,) = [one for one in audited([wrong, secret]) if one.audit is Audit.SUSPICIOUS_GOLD]
    assert "'7'" in found.detail
    assert "'8'" in found.detail
    for others in (
        [wrong],  # one alone is no agreement
        [wrong, candidate("7", "7", draw=1)],  # one that agrees with the file
        [wrong, candidate("9", "9", draw=1, refusal=Refusal.WRONG_FINAL_ANSWER)],
        [candidate("7", "7"), candidate("7", "7", draw=1)],
    ):
        audits = {one.audit for one in audited(others)}
        assert Audit.SUSPICIOUS_GOLD not in audits


def test_contamination_is_counted_and_says_if_it_was_looked_for() -> None:
    """A dropped question is a finding; without a benchmark nobody looked."""
    dropped = Rejection(
        question_id="q",
        stage="decontaminate",
        kind=RejectionKind.DROPPED,
        reason="contaminated",
        detail="shares words",
    )
    rows = Auditor().findings([], [dropped])
    assert [(one.audit, one.detail) for one in rows] == [(Audit.CONTAMINATED, "shares words")]
    assert counted(rows, decontaminated=True)["contaminated"]["found"] == 1
    assert counted((), decontaminated=False)["contaminated"]["checked"] is False
    assert set(counted((), decontaminated=True)) == {audit.value for audit in Audit}


def shingles(text: str) -> int:
    """How many different groups of words a text has."""
    words = normal_form(text).split()
    last = max(len(words) - SHINGLE, 0) + 1
    return len({tuple(words[at : at + SHINGLE]) for at in range(last)})


def alike(one: str, two: str) -> float:
    """Jaccard similarity of groups of words, plainly."""
    sets = []
    for text in (one, two):
        words = normal_form(text).split()
        last = max(len(words) - SHINGLE, 0) + 1
        sets.append({tuple(words[at : at + SHINGLE]) for at in range(last)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=14), max_size=12))
def test_near_duplicates_are_those_that_comparing_every_pair_finds(texts: list[list[str]]) -> None:
    """The filter that avoids comparisons loses none, and names the first text of its kind."""
    written = [" ".join(words) for words in texts]
    best: dict[int, float] = {}
    firsts: list[int] = []
    for later in sorted(range(len(written)), key=lambda at: (shingles(written[at]), at)):
        likeness = max((alike(written[one], written[later]) for one in firsts), default=0.0)
        if likeness >= ALIKE:
            best[later] = likeness
        else:
            firsts.append(later)
    found = near_duplicates(written)
    assert {at: likeness for at, (_, likeness) in found.items()} == best
    for at, (earlier, likeness) in found.items():
        assert alike(written[earlier], written[at]) == likeness


@pytest.mark.parametrize(
    ("template", "kinds"),
    [
        ("question {} of many: how much is it when all of the parts are counted twice", 1),
        ("item {}: how many is it with all parts", 1000),
        ("how many are {} and {} and {} of them", 1000),
    ],
)
def test_texts_of_one_template_are_not_compared_in_pairs(
    monkeypatch: pytest.MonkeyPatch, template: str, kinds: int
) -> None:
    """Alike or not, a thousand of them take a thousand comparisons, not half a million."""
    compared = 0
    jaccard = near_duplicates_module._jaccard

    def counting(one: Any, two: Any) -> float:
        nonlocal compared
        compared += 1
        return jaccard(one, two)

    monkeypatch.setattr(near_duplicates_module, "_jaccard", counting)
    found = near_duplicates([template.format(n, n, n) for n in range(1000)])
    assert len(found) == 1000 - kinds
    assert {other for other, _ in found.values()} <= {0}
    assert compared <= 1000


def test_a_changed_word_in_a_long_question_is_a_near_duplicate() -> None:
    """A copy with one other word is found, a question about the same things is not."""
    text = (
        "a train leaves the station at noon and travels at sixty miles an hour for three hours "
        "before it stops, so how many miles has it gone"
    )
    copy = text.replace("noon", "midnight")
    other = "how far does a train travel in three hours at sixty miles an hour"
    assert near_duplicates([text, other, copy]) == {2: (0, alike(text, copy))}
