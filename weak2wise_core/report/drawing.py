"""The figures of a report, as SVG.

The same numbers give the same bytes with the same version of the drawing library: no date, a fixed
salt for its ids, texts as texts. Names of models are data: no mathematics is read in them.
"""

import io
import json
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from weak2wise_core.report.captions import station_label
from weak2wise_core.report.escapes import visible
from weak2wise_core.report.numbers import SCORE_BINS, Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#1d2733"
"""Texts and axes."""
GRID: Final = "#d5dbe3"
FIRST: Final = "#2563a8"
"""The main series."""
SECOND: Final = "#d9822b"
"""What it is compared with."""
FAINT: Final = "#7895bb"
"""What was there before."""

_SETTINGS: Final = {
    "svg.hashsalt": "weak2wise",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "axes.facecolor": "none",
}
_WIDTH: Final = 4.8
_HEIGHT: Final = 2.7
_LINE: Final = 0.33
"""Inches: of a figure, and of one bar that lies."""
_LONGEST_NAME: Final = 40

Draw = Callable[["Figure", Numbers], None]


def draw(name: str, numbers: Numbers) -> str:
    """One figure of `FIGURES` as an SVG document on no background."""
    return _drawn(name, json.dumps(numbers, sort_keys=True))


def on_white(svg: str) -> str:
    """A figure for a page whose colours are not known."""
    end = svg.index(">", svg.index("<svg ")) + 1
    return f'{svg[:end]}<rect width="100%" height="100%" fill="#ffffff"/>{svg[end:]}'


@lru_cache(maxsize=16)
def _drawn(name: str, numbers: str) -> str:
    """Drawing takes a twentieth of a second, and a build shows its figures in two places."""
    import matplotlib as mpl  # takes half a second
    from matplotlib.figure import Figure

    image = io.StringIO()
    with warnings.catch_warnings(), mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the page's fonts have them
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained", facecolor="none")
        _DRAWN[name](figure, json.loads(numbers))
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(image, format="svg", metadata=nothing, facecolor="none")
    return image.getvalue()


def _funnel(figure: "Figure", numbers: Numbers) -> None:
    rows = numbers["funnel"]
    labels = [station_label(one) for one in rows]
    colours = [{"train": FIRST, "rows": FAINT}.get(one["kind"], SECOND) for one in rows]
    figure.set_figheight(0.2 + _LINE * len(rows))
    _lying_bars(figure.subplots(), labels, [one["rows"] for one in rows], colours=colours)


def _scores(figure: "Figure", numbers: Numbers) -> None:
    axes, found = figure.subplots(), numbers["scores"]
    series = (("all traces", found["all"], FAINT), ("golden traces", found["golden"], FIRST))
    for number, (label, histogram, colour) in enumerate(series):
        total = sum(histogram) or 1
        centres = [(place + 0.28 + 0.44 * number) / SCORE_BINS for place in range(SCORE_BINS)]
        shares = [100 * count / total for count in histogram]
        axes.bar(centres, shares, width=0.42 / SCORE_BINS, color=colour, label=label)
    _dressed(axes, "step-mask score", "% of traces")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9)


def _spread(figure: "Figure", numbers: Numbers) -> None:
    axes, histogram = figure.subplots(), numbers["spread"]["histogram"]
    centres = [(place + 0.5) / SCORE_BINS for place in range(SCORE_BINS)]
    axes.bar(centres, histogram, width=0.86 / SCORE_BINS, color=FIRST)
    _dressed(axes, "best score minus worst score of a question", "questions")


def _levels(figure: "Figure", numbers: Numbers) -> None:
    axes, rows = figure.subplots(), numbers["levels"]
    shares = [100 * one["correct"] / one["asked"] if one["asked"] else 0 for one in rows]
    bars = axes.bar([one["level"] for one in rows], shares, width=0.7, color=FIRST)
    axes.bar_label(bars, [f"{share:.0f}%" for share in shares], padding=2, color=INK)
    hidden = [f"{one['level']}/{len(rows)}" for one in rows]
    axes.set_xticks([one["level"] for one in rows], hidden)
    axes.set_ylim(0, 109)
    _dressed(axes, "hidden share of every step", "% answered correctly")


def _tokens(figure: "Figure", numbers: Numbers) -> None:
    axes, found = figure.subplots(), numbers["tokens"]
    width = found["bin_width"]
    series = (("before", "before truncation", FAINT), ("after", "after truncation", FIRST))
    for number, (key, label, colour) in enumerate(series):
        histogram = found[key]["histogram"]
        centres = [(place + 0.28 + 0.44 * number) * width for place in range(len(histogram))]
        axes.bar(centres, histogram, width=0.42 * width, color=colour, label=label)
    _dressed(axes, "tokens of a golden trace", "traces")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9)


def _truncation(figure: "Figure", numbers: Numbers) -> None:
    by = numbers["truncation"]["by"]
    uncut = {"not_needed", "none_could"}
    colours = [FAINT if how in uncut else FIRST for how in by]
    figure.set_figheight(0.2 + _LINE * max(len(by), 1))
    labels = [how.replace("_", " ") for how in by]
    _lying_bars(figure.subplots(), labels, list(by.values()), colours=colours)


def _teachers(figure: "Figure", numbers: Numbers) -> None:
    rows = numbers["teachers"]
    names = [one["name"] for one in rows]
    figure.set_figheight(0.5 + _LINE * max(len(rows), 1))
    left, right = figure.subplots(1, 2)
    _lying_bars(left, names, [one["golden"] for one in rows], colours=[FIRST] * len(rows))
    left.set_title("golden traces", fontsize=10)
    lengths = [one["mean_golden_tokens"] or 0 for one in rows]
    _lying_bars(right, [""] * len(rows), lengths, colours=[SECOND] * len(rows))
    right.set_title("their mean length, tokens", fontsize=10)


def _lying_bars(
    axes: "Axes", labels: Sequence[str], values: Sequence[float], *, colours: Sequence[str]
) -> None:
    places = list(range(len(values)))[::-1]
    bars = axes.barh(places, values, color=colours, height=0.7)
    axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=4, color=INK)
    axes.set_yticks(places, [_short(label) for label in labels])
    axes.set_xlim(0, max([*values, 1]) * 1.16)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _dressed(axes: "Axes", below: str, beside: str) -> None:
    axes.set_xlabel(below)
    axes.set_ylabel(beside)
    axes.grid(axis="y", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _short(label: str) -> str:
    text = visible(label)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."


_DRAWN: Final[dict[str, Draw]] = {
    "funnel": _funnel,
    "scores": _scores,
    "spread": _spread,
    "levels": _levels,
    "tokens": _tokens,
    "truncation": _truncation,
    "teachers": _teachers,
}
FIGURES: Final = tuple(_DRAWN)
"""The names of all figures."""


def draw_all(numbers: Numbers) -> dict[str, str]:
    """Every figure by its name, as SVG."""
    return {name: draw(name, numbers) for name in FIGURES}
