"""The scored pool that all arms choose from, and the part of it in which lengths are alike.

A comparison of arms is fair when they differ in nothing but the trace of each question. So every
arm trains on the same questions: those for which the build itself would have a golden reasoning.
A question that no candidate helps with is in no arm, because the build drops it too (unless
`zero_score.action` keeps it), and what a person wrote is in none, because no arm could choose it.

Source: paper, Tables 3 and 4. Departure: the paper does not say which questions its arms share; a
length-balanced pool is ours.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from weak2wise_core.config import Recipe, StepMaskSettings, ZeroScoreAction
from weak2wise_core.records import CandidateTrace, MaskOutcomes, Question, TraceMeasure
from weak2wise_core.scoring import exact_bounds, is_judged
from weak2wise_core.selection import select_golden
from weak2wise_core.selectors.choosing import Evidence, key_of

WHOLE, BALANCED = "all", "length-balanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Questions with their scored candidates."""

    name: str
    questions: tuple[Question, ...]
    outcomes: Mapping[str, tuple[MaskOutcomes, ...]]
    """By question; every one of these candidates has a score."""
    evidence: Evidence
    """The candidates' traces, and what the weak model's reading gave for those that were read."""
    left_out: Mapping[str, int]
    """Questions that are not in the pool, by reason."""


def is_complete(outcomes: Iterable[MaskOutcomes]) -> bool:
    """Whether every mask level was asked; a race leaves out what cannot change its winner."""
    return all(all(one.asked) for one in outcomes)


def whole_pool(
    questions: Sequence[Question],
    *,
    candidates: Sequence[CandidateTrace],
    outcomes: Sequence[MaskOutcomes],
    recipe: Recipe,
    measures: Iterable[TraceMeasure] = (),
) -> Pool:
    """The questions for which the build would have a golden reasoning, with their candidates.

    Args:
        questions: Questions in the order of their file.
        candidates: Candidates of any of them, refused ones included.
        outcomes: What the scoring model answered with each usable candidate, at every level. A
            candidate with an unjudged level has no score and is in no arm's reach.
        recipe: Granularity, beta, reading, and what becomes of a score of 0.
        measures: Of the candidates, for arms whose selectors read the weak model.
    """
    scored = _by_question(one for one in outcomes if is_judged(one))
    asked = {one.question_id for one in candidates}
    keep_zero = recipe.zero_score.action is ZeroScoreAction.KEEP
    left_out: Counter[str] = Counter()
    kept = []
    for question in (one for one in questions if one.id in asked):
        best = select_golden(scored.get(question.id, ()), settings=recipe.step_mask).score
        if best is None:
            left_out["no_scored_candidate"] += 1
        elif best == 0 and not keep_zero:
            left_out["zero_score"] += 1
        else:
            kept.append(question)
    return Pool(
        name=WHOLE,
        questions=tuple(kept),
        outcomes={question.id: scored[question.id] for question in kept},
        evidence=Evidence.of(candidates, measures),
        left_out=left_out,
    )


def length_balanced(pool: Pool, *, tolerance: float, settings: StepMaskSettings) -> Pool:
    """The part of a pool in which the length of a trace says nothing about its score.

    Of each question only candidates of about one length are kept: those whose longest
    Normal-Reasoning trace is longer than their shortest by at most `tolerance`. Of several such
    groups the one with the widest range of scores is taken, then the largest, then the shortest.
    A question without a group of two different scores is left out.

    Args:
        pool: The whole pool.
        tolerance: As a share of the shortest trace of a group; 0 keeps exactly equal lengths.
        settings: Granularity, beta and the reading of equation 6.

    Departure: ours. Without it nobody can say whether the best-scored traces teach better because
    the weak model can follow them or because they are of another length.
    """
    groups = {
        question.id: _widest(pool.outcomes[question.id], tolerance=tolerance, settings=settings)
        for question in pool.questions
    }
    kept = tuple(question for question in pool.questions if groups[question.id])
    missing = len(pool.questions) - len(kept)
    return Pool(
        name=BALANCED,
        questions=kept,
        outcomes={question.id: groups[question.id] for question in kept},
        evidence=pool.evidence,
        left_out={**pool.left_out, **({"no_two_of_one_length": missing} if missing else {})},
    )


def _widest(
    outcomes: Sequence[MaskOutcomes], *, tolerance: float, settings: StepMaskSettings
) -> tuple[MaskOutcomes, ...]:
    """The group of about equally long candidates whose scores differ most; empty if none do."""
    ordered = sorted(outcomes, key=lambda one: (one.normal_tokens, *key_of(one)))
    scores = {key_of(one): exact_bounds(one, settings=settings)[0] for one in ordered}
    best: tuple[Fraction, int] = (Fraction(0), 0)
    widest: tuple[MaskOutcomes, ...] = ()
    for start, shortest in enumerate(ordered):
        # In whole numbers, so that 10% longer means the same on every machine.
        longest = shortest.normal_tokens * (1 + Fraction(str(tolerance)))
        group = tuple(one for one in ordered[start:] if one.normal_tokens <= longest)
        found = [scores[key_of(one)] for one in group]
        rank = (max(found) - min(found), len(group))
        if rank[0] > 0 and rank > best:
            best, widest = rank, group
    return widest


def _by_question(outcomes: Iterable[MaskOutcomes]) -> dict[str, tuple[MaskOutcomes, ...]]:
    found: dict[str, list[MaskOutcomes]] = {}
    for one in outcomes:
        found.setdefault(one.question_id, []).append(one)
    return {question: tuple(rows) for question, rows in found.items()}
