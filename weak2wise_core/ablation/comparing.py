"""What the arms give: accuracies, differences with intervals, and every ordering that fails.

Table 3 says highest > random > lowest. Where a seed, a pool or a benchmark shows another order,
the comparison names it: an ordering that holds on average may well fail for one seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from weak2wise_core.bootstrap import Bootstrap, Interval, Reals
from weak2wise_core.config.ablation import Arm
from weak2wise_core.records import Verdict

BASE = "base"
"""The weak model as it is, beside the arms."""
TABLE_3 = (Arm.HIGHEST.value, Arm.RANDOM.value, Arm.LOWEST.value)
"""Best first, as the paper finds them."""
DIFFERENCES = (
    (Arm.HIGHEST.value, Arm.RANDOM.value),
    (Arm.RANDOM.value, Arm.LOWEST.value),
    (Arm.HIGHEST.value, Arm.SHORTEST.value),
    (Arm.HIGHEST.value, Arm.UNTRUNCATED.value),
    (Arm.HIGHEST.value, BASE),
    (Arm.SOUND_SHORT.value, Arm.HIGHEST.value),
    (Arm.SOUND_SHORT.value, Arm.SHORTEST.value),
    *((arm.value, Arm.HIGHEST.value) for arm in Arm if arm.selector.reads_model),
)
"""Who is compared with whom, where both were trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemVerdict:
    """What one model answered to one question of a benchmark."""

    pool: str
    """Where the arm chose; empty for the base model."""
    arm: str
    seed: int | None
    """Of the training; None for the base model."""
    benchmark: str
    item: str
    """The question's id."""
    verdicts: tuple[Verdict, ...]
    """One for each sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmAccuracy:
    """How well the models of one arm do."""

    arm: str
    accuracy: Interval
    by_seed: Mapping[int, float]
    """Empty for the base model."""
    unjudged: int
    """Answers that no judge could decide; they count as not correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The accuracy of one arm less that of another, on the same questions."""

    first: str
    second: str
    difference: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Disorder:
    """Two arms that stand in another order than Table 3's."""

    seed: int | None
    """None: on average over the seeds."""
    better: str
    """The arm that should be ahead."""
    worse: str
    accuracy_better: float
    accuracy_worse: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All arms of one pool on one benchmark."""

    pool: str
    benchmark: str
    items: int
    arms: tuple[ArmAccuracy, ...]
    differences: tuple[Difference, ...]
    disorders: tuple[Disorder, ...]

    @property
    def checked(self) -> bool:
        """Whether two arms of Table 3 are here, so that their order could fail."""
        return len({one.arm for one in self.arms} & set(TABLE_3)) > 1


def compare(verdicts: Iterable[ItemVerdict], *, resamples: int) -> list[Comparison]:
    """Compare the arms of every pool on every benchmark.

    Args:
        verdicts: Every answer of every model, the base model's among them.
        resamples: Of the bootstrap.

    Raises:
        ValueError: Two models were not asked the same questions.
    """
    groups: dict[tuple[str, str], list[ItemVerdict]] = {}
    for one in verdicts:
        groups.setdefault((one.pool, one.benchmark), []).append(one)
    return [
        _compare(pool, benchmark, [*rows, *groups.get(("", benchmark), ())], resamples=resamples)
        for (pool, benchmark), rows in groups.items()
        if pool
    ]


def _compare(
    pool: str, benchmark: str, rows: Sequence[ItemVerdict], *, resamples: int
) -> Comparison:
    tables = {
        arm: _table([row for row in rows if row.arm == arm], arm=arm)
        for arm in dict.fromkeys(row.arm for row in rows)
    }
    items = {one.items for one in tables.values()}
    if len(items) > 1:
        raise ValueError(f"pool {pool}, {benchmark}: the arms were not asked the same questions")
    bootstrap = Bootstrap(
        {arm: table.accuracies for arm, table in tables.items()}, resamples=resamples
    )
    by_seed = {arm: table.by_seed() for arm, table in tables.items()}
    return Comparison(
        pool=pool,
        benchmark=benchmark,
        items=len(items.pop()),
        arms=tuple(
            ArmAccuracy(
                arm=arm,
                accuracy=bootstrap.accuracy(arm),
                by_seed=by_seed[arm],
                unjudged=table.unjudged,
            )
            for arm, table in tables.items()
        ),
        differences=tuple(
            Difference(first=first, second=second, difference=bootstrap.difference(first, second))
            for first, second in DIFFERENCES
            if first in tables and second in tables
        ),
        disorders=tuple(_disorders(by_seed)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The answers of one arm: a row for each seed, a column for each question."""

    seeds: tuple[int | None, ...]
    items: tuple[str, ...]
    accuracies: Reals
    unjudged: int

    def by_seed(self) -> dict[int, float]:
        means = self.accuracies.mean(axis=1)
        return {
            seed: float(mean)
            for seed, mean in zip(self.seeds, means, strict=True)
            if seed is not None
        }


def _table(rows: Sequence[ItemVerdict], *, arm: str) -> _Table:
    cells = {(row.seed, row.item): row.verdicts for row in rows}
    seeds = tuple(dict.fromkeys(row.seed for row in rows))
    items = tuple(sorted({row.item for row in rows}))
    if len(cells) != len(rows) or len(cells) != len(seeds) * len(items):
        raise ValueError(f"arm {arm}: not every seed answered every question once")
    return _Table(
        seeds=seeds,
        items=items,
        accuracies=np.array([[_share(cells[seed, item]) for item in items] for seed in seeds]),
        unjudged=sum(row.verdicts.count(Verdict.UNJUDGED) for row in rows),
    )


def _share(verdicts: Sequence[Verdict]) -> float:
    """Share of the samples that are correct."""
    return sum(verdict is Verdict.CORRECT for verdict in verdicts) / len(verdicts)


def _disorders(arms: Mapping[str, Mapping[int, float]]) -> Iterable[Disorder]:
    """Neighbours of Table 3 that are level or reversed: on average, and for every seed."""
    for better, worse in pairwise(arm for arm in TABLE_3 if arm in arms):
        compared: list[tuple[int | None, float, float]] = [
            (seed, ahead, arms[worse][seed]) for seed, ahead in arms[better].items()
        ]
        if len(compared) > 1:
            compared.insert(0, (None, _mean(arms[better]), _mean(arms[worse])))
        for seed, ahead, behind in compared:
            if ahead <= behind:
                yield Disorder(
                    seed=seed,
                    better=better,
                    worse=worse,
                    accuracy_better=ahead,
                    accuracy_worse=behind,
                )


def _mean(by_seed: Mapping[int, float]) -> float:
    return sum(by_seed.values()) / len(by_seed)
