"""The figures of a manifest, counted question by question and added up in any order."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

from weak2wise_core.config import Recipe
from weak2wise_core.records import (
    GoldenReasoning,
    GoldenSource,
    MaskOutcomes,
    Spent,
    Truncation,
    Verdict,
)
from weak2wise_core.scoring import has_unjudged
from weak2wise_core.stores.portions import Portion

Figure = tuple[str, ...]
_SPENT = ("calls", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")


@dataclass(slots=True)
class Tally:
    """Whole numbers by name, and one exact sum: adding up in another order changes nothing."""

    figures: Counter[Figure] = field(default_factory=Counter)
    score: Fraction = Fraction(0)
    """The sum of the scores of all golden reasonings."""

    def add(self, portion: Portion, *, recipe: Recipe) -> None:
        """Count one question."""
        self._add_rows(portion)
        for one in portion.outcomes:
            self._add_outcomes(one)
        for golden in portion.golden:
            self._add_golden(golden)
        self._add_rounds(portion, recipe)
        for stage, rows in _stages(portion):
            for spent in rows:
                self._add_spent(stage, spent)

    def absorb(self, other: Self) -> None:
        """Add what another tally counted."""
        self.figures.update(other.figures)
        self.score += other.score

    def count(self, *name: str) -> int:
        """One figure."""
        return self.figures[name]

    def under(self, *name: str) -> dict[Figure, int]:
        """Every figure whose name begins so, by the rest of its name, in order."""
        size = len(name)
        found = {key[size:]: n for key, n in self.figures.items() if key[:size] == name}
        return dict(sorted(found.items()))

    def as_plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        figures = [[*key, number] for key, number in sorted(self.figures.items())]
        return {"figures": figures, "score": str(self.score)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """The tally that `as_plain` described."""
        figures = Counter({tuple(key): int(number) for *key, number in plain["figures"]})
        return cls(figures=figures, score=Fraction(plain["score"]))

    def _add_rows(self, portion: Portion) -> None:
        self.figures["rows", "attempts"] += len(portion.attempts)
        self.figures["solved",] += sum(one.verdict is Verdict.CORRECT for one in portion.attempts)
        self.figures["rows", "candidates"] += len(portion.candidates)
        for one in portion.candidates:
            reason = "" if one.refusal is None else one.refusal.value
            self.figures["refused", one.strong_model, reason] += 1
            self.figures["marked", "answer_leak"] += one.answer_leak
            self.figures["marked", "told_answer"] += one.told_answer
        self.figures["rows", "measures"] += len(portion.measures)
        self.figures["rows", "train"] += len(portion.train)
        self.figures["train_tokens",] += sum(row.tokens for row in portion.train)

    def _add_outcomes(self, one: MaskOutcomes) -> None:
        self.figures["rows", "outcomes"] += 1
        self.figures["set_aside",] += has_unjudged(one)
        self.figures["mask_levels_asked",] += sum(one.asked)

    def _add_golden(self, one: GoldenReasoning) -> None:
        self.figures["rows", "golden"] += 1
        self.figures["golden", "by_strong_model", one.strong_model] += 1
        self.figures["golden", "by_source", one.source.value] += 1
        self.figures["golden", "by_truncation", one.truncation.value] += 1
        self.figures["tokens", "before"] += one.normal_tokens
        self.figures["tokens", "after"] += one.golden_tokens
        whole = one.truncation in (Truncation.NOT_NEEDED, Truncation.NONE_COULD)
        self.figures["truncated",] += not whole
        self.figures["annotated",] += one.source is GoldenSource.ANNOTATION
        self.score += Fraction(one.score)

    def _add_rounds(self, portion: Portion, recipe: Recipe) -> None:
        first_round = recipe.generate.samples_per_model
        drawn = {spec.name for spec in recipe.models.strong}
        further = sum(
            one.strong_model in drawn and one.draw >= first_round for one in portion.candidates
        )
        self.figures["further", "candidates"] += further
        if further:
            self.figures["further", "questions"] += 1
            self.figures["further", "rescued"] += len(portion.golden)

    def _add_spent(self, stage: str, spent: Spent) -> None:
        for name in _SPENT:
            key = ("spent", stage, spent.model, spent.returned, name)
            self.figures[key] += getattr(spent, name)


def _stages(portion: Portion) -> Iterator[tuple[str, tuple[Spent, ...]]]:
    for attempt in portion.attempts:
        yield "filter_qa", attempt.spent
    for candidate in portion.candidates:
        yield "generate_candidates", candidate.spent
    for one in portion.outcomes:
        yield "score_step_masks", one.spent
    for golden in portion.golden:
        yield "truncate_golden", golden.spent
