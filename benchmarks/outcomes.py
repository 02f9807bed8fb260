"""Mock models whose answers follow four models of what a weak model can do with masked hints.

Every reply is fixed by its request and draw, as a server with seeds would answer, so that two ways
of asking can be compared winner by winner.
"""

import asyncio
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import (
    CandidateTrace,
    ChatReply,
    FinishReason,
    Message,
    Question,
    Usage,
)
from weak2wise_core.stages.wording import hint_request
from weak2wise_core.steps import split_steps

MODELS = ("independent", "correlated", "monotone", "flat")
"""How the answers to the levels of one candidate hang together."""
ALL_ZERO = 0.06
"""Share of questions that no trace helps with, as in section 3.5."""
DISSENT = 0.05
"""Chance that one vote of the judge goes astray."""
_LENGTH_OF_A_STEP = 60


def chances(model: str, *, levels: int, rng: Random, difficulty: float) -> list[float]:
    """The chance of a correct answer at every level of one candidate, lightest first."""
    quality = rng.gauss(0, 0.9)
    if model == "flat":
        return [rng.betavariate(0.7, 0.7)] * levels
    slope = 0.55 if model == "independent" else 0.7
    middle = levels / 2.7
    steepness = {"independent": 1.0, "correlated": 4.0, "monotone": 1000.0}[model]
    return [
        _logistic(steepness * (difficulty + quality - slope * (i - middle))) for i in range(levels)
    ]


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))


@dataclass(frozen=True, slots=True, kw_only=True)
class MockQuestion:
    """A question, its candidates, and whether the weak model answers each cell."""

    question: Question
    candidates: tuple[CandidateTrace, ...]
    correct: dict[tuple[str, int, int], bool]
    """By strong model, draw and level."""


def mock_question(number: int, *, seed: int, settings: StepMaskSettings) -> MockQuestion:
    """One question with six candidates (two strong models, three draws)."""
    rng = Random(f"{seed}/{number}")
    levels, model = settings.granularity, MODELS[number % len(MODELS)]
    difficulty = -math.inf if rng.random() < ALL_ZERO else rng.gauss(0, 1.4)
    question = Question(id=f"q{number}", question=f"What is question {number}?", answer="42")
    candidates, correct = [], {}
    for strong in ("a", "b"):
        for draw in range(3):
            candidates.append(_candidate(question, strong, draw, rng))
            p = chances(model, levels=levels, rng=rng, difficulty=difficulty)
            for level in range(levels):
                hopeless = difficulty == -math.inf
                correct[strong, draw, level] = not hopeless and rng.random() < p[level]
    return MockQuestion(question=question, candidates=tuple(candidates), correct=correct)


def _candidate(question: Question, strong: str, draw: int, rng: Random) -> CandidateTrace:
    body = f"{question.id} {strong}{draw} ".ljust(_LENGTH_OF_A_STEP, "x")
    words = int(math.exp(rng.gauss(6.0, 0.6)))
    return CandidateTrace(
        question_id=question.id,
        strong_model=strong,
        draw=draw,
        normal_reasoning="w " * words,
        step_reasoning=f"{body}\n## First\n{body}\n## Final Answer\n42",
        refusal=None,
        detail="",
        answer_leak=False,
        told_answer=False,
        model=strong,
        spent=(),
    )


class MockWeak:
    """The weak model: looks up which cell a hint belongs to."""

    def __init__(
        self, questions: Sequence[MockQuestion], *, settings: StepMaskSettings, delay_s: float
    ) -> None:
        self._delay_s = delay_s
        self._answers = {
            _text(
                hint_request(
                    one.question,
                    split_steps(trace.step_reasoning),
                    level=level,
                    granularity=settings.granularity,
                    prompts=PromptSet(),
                )
            ): f"{one.question.id} {trace.strong_model}{trace.draw} {level} "
            + ("right" if one.correct[trace.strong_model, trace.draw, level] else "wrong")
            for one in questions
            for trace in one.candidates
            for level in range(settings.granularity)
        }

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the replies beside the request."""
        return {"backend": "mock", "model": "weak"}

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """The answer to one hint."""
        await asyncio.sleep(self._delay_s)
        return _reply(self._answers[_text(messages)])


class MockJudge:
    """The judge: reads the attempt, and now and then casts a vote that goes astray."""

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the replies beside the request."""
        return {"backend": "mock", "model": "judge"}

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """One vote."""
        await asyncio.sleep(self._delay_s)
        text = _text(messages)
        astray = zlib.crc32(f"{draw} {text}".encode()) % 1000 < 1000 * DISSENT
        return _reply("Yes" if ("right" in text) != astray else "No")


def _text(messages: Sequence[Message]) -> str:
    return messages[-1].content


def _reply(content: str) -> ChatReply:
    return ChatReply(
        content=content,
        reasoning=None,
        finish_reason=FinishReason.STOP,
        usage=Usage(),
        model="mock",
    )
