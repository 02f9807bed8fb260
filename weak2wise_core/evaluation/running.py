"""Evaluate one model: benchmarks in, graded answers out."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from weak2wise_core.config import EvaluationSettings, ModelSpec
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.evaluation.assembling import assemble
from weak2wise_core.evaluation.benchmarks import Benchmark, load_benchmarks
from weak2wise_core.evaluation.bridge import Asking, Bridge, OnAnswer
from weak2wise_core.evaluation.grading import Grader
from weak2wise_core.evaluation.harness import Found, run_harness
from weak2wise_core.evaluation.models import settled
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.gateway import Gateway
from weak2wise_core.llm.protocol import ChatModel

R = TypeVar("R")


async def evaluate(
    model: ModelSpec,
    *,
    settings: EvaluationSettings,
    gateway: Gateway,
    chat: ChatModel,
    checker: AnswerChecker,
    name: str,
    on_answer: OnAnswer | None = None,
) -> Evaluation:
    """Put the questions of every benchmark to a model and grade its answers.

    Answers come through the gateway: what the reply store holds is not asked again, so an
    evaluation that was stopped goes on where it ended. Nothing is written.

    Args:
        model: The model; temperature, top_p, limit and seed of the evaluation replace its own.
        settings: Benchmarks, samples, sampling.
        gateway: Through which all calls pass.
        chat: The opened model.
        checker: Compares answers; it stays open.
        name: Under which calls are counted and the evaluation is known.
        on_answer: Told about progress, on the event loop.

    Returns:
        All answers with their verdicts.

    Raises:
        UsageError: No benchmark is named, a file or stock task cannot be used.
        MissingExtraError: lm-evaluation-harness is not installed.
        EvaluationError: Answers are missing; the others are kept.
        ModelError: No call to the model can succeed.
        BudgetReachedError: The next call would cross the budget.
    """
    settings = settled(model, settings)
    asking = Asking(
        model=model,
        chat=chat,
        gateway=gateway,
        name=name,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
        on_answer=on_answer,
    )
    bridge = Bridge(asking)

    def work() -> tuple[list[Benchmark], Found]:
        benchmarks = load_benchmarks(settings)
        return benchmarks, run_harness(
            bridge, benchmarks, settings=settings, grader=Grader(checker)
        )

    benchmarks, found = await _in_a_thread(work, give_up=bridge.cancel)
    return assemble(benchmarks, found, bridge=bridge, asking=asking, settings=settings)


async def _in_a_thread(work: Callable[[], R], *, give_up: Callable[[], None]) -> R:
    """Run blocking work that itself waits for the event loop.

    It has a thread of its own: in the shared pool, a handful of evaluations at once could take
    every thread that their models need to answer.
    """
    context = contextvars.copy_context()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evaluation")
    running = asyncio.get_running_loop().run_in_executor(executor, context.run, work)
    try:
        return await asyncio.shield(running)
    finally:
        if not running.done():
            give_up()
            await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # seen: who was cancelled raises that instead
        executor.shutdown(wait=False)
