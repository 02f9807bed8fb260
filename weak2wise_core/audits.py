"""What makes a row of a dataset doubtful, though nothing refused it (ours).

Six audits, each counted in the manifest, shown in the report and stored as one row of
`audits.parquet` for every finding:

==================  ==============================================================================
answer_leak         the answer stands in the clear in a step before the last
told_answer         the thinking betrays that it was told the answer
steps_disagree      the thinking ends with another answer than the steps state
suspicious_gold     every strong model comes to the same other answer than the question file
near_duplicate      it shares most of its words with the first question of its kind
contaminated        the question overlaps with a benchmark, and was dropped for it
==================  ==============================================================================

All are functions of the tables. A finding is no verdict: the rules read English, and algebra that
they do not understand is never a finding.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import pairwise

from weak2wise_core.answers import Agreement, compare
from weak2wise_core.answers import final_answer as concluded
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.near_duplicates import SHINGLE, near_duplicates
from weak2wise_core.records import (
    Audit,
    CandidateTrace,
    Finding,
    Question,
    Refusal,
    Rejection,
    SFTExample,
)
from weak2wise_core.steps import final_answer, split_steps

CONTAMINATED = "contaminated"
"""The reason of a rejection for overlap with a benchmark."""


class Auditor:
    """Looks at the rows of one question after the other, and at all questions in the end."""

    def __init__(self) -> None:
        """Nothing is found yet."""
        self._trained: set[str] = set()
        self._marked: dict[Audit, list[Finding]] = defaultdict(list)
        self._suspicious: list[Finding] = []

    def add(
        self,
        question: Question,
        *,
        candidates: Sequence[CandidateTrace] = (),
        train: Sequence[SFTExample] = (),
    ) -> None:
        """Look at one question, its candidates and what is trained on of it."""
        if train:
            self._trained.add(question.id)
        chosen = {(row.strong_model, row.draw) for row in train}
        for one in _marked(candidates, chosen):
            self._marked[one.audit].append(one)
        self._suspicious += _suspicious(question, candidates, trained_on=bool(train))

    def findings(
        self, questions: Sequence[Question], rejections: Iterable[Rejection]
    ) -> tuple[Finding, ...]:
        """Everything that was found, audit by audit, in the order of the questions."""
        return (
            *(one for audit in Audit for one in self._marked[audit]),
            *self._suspicious,
            *_repeated(questions, self._trained),
            *_contaminated(rejections),
        )


def counted(found: Iterable[Finding], *, decontaminated: bool) -> dict[str, dict[str, int | bool]]:
    """Findings, questions concerned, and questions in the training set, of every audit.

    Args:
        found: The findings.
        decontaminated: Whether the build was given a benchmark to compare with.
    """
    by_audit: dict[Audit, list[Finding]] = defaultdict(list)
    for one in found:
        by_audit[one.audit].append(one)
    return {
        audit.value: {
            "checked": decontaminated if audit is Audit.CONTAMINATED else True,
            "found": len(rows),
            "questions": len({row.question_id for row in rows}),
            "trained_on": len({row.question_id for row in rows if row.trained_on}),
        }
        for audit in Audit
        for rows in [by_audit[audit]]
    }


# --- candidates ---------------------------------------------------------------------------------


def _marked(
    candidates: Iterable[CandidateTrace], chosen: Set[tuple[str, int]]
) -> Iterator[Finding]:
    """What is marked on the candidates themselves."""
    for one in candidates:
        marks = {
            Audit.ANSWER_LEAK: one.answer_leak,
            Audit.TOLD_ANSWER: one.told_answer,
            Audit.STEPS_DISAGREE: one.steps_disagree,
        }
        for audit in (audit for audit, marked in marks.items() if marked):
            yield Finding(
                audit=audit,
                question_id=one.question_id,
                strong_model=one.strong_model,
                draw=one.draw,
                other_id="",
                trained_on=(one.strong_model, one.draw) in chosen,
                detail=one.detail,
            )


# --- ground truth -------------------------------------------------------------------------------


def _suspicious(
    question: Question, candidates: Sequence[CandidateTrace], *, trained_on: bool
) -> Iterator[Finding]:
    """A question whose strong models, though told the answer, all come to one other."""
    if answers := _other_answers(candidates):
        yield Finding(
            audit=Audit.SUSPICIOUS_GOLD,
            question_id=question.id,
            strong_model="",
            draw=None,
            other_id="",
            trained_on=trained_on,
            detail=f"the file says {question.answer[:80]!r}, "
            f"{len(answers)} of {len(answers)} traces come to {answers[0][:80]!r}",
        )


def _other_answers(candidates: Sequence[CandidateTrace]) -> list[str]:
    """The one other answer of at least two candidates; empty where any of them has none."""
    answers = [_other_answer(one) for one in candidates]
    found = [answer for answer in answers if answer]
    if len(found) < 2 or len(found) < len(answers):
        return []
    agree = all(compare(one, two) is Agreement.AGREE for one, two in pairwise(found))
    return found if agree else []


def _other_answer(candidate: CandidateTrace) -> str:
    """What a candidate comes to where that is not the answer it was told."""
    if candidate.refusal is Refusal.WRONG_FINAL_ANSWER:
        stated = _stated(candidate.step_reasoning)
        return concluded(stated) or stated
    if candidate.steps_disagree:
        return concluded(candidate.normal_reasoning, lenient=False) or ""
    return ""


def _stated(step_reasoning: str) -> str:
    try:
        return final_answer(split_steps(step_reasoning)) or ""
    except TraceFormatError:
        return ""


# --- questions ----------------------------------------------------------------------------------


def _repeated(questions: Sequence[Question], trained: Set[str]) -> Iterator[Finding]:
    """Every question that is nearly another one, with the first of its kind."""
    for at, (earlier, alike) in near_duplicates([one.question for one in questions]).items():
        yield Finding(
            audit=Audit.NEAR_DUPLICATE,
            question_id=questions[at].id,
            strong_model="",
            draw=None,
            other_id=questions[earlier].id,
            trained_on=questions[at].id in trained,
            detail=f"shares {alike:.0%} of its groups of {SHINGLE} words with "
            f"{questions[earlier].id}",
        )


def _contaminated(rejections: Iterable[Rejection]) -> Iterator[Finding]:
    for one in rejections:
        if one.reason == CONTAMINATED:
            yield Finding(
                audit=Audit.CONTAMINATED,
                question_id=one.question_id,
                strong_model="",
                draw=None,
                other_id="",
                trained_on=False,
                detail=one.detail,
            )
