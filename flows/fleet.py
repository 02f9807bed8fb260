"""The shards of a build in several processes of this machine, started by Dask or Ray."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner

from flows.carrying import Delivery, Load, Parcel, carry_shards, hush_dask
from flows.travelling import Done, Luggage
from tasks.loops import check_runner
from tasks.runtime import Runtime
from tasks.shards import keep
from weak2wise_core.config import Recipe, Runner
from weak2wise_core.errors import BudgetReachedError, Weak2WiseError
from weak2wise_core.records import Rejection, RejectionKind
from weak2wise_core.sharding import Shard
from weak2wise_core.shares import Spending, dealt, divided, most_processes
from weak2wise_core.stages.gathering import gather_all

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner

R = TypeVar("R")

TRIES = 2
"""How often a group of shards is sent out whose process dies."""
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_END = 10.0
_MOST_THREADS = 1024


@dataclass(slots=True)
class Round:
    """What came of sending shards out once."""

    deliveries: list[Delivery] = field(default_factory=list)
    stopped: str = ""
    """Why a process stopped early, if one did."""
    broken: str = ""
    """Why a process ended without a word, if one did."""


async def travel_elsewhere(
    shards: Sequence[Shard],
    *,
    runtime: Runtime,
    luggage: Luggage,
    scratch: Path,
    done: Done,
) -> None:
    """Carry every shard as `flows.travelling.travel` does, in several processes.

    Each process has its own part of the calls in flight, of the limits of every model and of the
    budget. Where one used its part of the budget up, what the others left is divided again.

    Raises:
        BudgetReachedError: The build may not spend more; other errors stop it as well.
    """
    await runtime.tokens()  # one that is not there is found before anything is paid
    fleet = Fleet(runtime, luggage=luggage, scratch=scratch)
    pending, tries, spent = {shard.name: shard for shard in shards}, 0, Spending()
    found = Round()
    with task_runner(runtime.recipe, processes(runtime.recipe, len(shards))) as runner:
        while pending:
            found = await fleet.send(list(pending.values()), runner, spent=spent)
            for result in (one for delivery in found.deliveries for one in delivery.results):
                del pending[result.shard]
                done(result)
            tries += bool(found.broken)
            before, spent = spent, fleet.spent
            if found.broken and tries == TRIES:
                break
            if found.stopped and not found.broken and spent == before:
                raise BudgetReachedError(_reached(runtime.recipe, spent))
    for shard in pending.values():
        done(await asyncio.to_thread(_lost, shard, found.broken, scratch, runtime.recipe))


class Fleet:
    """Sends groups of shards out and listens to how far they are."""

    def __init__(self, runtime: Runtime, *, luggage: Luggage, scratch: Path) -> None:
        self._runtime = runtime
        self._luggage = luggage
        self._scratch = scratch
        self._reports = scratch / "reports"
        self._halt = scratch / "halt"
        # Threads of its own, begun when needed: asyncio may have fewer than there are processes.
        self._threads = ThreadPoolExecutor(_MOST_THREADS)
        self._sent = 0

    async def send(
        self, shards: Sequence[Shard], runner: TaskRunner[Any], *, spent: Spending
    ) -> Round:
        """Send shards to as many processes as can share the work; what they bring back.

        An error or a signal ends the work of all of them: none asks on for a build that is over.
        """
        async with get_client() as client:
            url = str(client.api_url)  # else every process would start a server of its own
        listener, futures = asyncio.create_task(self._listen()), list[Any]()
        try:
            with temporary_settings({PREFECT_API_URL: url}):
                for load in self._loads(shards, spent):
                    futures.append(runner.submit(carry_shards, {"parcel": Parcel(load)}))
            return _joined(await gather_all([self._delivery(one) for one in futures]))
        except BaseException:
            with suppress(OSError):  # a full disk must not hide why it ends
                self._halt.touch()
            await self._apart(partial(_wait_for, futures))
            raise
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener
            self._hear()

    @property
    def spent(self) -> Spending:
        """What was paid so far, as a budget holds it."""
        progress = self._runtime.progress
        return Spending(calls=progress.charges, usd=progress.held_usd)

    async def _delivery(self, future: Any) -> Delivery | BaseException:
        """What a process brings back, or how it ended; errors of the whole build are raised."""
        try:
            return cast("Delivery", await self._apart(future.result))
        except Weak2WiseError:
            raise
        except Exception as error:  # noqa: BLE001 - a process died, in whatever way it is said
            return error

    async def _apart(self, wait: Callable[[], R]) -> R:
        """Wait in a thread, which ends when the processes have."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, copy_context().run, wait)

    def _loads(self, shards: Sequence[Shard], spent: Spending) -> Iterator[Load]:
        recipe, data = self._runtime.recipe, self._runtime.data
        parts = processes(recipe, len(shards))
        shares = divided(recipe, parts, spent=spent)
        for share, group in zip(shares, dealt(shards, parts), strict=True):
            self._sent += 1
            yield Load(
                recipe=share,
                prompts=self._runtime.prompts,
                data=data,
                shards=tuple(group),
                luggage=self._luggage.of_all(group),
                scratch=self._scratch,
                report=self._reports / f"group {self._sent}.json",
                halt=self._halt,
            )

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            self._hear()

    def _hear(self) -> None:
        paths = sorted(self._reports.glob("*.json"))
        self._runtime.progress.take(json.loads(path.read_text()) for path in paths)


