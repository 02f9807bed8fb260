"""How a build runs and what it may spend; never what it finds."""

from enum import StrEnum

from pydantic import Field

from weak2wise_core.config.base import PositiveInt, Settings


class Runner(StrEnum):
    """Where the tasks of a build run."""

    ASYNC = "async"


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
    questions_per_task: int = Field(25, ge=1, le=1000, description="most questions in one shard")
    shards_in_flight: PositiveInt = Field(16, description="shards worked on at once")
    runner: Runner = Field(Runner.ASYNC, description="async: one event loop")
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
