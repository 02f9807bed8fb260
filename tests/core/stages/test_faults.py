"""Laws of the stages behind a server that fails on purpose, without a task engine.

Every failure that passes, alone in 20% of all requests, over 200 questions: filter, generate and
score as a build does. The flow sees such a failure only as the error that is raised here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import LASTING_FAULTS, Fault, FaultPlan
from benchmarks.orchard import answer, recipe_for, rows, write_rows
from weak2wise_core.accounts import Account
from weak2wise_core.config import Recipe
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import TransientModelError
from weak2wise_core.gateway import Gateway, ModelHandle
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.llm.protocol import ChatModel
from weak2wise_core.prompts import PromptSet
from weak2wise_core.questions import load_questions
from weak2wise_core.records import Question, Verdict
from weak2wise_core.stages.filtering import attempt_question
from weak2wise_core.stages.generating import generate_candidates
from weak2wise_core.stages.judge import Judge
from weak2wise_core.stages.scoring import ask_mask_levels
from weak2wise_core.stores.replies import ReplyStore

PASSING_FAULTS = sorted(set(Fault) - LASTING_FAULTS)
PROMPTS = PromptSet()


class Pass:
    """One pass of all questions through the stages."""

    def __init__(self, recipe: Recipe, store: ReplyStore) -> None:
        self._recipe = recipe
        self._gateway = Gateway(in_flight=64, store=store)
        self._models: dict[str, ChatModel] = {
            name: OpenAIModel(spec, api_key="") for name, spec in recipe.models.specs().items()
        }
        self._checker = AnswerChecker()
        self._judge = Judge(recipe.judging, checker=self._checker)

    def _handle(self, name: str) -> ModelHandle:
        spec = self._recipe.models.spec(name)
        return self._gateway.handle(self._models[name], spec=spec, name=name, stage="s")

    async def one(self, question: Question) -> list[Any]:
        """Every row of one question."""
        weak = self._handle("weak")
        attempt = await attempt_question(question, weak=weak, judge=self._judge, prompts=PROMPTS)
        if attempt.verdict is Verdict.CORRECT:
            return [attempt]
        candidates = await generate_candidates(
            question,
            strong={spec.name: self._handle(spec.name) for spec in self._recipe.models.strong},
            draws=range(1),
            checker=self._checker,
            settings=self._recipe.generate,
            prompts=PROMPTS,
        )
        outcomes = await ask_mask_levels(
            question,
            candidates,
            weak=weak,
            judge=self._judge,
            count_tokens=len,
            settings=self._recipe.step_mask,
            prompts=PROMPTS,
        )
        return [attempt, *candidates, *outcomes]

    async def all(self, questions: Sequence[Question]) -> list[Any]:
        """Rows of every question, or the error that it ended with."""
        try:
            return list(await asyncio.gather(*map(self.one, questions), return_exceptions=True))
        finally:
            self._checker.close()
            for model in self._models.values():
                await model.aclose()

    @property
    def paid(self) -> int:
        """Calls of this pass."""
        accounts: Sequence[Account] = list(self._gateway.accounts.values())
        return sum(account.calls for account in accounts)


Travel = Callable[..., Awaitable[tuple[list[Any], Pass, LoopbackServer]]]


@pytest.fixture
def travel(tmp_path: Path) -> Travel:
    """Carries 200 questions through the stages, against a server with these faults."""
    path = write_rows(tmp_path / "q.jsonl", rows(200))

    async def run(
        rates: dict[Fault, float], *, store: str
    ) -> tuple[list[Any], Pass, LoopbackServer]:
        entry = {"timeout_s": 0.3 if Fault.HANG in rates else 60.0}
        plan = FaultPlan(rates=rates, seed=5)
        with (
            LoopbackServer(answer, faults=plan) as server,
            ReplyStore(tmp_path / store) as replies,
        ):
            recipe = recipe_for(server.base_url, path, entry=entry)
            passed = Pass(recipe, replies)
            found = await passed.all(load_questions(recipe.questions).questions)
        return found, passed, server

    return run


@pytest.fixture(scope="module")
def made_once() -> dict[str, Any]:
    """Rows and paid calls of an undisturbed pass; the first test makes them."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING_FAULTS)
async def test_a_question_ends_with_its_rows_or_with_a_named_error(
    fault: Fault, travel: Travel, made_once: dict[str, Any]
) -> None:
    """What failed is named with model, draw, address and cause; what was answered is kept.

    A second pass without the fault asks exactly for what is missing, and ends with the rows of an
    undisturbed pass.
    """
    if not made_once:
        rows_of, undisturbed, _ = await travel({}, store="whole")
        made_once.update(rows=rows_of, paid=undisturbed.paid)
    whole = made_once["rows"]
    found, first, server = await travel({fault: 0.2}, store="damaged")
    errors = [one for one in found if isinstance(one, BaseException)]
    assert 1 <= len(errors) < 60
    assert server.stats()["faults"][fault.value] > 100
    for error in errors:
        assert isinstance(error, TransientModelError)
        assert error.model in {"weak", "plain", "streamed"}
        assert error.draw == 0
        assert f"at {server.base_url} gave no reply in 3 tries; the last failure: " in str(error)
    good = [pair for pair in zip(found, whole, strict=True) if not isinstance(pair[0], Exception)]
    assert all(one == other for one, other in good)
    again, second, mended = await travel({}, store="damaged")
    assert again == whole
    assert first.paid + second.paid == made_once["paid"]
    assert len(mended.requests) == second.paid
