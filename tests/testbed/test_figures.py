"""The figures command: what it counts, checked on outcomes that are known."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from testbed.figures import (
    Scored,
    area_under_curve,
    hint_tasks,
    is_right,
    keep_failed,
    report,
    score_pool,
)
from testbed.language import find_problem
from testbed.questions import pool_questions
from testbed.teachers import Quality, Teacher, teach
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage


class Oracle:
    """Answers every question right, or only those whose hint shows a step in full."""

    def __init__(self, *, needs: str = "") -> None:
        self._needs = needs

    @property
    def identity(self) -> dict[str, Any]:
        """A name."""
        return {"model": "oracle"}

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """The true answer in a box, or 0."""
        prompt = messages[-1].content
        answer = find_problem(prompt).answer if self._needs in prompt else "0"
        return ChatReply(
            content=rf"1 + 1 = 2. \boxed{{{answer}}}",
            reasoning=None,
            finish_reason=FinishReason.STOP,
            usage=Usage(),
            model="oracle",
        )

    async def aclose(self) -> None:
        """Nothing is open."""


def test_the_last_box_is_the_answer() -> None:
    """A reply without a box, or with another number last, is wrong."""
    assert is_right(r"3 + 1 = 4. \boxed{4}", answer="4")
    assert not is_right(r"\boxed{4} no, \boxed{5}", answer="4")
    assert not is_right("4", answer="4")


def test_the_area_under_the_curve_counts_ties_half() -> None:
    """1 where all good scores lie above, 1/2 where nothing tells them apart."""
    low, high = Fraction(0), Fraction(1)
    assert area_under_curve([high, high], worse=[low]) == 1
    assert area_under_curve([low, high], worse=[low, high]) == 0.5
    assert area_under_curve([low], worse=[high]) == 0


def test_hints_are_asked_lightest_mask_first() -> None:
    """One prompt a level, each showing less than the one before."""
    question = pool_questions(count=1, seed=7)[0]
    steps = teach(question.question, teacher=Teacher.A, draw=0).steps
    tasks = hint_tasks(question.question, question.answer, steps=steps)
    shown = [len(task.prompt.replace(" (to be continued...)", "")) for task in tasks]
    assert shown == sorted(shown, reverse=True)
    assert len(set(shown)) == 6


def test_scores_are_those_of_equation_7() -> None:
    """All levels right score 1; the lightest alone scores 19/192."""
    levels = (True, False, False, False, False, False)
    lightest = Scored(question_id="q", quality=Quality.GOOD, outcomes=levels)
    assert lightest.score == Fraction(19, 192)
    assert Scored(question_id="q", quality=Quality.GOOD, outcomes=(True,) * 6).score == 1


async def test_the_filter_keeps_what_is_failed_alone() -> None:
    """Questions answered without a hint are not scored."""
    questions = pool_questions(count=5, seed=7)
    assert await keep_failed(Oracle(), questions) == ([], 1.0)
    assert await keep_failed(Oracle(needs="## Hint"), questions) == (questions, 0.0)


async def test_every_candidate_of_the_pool_is_scored() -> None:
    """Two teachers, three draws each, six levels; only level 0 shows a step that ends in '.'."""
    scored = await score_pool(
        Oracle(needs=".\n\n(to be continued...)"), pool_questions(count=4, seed=7)
    )
    assert len(scored) == 24
    assert {one.outcomes for one in scored} == {(True, False, False, False, False, False)}


@pytest.mark.slow
async def test_the_report_holds_every_table() -> None:
    """Accuracy alone, mask curves by habit, the pool, and the speed."""
    text = await report(Oracle(needs="## Hint"), count=3, pool=8, seed=7)
    assert "| 2 | 0.000 | 0.000 |" in text
    assert "| teacher-b, long | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |" in text
    assert "8 kept" in text
    assert "good against the rest | 0.500" in text
    assert "288 queries" in text
