"""The road of one shard of questions through the stages of the method, in the paper's order."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from flows.stages import run_stage
from tasks.filter_qa import filter_qa
from tasks.format_sft import format_sft
from tasks.generate_candidates import generate_candidates
from tasks.measure_traces import measure_traces
from tasks.results import StageResult
from tasks.runtime import Runtime
from tasks.score_step_masks import score_step_masks
from tasks.select_golden import select_golden
from tasks.stage import StageTask, stored_in
from tasks.truncate_golden import truncate_golden
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.contents import portions_of
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    Rejection,
    RejectionKind,
    SFTExample,
    TraceMeasure,
    Verdict,
)
from weak2wise_core.selectors.measuring import readings_for
from weak2wise_core.sharding import Shard
from weak2wise_core.stages.rounds import rounds_of, settle_zero
from weak2wise_core.stages.selecting import zero_scores
from weak2wise_core.stores.portions import Portion

R = TypeVar("R")


class Stages(NamedTuple):
    """The stage tasks with their results below the data folder of one build."""

    filter_qa: StageTask[..., Attempt]
    generate_candidates: StageTask[..., CandidateTrace]
    score_step_masks: StageTask[..., MaskOutcomes]
    measure_traces: StageTask[..., TraceMeasure]
    select_golden: StageTask[..., GoldenReasoning]
    truncate_golden: StageTask[..., GoldenReasoning]
    format_sft: StageTask[..., SFTExample]

    @classmethod
    def of(cls, runtime: Runtime) -> "Stages":
        """The stages of a build."""
        data = runtime.data
        return cls(
            stored_in(filter_qa, data),
            stored_in(generate_candidates, data),
            stored_in(score_step_masks, data),
            stored_in(measure_traces, data),
            stored_in(select_golden, data),
            stored_in(truncate_golden, data),
            stored_in(format_sft, data),
        )


@dataclass(slots=True)
class Part:
    """What one shard contributes to the dataset."""

    attempts: list[Attempt] = field(default_factory=list)
    candidates: list[CandidateTrace] = field(default_factory=list)
    outcomes: list[MaskOutcomes] = field(default_factory=list)
    measures: list[TraceMeasure] = field(default_factory=list)
    golden: list[GoldenReasoning] = field(default_factory=list)
    train: list[SFTExample] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    entered: Counter[str] = field(default_factory=Counter)
    """Questions that came to each stage."""
    settled: bool = True
    """Whether nothing failed, so that the same shard need not travel again."""

    def portions(self, questions: Sequence[Question]) -> list[Portion]:
        """The rows, question by question."""
        return list(
            portions_of(
                questions,
                attempts=self.attempts,
                candidates=self.candidates,
                outcomes=self.outcomes,
                measures=self.measures,
                golden=self.golden,
                train=self.train,
            )
        )


class Road:
    """Carries one shard from its questions to its training examples."""

    def __init__(
        self,
        shard: Shard,
        *,
        recipe: Recipe,
        runtime: Runtime,
        stages: Stages,
        imported: Sequence[CandidateTrace],
        annotations: Mapping[str, str],
    ) -> None:
        """Stand at the beginning.

        Args:
            shard: The questions.
            recipe: What to do with them.
            runtime: The build's models and counters.
            stages: The stage tasks of the build.
            imported: Candidates that exist already, for any question of the build.
            annotations: Reasoning that people wrote, by question id.
        """
        self._shard = shard
        self._recipe = recipe
        self._runtime = runtime
        self._stages = stages
        self._imported = imported
        self._annotations = annotations
        self._first_draw = 0
        self.part = Part()

    async def travel(self) -> Part:
        """Filter, generate, score, select, truncate and format, as in figure 2."""
        kept = await self._filter(self._shard.questions)
        golden = await self._teach(kept)
        golden = await self._stage(self._stages.truncate_golden, _of(kept, golden), golden=golden)
        self.part.golden += golden
        self.part.train += await self._stage(
            self._stages.format_sft, _of(kept, golden), golden=golden
        )
        return self.part

    def give_up(self, error: Exception) -> Part:
        """Name every question that had not arrived when the shard failed."""
        self.part.settled = False
        arrived = {row.question_id for row in self.part.train}
        arrived |= {row.question_id for row in self.part.rejections}
        arrived |= {row.question_id for row in self.part.attempts if row.verdict is Verdict.CORRECT}
        told = f"shard {self._shard.name}: {type(error).__name__}: {error}"[:500]
        detail = told.encode("utf-8", "backslashreplace").decode()  # half a character is no text
        self.part.rejections += [
            Rejection(
                question_id=question.id,
                stage="shard",
                kind=RejectionKind.QUARANTINED,
                reason="shard_failed",
                detail=detail,
            )
            for question in self._shard.questions
            if question.id not in arrived
        ]
        return self.part

    async def _filter(self, questions: Sequence[Question]) -> list[Question]:
        """Keep what the weak model answers wrongly (equation 1)."""
        if not self._recipe.filter.enabled:
            return list(questions)
        attempts = await self._stage(self._stages.filter_qa, questions)
        self.part.attempts += attempts
        wrong = {row.question_id for row in attempts if row.verdict is Verdict.INCORRECT}
        return [question for question in questions if question.id in wrong]

    async def _teach(self, questions: Sequence[Question]) -> list[GoldenReasoning]:
        """Generate, score and select (equations 2-8); where the recipe says so, draw again."""
        golden: list[GoldenReasoning] = []
        pending = list(questions)
        *_, (last, _) = rounds = rounds_of(self._recipe)
        for first, draws in rounds:
            self._first_draw = first
            pending = await self._draw(pending, first=first, draws=draws)
            chosen = await self._run(
                self._stages.select_golden,
                pending,
                candidates=_of_rows(self.part.candidates, pending),
                outcomes=_of_rows(self.part.outcomes, pending),
                measures=_of_rows(self.part.measures, pending),
            )
            zero = zero_scores(chosen.rows)
            golden += [row for row in chosen.rows if row.question_id not in zero]
            if first == last:
                self.part.rejections += chosen.rejections
                golden += await self._settle([r for r in chosen.rows if r.question_id in zero])
            found = {row.question_id for row in golden}
            pending = [question for question in pending if question.id not in found]
        self._first_draw = 0
        return golden

    async def _draw(
        self, questions: Sequence[Question], *, first: int, draws: int
    ) -> list[Question]:
        """New candidates and their outcomes; the questions that nothing failed for."""
        candidates = [] if first else _of_rows(self._imported, questions)
        if self._recipe.models.strong:
            candidates += await self._stage(
                self._stages.generate_candidates, questions, first_draw=first, draws=draws
            )
            questions = self._not_rejected(questions)
        self.part.candidates += candidates
        usable = _of_rows([row for row in candidates if row.refusal is None], questions)
        self.part.outcomes += await self._stage(
            self._stages.score_step_masks, _of(questions, usable), candidates=usable
        )
        await self._measure(self._not_rejected(questions), usable)
        return self._not_rejected(questions)

    async def _measure(
        self, questions: Sequence[Question], usable: Sequence[CandidateTrace]
    ) -> None:
        """Have the weak model read the candidates, where the selector needs it."""
        rows = _of_rows(usable, questions)
        for kind in readings_for([self._recipe.selection.by]):
            self.part.measures += await self._stage(
                self._stages.measure_traces, _of(questions, rows), candidates=rows, kind=kind.value
            )

    def _not_rejected(self, questions: Iterable[Question]) -> list[Question]:
        rejected = {row.question_id for row in self.part.rejections}
        return [question for question in questions if question.id not in rejected]

    async def _settle(self, zeros: Sequence[GoldenReasoning]) -> list[GoldenReasoning]:
        """What becomes of questions whose best candidate scores 0, as the recipe says."""
        count = (await self._runtime.tokens()).count
        settled = [
            settle_zero(row, recipe=self._recipe, notes=self._annotations, count_tokens=count)
            for row in zeros
        ]
        self.part.rejections += [one for one in settled if isinstance(one, Rejection)]
        return [one for one in settled if isinstance(one, GoldenReasoning)]

    async def _stage(
        self,
        stage: StageTask[..., R],
        questions: Sequence[Question],
        **rows: Any,
    ) -> list[R]:
        """Run a stage and name what it rejects; its rows."""
        result = await self._run(stage, questions, **rows)
        self.part.rejections += result.rejections
        return list(result.rows)

    async def _run(
        self,
        stage: StageTask[..., R],
        questions: Sequence[Question],
        **rows: Any,
    ) -> StageResult[R]:
        """Run a stage over some questions of the shard."""
        name = self._shard.name + (f" from draw {self._first_draw}" if self._first_draw else "")
        inputs = {"recipe": self._recipe, **rows}
        result = await run_stage(stage, questions, session=self._runtime, shard=name, inputs=inputs)
        self.part.entered[stage.name] += len(questions)
        self.part.settled &= result.whole
        return result


def _of(questions: Iterable[Question], rows: Iterable[Any]) -> list[Question]:
    """The questions that have a row."""
    ids = {row.question_id for row in rows}
    return [question for question in questions if question.id in ids]


def _of_rows(rows: Iterable[R], questions: Iterable[Question]) -> list[R]:
    """The rows of some questions."""
    ids = {question.id for question in questions}
    return [row for row in rows if row.question_id in ids]  # type: ignore[attr-defined]
