"""Evaluation: one model on all benchmarks; and its results as a folder and an artifact."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx  # of the engine; models are asked through httpx2
from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from tasks.heeding import heeding_signals
from tasks.keys import Keys, read_keys
from tasks.local_models import LocalModels
from tasks.paid import Paid
from tasks.picturing import artifact_key
from tasks.reserve import Reserve
from tasks.runtime import REPLIES, Session, open_model
from weak2wise_core.config import BudgetSettings, EvaluationSettings, ModelSpec
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import BuildError
from weak2wise_core.evaluation.comparing import Comparison
from weak2wise_core.evaluation.publishing import PublishedEvaluation, publish_evaluation
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.gateway import Gateway
from weak2wise_core.stores.replies import ReplyStore


@dataclass(slots=True)
class EvaluationProgress(Paid):
    """How far an evaluation is."""

    model: str = ""
    """The model that is being asked."""
    answered: int = 0
    answers: int = 0
    """How many there will be; 0 while nothing was asked."""
    local: LocalModels = field(default_factory=LocalModels)
    """Models that work in this process."""

    def begin(self, model: str) -> None:
        """Another model is asked."""
        self.model, self.answered, self.answers = model, 0, 0

    def answer(self, answered: int, answers: int) -> None:
        """An answer came."""
        self.answered, self.answers = answered, answers


PROGRESS: ContextVar[EvaluationProgress | None] = ContextVar("weak2wise_evaluation", default=None)
"""Set by a caller in the same process that wants to watch the evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the evaluations of one run share."""

    gateway: Gateway
    checker: AnswerChecker
    keys: Keys
    progress: EvaluationProgress


_CURRENT: ContextVar[Bench | None] = ContextVar("weak2wise_bench", default=None)


@asynccontextmanager
async def open_bench(
    models: Sequence[ModelSpec], *, data: Path, budget: BudgetSettings, in_flight: int
) -> AsyncIterator[Bench]:
    """Open what evaluations need and make it current for every task started inside.

    Args:
        models: Every model that will be asked.
        data: The data folder; its reply store is the one of builds.
        budget: What the run may spend.
        in_flight: Calls at once.

    Raises:
        MissingKeyError: A model needs a key that is not there; found before anything is paid.
        StoreError: The disk is full, or the reply store cannot be opened.
    """
    keys, progress = await read_keys(models), PROGRESS.get() or EvaluationProgress()
    with closing(Reserve(data)) as reserve:
        store, checker = ReplyStore(data / REPLIES), AnswerChecker()
        gateway = Gateway(in_flight=in_flight, store=store, budget=budget)
        progress.accounts = gateway.accounts
        bench = Bench(gateway=gateway, checker=checker, keys=keys, progress=progress)
        token = _CURRENT.set(bench)
        try:
            with heeding_signals():
                yield bench
        finally:
            _CURRENT.reset(token)
            reserve.close()  # room for the replies that a full disk did not take
            await asyncio.shield(_close(checker, store))


@contextmanager
def share_bench(run: Session) -> Iterator[Bench]:
    """Evaluate with what a run of another flow holds: one store, one budget, one account."""
    progress = PROGRESS.get() or EvaluationProgress()
    progress.accounts = run.gateway.accounts
    bench = Bench(gateway=run.gateway, checker=run.checker, keys=run.keys, progress=progress)
    token = _CURRENT.set(bench)
    try:
        yield bench
    finally:
        _CURRENT.reset(token)


async def _close(checker: AnswerChecker, store: ReplyStore) -> None:
    await asyncio.to_thread(checker.close)
    await asyncio.to_thread(store.close)


@task(
    name="evaluate_model",
    task_run_name="evaluate {name}",
    cache_policy=NO_CACHE,  # the reply store remembers
    persist_result=False,
)
async def evaluate_model(model: ModelSpec, settings: EvaluationSettings, name: str) -> Evaluation:
    """What a model answers to the benchmarks; its weights or connections are held no longer."""
    from weak2wise_core.evaluation.running import evaluate

    bench = _bench()
    bench.progress.begin(name)
    chat = open_model(model, keys=bench.keys)
    bench.progress.local.watch(name, chat)
    try:
        return await evaluate(
            model,
            settings=settings,
            gateway=bench.gateway,
            chat=chat,
            checker=bench.checker,
            name=name,
            on_answer=bench.progress.answer,
        )
    finally:
        await asyncio.shield(chat.aclose())


@task(name="publish_results", cache_policy=NO_CACHE, persist_result=False)
async def publish_results(
    evaluation: Evaluation,
    against: Evaluation | None,
    comparisons: Sequence[Comparison],
    data: Path,
) -> PublishedEvaluation:
    """Write results below the data folder, whole or not at all, and show their tables."""
    published = await asyncio.to_thread(
        publish_evaluation,
        evaluation,
        root=data / "evaluations",
        against=against,
        comparisons=comparisons,
    )
    # Artifacts are for people: a server that cannot take one does not fail the evaluation.
    with suppress(httpx.HTTPError, PrefectException, OSError):
        await acreate_markdown_artifact(
            key=artifact_key(evaluation.name, "evaluation"),
            markdown=published.page,
            description=f"pass@1 by benchmark; every answer is in {published.folder}",
        )
    return published


def account(progress: EvaluationProgress) -> dict[str, Any]:
    """What a run paid."""
    return {**progress.sums, "local": progress.local.rows()}


def _bench() -> Bench:
    bench = _CURRENT.get()
    if bench is None:
        raise BuildError("this task runs inside the flow evaluation only; start the flow instead")
    return bench
