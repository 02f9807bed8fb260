"""Laws of the rows that say why nobody could judge."""

import dataclasses

import pytest

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    FinishReason,
    JudgedBy,
    MaskOutcomes,
    Question,
    Rejection,
    Verdict,
)
from weak2wise_core.stages.filtering import unjudged
from weak2wise_core.stages.selecting import golden_of

QUESTION = Question(id="q", question="2 + 2?", answer="4")
ATTEMPT = Attempt(
    question_id="q",
    attempt="perhaps four",
    finish_reason=FinishReason.STOP,
    verdict=Verdict.UNJUDGED,
    judged_by=JudgedBy.NOBODY,
    votes=(),
    model="weak-0925",
    spent=(),
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"finish_reason": FinishReason.CONTENT_FILTER}, "content filter withheld it"),
        ({}, "no rule is certain of it; it ends with 'perhaps four'"),
        (
            {"votes": (Verdict.CORRECT, Verdict.INCORRECT, Verdict.UNJUDGED)},
            "no majority (correct, incorrect, unjudged)",
        ),
    ],
)
def test_an_attempt_without_a_verdict_says_why(changes: dict[str, object], told: str) -> None:
    """Filter, rules and votes need different remedies; the row names the model and the draw."""
    row = unjudged(dataclasses.replace(ATTEMPT, **changes))  # type: ignore[arg-type]
    assert told in row.detail
    assert (row.stage, row.reason, row.model, row.draw) == ("filter_qa", "unjudged", "weak", 0)


def outcomes_of(draw: int, *verdicts: Verdict, asked: int = 2) -> MaskOutcomes:
    """A row with these verdicts, of which the first were asked."""
    return MaskOutcomes(
        question_id="q",
        strong_model="s",
        draw=draw,
        outcomes=verdicts,
        asked=tuple(number < asked for number in range(len(verdicts))),
        attempts=("",) * len(verdicts),
        normal_tokens=1,
        spent=(),
    )


def test_a_question_without_a_judged_candidate_names_the_gaps() -> None:
    """Every candidate with the levels that have no verdict; model and draw are of the first."""
    rows = [
        outcomes_of(0, Verdict.CORRECT, Verdict.UNJUDGED),
        *(outcomes_of(n, Verdict.UNJUDGED, Verdict.UNJUDGED) for n in range(1, 7)),
    ]
    candidates: list[CandidateTrace] = []
    found = golden_of(
        QUESTION, candidates=candidates, outcomes=rows, settings=StepMaskSettings(granularity=2)
    )
    assert isinstance(found, Rejection)
    assert (found.reason, found.model, found.draw) == ("unjudged", "s", 0)
    assert "s draw 0 has no verdict at level 1; s draw 1 has no verdict at level 0, 1" in (
        found.detail
    )
    assert "and 2 more. Stored votes come again" in found.detail
