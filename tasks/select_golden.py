"""Stage 4a for one shard: the golden reasoning of each question (section 3.5, equation 8)."""

import asyncio
from collections.abc import Mapping, Sequence

from tasks.results import StageResult
from tasks.runtime import current
from tasks.stage import keep_only_whole, stage_task
from weak2wise_core.config import Recipe
from weak2wise_core.grouping import rows_by_question
from weak2wise_core.records import (
    CandidateTrace,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    Rejection,
    TraceMeasure,
)
from weak2wise_core.stages.selecting import golden_of


@stage_task("select_golden")
async def select_golden(
    *,
    recipe: Recipe,
    shard: str,
    questions: Sequence[Question],
    candidates: Sequence[CandidateTrace],
    outcomes: Sequence[MaskOutcomes],
    measures: Sequence[TraceMeasure],
) -> StageResult[GoldenReasoning]:
    """The winner of each question, whole, or why there is none."""
    chosen = await asyncio.to_thread(
        _chosen,
        recipe,
        questions,
        rows_by_question(candidates),
        rows_by_question(outcomes),
        rows_by_question(measures),
    )
    for _ in questions:
        current().progress.advance("select_golden", shard)
    result = StageResult(
        record_type=GoldenReasoning,
        rows=tuple(one for one in chosen if isinstance(one, GoldenReasoning)),
        rejections=tuple(one for one in chosen if isinstance(one, Rejection)),
    )
    keep_only_whole(result)
    return result


def _chosen(
    recipe: Recipe,
    questions: Sequence[Question],
    candidates: Mapping[str, Sequence[CandidateTrace]],
    outcomes: Mapping[str, Sequence[MaskOutcomes]],
    measures: Mapping[str, Sequence[TraceMeasure]],
) -> list[GoldenReasoning | Rejection]:
    return [
        golden_of(
            question,
            candidates=candidates[question.id],
            outcomes=outcomes[question.id],
            settings=recipe.step_mask,
            selection=recipe.selection,
            measures=measures[question.id],
        )
        for question in questions
    ]
