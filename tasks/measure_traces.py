"""Between stages 3 and 4a: what the weak model says of every token of the candidates of one shard.

Only selectors other than Step-Mask need it (`selection.by`, an ablation, a comparison).
"""

from collections.abc import Sequence

from tasks.results import StageResult
from tasks.runtime import current
from tasks.stage import stage_task
from weak2wise_core.config import Recipe
from weak2wise_core.records import CandidateTrace, Question, TraceMeasure
from weak2wise_core.selectors.measuring import Measurer, ReadingKind, measure


@stage_task("measure_traces")
async def measure_traces(
    *,
    recipe: Recipe,
    shard: str,
    questions: Sequence[Question],
    candidates: Sequence[CandidateTrace],
    kind: str,
) -> StageResult[TraceMeasure]:
    """The values of every selector that one way of reading serves."""
    runtime = current()
    tokens = await runtime.tokens()
    measurer = Measurer(
        reader=runtime.reader(),
        count_tokens=tokens.count,
        selection=recipe.selection,
        sft=recipe.sft,
        solve=runtime.prompts.solve,
    )
    # A whole shard at once: passages of about one length share a batch, whoever's they are.
    rows = await measure(questions, candidates, kind=ReadingKind(kind), measurer=measurer)
    for _ in questions:
        runtime.progress.advance("measure_traces", shard)
    return StageResult(record_type=TraceMeasure, rows=tuple(rows))
