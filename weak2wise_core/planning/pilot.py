"""A pilot: a few questions are really asked, and everything that they took is measured.

They go through the stages of a build with its gateway and its reply store, so that the build that
follows pays nothing for them. Nothing is published.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from weak2wise_core.errors import FatalModelError, ModelError, TraceFormatError
from weak2wise_core.gateway import ModelHandle
from weak2wise_core.planning.meter import Meter, Row, Taken
from weak2wise_core.planning.scene import FILTER, GENERATE, SCORE, TRUNCATE, WEAK, Scene
from weak2wise_core.records import (
    CandidateTrace,
    ChatReply,
    GoldenReasoning,
    MaskOutcomes,
    Message,
    Question,
    Rejection,
    Verdict,
)
from weak2wise_core.stages.filtering import attempt_question
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.generating import generate_candidates
from weak2wise_core.stages.rounds import Round, rounds_of, settle_zero
from weak2wise_core.stages.scoring import ask_mask_levels
from weak2wise_core.stages.selecting import golden_of, zero_scores
from weak2wise_core.stages.truncating import truncate_golden

Handle = Callable[[str, str], ModelHandle]
"""The model of a name, as one stage asks it through the gateway."""


class Watcher(Protocol):
    """Whoever wants to know how far the questions are."""

    def enter(self, stage: str, shard: str, questions: int) -> None:
        """Questions come to a stage."""
        ...

    def advance(self, stage: str, shard: str) -> None:
        """A stage is done with one question."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one question took, whether it was paid now or earlier."""

    question_id: str
    taken: Mapping[Row, Taken]
    failed: str = ""
    """Why the question was lost to a failure; such a sample says nothing about others."""


def pilot_of(questions: Sequence[Question], *, size: int) -> list[Question]:
    """The questions of a pilot, in the order of a hash of their ids.

    The same questions every time, whatever else the file holds before and after them; those of a
    smaller pilot are among those of a larger one.
    """
    return sorted(questions, key=lambda one: _lot(one.id))[:size]


def _lot(question_id: str) -> bytes:
    # Not the hash that makes shards: a pilot must not be one shard of its build.
    return hashlib.sha256(f"weak2wise pilot/1\0{question_id}".encode()).digest()


async def run_pilot(
    questions: Sequence[Question], *, scene: Scene, handle: Handle, watcher: Watcher
) -> list[Sample]:
    """Send questions through the stages that ask models.

    Returns:
        One sample a question, in their order. One bad question does not fail the others.

    Raises:
        BudgetReachedError: The recipe's budget is used up; what was paid for is kept.
        FatalModelError: No call to a model can succeed.
    """
    travels = [_Travel(one, scene=scene, handle=handle, watcher=watcher) for one in questions]
    return await gather_all([travel.sample() for travel in travels])


class _Metered:
    """A model whose replies are measured for one question."""

    def __init__(self, handle: ModelHandle, meter: Meter) -> None:
        self._handle = handle
        self._meter = meter

    async def ask(
        self, messages: Sequence[Message], *, draw: int = 0, affinity: str = ""
    ) -> ChatReply:
        """One reply; see `ModelHandle.ask`."""
        handle = self._handle
        reply = await handle.ask(messages, draw=draw, affinity=affinity)
        row = Row(handle.stage, handle.name)
        self._meter.add(row, key=handle.key(messages, draw=draw), usage=reply.usage)
        return reply


class _Travel:
    """One question on its way."""

    def __init__(
        self, question: Question, *, scene: Scene, handle: Handle, watcher: Watcher
    ) -> None:
        self._question = question
        self._scene = scene
        self._handle = handle
        self._watcher = watcher
        self._meter = Meter()

    async def sample(self) -> Sample:
        """Go as far as a build would, and say what it took."""
        failed = ""
        try:
            await self._travel()
        except FatalModelError:
            raise
        except (ModelError, TraceFormatError) as error:
            failed = f"{type(error).__name__}: {error}"
        return Sample(question_id=self._question.id, taken=self._meter.taken(), failed=failed)

    async def _travel(self) -> None:
        if self._scene.recipe.filter.enabled and await self._verdict() is not Verdict.INCORRECT:
            return
        golden = await self._teach()
        if golden is not None:
            await self._truncate(golden)

    def _ask(self, name: str, stage: str) -> _Metered:
        return _Metered(self._handle(name, stage), self._meter)

    @contextmanager
    def _at(self, stage: str) -> Iterator[None]:
        self._watcher.enter(stage, self._question.id, 1)
        try:
            yield
        finally:
            self._watcher.advance(stage, self._question.id)

    async def _verdict(self) -> Verdict:
        with self._at(FILTER):
            attempt = await attempt_question(
                self._question,
                weak=self._ask(WEAK, FILTER),
                judge=self._scene.judge(self._ask, stage=FILTER),
                prompts=self._scene.prompts,
            )
        return attempt.verdict

    async def _teach(self) -> GoldenReasoning | None:
        """Generate, score and select; where the recipe says so, draw again."""
        scene, question = self._scene, self._question
        candidates: list[CandidateTrace] = []
        outcomes: list[MaskOutcomes] = []
        chosen: GoldenReasoning | Rejection | None = None
        for number, round_ in enumerate(rounds_of(scene.recipe)):
            fresh = [] if number else scene.candidates_of(question)
            fresh += await self._draw(round_)
            candidates += fresh
            outcomes += await self._score(fresh)
            chosen = golden_of(
                question,
                candidates=candidates,
                outcomes=outcomes,
                settings=scene.recipe.step_mask,
                selection=scene.selection,
            )
            if isinstance(chosen, GoldenReasoning) and not zero_scores([chosen]):
                return chosen
        return self._settled(chosen)

    def _settled(self, chosen: GoldenReasoning | Rejection | None) -> GoldenReasoning | None:
        if not isinstance(chosen, GoldenReasoning):
            return None
        scene = self._scene
        settled = settle_zero(
            chosen, recipe=scene.recipe, notes=scene.notes, count_tokens=scene.count_tokens
        )
        return settled if isinstance(settled, GoldenReasoning) else None

    async def _draw(self, round_: Round) -> list[CandidateTrace]:
        strong = self._scene.recipe.models.strong
        with self._at(GENERATE):
            return await generate_candidates(
                self._question,
                strong={spec.name: self._ask(spec.name, GENERATE) for spec in strong},
                draws=range(round_.first, round_.first + round_.draws),
                checker=self._scene.checker,
                settings=self._scene.recipe.generate,
                prompts=self._scene.prompts,
            )

    async def _score(self, fresh: Sequence[CandidateTrace]) -> list[MaskOutcomes]:
        with self._at(SCORE):
            return await ask_mask_levels(
                self._question,
                [one for one in fresh if one.refusal is None],
                weak=self._ask(WEAK, SCORE),
                judge=self._scene.judge(self._ask, stage=SCORE),
                count_tokens=self._scene.count_tokens,
                settings=self._scene.recipe.step_mask,
                prompts=self._scene.prompts,
            )

    async def _truncate(self, golden: GoldenReasoning) -> None:
        with self._at(TRUNCATE):
            await truncate_golden(
                self._question,
                golden,
                truncator=self._scene.truncator(self._ask),
                count_tokens=self._scene.count_tokens,
                settings=self._scene.recipe.truncation,
                prompts=self._scene.prompts,
            )
