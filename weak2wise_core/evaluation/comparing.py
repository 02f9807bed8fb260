"""Two models on the same questions."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from weak2wise_core.errors import UsageError
from weak2wise_core.evaluation.benchmarks import Benchmark
from weak2wise_core.evaluation.intervals import (
    Interval,
    Significance,
    difference_interval,
    paired_test,
)
from weak2wise_core.evaluation.records import BenchmarkResult, Evaluation, ItemResult

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One benchmark, two models, question by question."""

    benchmark: str
    questions: int
    first: float
    """pass@1 of the model that was evaluated."""
    second: float
    """pass@1 of the one that it is compared with."""
    difference: Interval
    """First less second."""
    better: int
    """Questions on which the first is right more often."""
    worse: int
    significance: Significance


def compare_results(
    first: BenchmarkResult, second: BenchmarkResult, *, resamples: int = 10_000
) -> Comparison:
    """Set two results of one benchmark side by side.

    Raises:
        UsageError: They do not hold the same questions.
    """
    ours, theirs = _by_id(first), _by_id(second)
    check_ids(ours.keys(), theirs.keys(), benchmark=first.name)
    a = [ours[name].accuracy for name in ours]
    b = [theirs[name].accuracy for name in ours]
    samples = max(_samples(first.items), _samples(second.items))
    return Comparison(
        benchmark=first.name,
        questions=len(a),
        first=first.accuracy,
        second=second.accuracy,
        difference=difference_interval(a, b, samples=samples, resamples=resamples),
        better=sum(x > y for x, y in zip(a, b, strict=True)),
        worse=sum(x < y for x, y in zip(a, b, strict=True)),
        significance=paired_test(a, b, samples=samples),
    )


def compare(
    first: Evaluation, second: Evaluation, *, resamples: int = 10_000
) -> tuple[Comparison, ...]:
    """Compare two models on every benchmark that both were asked.

    Raises:
        UsageError: They share no benchmark, or one with different questions.
    """
    theirs = {one.name: one for one in second.benchmarks}
    names = _shared([one.name for one in first.benchmarks], second)
    for name in names:
        _check_golds(golds_of(first, name), golds_of(second, name), benchmark=name)
    return tuple(
        compare_results(one, theirs[one.name], resamples=resamples)
        for one in first.benchmarks
        if one.name in names
    )


def check_comparable(benchmarks: Sequence[Benchmark], earlier: Evaluation) -> None:
    """Find out whether questions can be compared with earlier results, before they are asked.

    Raises:
        UsageError: No benchmark of that name is among the results, or it had other questions.
    """
    golds = {one.name: {item.id: item.gold for item in one.problems} for one in benchmarks}
    for name in _shared(list(golds), earlier):
        known = golds_of(earlier, name)
        check_ids(golds[name].keys(), known.keys(), benchmark=name)
        _check_golds(golds[name], known, benchmark=name)


def golds_of(evaluation: Evaluation, benchmark: str) -> dict[str, str]:
    """The ground truths of a benchmark by question."""
    return {sample.item: sample.gold for sample in evaluation.of(benchmark)}


def _shared(names: Sequence[str], earlier: Evaluation) -> list[str]:
    known = [one.name for one in earlier.benchmarks]
    shared = [name for name in names if name in known]
    if not shared:
        raise UsageError(
            f"nothing to compare: {earlier.name} was asked {', '.join(known) or 'no benchmark'}, "
            f"not {', '.join(names) or 'stock tasks alone'}"
        )
    return shared


def check_ids(ours: Set[str], theirs: Set[str], *, benchmark: str) -> None:
    """Make sure that two models were asked the same questions.

    Raises:
        UsageError: They were not.
    """
    if odd := sorted(ours ^ theirs):
        raise UsageError(
            f"{benchmark}: the two models were asked different questions; {len(odd)} ids are in "
            f"one result only, such as {', '.join(odd[:_SHOWN])}. Evaluate both on the same file"
        )


def _check_golds(ours: Mapping[str, str], theirs: Mapping[str, str], *, benchmark: str) -> None:
    """The same ids may be those of another file."""
    for item in ours.keys() & theirs.keys():
        if ours[item] != theirs[item]:
            raise UsageError(
                f"{benchmark}: the answer of question {item!r} was {theirs[item]!r} for the one "
                f"model and is {ours[item]!r} for the other; evaluate both on the same file"
            )


def _by_id(result: BenchmarkResult) -> dict[str, ItemResult]:
    return {item.id: item for item in result.items}


def _samples(items: Sequence[ItemResult]) -> int:
    return max((len(item.verdicts) for item in items), default=1)
