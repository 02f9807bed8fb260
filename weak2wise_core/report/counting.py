"""What a report counts, question by question: the rows themselves need not stay in memory.

Scores and lengths are kept as how often each value came, of which there are few: a score has as
many values as there are patterns of mask levels, a length is a whole number of tokens.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from weak2wise_core.records import (
    CandidateTrace,
    GoldenReasoning,
    JudgedBy,
    MaskOutcomes,
    ScoredTrace,
    Truncation,
    Verdict,
)
from weak2wise_core.stores.portions import Portion


@dataclass(slots=True)
class Ballots:
    """Who judged, and how far votes agreed."""

    by: Counter[JudgedBy] = field(default_factory=Counter)
    orders: Counter[tuple[Verdict, ...]] = field(default_factory=Counter)
    """Answers by the votes that were cast on them, in their order; those without votes left out."""

    def add(self, by: JudgedBy, cast: Sequence[Verdict]) -> None:
        """Count one judged answer."""
        self.by[by] += 1
        if cast:
            self.orders[tuple(cast)] += 1

    @property
    def votes(self) -> int:
        """Votes cast."""
        return sum(count * len(order) for order, count in self.orders.items())

    @property
    def invalid_votes(self) -> int:
        """Votes for neither side."""
        return sum(count * order.count(Verdict.UNJUDGED) for order, count in self.orders.items())

    def with_sides(self, sides: int) -> int:
        """Answers on which so many different valid votes were cast."""
        return sum(
            count
            for order, count in self.orders.items()
            if len(set(order) - {Verdict.UNJUDGED}) == sides
        )


@dataclass(slots=True)
class Teacher:
    """What one strong model wrote, and what became of it."""

    candidates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    scores: Counter[float] = field(default_factory=Counter)
    tokens: Counter[int] = field(default_factory=Counter)
    """Lengths of its scored traces."""
    golden_tokens: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class Counts:
    """Everything that a report counts in the rows of a dataset."""

    train: int = 0
    unaided: Counter[Verdict] = field(default_factory=Counter)
    scores: Counter[float | None] = field(default_factory=Counter)
    ranges: Counter[float] = field(default_factory=Counter)
    """Best minus worst score of the questions with several."""
    levels: defaultdict[int, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    cells: int = 0
    """Mask levels, asked or not."""
    golden_scores: Counter[float] = field(default_factory=Counter)
    tokens_before: Counter[int] = field(default_factory=Counter)
    tokens_after: Counter[int] = field(default_factory=Counter)
    truncations: Counter[Truncation] = field(default_factory=Counter)
    teachers: defaultdict[str, Teacher] = field(default_factory=lambda: defaultdict(Teacher))
    filtering: Ballots = field(default_factory=Ballots)
    masking: Ballots = field(default_factory=Ballots)

    def add(self, portion: Portion, scored: Sequence[ScoredTrace]) -> None:
        """Count one question.

        Args:
            portion: Its rows.
            scored: The scores of its `outcomes`.
        """
        self.train += len(portion.train)
        for attempt in portion.attempts:
            self.unaided[attempt.verdict] += 1
            self.filtering.add(attempt.judged_by, attempt.votes)
        self._add_candidates(portion.candidates)
        for outcomes in portion.outcomes:
            self._add_outcomes(outcomes)
        self._add_scores(scored)
        for golden in portion.golden:
            self._add_golden(golden)

    def _add_candidates(self, candidates: Iterable[CandidateTrace]) -> None:
        for one in candidates:
            teacher = self.teachers[one.strong_model]
            teacher.candidates += 1
            if one.refusal is not None:
                teacher.refused[one.refusal.value] += 1

    def _add_outcomes(self, one: MaskOutcomes) -> None:
        self.cells += len(one.asked)
        for level, (verdict, asked) in enumerate(zip(one.outcomes, one.asked, strict=True)):
            self.levels[level][verdict] += asked
        # a row that does not know who judged it counts nowhere
        for by, cast, asked in zip(one.judged_by, one.votes, one.asked, strict=False):
            if asked:
                self.masking.add(by, cast)

    def _add_scores(self, scored: Sequence[ScoredTrace]) -> None:
        for one in scored:
            self.scores[one.score] += 1
            teacher = self.teachers[one.strong_model]
            teacher.tokens[one.normal_tokens] += 1
            if one.score is not None:
                teacher.scores[one.score] += 1
        known = [one.score for one in scored if one.score is not None]
        if len(known) > 1:
            self.ranges[max(known) - min(known)] += 1

    def _add_golden(self, one: GoldenReasoning) -> None:
        self.golden_scores[one.score] += 1
        self.tokens_before[one.normal_tokens] += 1
        self.tokens_after[one.golden_tokens] += 1
        self.truncations[one.truncation] += 1
        self.teachers[one.strong_model].golden_tokens[one.golden_tokens] += 1
