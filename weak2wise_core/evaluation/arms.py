"""Several models on the same questions, some of them trained with several seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weak2wise_core.bootstrap import Bootstrap, Interval, Reals
from weak2wise_core.errors import UsageError
from weak2wise_core.evaluation.records import BenchmarkResult, Evaluation
from weak2wise_core.records import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One model, or one training with its seeds."""

    arm: str
    accuracy: Interval
    """The mean over seeds and questions."""
    by_seed: tuple[float, ...]
    """One figure for each training; a model as it is has one."""
    unjudged: int
    """Answers that no rule could decide; they count as not correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The accuracy of one arm less that of another, on the same questions."""

    first: str
    second: str
    difference: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTable:
    """All arms on one benchmark."""

    benchmark: str
    items: int
    arms: tuple[ArmResult, ...]
    differences: tuple[Difference, ...]


def compare_arms(
    arms: Mapping[str, Sequence[Evaluation]],
    *,
    differences: Sequence[tuple[str, str]],
    resamples: int,
) -> tuple[ArmTable, ...]:
    """Set the arms side by side on every benchmark.

    Args:
        arms: For each arm its evaluations, one a training seed.
        differences: Who is compared with whom, where both are there.
        resamples: Of the bootstrap over seeds and questions.

    Raises:
        UsageError: Two models were not asked the same questions.
    """
    return tuple(
        _table(benchmark, _results(benchmark, arms), drawn, differences=differences)
        for benchmark, drawn in bootstraps(arms, resamples=resamples).items()
    )


def bootstraps(arms: Mapping[str, Sequence[Evaluation]], *, resamples: int) -> dict[str, Bootstrap]:
    """Resampled accuracies of all arms, drawn together, by benchmark.

    Raises:
        UsageError: Two models were not asked the same questions.
    """
    first = next(iter(arms.values()))[0]
    return {
        one.name: Bootstrap(_accuracy_rows(one.name, _results(one.name, arms)), resamples=resamples)
        for one in first.benchmarks
    }


def _results(
    benchmark: str, arms: Mapping[str, Sequence[Evaluation]]
) -> dict[str, list[BenchmarkResult]]:
    return {arm: [_of(one, benchmark, arm=arm) for one in found] for arm, found in arms.items()}


def _accuracy_rows(
    benchmark: str, results: Mapping[str, Sequence[BenchmarkResult]]
) -> dict[str, Reals]:
    """One row a seed, one column a question."""
    items = _shared_items(benchmark, results)
    return {
        arm: np.array([[_accuracies(one)[item] for item in items] for one in found])
        for arm, found in results.items()
    }


def _table(
    benchmark: str,
    results: Mapping[str, Sequence[BenchmarkResult]],
    bootstrap: Bootstrap,
    *,
    differences: Sequence[tuple[str, str]],
) -> ArmTable:
    return ArmTable(
        benchmark=benchmark,
        items=len(next(iter(results.values()))[0].items),
        arms=tuple(
            ArmResult(
                arm=arm,
                accuracy=bootstrap.accuracy(arm),
                by_seed=tuple(one.accuracy for one in found),
                unjudged=sum(map(_unjudged, found)),
            )
            for arm, found in results.items()
        ),
        differences=tuple(
            Difference(first=one, second=other, difference=bootstrap.difference(one, other))
            for one, other in differences
            if one in results and other in results
        ),
    )


def _of(evaluation: Evaluation, benchmark: str, *, arm: str) -> BenchmarkResult:
    for found in evaluation.benchmarks:
        if found.name == benchmark:
            return found
    raise UsageError(
        f"{evaluation.name} ({arm}) was not asked {benchmark}; evaluate it on the same benchmarks"
    )


def _shared_items(benchmark: str, results: Mapping[str, Sequence[BenchmarkResult]]) -> list[str]:
    asked = {frozenset(_accuracies(one)) for found in results.values() for one in found}
    if len(asked) > 1:
        raise UsageError(
            f"{benchmark}: the models were not asked the same questions; evaluate all of them on "
            "the same file"
        )
    return sorted(asked.pop())


def _accuracies(result: BenchmarkResult) -> dict[str, float]:
    return {item.id: item.accuracy for item in result.items}


def _unjudged(result: BenchmarkResult) -> int:
    return sum(verdict is Verdict.UNJUDGED for item in result.items for verdict in item.verdicts)
