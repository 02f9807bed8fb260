"""W2SR: which traces of the weak reasoner the student is trained on.

Three selections: every trace (W2SR), those whose final answer is right (W2SR-P), those whose final
answer is wrong (W2SR-N). Whatever the selection, degenerate traces are left out and counted.

Source: arXiv 2505.20072, section 3.
Departure: the authors leave no degenerate trace out.
"""

from collections.abc import Iterable

from weak2wise_core.config import TraceSelection, TraceSelectionSettings
from weak2wise_core.prompts import find_control_token
from weak2wise_core.records import FinishReason, Rejection, RejectionKind, Verdict
from weak2wise_core.related.loops import find_loop
from weak2wise_core.related.records import SelectedTraces, TeacherTrace

STAGE = "select_traces"

_WANTED = {
    TraceSelection.CORRECT: Verdict.CORRECT,
    TraceSelection.INCORRECT: Verdict.INCORRECT,
}


def select_traces(
    traces: Iterable[TeacherTrace], *, settings: TraceSelectionSettings
) -> SelectedTraces:
    """Keep the traces that a selection trains on, in their order.

    Returns:
        The kept traces. One leaves as `no_trace` (nothing was said), `cut_by_length`, `loop`,
        `control_token` (its text would be read as a command of a chat template), or with the
        verdict that its selection does not want: `correct`, `incorrect`, `unjudged`.
    """
    kept: list[TeacherTrace] = []
    rejections: list[Rejection] = []
    for trace in traces:
        fault = _fault(trace, settings)
        if fault is None:
            kept.append(trace)
        else:
            rejections.append(_dropped(trace, *fault))
    return SelectedTraces(
        traces=len(kept) + len(rejections), kept=tuple(kept), rejections=tuple(rejections)
    )


def _fault(trace: TeacherTrace, settings: TraceSelectionSettings) -> tuple[str, str] | None:
    if not trace.response.strip():
        return "no_trace", "the teacher said nothing"
    if trace.finish_reason is FinishReason.LENGTH and not settings.keep_cut:
        return "cut_by_length", "the teacher's token limit cut the trace"
    fault = _fault_of_text(trace, settings)
    if fault is not None:
        return fault
    wanted = _WANTED.get(settings.traces, trace.verdict)
    if trace.verdict is not wanted:
        return trace.verdict.value, f"the final answer is {trace.verdict.value}"
    return None


def _fault_of_text(trace: TeacherTrace, settings: TraceSelectionSettings) -> tuple[str, str] | None:
    for text in (trace.reasoning, trace.content):
        if found := find_control_token(text):
            return "control_token", f"the trace holds {found.group()!r}"
    loop = find_loop(trace.response, settings=settings.loops) if settings.loops.drop else None
    if loop is not None:
        return "loop", f"{loop.unit[:80]!r} stands there {loop.copies} times in a row"
    return None


def _dropped(trace: TeacherTrace, reason: str, detail: str) -> Rejection:
    return Rejection(
        question_id=trace.id,
        stage=STAGE,
        kind=RejectionKind.DROPPED,
        reason=reason,
        detail=detail,
        model="teacher",
        draw=trace.draw,
    )
