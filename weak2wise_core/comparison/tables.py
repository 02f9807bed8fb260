"""What selectors do on one pool: how often they agree, and what they choose."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from weak2wise_core.ablation.pools import Pool
from weak2wise_core.config import Recipe, Selector
from weak2wise_core.records import MaskOutcomes
from weak2wise_core.scoring import exact_bounds
from weak2wise_core.selectors.choosing import (
    Choosing,
    Preference,
    TraceKey,
    key_of,
    preference,
    select,
)

Known: TypeAlias = Mapping[TraceKey, bool]
"""Which traces are known to be sound; only a testbed knows. Empty where nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorRow:
    """What one selector chose."""

    selector: Selector
    mean_tokens: float
    """Of the whole Normal-Reasoning trace, in tokens of the weak model."""
    mean_score: float
    """The step-mask score."""
    by_strong_model: Mapping[str, float]
    """Share of the questions for which each strong model's trace was chosen."""
    undefined: int
    """Candidates for which its formula is undefined, or that exceed the weak model's context."""
    sound: float | None
    """Share of the chosen traces that are sound; None where that is not known."""
    auc: float | None
    """Of all pairs of a sound and an unsound candidate of one question, the share in which it
    prefers the sound one; ties count half. None where there is no such pair, or nothing known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often two selectors choose the same trace."""

    first: Selector
    second: Selector
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTables:
    """All selectors on one pool."""

    pool: str
    questions: int
    candidates: int
    left_out: Mapping[str, int]
    selectors: tuple[SelectorRow, ...]
    agreements: tuple[Agreement, ...]
    """Every pair, in the order of `selectors`."""


def compare_selectors(
    pool: Pool, selectors: Sequence[Selector], *, recipe: Recipe, known: Known
) -> PoolTables:
    """Let every selector choose for every question of a pool.

    Args:
        pool: Scored candidates, with the measures that the selectors need.
        selectors: Who chooses.
        recipe: Settings of the step-mask score and of the selectors.
        known: Which candidates are sound, where that is known.
    """
    choosing = Choosing(selection=recipe.selection, step_mask=recipe.step_mask)
    chosen = {one: _choose(pool, one, choosing) for one in selectors}
    return PoolTables(
        pool=pool.name,
        questions=len(pool.questions),
        candidates=sum(len(rows) for rows in pool.outcomes.values()),
        left_out=pool.left_out,
        selectors=tuple(_row(pool, one, chosen[one], choosing, known) for one in selectors),
        agreements=tuple(
            Agreement(first=one, second=two, share=_agreement(chosen[one], chosen[two]))
            for one, two in combinations(selectors, 2)
        ),
    )


def _choose(pool: Pool, by: Selector, choosing: Choosing) -> list[MaskOutcomes]:
    found = [
        select(pool.outcomes[question.id], by=by, evidence=pool.evidence, choosing=choosing)
        for question in pool.questions
    ]
    return [one for one in found if one is not None]


def _agreement(first: Sequence[MaskOutcomes], second: Sequence[MaskOutcomes]) -> float:
    same = [key_of(one) == key_of(two) for one, two in zip(first, second, strict=True)]
    return _mean(same)


def _row(
    pool: Pool, by: Selector, chosen: Sequence[MaskOutcomes], choosing: Choosing, known: Known
) -> SelectorRow:
    counts = Counter(one.strong_model for one in chosen)
    judged = [known[key_of(one)] for one in chosen if key_of(one) in known]
    values = pool.evidence.measures.get(by, {})
    candidates = [one for rows in pool.outcomes.values() for one in rows]
    return SelectorRow(
        selector=by,
        mean_tokens=round(_mean(one.normal_tokens for one in chosen), 3),
        mean_score=round(
            _mean(float(exact_bounds(one, settings=choosing.step_mask)[0]) for one in chosen), 6
        ),
        by_strong_model={
            name: round(count / len(chosen), 6) for name, count in sorted(counts.items())
        },
        undefined=sum(values.get(key_of(one)) is None for one in candidates)
        if by.reads_model
        else 0,
        sound=round(_mean(judged), 6) if judged else None,
        auc=area_under_curve(
            pool.outcomes.values(),
            wish=preference(by, evidence=pool.evidence, choosing=choosing),
            known=known,
        ),
    )


def area_under_curve(
    questions: Iterable[Sequence[MaskOutcomes]], *, wish: Preference, known: Known
) -> float | None:
    """How well a preference tells sound candidates from others of the same question.

    Args:
        questions: The candidates of each.
        wish: The smaller, the better.
        known: Which candidates are sound; others count for nothing.

    Returns:
        1 where every sound candidate is preferred to every unsound one of its question, 0.5 for a
        preference that knows nothing; None where no question has both.
    """
    wins, pairs = 0.0, 0
    for rows in questions:
        wishes = [(known.get(key_of(one)), wish(one)) for one in rows]
        for sound in (value for good, value in wishes if good is True):
            for other in (value for good, value in wishes if good is False):
                wins += (sound < other) + (sound == other) / 2
                pairs += 1
    return round(wins / pairs, 6) if pairs else None


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0
