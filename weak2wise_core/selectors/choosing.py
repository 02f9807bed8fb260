"""Which of the scored candidates of a question a selector takes.

All selectors choose from the same candidates, those with a step-mask score, so that datasets that
they make differ in nothing but the choice. Ties go to the fewest tokens of Normal-Reasoning, then
to the name of the strong model, then to the draw, as in `select_golden`. A candidate for which a
formula is undefined comes after those for which it is not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

from weak2wise_core.config import SelectionSettings, Selector, StepMaskSettings
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import CandidateTrace, MaskOutcomes, TraceMeasure, Verdict
from weak2wise_core.scoring import exact_bounds, is_judged
from weak2wise_core.selection import one_question, tie_break
from weak2wise_core.selectors.soundness import agreement

TraceKey: TypeAlias = tuple[str, str, int]
"""Question, strong model and draw: what names a candidate."""
Values: TypeAlias = Mapping[TraceKey, float | None]

AGREES = Fraction(19, 20)
"""Share of the steps' numbers that the thinking must state to tell the same story (ours)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What selectors may look at, for any number of questions."""

    traces: Mapping[TraceKey, CandidateTrace] = field(default_factory=dict)
    measures: Mapping[Selector, Values] = field(default_factory=dict)
    """What the weak model's reading gave, for the selectors that need it."""

    @classmethod
    def of(
        cls, candidates: Iterable[CandidateTrace], measures: Iterable[TraceMeasure] = ()
    ) -> "Evidence":
        """Put tables into reach."""
        found: dict[Selector, dict[TraceKey, float | None]] = {}
        for one in measures:
            values = found.setdefault(Selector(one.selector), {})
            values[one.question_id, one.strong_model, one.draw] = one.value
        return cls(traces={key_of(one): one for one in candidates}, measures=found)


def key_of(row: CandidateTrace | MaskOutcomes) -> TraceKey:
    """What names a candidate."""
    return row.question_id, row.strong_model, row.draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """How to choose: the selector's own settings, and those of the step-mask score."""

    selection: SelectionSettings
    step_mask: StepMaskSettings


def select(
    outcomes: Sequence[MaskOutcomes], *, by: Selector, evidence: Evidence, choosing: Choosing
) -> MaskOutcomes | None:
    """The candidate that a selector takes.

    Args:
        outcomes: The candidates of one question. Those without a score are out of reach.
        by: Who chooses.
        evidence: Their traces and, for selectors that read the model, their measures.
        choosing: Settings.

    Returns:
        None where no candidate has a score.

    Raises:
        ValueError: The candidates belong to several questions, or one of them is there twice.
    """
    scored = [one for one in one_question(outcomes) if is_judged(one)]
    if not scored:
        return None
    # `min` takes the first of equals, and by then they stand in the order that settles ties
    scored.sort(key=tie_break)
    return min(scored, key=preference(by, evidence=evidence, choosing=choosing))


Preference: TypeAlias = Callable[[MaskOutcomes], tuple[Any, ...]]
"""The smaller, the better; equal for candidates that a selector holds to be equally good."""


def preference(by: Selector, *, evidence: Evidence, choosing: Choosing) -> Preference:
    """What a selector thinks of single candidates.

    Args:
        by: Who chooses.
        evidence: Traces and measures of the candidates.
        choosing: Settings.
    """
    if by.reads_model:
        return _measured(evidence.measures[by], sign=1 if by.lower_is_better else -1)
    wishes: Mapping[Selector, Preference] = {
        Selector.STEP_MASK: lambda one: (-_score(one, choosing),),
        Selector.LOWEST: lambda one: (_score(one, choosing),),
        Selector.RANDOM: lambda one: (_lot(one, seed=choosing.selection.seed),),
        Selector.SHORTEST: lambda one: (one.normal_tokens,),
        Selector.SOUND_SHORT: lambda one: sound_short(
            one, evidence.traces[key_of(one)], settings=choosing.step_mask
        ),
    }
    return wishes[by]


def _measured(values: Values, *, sign: int) -> Preference:
    def wish(one: MaskOutcomes) -> tuple[Any, ...]:
        value = values.get(key_of(one))
        return (1,) if value is None else (0, sign * value)

    return wish


def _score(one: MaskOutcomes, choosing: Choosing) -> Fraction:
    return exact_bounds(one, settings=choosing.step_mask)[0]


def _lot(one: MaskOutcomes, *, seed: int) -> str:
    """A lot drawn from the seed, the question and the candidate's identity, and nothing else."""
    return content_hash(seed, one.question_id, one.strong_model, one.draw)


def sound_short(
    outcomes: MaskOutcomes, trace: CandidateTrace, *, settings: StepMaskSettings
) -> tuple[bool, bool, int, Fraction]:
    """The shortest of the traces that the weak model can follow and that mean what they say.

    A candidate is *followed* when the weak model answers correctly with the lightest mask, which
    hides no more than the final answer. Its steps *agree* with its thinking when the thinking
    states nearly all of their numbers (`AGREES`). Candidates that are both come first, then those
    that are followed, then the others; among equals the fewest tokens of Normal-Reasoning, then
    the step-mask score.

    Args:
        outcomes: What the weak model could answer with the candidate as its hint.
        trace: The candidate.
        settings: Granularity, beta and the reading of equation 6.

    Departure: ours; it joins the lightest level of Step-Mask with length and with the agreement of
    steps and thinking.
    """
    followed = outcomes.outcomes[0] is Verdict.CORRECT
    agrees = agreement(trace.step_reasoning, trace.normal_reasoning) >= AGREES
    score, _ = exact_bounds(outcomes, settings=settings)
    return not (followed and agrees), not followed, outcomes.normal_tokens, -score
