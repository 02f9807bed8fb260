"""A group of shards in another process: the task that Dask and Ray run."""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.transactions import BaseTransaction

from flows.travelling import Luggage, travel
from tasks.loops import run
from tasks.progress import Progress
from tasks.runtime import open_share
from tasks.shards import ShardResult
from weak2wise_core.config import Recipe
from weak2wise_core.errors import BudgetReachedError
from weak2wise_core.prompts import PromptSet
from weak2wise_core.sharding import Shard
from weak2wise_core.stores.files import atomic_write_text

_SECONDS_BETWEEN_REPORTS = 1.0
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one process is given; no key is in it, the process reads them itself."""

    recipe: Recipe
    """With this process's part of calls in flight, limits and budget."""
    prompts: PromptSet
    data: Path
    shards: tuple[Shard, ...]
    luggage: Luggage
    scratch: Path
    report: Path
    """Where the process writes how far it is."""
    halt: Path
    """A file that appears when the build is to stop."""


class Parcel:
    """A load as a task takes it: the engine would walk every nested value of a record."""

    def __init__(self, load: Load) -> None:
        """Close the parcel."""
        self.load = load

    @property
    def name(self) -> str:
        """For the name of the task's run."""
        return self.load.report.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one process gives back: the rows themselves lie in files."""

    results: tuple[ShardResult, ...]
    stopped: str = ""
    """Why it stopped before the last shard, as where its part of the budget did not suffice."""


def carry(parcel: Parcel) -> Delivery:
    """Carry some shards to their training examples, with models and stores of this process."""
    return run(_carry(parcel.load))


# not as a decorator: another process finds the function under its own name
carry_shards = task(
    name="carry_shards",
    task_run_name="carry {parcel.name}",
    cache_policy=NO_CACHE,
    persist_result=False,
)(carry)


async def _carry(load: Load) -> Delivery:
    # Inside another task the engine keeps results of tasks until that one ends: a stage result has
    # to be on the disk when its stage ends, or a killed build would lose it.
    BaseTransaction.__var__.set(None)  # type: ignore[arg-type]
    progress, results = Progress(), list[ShardResult]()
    async with (
        reporting(progress, load.report),
        open_share(load.recipe, data=load.data, progress=progress, prompts=load.prompts) as runtime,
    ):
        try:
            async with ending_at(load.halt):
                await travel(
                    load.shards,
                    runtime=runtime,
                    luggage=load.luggage,
                    scratch=load.scratch,
                    done=results.append,
                )
        except (BudgetReachedError, HaltedError) as stop:
            return Delivery(results=tuple(results), stopped=str(stop))
    return Delivery(results=tuple(results))


class HaltedError(Exception):
    """The build was stopped while a process worked for it."""


@asynccontextmanager
async def ending_at(halt: Path) -> AsyncIterator[None]:
    """Cancel what the block does as soon as a file appears.

    Raises:
        HaltedError: It appeared.
    """
    work = asyncio.current_task()
    assert work is not None, "a coroutine runs in a task"

    async def look(work: asyncio.Task[Any]) -> None:
        while not await asyncio.to_thread(halt.exists):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        work.cancel()

    looking = asyncio.create_task(look(work))
    try:
        yield
    except asyncio.CancelledError:
        if not looking.done():
            raise
        work.uncancel()
        raise HaltedError("the build was stopped") from None
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


def dask_setup(_: object) -> None:
    """Leave Ctrl-C and words to the build; a worker of Dask calls this.

    A terminal sends Ctrl-C to the build as well, and it would end the process in the middle of its
    work. Ray does the same for its own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hush_dask()


def hush_dask() -> None:
    """Let Dask say nothing: what becomes of a process is told by the build, in its own words.

    On a busy machine Dask shows tracebacks of connections that end with the build.
    """
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@asynccontextmanager
async def reporting(progress: Progress, path: Path) -> AsyncIterator[None]:
    """Keep a file with the progress up to date while the block runs, and at its end."""

    async def keep_reporting() -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_REPORTS)
            await asyncio.to_thread(_report, progress, path)

    reporter = asyncio.create_task(keep_reporting())
    try:
        yield
    finally:
        reporter.cancel()
        with suppress(asyncio.CancelledError):
            await reporter
        _report(progress, path)


def _report(progress: Progress, path: Path) -> None:
    atomic_write_text(path, json.dumps(progress.report()))
