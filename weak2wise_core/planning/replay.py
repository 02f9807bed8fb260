"""How far the reply store takes a question, and what is missing from there on.

The question goes through the stages of a build with models that answer from the store only. What
is missing is named where its text is known, and bounded where it depends on other missing replies.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from weak2wise_core.config import Policy, TruncationMethod
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.planning.answering import NotStoredError, StoredModel, StoredModels
from weak2wise_core.planning.ballots import (
    KnownVote,
    ballot_bounds,
    open_ballot,
    second_ballot_bounds,
)
from weak2wise_core.planning.meter import Meter, Row, Taken
from weak2wise_core.planning.needs import ONE_CALL, Bounds, Needs
from weak2wise_core.planning.scene import (
    FILTER,
    GENERATE,
    JUDGE,
    SCORE,
    TRUNCATE,
    TRUNCATOR,
    WEAK,
    Scene,
)
from weak2wise_core.records import (
    CandidateTrace,
    GoldenReasoning,
    MaskOutcomes,
    Message,
    Question,
    Rejection,
    Usage,
    Verdict,
)
from weak2wise_core.stages.generating import generate_candidates
from weak2wise_core.stages.judge import draws_of, vote_of
from weak2wise_core.stages.rounds import Round, rounds_of, settle_zero
from weak2wise_core.stages.scoring import ask_mask_levels
from weak2wise_core.stages.selecting import golden_of, zero_scores
from weak2wise_core.stages.truncating import truncate_golden
from weak2wise_core.stages.wording import attempt_request, hint_request, vote_request
from weak2wise_core.steps import split_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What one question has and what it still needs."""

    question_id: str
    waits_at: str | None
    """The first stage that misses a reply; None where the store answers everything."""
    stored: Mapping[Row, Taken]
    """What the build will take from the store for certain."""
    needs: Mapping[Row, Bounds]
    """What it will pay for."""


async def look_ahead(question: Question, *, scene: Scene, models: StoredModels) -> Outlook:
    """Replay one question against the reply store.

    Raises:
        StoreError: The store is damaged.
    """
    replay = _Replay(question, scene=scene, models=models)
    await replay.walk()
    return Outlook(
        question_id=question.id,
        waits_at=replay.waits_at,
        stored=replay.meter.taken(),
        needs=replay.needs.bounds(),
    )


_NOTHING = ""


