"""The whole result of an ablation, and the tables and sentences that people read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from weak2wise_core.ablation.comparing import Comparison, Disorder
from weak2wise_core.ablation.preparing import PreparedPool
from weak2wise_core.bootstrap import Interval
from weak2wise_core.hashing import canonical

FORMAT = "weak2wise.ablation/1"
METHOD = "1"
"""Version of everything here that decides a result; bump it when the same inputs give another."""

ARM_HEAD = ("pool", "arm", "rows", "tokens", "score", "accuracy", "95% interval", "by seed")
DIFFERENCE_HEAD = ("pool", "difference", "", "95% interval", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRows:
    """What an arm trained on, on average over its seeds."""

    arm: str
    rows: int
    mean_tokens: float
    """Of prompt and response, in tokens of the trained model."""
    mean_score: float
    """The step-mask score of the chosen traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSummary:
    """What the arms of a pool trained on."""

    name: str
    questions: int
    left_out: Mapping[str, int]
    arms: tuple[ArmRows, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationResult:
    """Everything that an ablation found."""

    name: str
    version: str
    inputs: Mapping[str, Any]
    """Dataset, models and settings that decided it; the version is their hash."""
    pools: tuple[PoolSummary, ...]
    comparisons: tuple[Comparison, ...]

    def to_plain(self) -> dict[str, Any]:
        """Plain JSON."""
        plain = canonical(self)
        assert isinstance(plain, dict)
        return {"format": FORMAT, **plain}


def summarise(pool: PreparedPool) -> PoolSummary:
    """What the arms of a pool train on."""
    arms = dict.fromkeys(training.arm for training in pool.rows)
    return PoolSummary(
        name=pool.name,
        questions=len(pool.questions),
        left_out=pool.left_out,
        arms=tuple(_arm_rows(arm.value, pool) for arm in arms),
    )


def _arm_rows(arm: str, pool: PreparedPool) -> ArmRows:
    rows = [row for one, rows in pool.rows.items() if one.arm == arm for row in rows]
    return ArmRows(
        arm=arm,
        rows=len(pool.questions),
        mean_tokens=round(_mean(row.tokens for row in rows), 3),
        mean_score=round(_mean(row.score for row in rows), 6),
    )


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0


# --- what people read -------------------------------------------------------------------------


def arm_table(result: AblationResult, *, benchmark: str) -> list[tuple[str, ...]]:
    """One line for each arm of each pool, the base model last; see `ARM_HEAD`."""
    lines: list[tuple[str, ...]] = []
    for comparison in _of(result, benchmark):
        trained = {one.arm: one for pool in _pools(result, comparison) for one in pool.arms}
        for arm in comparison.arms:
            rows = trained.get(arm.arm)
            lines.append(
                (
                    comparison.pool if rows else "",
                    arm.arm,
                    str(rows.rows) if rows else "",
                    f"{rows.mean_tokens:.0f}" if rows else "",
                    f"{rows.mean_score:.3f}" if rows else "",
                    f"{arm.accuracy.value:.3f}",
                    interval(arm.accuracy),
                    " ".join(f"{value:.3f}" for value in arm.by_seed.values()),
                )
            )
    trained_lines = [line for line in lines if line[0]]
    return trained_lines + [line for line in lines if not line[0]][:1]


def difference_table(result: AblationResult, *, benchmark: str) -> list[tuple[str, ...]]:
    """One line for each pair of arms that is compared; see `DIFFERENCE_HEAD`."""
    return [
        (
            comparison.pool,
            f"{one.first} - {one.second}",
            f"{one.difference.value:+.3f}",
            interval(one.difference, signed=True),
            reading(one.difference),
        )
        for comparison in _of(result, benchmark)
        for one in comparison.differences
    ]


def disorder_lines(result: AblationResult, *, benchmark: str) -> list[str]:
    """One sentence for each ordering that fails, or one that says that none does."""
    lines = [
        _sentence(one, comparison.pool)
        for comparison in _of(result, benchmark)
        for one in comparison.disorders
    ]
    ordered = [comparison for comparison in _of(result, benchmark) if comparison.checked]
    if not ordered:
        return []
    return lines or ["highest > random > lowest holds in every pool and for every seed"]


def _sentence(one: Disorder, pool: str) -> str:
    where = f"pool {pool}, " + ("on average" if one.seed is None else f"seed {one.seed}")
    return (
        f"the order fails: {where}: {one.better} {one.accuracy_better:.3f} is not above "
        f"{one.worse} {one.accuracy_worse:.3f}"
    )


def interval(one: Interval, *, signed: bool = False) -> str:
    """Such as `[0.104, 0.226]`."""
    sign = "+" if signed else ""
    return f"[{one.low:{sign}.3f}, {one.high:{sign}.3f}]"


def reading(difference: Interval) -> str:
    """What the interval of a difference says."""
    if difference.low > 0:
        return "above 0"
    return "below 0" if difference.high < 0 else "not told apart"


def benchmarks(result: AblationResult) -> list[str]:
    """Names of the benchmarks, in order."""
    return list(dict.fromkeys(one.benchmark for one in result.comparisons))


def _of(result: AblationResult, benchmark: str) -> list[Comparison]:
    return [one for one in result.comparisons if one.benchmark == benchmark]


def _pools(result: AblationResult, comparison: Comparison) -> list[PoolSummary]:
    return [pool for pool in result.pools if pool.name == comparison.pool]
