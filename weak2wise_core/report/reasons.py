"""Why a trace won, in one sentence that follows from the scores alone."""

from collections.abc import Sequence

from weak2wise_core.records import GoldenReasoning, GoldenSource, ScoredTrace
from weak2wise_core.report.numbers import three_digits
from weak2wise_core.report.tables import key_of


def why_it_won(
    golden: GoldenReasoning, scored: Sequence[ScoredTrace], *, selector: str = "step_mask"
) -> str:
    """What decided for this trace and against the other candidates of its question.

    Args:
        golden: The trace that won.
        scored: All scored candidates of the question, the winner among them.
        selector: What `selection.by` names.
    """
    if golden.source is GoldenSource.ANNOTATION:
        return "A person wrote this reasoning: no trace of a model helped the weak model."
    if golden.source is GoldenSource.SELECTION:
        return (
            f"Chosen by {selector.replace('_', ' ')} among {len(scored)} scored traces, not by its "
            f"score, which is {three_digits(golden.score)}."
        )
    own = [one for one in scored if key_of(one) == key_of(golden)]
    others = [one for one in scored if key_of(one) != key_of(golden)]
    if not own or not others:
        return f"The only trace that could be scored; its score is {three_digits(golden.score)}."
    rivals = [one for one in others if one.score is not None or one.upper <= golden.score]
    aside = len(others) - len(rivals)
    note = f" {_traces(aside)} set aside: a level of it was not judged." if aside else ""
    tied = [one for one in rivals if one.score == golden.score]
    return (_tie(golden, tied) if tied else _lead(golden, rivals)) + note


def _lead(golden: GoldenReasoning, rivals: Sequence[ScoredTrace]) -> str:
    if not rivals:
        return f"The only trace with a score, {three_digits(golden.score)}."
    best = max(rivals, key=lambda one: one.upper)
    reach = three_digits(best.upper)
    if best.score is not None:
        what = f"has {reach}"
    elif best.upper < golden.score:
        what = f"could reach {reach} at most"
    else:
        what = f"could reach {reach} at most, and is no shorter"
    return (
        f"Its score {three_digits(golden.score)} is the highest: the next one, "
        f"{best.strong_model} draw {best.draw}, {what}."
    )


def _tie(golden: GoldenReasoning, tied: Sequence[ScoredTrace]) -> str:
    shortest = min(one.normal_tokens for one in tied)
    share = f"{len(tied) + 1} traces share the highest score {three_digits(golden.score)}; "
    if golden.normal_tokens < shortest:
        return (
            f"{share}this one is the shortest: {golden.normal_tokens:,} tokens, the next "
            f"{shortest:,}."
        )
    return f"{share}as short as any with {shortest:,} tokens, this one is first by name and draw."


def _traces(count: int) -> str:
    return "1 trace was" if count == 1 else f"{count} traces were"