class _Replay:
    """One question on its way. Once a reply is missing, what follows is possible, not certain."""

    def __init__(self, question: Question, *, scene: Scene, models: StoredModels) -> None:
        self.needs, self.meter = Needs(), Meter()
        self.waits_at: str | None = None
        self._question = question
        self._scene = scene
        self._models = models
        self._sure = True
        """Whether a build is certain to come to where the replay is."""
        self._only: str | None = None
        """The one key among the missing that a race is certain to want; None: all of them."""

    async def walk(self) -> None:
        """Filter, generate, score, select and truncate, as far as replies are there."""
        try:
            if await self._is_kept():
                await self._truncate(await self._teach())
        except TraceFormatError:
            return  # the question leaves here by name; nothing else is asked for it

    # --- asking ---------------------------------------------------------------------------------

    def _ask(self, name: str, stage: str) -> StoredModel:
        return StoredModel(self._models, Row(stage, name), note=self._note)

    def _note(self, row: Row, key: str, usage: Usage) -> None:
        if self._sure and self._only is None:
            self.meter.add(row, key=key, usage=usage)

    def _miss(self, row: Row, keys: Sequence[str], bounds: Bounds) -> None:
        """Note a request, or the votes of a ballot, that will be paid for."""
        self.waits_at = self.waits_at or row.stage
        sure = self._sure and (self._only is None or self._only in keys)
        self.needs.add(row, keys[0], bounds if sure else bounds.unsure())

    def _suppose(self, stage: str, *, answers: int, ballots: int) -> None:
        """Note answers of the weak model, and ballots, whose text is not known yet."""
        self.needs.suppose(Row(stage, WEAK), Bounds(most=answers))
        one = open_ballot(self._scene.votes, insists=stage == SCORE)
        self.needs.suppose(
            Row(stage, JUDGE), Bounds(most=ballots * one.most, reasks=ballots * one.reasks)
        )

    async def _verdict(self, request: Sequence[Message], *, stage: str) -> Verdict | None:
        """The verdict on an answer of the weak model; None where a reply to it is missing."""
        try:
            reply = await self._ask(WEAK, stage).ask(request)
        except NotStoredError as miss:
            self._miss(miss.row, [miss.key], ONE_CALL)
            self._suppose(stage, answers=0, ballots=1)
            return None
        try:
            judge = self._scene.judge(self._ask, stage=stage)
            judgement = await judge.judge(self._question, reply, insist=stage == SCORE)
            return judgement.verdict
        except NotStoredError as miss:
            for keys, bounds in self._ballots(reply.content, insist=stage == SCORE):
                self._miss(miss.row, keys, bounds)
            return None

    def _ballots(self, attempt: str, *, insist: bool) -> Iterator[tuple[list[str], Bounds]]:
        """For every ballot on an attempt the keys of its votes, and how many are still needed."""
        request = vote_request(self._question, attempt, prompts=self._scene.prompts)
        votes = self._scene.votes
        each = draws_of(votes)
        keys = [self._models.key(JUDGE, request, draw=draw) for draw in range(2 * each)]
        replies = [self._models.find(key) for key in keys]
        found = [None if reply is None else vote_of(reply) for reply in replies]
        first, anew = [
            [KnownVote(first=found[i], again=found[i + votes]) for i in range(begin, begin + votes)]
            for begin in (0, each)
        ]
        yield keys[:each], ballot_bounds(first)
        if insist:
            yield keys[each:], second_ballot_bounds(first, anew)

    # --- the stages -----------------------------------------------------------------------------

    async def _is_kept(self) -> bool:
        """Whether the question goes on; where that is not known, it may."""
        if not self._scene.recipe.filter.enabled:
            return True
        request = attempt_request(self._question, prompts=self._scene.prompts)
        verdict = await self._verdict(request, stage=FILTER)
        self._sure = verdict is not None
        return verdict is None or verdict is Verdict.INCORRECT

    async def _teach(self) -> GoldenReasoning | Rejection | None:
        """The golden reasoning, or why there is none; None where that is not known."""
        candidates: list[CandidateTrace] = []
        outcomes: list[MaskOutcomes] = []
        chosen: GoldenReasoning | Rejection | None = None
        known = True
        for number, round_ in enumerate(rounds_of(self._scene.recipe)):
            fresh = [] if number else self._scene.candidates_of(self._question)
            drawn, missing = await self._draw(round_)
            fresh += drawn
            scored = await self._score(fresh, missing=missing)
            candidates += fresh
            outcomes += scored or []
            known = known and scored is not None
            self._sure = self._sure and known
            chosen = self._choose(candidates, outcomes) if known else None
            if isinstance(chosen, GoldenReasoning) and not zero_scores([chosen]):
                return None if self._scene.recipe.selection.by.reads_model else chosen
        return self._settled(chosen)

    def _choose(
        self, candidates: Sequence[CandidateTrace], outcomes: Sequence[MaskOutcomes]
    ) -> GoldenReasoning | Rejection:
        return golden_of(
            self._question,
            candidates=candidates,
            outcomes=outcomes,
            settings=self._scene.recipe.step_mask,
            selection=self._scene.selection,
        )

    def _settled(
        self, chosen: GoldenReasoning | Rejection | None
    ) -> GoldenReasoning | Rejection | None:
        if not isinstance(chosen, GoldenReasoning):
            return chosen
        return settle_zero(
            chosen,
            recipe=self._scene.recipe,
            notes=self._scene.notes,
            count_tokens=self._scene.count_tokens,
        )

    async def _draw(self, round_: Round) -> tuple[list[CandidateTrace], int]:
        """The stored candidates of a round, and how many are missing."""
        found: list[CandidateTrace] = []
        missing = 0
        for name in sorted(spec.name for spec in self._scene.recipe.models.strong):
            for draw in range(round_.first, round_.first + round_.draws):
                try:
                    found += await generate_candidates(
                        self._question,
                        strong={name: self._ask(name, GENERATE)},
                        draws=range(draw, draw + 1),
                        checker=self._scene.checker,
                        settings=self._scene.recipe.generate,
                        prompts=self._scene.prompts,
                    )
                except NotStoredError as miss:
                    self._miss(miss.row, [miss.key], ONE_CALL)
                    missing += 1
        return found, missing

    async def _score(
        self, fresh: Sequence[CandidateTrace], *, missing: int
    ) -> list[MaskOutcomes] | None:
        """The outcomes of a round; None where replies are missing, those of draws included."""
        settings = self._scene.recipe.step_mask
        usable = [one for one in fresh if one.refusal is None]
        exhaustive = settings.policy is Policy.EXHAUSTIVE
        if missing:
            levels = missing * settings.granularity
            self._suppose(SCORE, answers=levels, ballots=levels)
            await self._look_at_levels(usable, only=None if exhaustive else _NOTHING)
            return None
        try:
            return await ask_mask_levels(
                self._question,
                usable,
                weak=self._ask(WEAK, SCORE),
                judge=self._scene.judge(self._ask, stage=SCORE),
                count_tokens=self._scene.count_tokens,
                settings=settings,
                prompts=self._scene.prompts,
            )
        except NotStoredError as miss:
            # A race is certain of the level that it stopped at; the others depend on its outcome.
            await self._look_at_levels(usable, only=None if exhaustive else miss.key)
            return None

    async def _look_at_levels(self, usable: Sequence[CandidateTrace], *, only: str | None) -> None:
        """Note every mask level of known candidates that misses a reply."""
        self._only = only
        granularity = self._scene.recipe.step_mask.granularity
        for candidate in usable:
            steps = split_steps(candidate.step_reasoning)
            for level in range(granularity):
                request = hint_request(
                    self._question,
                    steps,
                    level=level,
                    granularity=granularity,
                    prompts=self._scene.prompts,
                )
                await self._verdict(request, stage=SCORE)
        self._only = None

    async def _truncate(self, golden: GoldenReasoning | Rejection | None) -> None:
        settings = self._scene.recipe.truncation
        if golden is None and settings.method is not TruncationMethod.RULE:
            self.needs.suppose(Row(TRUNCATE, TRUNCATOR), Bounds(most=1))
        if not isinstance(golden, GoldenReasoning):
            return
        try:
            await truncate_golden(
                self._question,
                golden,
                truncator=self._scene.truncator(self._ask),
                count_tokens=self._scene.count_tokens,
                settings=settings,
                prompts=self._scene.prompts,
            )
        except NotStoredError as miss:
            self._miss(miss.row, [miss.key], ONE_CALL)
