"""What selectors that read the weak model found in each candidate, as the page shows it."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from weak2wise_core.records import TraceMeasure
from weak2wise_core.report.tables import Key

Measures: TypeAlias = Mapping[str, float | str | None]
"""The value of each selector's formula by its name; None where the formula is undefined."""

CHARACTERS: Final = 48
"""What one value takes in a page at most, its name included; a page bounds all texts together."""


def measures_by_candidate(rows: Iterable[TraceMeasure]) -> Mapping[Key, Measures]:
    """The measures of every candidate, to the last digit of the table.

    A value that JSON has no number for, such as a likelihood of nothing, is the word for it.
    """
    found: dict[Key, dict[str, float | str | None]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.selector):
        found[row.question_id, row.strong_model, row.draw][row.selector] = _plain(row.value)
    return found


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
