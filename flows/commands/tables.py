"""Tables as the commands print them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from weak2wise_core.evaluation.arms import ArmTable


def print_table(
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    console: Console,
    *,
    whole: Sequence[str] = (),
) -> None:
    """Print a table; cells are shown as they are, never read as markup.

    Args:
        title: What stands above it.
        head: Names of the columns.
        rows: The cells.
        console: Where.
        whole: Columns whose cells are never broken into lines.
    """
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for name in head:
        table.add_column(name, no_wrap=name in whole)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def print_arms(found: "ArmTable", console: Console) -> None:
    """Print how well models do on a benchmark, and how far apart they are."""
    from weak2wise_core.teaching.reports import shown

    title = f"Accuracy on {found.benchmark}, {found.items} questions"
    rows = [(one.arm, shown(one.accuracy), str(len(one.by_seed))) for one in found.arms]
    print_table(title, ("model", "accuracy", "seeds"), rows, console)
    differences = [
        (f"{one.first} - {one.second}", shown(one.difference, signed=True))
        for one in found.differences
    ]
    print_table("Differences", ("", "difference"), differences, console)
