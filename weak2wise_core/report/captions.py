"""What every figure shows, in words: for those who do not see it, and below it for those who do."""

from collections.abc import Callable
from typing import Final

from weak2wise_core.report.escapes import visible
from weak2wise_core.report.numbers import Numbers


def station_label(station: Numbers) -> str:
    """What a station of the funnel is called."""
    fixed = {"rows": "rows in", "solved": "solved unaided", "train": "trained on"}
    kind = station["kind"]
    return fixed.get(kind) or f"{kind}: {station['reason']} ({station['stage']})"


def alt_text(name: str, numbers: Numbers) -> str:
    """What a figure shows, in one sentence with its main numbers."""
    return _ALT[name](numbers)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "none"


def _alt_levels(numbers: Numbers) -> str:
    shares = [_percent(one["correct"], one["asked"]) for one in numbers["levels"]]
    return (
        "Bars: share of correct answers of the weak model at every mask level, lightest first: "
        f"{', '.join(shares)}."
    )


def _alt_teachers(numbers: Numbers) -> str:
    parts = [
        f"{visible(one['name'])} {one['golden']} golden traces, "
        f"{one['mean_golden_tokens'] or 0:,.0f} tokens on average"
        for one in numbers["teachers"]
    ]
    return f"Bars for every strong model: {'; '.join(parts)}."


def _alt_tokens(numbers: Numbers) -> str:
    before, after = (numbers["tokens"][key]["mean"] or 0 for key in ("before", "after"))
    return (
        f"Histogram of the lengths of golden traces: on average {before:,.0f} tokens before and "
        f"{after:,.0f} after truncation."
    )


_ALT: Final[dict[str, Callable[[Numbers], str]]] = {
    "funnel": lambda n: "Bars: "
    + ", ".join(f"{visible(station_label(one))} {one['rows']}" for one in n["funnel"])
    + ".",
    "scores": lambda n: "Histogram of step-mask scores: the mean of all traces is "
    f"{n['scores']['mean'] or 0:.2f}, of golden traces {n['scores']['golden_mean'] or 0:.2f}.",
    "spread": lambda n: "Histogram: the best and the worst trace of a question lie "
    f"{n['spread']['mean'] or 0:.2f} apart on average.",
    "levels": _alt_levels,
    "tokens": _alt_tokens,
    "truncation": lambda n: f"Bars: {n['truncation']['truncated']} of "
    f"{n['truncation']['golden']} golden traces were cut.",
    "teachers": _alt_teachers,
}
