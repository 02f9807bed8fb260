"""Racing: which mask level to ask next, and when the winner is proven.

Only the arg-max of the scores matters (equation 8), and most mask levels cannot change it. A race
asks one level at a time, always the one that can move the decision most, and ends as soon as no
verdict could give another winner. The winner is the one that asking every level gives.

Departure: ours; the paper and its reference code ask every level of every candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.records import Verdict
from weak2wise_core.scoring import level_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A candidate as the race knows it: its order among candidates of the same score."""

    normal_tokens: int
    strong_model: str
    draw: int

    @property
    def tie_break(self) -> tuple[int, str, int]:
        """Fewest tokens first, then the strong model's name, then the draw (section 3.5)."""
        return self.normal_tokens, self.strong_model, self.draw


class Cell(NamedTuple):
    """One question to the weak model: a candidate, by its place, with one mask level."""

    candidate: int
    level: int


class Race:
    """The candidates of one question and what is known of their mask levels.

    A pure state machine: whoever drives it asks `next_cell`, tells `record`, and stops when there
    is no next cell. Cells come one after the other, so that the same verdicts give the same race.

    Attributes:
        outcomes: For every candidate the verdict of every level, None where it was not asked.
    """

    def __init__(self, entrants: Sequence[Entrant], *, settings: StepMaskSettings) -> None:
        """Line up the candidates.

        Args:
            entrants: The candidates of one question; their place is their name in the race.
            settings: Granularity, beta and the reading of equation 6.
        """
        self._weights, _ = level_weights(
            settings.granularity, beta=settings.exact_beta, reading=settings.reading
        )
        levels = range(settings.granularity)
        self._most_masked_first = tuple(reversed(levels))
        self._entrants = entrants
        self._settings = settings
        self._ties = [entrant.tie_break for entrant in entrants]
        self.outcomes: list[list[Verdict | None]] = [[None] * len(levels) for _ in entrants]

    def next_cell(self) -> Cell | None:
        """The most telling cell that was not asked, or None when the race is over.

        Among the candidates that can still win it is the one with the highest possible score, and
        of that one its most masked level: it weighs most, and is the likeliest to be failed. (With
        `as_printed` the unmasked level may weigh more than some, but is rarely failed.) When only
        the winner is left, its other levels follow, so that its score is exact and none of them
        is unjudged.
        """
        open_ones = [one for one in self._alive() if None in self.outcomes[one]]
        if not open_ones:
            return None
        chosen = min(open_ones, key=self._best_case)
        levels = self.outcomes[chosen]
        return Cell(chosen, next(one for one in self._most_masked_first if levels[one] is None))

    def record(self, cell: Cell, verdict: Verdict) -> None:
        """Take in what the judge said of a cell.

        Raises:
            ValueError: The cell was recorded before.
        """
        levels = self.outcomes[cell.candidate]
        if levels[cell.level] is not None:
            raise ValueError(f"candidate {cell.candidate}, level {cell.level} was recorded before")
        levels[cell.level] = verdict

    def guesses(self, pending: Cell, *, most: int) -> list[Cell]:
        """Cells that the race may ask after a pending one, the likeliest to be needed first.

        Args:
            pending: What `next_cell` named and nobody has recorded yet.
            most: How many to name.

        Returns:
            Cells in the order in which they can come: first those that follow the pending one at
            once, for either verdict, then those that follow these.
        """
        found: list[Cell] = []
        futures = [(self, pending)]
        while futures and len(found) < most:
            branches = [
                race.assuming(cell, verdict)
                for race, cell in futures
                for verdict in (Verdict.INCORRECT, Verdict.CORRECT)
            ]
            nexts = [(race, race.next_cell()) for race in branches]
            futures = [(race, cell) for race, cell in nexts if cell is not None]
            found += dict.fromkeys(cell for _, cell in futures if cell not in found)
        return found[:most]

    def can_matter(self, cell: Cell) -> bool:
        """Whether the race may still ask a cell."""
        if self.outcomes[cell.candidate][cell.level] is not None:
            return False
        return self.next_cell() is not None and cell.candidate in self._alive()

    def assuming(self, cell: Cell, verdict: Verdict) -> "Race":
        """The race as it would be with one more verdict."""
        other = Race(self._entrants, settings=self._settings)
        other.outcomes = [list(levels) for levels in self.outcomes]
        other.record(cell, verdict)
        return other

    def _alive(self) -> list[int]:
        """Candidates that can still win; one with an unjudged level cannot."""
        judged = [one for one, levels in enumerate(self.outcomes) if Verdict.UNJUDGED not in levels]
        if not judged:
            return []
        bar = min(self._worst_case(one) for one in judged)
        return [one for one in judged if self._best_case(one) <= bar]

    def _best_case(self, one: int) -> tuple[int, tuple[int, str, int]]:
        """Rank if every open level were answered correctly; lower is better."""
        return -self._sum(one, hopeful=True), self._ties[one]

    def _worst_case(self, one: int) -> tuple[int, tuple[int, str, int]]:
        """Rank if no open level were."""
        return -self._sum(one, hopeful=False), self._ties[one]

    def _sum(self, one: int, *, hopeful: bool) -> int:
        return sum(
            weight
            for weight, verdict in zip(self._weights, self.outcomes[one], strict=True)
            if verdict is Verdict.CORRECT or (verdict is None and hopeful)
        )
