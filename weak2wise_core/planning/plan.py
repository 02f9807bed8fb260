"""A plan: what a build will still ask and cost, by stage and model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from weak2wise_core.accounts import price
from weak2wise_core.config import Backend, ModelSpec, Policy, Prices, Recipe, Speculation
from weak2wise_core.planning.forecast import CONFIDENCE, Expected, Line, forecast
from weak2wise_core.planning.lengths import Length, lengths_of
from weak2wise_core.planning.meter import Row, Taken
from weak2wise_core.planning.meter import total as total_taken
from weak2wise_core.planning.needs import Bounds
from weak2wise_core.planning.needs import total as total_needs
from weak2wise_core.planning.pilot import Sample
from weak2wise_core.planning.replay import Outlook
from weak2wise_core.planning.scene import Scene
from weak2wise_core.records import Question, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCalls:
    """The calls of one stage to one model."""

    stage: str
    model: str
    stored: int
    """Calls that the reply store answers for certain."""
    least: int
    """The fewest calls that are still to be paid for, if none fails."""
    most: int
    """The most of them."""
    reasks: int
    """The part of `most` that comes only with votes that are neither yes nor no."""
    prompt_tokens: int
    """Tokens of one prompt: the mean of stored calls, else estimated."""
    reply_tokens: int
    """Tokens of one reply: the mean of stored calls, else assumed, within `max_tokens`."""
    measured_on: int
    """Stored calls that these two are the means of."""
    usd_typical: float
    """Money at `most` calls, re-asked votes left out, of this length."""
    usd_most: float | None
    """Money at `most` calls with every reply at its limit; None where a limit is not set."""
    priced: bool
    """Whether the recipe gives the model a price; without one its money is not known."""
    expected: Expected | None
    """What a pilot lets expect; None without one."""

    @property
    def exact(self) -> bool:
        """Whether the number of calls is known."""
        return self.least == self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a build will still ask."""

    dataset: str
    rows: int
    questions: int
    rejected: int
    waiting: Mapping[str, int]
    """Questions by the stage that first misses a reply."""
    calls: tuple[PlannedCalls, ...]
    races: bool
    """Whether candidates race, so that fewer step-mask calls are made than at most."""
    guesses: bool
    """Whether a race may ask ahead in idle slots; a pilot never does."""
    expected: Expected | None
    """The sum of what a pilot lets expect; None without one."""
    samples: int
    """Questions of the pilot that came to their end."""

    @property
    def open(self) -> int:
        """Questions that miss a reply."""
        return sum(self.waiting.values())

    @property
    def stored(self) -> int:
        """Calls that the reply store answers."""
        return sum(row.stored for row in self.calls)

    @property
    def least(self) -> int:
        """The fewest calls that are still to be paid for."""
        return sum(row.least for row in self.calls)

    @property
    def most(self) -> int:
        """Calls if every question is kept, every trace is usable, and every vote is re-asked."""
        return sum(row.most for row in self.calls)

    @property
    def unpriced(self) -> list[str]:
        """Models without a price, whose money is not known."""
        return sorted({row.model for row in self.calls if not row.priced})

    def usd(self, kind: str) -> float | None:
        """Total money of one kind, or None where a part of it has no bound."""
        parts = [getattr(row, kind) for row in self.calls if row.most]
        return None if None in parts else round(sum(parts), 4)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "dataset": self.dataset,
            "rows": self.rows,
            "questions": self.questions,
            "rejected": self.rejected,
            "open": self.open,
            "waiting": dict(self.waiting),
            "stored": self.stored,
            "least": self.least,
            "most": self.most,
            "usd_typical": self.usd("usd_typical"),
            "usd_most": self.usd("usd_most"),
            "unpriced": self.unpriced,
            "races": self.races,
            "guesses": self.guesses,
            "calls": [_plain(row) for row in self.calls],
            "samples": self.samples,
            "confidence": CONFIDENCE if self.expected else None,
            "expected": self.expected.as_dict() if self.expected else None,
        }


def _plain(row: PlannedCalls) -> dict[str, Any]:
    expected = row.expected.as_dict() if row.expected else None
    return {**asdict(row), "exact": row.exact, "expected": expected}


def plan_of(
    scene: Scene,
    questions: Sequence[Question],
    outlooks: Sequence[Outlook],
    *,
    rows: int,
    rejected: int,
    samples: Sequence[Sample] = (),
) -> Plan:
    """Put a plan together.

    Args:
        scene: The recipe and its wording.
        questions: The questions that are planned for.
        outlooks: What the store has for each of them.
        rows: Rows of the question file.
        rejected: Rows that are no question of the build.
        samples: What the questions of a pilot took.
    """
    recipe = scene.recipe
    stored = total_taken(one.stored for one in outlooks)
    needs = total_needs(one.needs for one in outlooks)
    lengths = lengths_of(
        recipe,
        questions,
        prompts=scene.prompts,
        imported=[one for found in scene.imported.values() for one in found],
        stored=stored,
    )
    opened = [one for one in outlooks if one.waits_at is not None]
    lines = _lines(recipe, lengths, needs=needs, opened=opened)
    usable = [one for one in samples if not one.failed]
    found = forecast(usable, open_questions=len(opened), lines=lines) if usable else None
    return Plan(
        dataset=recipe.dataset,
        rows=rows,
        questions=len(questions),
        rejected=rejected,
        waiting=dict(Counter(one.waits_at for one in opened if one.waits_at)),
        calls=tuple(
            _planned(
                row,
                recipe.models.spec(row.model),
                stored=stored.get(row, Taken()),
                needs=needs.get(row, Bounds()),
                length=length,
                expected=found.lines[row] if found else None,
            )
            for row, length in lengths.items()
        ),
        races=(races := recipe.step_mask.policy is Policy.RACE),
        guesses=races and recipe.execution.speculate is not Speculation.NEVER,
        expected=found.total if found else None,
        samples=len(usable),
    )


def _lines(
    recipe: Recipe,
    lengths: Mapping[Row, Length],
    *,
    needs: Mapping[Row, Bounds],
    opened: Sequence[Outlook],
) -> dict[Row, Line]:
    stored = total_taken(one.stored for one in opened)
    return {
        row: Line(
            stored=stored.get(row, Taken()).calls,
            bounds=needs.get(row, Bounds()),
            prices=recipe.models.spec(row.model).usd_per_mtok,
            typical=length.typical,
        )
        for row, length in lengths.items()
    }


def _planned(
    row: Row,
    spec: ModelSpec,
    *,
    stored: Taken,
    needs: Bounds,
    length: Length,
    expected: Expected | None,
) -> PlannedCalls:
    def usd(one: Usage, calls: int) -> float:
        return round(price(one, spec.usd_per_mtok) * calls, 4)

    free = not (spec.usd_per_mtok.input or spec.usd_per_mtok.output)
    longest = Usage() if free else length.longest
    return PlannedCalls(
        stage=row.stage,
        model=row.model,
        stored=stored.calls,
        least=needs.least,
        most=needs.most,
        reasks=needs.reasks,
        prompt_tokens=length.typical.prompt_tokens,
        reply_tokens=length.typical.completion_tokens,
        measured_on=length.measured_on,
        usd_typical=usd(length.typical, needs.most - needs.reasks),
        usd_most=usd(longest, needs.most) if longest else None,
        priced=spec.backend is not Backend.OPENAI or spec.usd_per_mtok != Prices(),
        expected=expected,
    )