def processes(recipe: Recipe, shards: int) -> int:
    """How many processes a build uses: as the recipe says, and no more than can share its work."""
    wanted = recipe.execution.processes or os.cpu_count() or 1
    return max(1, min(wanted, most_processes(recipe), shards))


@contextmanager
def task_runner(recipe: Recipe, count: int) -> Iterator[TaskRunner[Any]]:
    """Processes that wait for work, for as long as the block lasts.

    Raises:
        MissingExtraError: Dask or Ray is not installed.
    """
    check_runner(recipe)
    kind = recipe.execution.runner
    made: AbstractContextManager[TaskRunner[Any]]
    made = by_dask(count) if kind is Runner.DASK else _by_ray(count)
    get_run_logger().info("%d processes by %s", count, kind.value)
    with made as runner:
        yield runner


# Neither may send out again what a process died over: that one's part of the budget would be spent
# twice. Neither may write objects to the disk. And neither takes work from strangers: Ray has a
# token of its own accord.


@contextmanager
def by_dask(count: int) -> Iterator["DaskTaskRunner"]:
    """Processes of Dask, which nobody reaches but this build."""
    import dask
    from prefect_dask.task_runners import DaskTaskRunner

    settings = {
        # A process of a build starts others, for math-verify; a daemon may not.
        "distributed.worker.daemon": False,
        "distributed.scheduler.allowed-failures": 0,
        "distributed.dashboard.link": "",
        "distributed.scheduler.http.routes": ["distributed.http.health"],
    }
    cluster = {
        "n_workers": count,
        "threads_per_worker": 1,
        "processes": True,
        # No pages about the processes; what Dask serves all the same takes any free port.
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": {"dashboard": False},
        "security": True,  # certificates made for this build; who lacks them is refused
        "memory_limit": 0,  # a process that holds a local model is not killed for its size either
        "preload": ["flows.carrying"],
    }
    hush_dask()
    with dask.config.set(settings), DaskTaskRunner(cluster_kwargs=cluster) as runner:
        yield runner


@contextmanager
def _by_ray(count: int) -> Iterator[TaskRunner[Any]]:
    from prefect_ray.context import remote_options
    from prefect_ray.task_runners import RayTaskRunner

    instance = {
        "num_cpus": count,
        "include_dashboard": False,
        "log_to_driver": False,
        "_system_config": {"automatic_object_spilling_enabled": False},
    }
    with remote_options(max_retries=0), RayTaskRunner(init_kwargs=instance) as runner:
        yield runner


def _wait_for(futures: Sequence[Any]) -> None:
    """Wait until processes have ended their work, but not for ever."""
    last = time.monotonic() + _SECONDS_TO_END
    for future in futures:
        future.wait(timeout=max(last - time.monotonic(), 0.1))


def _joined(found: Sequence[Delivery | BaseException]) -> Round:
    joined = Round()
    for one in found:
        if isinstance(one, BaseException):
            joined.broken = f"{type(one).__name__}: {one}"[:300]
            get_run_logger().error("a process of the build ended: %s", joined.broken)
        else:
            joined.deliveries.append(one)
            joined.stopped = joined.stopped or one.stopped
    return joined


def _reached(recipe: Recipe, spent: Spending) -> str:
    usd, calls = recipe.budget.usd, recipe.budget.calls
    return (
        f"the budget of this run is reached: {spent.calls} calls and {spent.usd:.4f} USD were "
        f"spent of {'unlimited' if calls is None else calls} calls and "
        f"{'unlimited' if usd is None else usd} USD, and what is left is too little for every "
        "process. Every reply is kept: start the same build again to go on with as much once "
        "more, or raise the budget first"
    )


def _lost(shard: Shard, cause: str, scratch: Path, recipe: Recipe) -> Any:
    """A shard whose process died again and again."""
    rejections = [
        Rejection(
            question_id=question.id,
            stage="shard",
            kind=RejectionKind.QUARANTINED,
            reason="shard_failed",
            detail=f"shard {shard.name}: the process that carried it ended ({cause})",
        )
        for question in shard.questions
    ]
    return keep(
        scratch / f"{shard.name}.portions",
        shard=shard.name,
        portions=(),
        rejections=rejections,
        entered={},
        recipe=recipe,
    )
