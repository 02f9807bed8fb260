"""What every figure shows, in words: for those who do not see it, and below it for those who do."""

from collections.abc import Callable
from typing import Final

from weak2wise_core.report.escapes import visible
from weak2wise_core.report.numbers import Numbers, three_digits


def station_label(station: Numbers) -> str:
    """What a station of the funnel is called."""
    fixed = {"rows": "rows in", "solved": "solved unaided", "train": "trained on"}
    kind = station["kind"]
    return fixed.get(kind) or f"{kind}: {station['reason'].replace('_', ' ')}"


def alt_text(name: str, numbers: Numbers) -> str:
    """What a figure shows, in one sentence with its main numbers."""
    return _ALT[name](numbers)


def _funnel(numbers: Numbers) -> str:
    parts = [f"{visible(station_label(one))} {one['rows']}" for one in numbers["funnel"]]
    return f"Bars: {', '.join(parts)}."


def _scores(numbers: Numbers) -> str:
    every, golden = (_score(numbers["scores"][key]) for key in ("mean", "golden_mean"))
    return (
        f"Histogram of step-mask scores: the mean of all traces is {every}, of golden traces "
        f"{golden}."
    )


def _spread(numbers: Numbers) -> str:
    apart = _score(numbers["spread"]["mean"])
    return f"Histogram: best and worst trace of a question lie {apart} apart on average."


def _levels(numbers: Numbers) -> str:
    shares = [_percent(one["correct"], one["asked"]) for one in numbers["levels"]]
    return (
        "Bars: share of correct answers of the weak model at every mask level, lightest first: "
        f"{', '.join(shares)}."
    )


def _tokens(numbers: Numbers) -> str:
    before, after = (numbers["tokens"][key]["mean"] or 0 for key in ("before", "after"))
    return (
        f"Histogram of the lengths of golden traces: on average {before:,.0f} tokens before and "
        f"{after:,.0f} after truncation."
    )


def _truncation(numbers: Numbers) -> str:
    found = numbers["truncation"]
    return f"Bars: {found['truncated']} of {found['golden']} golden traces were cut."


def _teachers(numbers: Numbers) -> str:
    parts = [
        f"{visible(one['name'])} {one['golden']} golden traces, "
        f"{one['mean_golden_tokens'] or 0:,.0f} tokens on average"
        for one in numbers["teachers"]
    ]
    return f"Bars for every strong model: {'; '.join(parts)}."


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "none"


def _score(value: float | None) -> str:
    return "unknown" if value is None else three_digits(value)


_ALT: Final[dict[str, Callable[[Numbers], str]]] = {
    "funnel": _funnel,
    "scores": _scores,
    "spread": _spread,
    "levels": _levels,
    "tokens": _tokens,
    "truncation": _truncation,
    "teachers": _teachers,
}
