"""The whole result of a comparison, and the tables that people read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from weak2wise_core.ablation.comparing import BASE
from weak2wise_core.ablation.results import AblationResult, interval, reading
from weak2wise_core.bootstrap import Interval
from weak2wise_core.comparison.tables import PoolTables, SelectorRow
from weak2wise_core.config import Selector
from weak2wise_core.config.ablation import Arm
from weak2wise_core.hashing import canonical, content_hash

FORMAT = "weak2wise.comparison/1"
METHOD = "1"
"""Version of everything here that decides a result; bump it when the same inputs give another."""

DIFFERENCE_HEAD = ("accuracy of", "difference", "95% interval", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """Everything that a comparison found."""

    name: str
    inputs: Mapping[str, Any]
    """Dataset, models and settings that decided it."""
    pools: tuple[PoolTables, ...]
    unused: tuple[Selector, ...]
    """Selectors that were left out because the weak model does not tell its probabilities."""
    trained: AblationResult | None
    """Accuracies after training, where models were trained."""

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of a hash of the inputs."""
        return content_hash(self.inputs)[:12]

    def to_plain(self) -> dict[str, Any]:
        """Plain JSON."""
        plain = canonical(self)
        assert isinstance(plain, dict)
        trained = None if self.trained is None else self.trained.to_plain()
        return {"format": FORMAT, "version": self.version, **plain, "trained": trained}


# --- what people read -------------------------------------------------------------------------


def selector_head(tables: PoolTables, *, trained: bool) -> tuple[str, ...]:
    """The columns of `selector_table`."""
    known = any(row.sound is not None for row in tables.selectors)
    return (
        "selector",
        "tokens",
        "score",
        *_strong_models(tables),
        *(("sound", "AUC") if known else ()),
        *(("accuracy", "95% interval") if trained else ()),
    )


def selector_table(
    tables: PoolTables, *, trained: AblationResult | None, benchmark: str = ""
) -> list[tuple[str, ...]]:
    """One line for each selector, the base model last; see `selector_head`."""
    accuracies = _accuracies(tables.pool, trained, benchmark)
    width = len(selector_head(tables, trained=trained is not None))
    lines = [
        _line(row, tables, accuracies, has_trained=trained is not None) for row in tables.selectors
    ]
    if BASE in accuracies:
        found = accuracies[BASE]
        blank = ("",) * (width - 3)
        lines.append((BASE, *blank, f"{found.value:.3f}", interval(found)))
    return lines


def _line(
    row: SelectorRow,
    tables: PoolTables,
    accuracies: Mapping[str, Interval],
    *,
    has_trained: bool,
) -> tuple[str, ...]:
    known = any(one.sound is not None for one in tables.selectors)
    accuracy = accuracies.get(Arm.of(row.selector).value)
    told = ("", "") if accuracy is None else (f"{accuracy.value:.3f}", interval(accuracy))
    return (
        row.selector.value,
        f"{row.mean_tokens:.0f}",
        f"{row.mean_score:.3f}",
        *(f"{row.by_strong_model.get(name, 0):.0%}" for name in _strong_models(tables)),
        *((_decimals(row.sound), _decimals(row.auc)) if known else ()),
        *(told if has_trained else ()),
    )


def agreement_table(tables: PoolTables) -> list[tuple[str, ...]]:
    """A square of selectors, its first line the head: % of the questions with the same choice."""
    names = [row.selector for row in tables.selectors]
    shares = {(one.first, one.second): one.share for one in tables.agreements}
    lines = [
        (
            first.value,
            *(
                "" if first is second else f"{100 * _either(shares, first, second):.0f}"
                for second in names
            ),
        )
        for first in names
    ]
    return [("", *(name.value for name in names)), *lines]


def difference_table(
    tables: PoolTables, *, trained: AblationResult, benchmark: str
) -> list[tuple[str, ...]]:
    """One line for each pair of selectors whose trainings are compared; see `DIFFERENCE_HEAD`."""
    return [
        (
            f"{_selector(one.first)} - {_selector(one.second)}",
            f"{one.difference.value:+.3f}",
            interval(one.difference, signed=True),
            reading(one.difference),
        )
        for comparison in trained.comparisons
        if (comparison.pool, comparison.benchmark) == (tables.pool, benchmark)
        for one in comparison.differences
    ]


def _selector(arm: str) -> str:
    return Selector.STEP_MASK.value if arm == Arm.HIGHEST else arm


def _either(
    shares: Mapping[tuple[Selector, Selector], float], first: Selector, second: Selector
) -> float:
    return shares[first, second] if (first, second) in shares else shares[second, first]


def _accuracies(pool: str, trained: AblationResult | None, benchmark: str) -> dict[str, Interval]:
    found = () if trained is None else trained.comparisons
    return {
        arm.arm: arm.accuracy
        for one in found
        if (one.pool, one.benchmark) == (pool, benchmark)
        for arm in one.arms
    }


def _strong_models(tables: PoolTables) -> list[str]:
    return sorted({name for row in tables.selectors for name in row.by_strong_model})


def _decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def all_benchmarks(trained: AblationResult | None) -> Iterable[str]:
    """Names of the benchmarks; one empty name where nothing was trained."""
    if trained is None:
        return [""]
    return list(dict.fromkeys(one.benchmark for one in trained.comparisons))
