"""How a build runs and what it may spend; never what it finds."""

from enum import StrEnum

from pydantic import Field

from weak2wise_core.config.base import PositiveInt, Settings


class Runner(StrEnum):
    """Where the tasks of a build run."""

    ASYNC = "async"
    DASK = "dask"
    RAY = "ray"


class Speculation(StrEnum):
    """Whether a race asks cells ahead of their turn where slots would be idle."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class BudgetSettings(Settings):
    """What a build may cost at most; reached, it stops cleanly and can be resumed."""

    usd: float | None = Field(None, ge=0, description="US dollars, by the recipe's prices")
    calls: int | None = Field(None, ge=0, description="paid model calls")


class ExecutionSettings(Settings):
    """How fast, never what: nothing here is part of a cache key."""

    in_flight: PositiveInt = Field(256, description="model calls at once, all models together")
    questions_per_task: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="most questions in one shard; 25, and 100 from 1,000 questions",
    )
    shards_in_flight: PositiveInt | None = Field(
        None,
        description="shards worked on at once; 8, or as many as hold two questions for each call "
        "in flight",
    )
    runner: Runner = Field(
        Runner.ASYNC,
        description="async: one event loop; dask or ray: several processes of this machine, among "
        "which calls in flight, limits and budget are divided",
    )
    processes: PositiveInt | None = Field(
        None, description="dask and ray: how many; one for each processor where absent"
    )
    speculate: Speculation = Field(
        Speculation.AUTO,
        description="a race asks ahead where slots are idle, and some of that in vain; "
        "auto: where neither weak model nor judge has a price; the rows are the same",
    )
    max_quarantine_fraction: float = Field(
        0.05,
        ge=0,
        le=1,
        description="a build with more questions lost to failures publishes nothing (ours); "
        "malformed input rows are named but not counted here",
    )

    def shard_size(self, questions: int) -> int:
        """Most questions in one shard of a build with so many.

        Larger shards leave less to the task engine, smaller ones less to put together anew where a
        question changes. A step moves questions to other shards, whose rows are then put together
        anew, though no model is asked again; so there is one.
        """
        if self.questions_per_task is not None:
            return self.questions_per_task
        return _LARGE_SHARD if questions >= _LARGE_BUILD else _SMALL_SHARD

    def shards_at_once(self, questions: int) -> int:
        """Shards of so many questions that are worked on at the same time."""
        if self.shards_in_flight is not None:
            return self.shards_in_flight
        return max(_FEWEST_SHARDS, -(-2 * self.in_flight // max(questions, 1)))


_LARGE_BUILD = 1000
_SMALL_SHARD, _LARGE_SHARD = 25, 100
_FEWEST_SHARDS = 8
