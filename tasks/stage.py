"""What every stage task has in common: caching, Parquet results, one bad question at a time.

The engine works out keys and the bytes of results on the event loop, where they would keep the
replies that come meanwhile from being read. Here both are made in a thread, before it asks.
"""

import asyncio
import copy
import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.transactions import get_transaction

from tasks.caching import StageKey
from tasks.results import ParquetStageResult, StageResult
from tasks.runtime import session
from tasks.storage import keys_in, results_in
from weak2wise_core.errors import (
    FatalModelError,
    ModelError,
    OutOfWorldError,
    RequestRefusedError,
    StoreError,
    TraceFormatError,
)
from weak2wise_core.records import Question, Rejection, RejectionKind
from weak2wise_core.stages.gathering import gather_all

P = ParamSpec("P")
R = TypeVar("R")

StageTask = Task[P, Coroutine[Any, Any, StageResult[R]]]


async def _infrastructure_failed(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a task may be run again: for the disk or the network, never for a model's reply."""
    try:
        await state.aresult(raise_on_failure=True)
    except OSError:
        return True
    except BaseException:  # noqa: BLE001 - every other failure is for the reader, not for a retry
        return False
    return False


def stage_task(
    stage: str,
) -> Callable[[Callable[P, Coroutine[Any, Any, StageResult[R]]]], StageTask[P, R]]:
    """Declare a coroutine over one shard to be a stage of the method.

    The coroutine takes `recipe`, `shard` and rows, and returns a StageResult. Its result is cached
    under a key of its own (see `tasks.caching`) unless a question failed: failures are asked again
    by the next build.
    """

    def decorate(function: Callable[P, Coroutine[Any, Any, StageResult[R]]]) -> StageTask[P, R]:
        @functools.wraps(function)
        async def packing(*args: P.args, **kwargs: P.kwargs) -> StageResult[R]:
            return await _packed(await function(*args, **kwargs))

        return task(
            name=stage,
            task_run_name=f"{stage}, shard {{shard}}",
            persist_result=True,
            result_serializer=ParquetStageResult(),
            cache_result_in_memory=False,
            retries=2,
            retry_delay_seconds=[1, 10],
            retry_condition_fn=_infrastructure_failed,
        )(packing)

    return decorate


def stored_in(stage: StageTask[P, R], data: Path) -> StageTask[P, R]:
    """The same task with its results below a data folder.

    The policy needs a key storage of its own: without one the engine wraps results in JSON, which
    no Parquet reader opens, and caches nothing.
    """
    stored = stage.with_options(cache_policy=StageKey(stage=stage.name, key_storage=keys_in(data)))
    # set here, for the constructor takes no storage of our own that the server does not know
    stored.result_storage = results_in(data)
    return stored


async def keyed(stage: StageTask[P, R], inputs: Mapping[str, Any]) -> StageTask[P, R]:
    """The same task with its cache key for these inputs.

    Inputs without a key are left to the engine, which says why and caches nothing.
    """
    policy = stage.cache_policy
    if not isinstance(policy, StageKey):
        return stage
    try:
        key = await asyncio.to_thread(policy.of, inputs)
    except Exception:  # noqa: BLE001 - the engine meets it again
        return stage
    ready = copy.copy(stage)
    ready.cache_policy = replace(policy, known=key)
    return ready


def anew(stage: StageTask[P, R]) -> StageTask[P, R]:
    """The same task, which computes its result whatever is stored, and stores it again."""
    again = copy.copy(stage)
    again.refresh_cache = True
    return again


async def over_questions(
    questions: Sequence[Question],
    one: Callable[[Question], Awaitable[Sequence[R]]],
    *,
    stage: str,
    shard: str,
    record_type: type[R],
) -> StageResult[R]:
    """Run a stage over the questions of a shard; one bad question becomes one rejection.

    Raises:
        FatalModelError: No call to a model can succeed; the build stops.
        BudgetReachedError: The build may not spend more.
    """
    progress = session().progress

    async def guarded(question: Question) -> Sequence[R] | Rejection:
        try:
            return await one(question)
        except FatalModelError:
            raise
        except (ModelError, TraceFormatError) as error:
            return _rejection(question, stage, error)
        finally:
            progress.advance(stage, shard)

    outcomes = await gather_all([guarded(question) for question in questions])
    result = StageResult(
        record_type=record_type,
        rows=tuple(row for rows in outcomes if not isinstance(rows, Rejection) for row in rows),
        rejections=tuple(item for item in outcomes if isinstance(item, Rejection)),
    )
    keep_only_whole(result)
    return result


def keep_only_whole(result: StageResult[Any]) -> None:
    """Keep the task engine from caching a result in which a question failed."""
    transaction = get_transaction()
    if not result.whole and transaction is not None:
        transaction.write_on_commit = False


def unsettled(result: StageResult[R]) -> StageResult[R]:
    """A result that is not kept although no question failed: it would hide a failure."""
    found = replace(result, settled=False)
    keep_only_whole(found)
    return found


async def _packed(result: StageResult[R]) -> StageResult[R]:
    if not result.whole:
        return result  # it is not stored
    try:
        packed = await asyncio.to_thread(ParquetStageResult().dumps, result)
    except StoreError:
        return result  # the engine meets it again, and tells
    return replace(result, packed=packed)


def _rejection(question: Question, stage: str, error: ModelError | TraceFormatError) -> Rejection:
    # A refused request may be the recipe's fault: it is never final, and never cached.
    final = isinstance(error, OutOfWorldError | TraceFormatError)
    model = error.model if isinstance(error, ModelError) else ""
    return Rejection(
        question_id=question.id,
        stage=stage,
        kind=RejectionKind.DROPPED if final else RejectionKind.QUARANTINED,
        reason=_REASONS.get(type(error), "model_failed"),
        detail=str(error),
        model=model,
        draw=error.draw if isinstance(error, ModelError) else None,
    )


_REASONS = {
    OutOfWorldError: "out_of_world",
    RequestRefusedError: "request_refused",
    TraceFormatError: "bad_trace",
}
