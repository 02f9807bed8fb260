"""The figure: accuracy of every arm with its interval, each seed a small mark, the base a line."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from weak2wise_core.ablation.comparing import BASE, ArmAccuracy, Comparison
from weak2wise_core.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _LINE, _MARGIN = 7.0, 0.32, 1.1
"""Inches: of the figure, of one arm, and around the arms of a pool."""
_INK, _FAINT, _LINE_INK = "#1f4e79", "#8fb3d4", "#a03020"


def draw(comparisons: Sequence[Comparison], *, file_format: Literal["svg", "png"]) -> bytes:
    """The arms of every pool on one benchmark, as an image.

    The same comparisons give the same bytes with the same version of the drawing library.

    Args:
        comparisons: Of one benchmark, one for each pool.
        file_format: What the image is written as.

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
    heights = [_MARGIN + _LINE * len(one.arms) for one in comparisons]
    image = io.BytesIO()
    with rc_context({"svg.hashsalt": "weak2wise", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        panels = figure.subplots(
            len(comparisons), 1, sharex=True, squeeze=False, height_ratios=heights
        )
        for axes, comparison in zip(panels[:, 0], comparisons, strict=True):
            _panel(axes, comparison)
        panels[-1, 0].set_xlabel("accuracy, with its 95% interval over seeds and questions")
        metadata = {"Date": None} if file_format == "svg" else {"Software": None}
        figure.savefig(image, format=file_format, dpi=150, metadata=metadata)
    return image.getvalue()


def _panel(axes: "Axes", comparison: Comparison) -> None:
    arms = [one for one in comparison.arms if one.arm != BASE]
    for height, arm in enumerate(reversed(arms)):
        _arm(axes, arm, height=height)
    for base in (one for one in comparison.arms if one.arm == BASE):
        axes.axvline(base.accuracy.value, color=_LINE_INK, linestyle="--", linewidth=1)
        axes.annotate(
            BASE,
            (base.accuracy.value, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            color=_LINE_INK,
        )
    axes.set_yticks(range(len(arms)), [one.arm for one in reversed(arms)])
    axes.set_ylim(-0.6, len(arms) - 0.4)
    axes.set_title(
        f"{comparison.benchmark}, pool {comparison.pool} ({comparison.items} test questions)",
        loc="left",
        fontsize=9,
    )
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _arm(axes: "Axes", arm: ArmAccuracy, *, height: int) -> None:
    seeds = list(arm.by_seed.values())
    axes.plot(seeds, [height] * len(seeds), "|", color=_FAINT, markersize=10)
    axes.hlines(height, arm.accuracy.low, arm.accuracy.high, color=_INK, linewidth=1.5)
    axes.plot([arm.accuracy.value], [height], "o", color=_INK, markersize=5)
