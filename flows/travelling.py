"""Shards on their way through the stages, as many at once as keep the models busy."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prefect.logging import get_run_logger

from flows.road import Road, Stages
from tasks.caching import build_settings
from tasks.runtime import Runtime
from tasks.shards import ShardResult, find, keep, place
from weak2wise_core.errors import BudgetReachedError, FatalModelError, StoreError, UsageError
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import CandidateTrace
from weak2wise_core.sharding import Shard
from weak2wise_core.stages.gathering import gather_all

Done = Callable[[ShardResult], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Luggage:
    """What people and files bring to questions, by question id."""

    imported: Mapping[str, Sequence[CandidateTrace]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def of(self, shard: Shard) -> "Luggage":
        """The part that belongs to one shard."""
        return self.of_all([shard])

    def of_all(self, shards: Sequence[Shard]) -> "Luggage":
        """The part that belongs to some shards."""
        ids = [question.id for shard in shards for question in shard.questions]
        return Luggage(
            imported={one: self.imported[one] for one in ids if one in self.imported},
            notes={one: self.notes[one] for one in ids if one in self.notes},
        )

    @property
    def candidates(self) -> list[CandidateTrace]:
        """All imported candidates."""
        return [row for rows in self.imported.values() for row in rows]


async def travel(
    shards: Sequence[Shard],
    *,
    runtime: Runtime,
    luggage: Luggage,
    scratch: Path,
    done: Done,
) -> None:
    """Carry every shard from its questions to its training examples.

    A shard that an earlier build finished is found by the hash of all that decides its rows, and
    no task is started for it. No more than `shards_in_flight` are under way: later ones wait on
    the disk, and what became of earlier ones lies there again.

    Args:
        shards: The questions.
        runtime: The build's models and counters.
        luggage: What else belongs to them.
        scratch: A folder for shards that cannot be kept, because something in them failed.
        done: Told of every shard at its end.

    Raises:
        BudgetReachedError: The build may not spend more; other errors stop it as well.
    """
    carrier = Carrier(runtime, luggage=luggage, scratch=scratch)
    waiting = iter(shards)

    async def mover(waiting: Iterator[Shard]) -> None:
        for shard in waiting:
            done(await carrier.carry(shard))

    execution = runtime.recipe.execution
    movers = min(execution.shards_at_once(len(shards[0].questions) if shards else 1), len(shards))
    await gather_all([mover(waiting) for _ in range(movers)])


class Carrier:
    """Carries one shard at a time, or finds that it was carried before."""

    def __init__(self, runtime: Runtime, *, luggage: Luggage, scratch: Path) -> None:
        self._runtime = runtime
        self._luggage = luggage
        self._scratch = scratch
        self._stages = Stages.of(runtime)
        self._settings = content_hash(build_settings(runtime.recipe, prompts=runtime.prompts))

    async def carry(self, shard: Shard) -> ShardResult:
        """What became of a shard, now or in an earlier build."""
        luggage = self._luggage.of(shard)
        path = await asyncio.to_thread(
            place,
            self._runtime.data,
            self._settings,
            questions=shard.questions,
            imported=luggage.candidates,
            notes=luggage.notes,
        )
        if (found := await asyncio.to_thread(find, path, shard=shard.name)) is not None:
            found.show(self._runtime.progress)
            return found
        return await self._travel(shard, luggage, path)

    async def _travel(self, shard: Shard, luggage: Luggage, path: Path) -> ShardResult:
        await self._runtime.tokens()  # one that is not there is found before anything is paid
        road = Road(
            shard,
            recipe=self._runtime.recipe,
            runtime=self._runtime,
            stages=self._stages,
            imported=luggage.candidates,
            annotations=luggage.notes,
        )
        try:
            part = await road.travel()
        except (BudgetReachedError, FatalModelError, StoreError, UsageError):
            raise  # no other shard can go on either
        except Exception as error:  # noqa: BLE001 - one failed shard does not fail the build
            get_run_logger().exception("shard %s failed", shard.name)
            part = road.give_up(error)
        return await asyncio.to_thread(
            keep,
            path if part.settled else self._scratch / f"{shard.name}.portions",
            shard=shard.name,
            portions=part.portions(shard.questions),
            rejections=part.rejections,
            entered=part.entered,
            recipe=self._runtime.recipe,
        )
