"""Laws of the sentence that says why a trace won: it names what decided."""

from typing import Any

import pytest

from weak2wise_core.records import GoldenReasoning, GoldenSource, ScoredTrace, Truncation
from weak2wise_core.report.reasons import why_it_won


def golden(**changes: Any) -> GoldenReasoning:
    """A winner: teacher a, draw 0, 0.5, 80 tokens."""
    fields: dict[str, Any] = {
        "question_id": "q",
        "strong_model": "a",
        "draw": 0,
        "source": GoldenSource.STEP_MASK,
        "score": 0.5,
        "golden_reasoning": "r",
        "truncation": Truncation.NOT_NEEDED,
        "normal_tokens": 80,
        "golden_tokens": 80,
        "spent": (),
    }
    return GoldenReasoning(**fields | changes)


def scored(draw: int, score: float | None, *, upper: float | None = None, tokens: int = 90) -> Any:
    """A scored candidate of teacher a."""
    known = score if score is not None else upper
    assert known is not None
    return ScoredTrace(
        question_id="q",
        strong_model="a",
        draw=draw,
        outcomes=(),
        asked=(),
        normal_tokens=tokens,
        reading="unit_range",
        beta=0.5,
        s_avg=score,
        s_ew=score,
        score=score,
        lower=score or 0.0,
        upper=known,
    )


OWN = scored(0, 0.5, tokens=80)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], "The only trace that could be scored"),
        ([scored(1, 0.25)], "is the highest: the next one, a draw 1, has 0.250"),
        ([scored(1, None, upper=0.4)], "a draw 1, could reach 0.400 at most."),
        ([scored(1, None, upper=0.5)], "could reach 0.500 at most, and is no shorter."),
        ([scored(1, 0.5)], "2 traces share the highest score 0.500; this one is the shortest"),
        ([scored(1, 0.5, tokens=80)], "as short as any with 80 tokens, this one is first"),
        ([scored(1, None, upper=0.9)], "1 trace was set aside: a level of it was not judged"),
    ],
)
def test_the_sentence_says_what_decided(others: list[ScoredTrace], expected: str) -> None:
    """Score, bound, length, order, or a verdict that is missing."""
    assert expected in why_it_won(golden(), [OWN, *others])


def test_another_selector_is_named() -> None:
    """A trace that its score did not choose is not said to have the highest one."""
    found = why_it_won(golden(source=GoldenSource.SELECTION), [OWN], selector="rank_surprisal")
    assert found.startswith("Chosen by rank surprisal among 1 scored")
    assert "highest" not in found


def test_a_person_is_named() -> None:
    """Reasoning that a person wrote won against nothing."""
    assert "A person wrote" in why_it_won(golden(source=GoldenSource.ANNOTATION), [OWN])
