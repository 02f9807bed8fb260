"""Datasets of any size with every kind of row, for reports: random, and the same for a seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from weak2wise_core.config import Recipe, Selector
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    FinishReason,
    GoldenReasoning,
    JudgedBy,
    MaskOutcomes,
    Question,
    Refusal,
    Rejection,
    RejectionKind,
    SFTExample,
    Spent,
    TraceMeasure,
    Truncation,
    Verdict,
)
from weak2wise_core.stages.selecting import golden_of

TEACHERS = ("teacher-a", "teacher-b")
DRAWS, LEVELS = 3, 6
NO, YES, INVALID = Verdict.INCORRECT, Verdict.CORRECT, Verdict.UNJUDGED
BALLOTS = ((YES, YES), (NO, NO), (YES, NO, YES), (NO, YES, NO), (YES, INVALID, YES))


def recipe() -> Recipe:
    """A recipe with two teachers, prices and three votes."""
    price = {"usd_per_mtok": {"input": 0.3, "output": 0.4}}
    model = {"backend": "openai", "base_urls": ["http://localhost:1/v1"], **price}
    strong = [{**model, "name": name, "model": f"maker/{name}"} for name in TEACHERS]
    content: dict[str, Any] = {
        "dataset": "made",
        "questions": {"path": "q.jsonl"},
        "models": {
            "weak": {**model, "model": "maker/weak-7b"},
            "judge": {**model, "model": "maker/judge"},
            "strong": strong,
        },
        "judging": {"method": "rule_then_llm", "votes": 3},
        "truncation": {"method": "rule"},
    }
    return parse_recipe(content)


def made(
    questions: int,
    *,
    seed: int = 0,
    characters: int = 400,
    measured: Sequence[Selector] = (),
) -> Contents:
    """A dataset of that many questions.

    Args:
        questions: How many.
        seed: Which of them.
        characters: Length of a middling trace.
        measured: Selectors that have read every scored trace.
    """
    contents = _Maker(random.Random(seed), characters).contents(questions)
    rng = random.Random(f"measures {seed}")  # the other rows are the same with and without
    measures = [_measure(one, by, rng) for one in contents.outcomes for by in measured]
    return replace(contents, measures=tuple(measures))


def _measure(one: MaskOutcomes, by: Selector, rng: random.Random) -> TraceMeasure:
    return TraceMeasure(
        question_id=one.question_id,
        strong_model=one.strong_model,
        draw=one.draw,
        selector=by.value,
        value=None if rng.random() < 0.05 else rng.uniform(-4, 4),
    )


class _Maker:
    """Draws rows, one question after the other."""

    def __init__(self, rng: random.Random, characters: int) -> None:
        self._rng = rng
        self._characters = characters
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(4_000)]
        self._prose = " ".join(rng.choices(words, k=300_000))
        self._recipe = recipe()
        self._hard = False

    def contents(self, questions: int) -> Contents:
        """That many questions, and three rows of the file that never became one."""
        ids = [f"q-{number:05d}" for number in range(questions)]
        parts = [self._one(Question(id=one, question="", answer=one[-2:])) for one in ids]
        left = [
            _before("row-7", RejectionKind.QUARANTINED, "load", "no_answer"),
            _before("q-00001", RejectionKind.DROPPED, "load", "duplicate"),
            _before("seen", RejectionKind.DROPPED, "decontaminate", "contaminated"),
        ]
        tables: dict[str, Any] = {name: tuple(_rows(parts, name)) for name in _TABLES}
        tables["rejections"] = (*left, *tables["rejections"])
        return Contents(recipe=self._recipe, rows=questions + len(left), **tables)

    def _text(self, characters: int) -> str:
        start = self._rng.randrange(len(self._prose) - 20_000)
        return self._prose[start : start + max(1, characters)]

    def _one(self, question: Question) -> Contents:
        question = replace(question, question=f"{self._text(150)} {question.id}?")
        solved = self._rng.random() < 0.1
        verdict = YES if solved else NO
        attempt = self._attempt(question, verdict)
        alone = Contents(recipe=self._recipe, rows=1, questions=(question,), attempts=(attempt,))
        return alone if solved else self._taught(question, alone)

    def _taught(self, question: Question, alone: Contents) -> Contents:
        self._hard = self._rng.random() < 0.06
        candidates = [
            self._candidate(question, name, draw) for name in TEACHERS for draw in range(DRAWS)
        ]
        outcomes = [self._outcomes(one) for one in candidates if one.refusal is None]
        found = golden_of(
            question, candidates=candidates, outcomes=outcomes, settings=self._recipe.step_mask
        )
        part = replace(alone, candidates=tuple(candidates), outcomes=tuple(outcomes))
        if isinstance(found, GoldenReasoning) and found.score == 0:
            found = _left(question)
        if isinstance(found, Rejection):
            return replace(part, rejections=(found,))
        golden = self._cut(found)
        return replace(part, golden=(golden,), train=(_example(question, golden),))

    def _attempt(self, question: Question, verdict: Verdict) -> Attempt:
        votes = self._ballot(verdict)
        return Attempt(
            question_id=question.id,
            attempt=self._text(120),
            finish_reason=FinishReason.STOP,
            verdict=verdict,
            judged_by=JudgedBy.MODEL if votes else JudgedBy.RULE,
            votes=votes,
            model="weak-7b-0901",
            spent=(_spent("weak", "weak-7b-0901", self._rng), _spent("judge", "j", self._rng)),
        )

    def _ballot(self, verdict: Verdict) -> tuple[Verdict, ...]:
        if self._rng.random() < 0.6:
            return ()
        return self._rng.choice([one for one in BALLOTS if one.count(verdict) > len(one) / 2])

    def _candidate(self, question: Question, name: str, draw: int) -> CandidateTrace:
        refusal = Refusal.NO_STEP if self._rng.random() < 0.05 else None
        length = int(self._rng.lognormvariate(0, 0.6) * self._characters)
        steps = "\n\n".join(f"## {self._text(12)}\n{self._text(length // 8)}" for _ in range(4))
        return CandidateTrace(
            question_id=question.id,
            strong_model=name,
            draw=draw,
            normal_reasoning=self._text(length),
            step_reasoning=f"{steps}\n\n## Final Answer\n{question.answer}",
            refusal=refusal,
            detail="",
            answer_leak=self._rng.random() < 0.2,
            told_answer=self._rng.random() < 0.02,
            steps_disagree=self._rng.random() < 0.02,
            model=f"{name}-0101",
            spent=(_spent(name, f"{name}-0101", self._rng),),
        )

    def _outcomes(self, candidate: CandidateTrace) -> MaskOutcomes:
        reach = 0 if self._hard else self._rng.randint(0, LEVELS)
        asked = [self._rng.random() < 0.97 for _ in range(LEVELS)]
        if self._rng.random() < 0.8:
            asked = [True] * LEVELS
        cells = [
            (YES if level < reach else NO) if there else INVALID
            for level, there in enumerate(asked)
        ]
        known = list(zip(cells, asked, strict=True))
        votes = [self._ballot(verdict) if there else () for verdict, there in known]
        by = [
            (JudgedBy.MODEL if cast else JudgedBy.RULE) if there else JudgedBy.NOBODY
            for cast, there in zip(votes, asked, strict=True)
        ]
        return MaskOutcomes(
            question_id=candidate.question_id,
            strong_model=candidate.strong_model,
            draw=candidate.draw,
            outcomes=tuple(cells),
            asked=tuple(asked),
            attempts=tuple(self._text(100) if there else "" for there in asked),
            normal_tokens=max(1, len(candidate.normal_reasoning) // 4),
            spent=(_spent("weak", "weak-7b-0901", self._rng),),
            judged_by=tuple(by),
            votes=tuple(votes),
        )

    def _cut(self, golden: GoldenReasoning) -> GoldenReasoning:
        if self._rng.random() < 0.6:
            return golden
        kept = golden.golden_reasoning[: len(golden.golden_reasoning) * 3 // 4]
        return replace(
            golden,
            golden_reasoning=kept,
            golden_tokens=max(1, len(kept) // 4),
            truncation=Truncation.RULE,
        )


def _spent(model: str, returned: str, rng: random.Random) -> Spent:
    return Spent(
        model=model,
        returned=returned,
        calls=rng.randint(1, 6),
        prompt_tokens=rng.randint(50, 900),
        completion_tokens=rng.randint(50, 900),
        reasoning_tokens=rng.randint(0, 40),
        cached_tokens=rng.randint(0, 40),
    )


def _left(question: Question) -> Rejection:
    return Rejection(
        question_id=question.id,
        stage="select_golden",
        kind=RejectionKind.DROPPED,
        reason="zero_score",
        detail="no hint of any candidate helped the weak model",
    )


def _before(row: str, kind: RejectionKind, stage: str, reason: str) -> Rejection:
    return Rejection(question_id=row, stage=stage, kind=kind, reason=reason, detail=f"{row}: left")


def _example(question: Question, golden: GoldenReasoning) -> SFTExample:
    return SFTExample(
        question_id=question.id,
        prompt=question.question,
        response=f"<think> {golden.golden_reasoning} </think> {question.answer}",
        answer=question.answer,
        strong_model=golden.strong_model,
        draw=golden.draw,
        score=golden.score,
        truncation=golden.truncation,
        tokens=golden.golden_tokens + 40,
    )


_TABLES = ("questions", "attempts", "candidates", "outcomes", "golden", "train", "rejections")


def _rows(parts: Sequence[Contents], table: str) -> Iterator[Any]:
    for part in parts:
        yield from getattr(part, table)
