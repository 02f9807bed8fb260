"""The figure: who agrees with whom, how long the chosen traces are, and whose they are."""

import io
from typing import TYPE_CHECKING, Literal

from weak2wise_core.comparison.tables import PoolTables
from weak2wise_core.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = ("#1f4e79", "#d08a3c", "#6a9a5b", "#8f6aa8", "#777777")
_LINE, _MARGIN = 0.38, 2.2
"""Inches: of one selector, and around them."""


def draw(tables: PoolTables, *, file_format: Literal["svg", "png"]) -> bytes:
    """The selectors on one pool, as an image.

    The same tables give the same bytes with the same version of the drawing library.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "the figure needs matplotlib: install the extra with pip install 'weak2wise[train]'"
        ) from error
    image = io.BytesIO()
    side = _MARGIN + _LINE * len(tables.selectors)
    with rc_context({"svg.hashsalt": "weak2wise", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(side + 6.5, side), layout="constrained")
        squares, lengths, shares = figure.subplots(1, 3, width_ratios=(side, 2.5, 2.5))
        _squares(squares, tables)
        _lengths(lengths, tables)
        _shares(shares, tables)
        figure.suptitle(f"pool {tables.pool}: {tables.questions} questions", fontsize=9)
        metadata = {"Date": None} if file_format == "svg" else {"Software": None}
        figure.savefig(image, format=file_format, dpi=150, metadata=metadata)
    return image.getvalue()


def _squares(axes: "Axes", tables: PoolTables) -> None:
    names = [row.selector.value for row in tables.selectors]
    place = {row.selector: number for number, row in enumerate(tables.selectors)}
    shares = [[1.0 if x == y else 0.0 for x in range(len(names))] for y in range(len(names))]
    for one in tables.agreements:
        x, y = place[one.first], place[one.second]
        shares[x][y] = shares[y][x] = one.share
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, line in enumerate(shares):
        for x, share in enumerate(line):
            ink = "white" if share > 0.6 else "black"
            axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=7)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_title("choose the same trace, % of questions", loc="left", fontsize=8)


def _lengths(axes: "Axes", tables: PoolTables) -> None:
    _bars(axes, tables, title="tokens of the chosen traces (mean)")
    for place, row in enumerate(tables.selectors):
        axes.barh(place, row.mean_tokens, color=_INK[0], height=0.6)


def _shares(axes: "Axes", tables: PoolTables) -> None:
    _bars(axes, tables, title="whose traces are chosen")
    models = sorted({name for row in tables.selectors for name in row.by_strong_model})
    for number, name in enumerate(models):
        shares = [row.by_strong_model.get(name, 0.0) for row in tables.selectors]
        before = [
            sum(row.by_strong_model.get(other, 0.0) for other in models[:number])
            for row in tables.selectors
        ]
        ink = _INK[number % len(_INK)]
        axes.barh(range(len(shares)), shares, left=before, color=ink, height=0.6, label=name)
    axes.set_xlim(0, 1)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), fontsize=7, frameon=False)


def _bars(axes: "Axes", tables: PoolTables, *, title: str) -> None:
    axes.set_ylim(len(tables.selectors) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_title(title, loc="left", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
