"""Stage 4a: the golden reasoning of each question, and what becomes of a score of 0 (3.5).

Pure: no model is asked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from weak2wise_core.config import SelectionSettings, Selector, StepMaskSettings
from weak2wise_core.records import (
    CandidateTrace,
    GoldenReasoning,
    GoldenSource,
    MaskOutcomes,
    Question,
    Rejection,
    RejectionKind,
    TraceMeasure,
    Truncation,
    Verdict,
)
from weak2wise_core.scoring import exact_bounds
from weak2wise_core.selection import select_golden
from weak2wise_core.selectors.choosing import Choosing, Evidence, select

ANNOTATOR = "annotator"
"""The name that stands for a person where other rows name a strong model."""

_BY_SCORE = SelectionSettings()


def golden_of(
    question: Question,
    *,
    candidates: Sequence[CandidateTrace],
    outcomes: Sequence[MaskOutcomes],
    settings: StepMaskSettings,
    selection: SelectionSettings = _BY_SCORE,
    measures: Sequence[TraceMeasure] = (),
) -> GoldenReasoning | Rejection:
    """Choose among the candidates of one question.

    Args:
        question: The question.
        candidates: All of its candidates, refused ones included.
        outcomes: The outcomes of its usable candidates.
        settings: Granularity, beta and the reading of equation 6.
        selection: Who chooses. Where no candidate helps, it is the step-mask score, whoever would
            choose otherwise: what becomes of the question is for `zero_score` to say.
        measures: Of the candidates, for a selector that reads the weak model.

    Returns:
        The whole trace of the winner, with its step-mask score; or why there is none:
        `no_candidate` where every candidate was refused, `unjudged` where none has a score. A
        candidate with an unjudged level is set aside: its row in the scores has no score.

    Source: section 3.5, equation 8.
    """
    if not outcomes:
        counts = Counter(one.refusal.value for one in candidates if one.refusal is not None)
        found = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        return _rejection(
            question,
            kind=RejectionKind.DROPPED,
            reason="no_candidate",
            detail=f"all {len(candidates)} candidates were refused: {found}"
            if candidates
            else "there is no candidate for it",
        )
    choice = select_golden(outcomes, settings=settings)
    if choice.winner is None or choice.score is None:
        return _unjudged(question, outcomes)
    if selection.by is Selector.STEP_MASK or choice.score == 0:
        return _whole(choice.winner, candidates, score=choice.score, source=GoldenSource.STEP_MASK)
    winner = select(
        outcomes,
        by=selection.by,
        evidence=Evidence.of(candidates, measures),
        choosing=Choosing(selection=selection, step_mask=settings),
    )
    assert winner is not None, "step-mask found a candidate with a score"
    score, _ = exact_bounds(winner, settings=settings)
    return _whole(winner, candidates, score=score, source=GoldenSource.SELECTION)


def _whole(
    winner: MaskOutcomes,
    candidates: Sequence[CandidateTrace],
    *,
    score: Fraction,
    source: GoldenSource,
) -> GoldenReasoning:
    trace = next(one for one in candidates if _key(one) == _key(winner))
    return GoldenReasoning(
        question_id=winner.question_id,
        strong_model=winner.strong_model,
        draw=winner.draw,
        source=source,
        score=float(score),
        golden_reasoning=trace.normal_reasoning,
        truncation=Truncation.NOT_NEEDED,
        normal_tokens=winner.normal_tokens,
        golden_tokens=winner.normal_tokens,
        spent=(),
    )


def zero_scores(golden: Iterable[GoldenReasoning]) -> set[str]:
    """Ids of the questions whose best candidate helped at no mask level.

    What another selector chose may score 0 although another candidate of the question helps.
    """
    return {
        one.question_id
        for one in golden
        if one.score == 0 and one.source is not GoldenSource.SELECTION
    }


def annotated(
    golden: GoldenReasoning, annotations: Mapping[str, str], *, tokens: int
) -> GoldenReasoning:
    """The reasoning that a person wrote for a question, in place of one that scores 0."""
    return GoldenReasoning(
        question_id=golden.question_id,
        strong_model=ANNOTATOR,
        draw=0,
        source=GoldenSource.ANNOTATION,
        score=golden.score,
        golden_reasoning=annotations[golden.question_id],
        truncation=Truncation.NOT_NEEDED,
        normal_tokens=tokens,
        golden_tokens=tokens,
        spent=(),
    )


def zero_score_rejection(golden: GoldenReasoning, *, draws: int, awaits_person: bool) -> Rejection:
    """Why a question without a helpful candidate is not in the training set."""
    reason = "awaiting_annotation" if awaits_person else "zero_score"
    return Rejection(
        question_id=golden.question_id,
        stage="select_golden",
        kind=RejectionKind.DROPPED,
        reason=reason,
        detail=f"no hint of any candidate helped the weak model ({draws} draws of each model)",
    )


def _key(row: CandidateTrace | MaskOutcomes) -> tuple[str, str, int]:
    return row.question_id, row.strong_model, row.draw


def _unjudged(question: Question, outcomes: Sequence[MaskOutcomes]) -> Rejection:
    """A question of whose candidates none has a score; the row names the first of them."""
    gaps = [f"{one.strong_model} draw {one.draw} {_gap(one)}" for one in outcomes]
    more = f" and {len(gaps) - 5} more" if len(gaps) > 5 else ""
    return Rejection(
        question_id=question.id,
        stage="select_golden",
        kind=RejectionKind.QUARANTINED,
        reason="unjudged",
        detail=f"none of {len(outcomes)} candidates was judged at every mask level it needs: "
        f"{'; '.join(gaps[:5])}{more}. Stored votes come again: to have them cast anew, run "
        "weak2wise replies prune --model judge; where no rule is certain, judging.method "
        "rule_then_llm asks a judge",
        model=outcomes[0].strong_model,
        draw=outcomes[0].draw,
    )


def _gap(outcomes: MaskOutcomes) -> str:
    answers = enumerate(zip(outcomes.asked, outcomes.outcomes, strict=True))
    levels = [
        str(level) for level, (asked, found) in answers if asked and found is Verdict.UNJUDGED
    ]
    return f"has no verdict at level {', '.join(levels)}" if levels else "was not asked throughout"


def _rejection(question: Question, *, kind: RejectionKind, reason: str, detail: str) -> Rejection:
    return Rejection(
        question_id=question.id, stage="select_golden", kind=kind, reason=reason, detail=detail
    )
