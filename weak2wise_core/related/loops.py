r"""Degenerate traces: text that runs in circles, and would teach a student to.

A rule finds exact loops, anywhere in a trace: the same run of words and signs, over and over,
without anything between the copies. A loop that counts up ("step 41, step 42"), or one that says
the same in other words, is not found.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weak2wise_core.config import LoopSettings

MAX_PERIOD = 400
"""Longest unit that is looked for, in words and signs."""

_TOKEN = re.compile(r"[^\W_]{1,8}|[^\w\s]|_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A place where a text repeats itself."""

    unit: str
    """The words that are repeated, as they first stand there."""
    copies: int
    """How many whole copies stand in a row."""
    start: int
    """Where the first one begins, in characters."""


def find_loop(text: str, *, settings: LoopSettings) -> Loop | None:
    """Find the loop with the shortest unit.

    A text loops where at least `settings.copies` copies of a unit of 1 to 400 words and signs stand
    in a row, and are at least `settings.min_tokens` words and signs together. White space does not
    count; upper and lower case differ. A unit without a letter or digit, such as a ruled line, must
    fill ten times as much.

    Args:
        text: A trace.
        settings: What is long enough.

    Returns:
        The loop, or None. Time grows with the length of the text, whatever it holds.

    Example:
        >>> find_loop("So x = 2: " + "Wait, let me check. " * 20, settings=LoopSettings()).unit
        'Wait, let me check.'
    """
    spans = [match.span() for match in _TOKEN.finditer(text)]
    tokens = _numbered(text, spans)
    for period in range(1, min(MAX_PERIOD, len(tokens) // settings.copies) + 1):
        start, length = _longest_run(tokens, period)
        total = length + period  # a run of equal neighbours, and the copy that they follow
        if length and total >= max(settings.copies * period, settings.min_tokens):
            unit = text[spans[start][0] : spans[start + period - 1][1]]
            if _speaks(unit) or total >= 10 * settings.min_tokens:
                return Loop(unit=unit, copies=total // period, start=spans[start][0])
    return None


def _numbered(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(text[start:end], len(numbers)) for start, end in spans]


def _longest_run(tokens: Sequence[int], period: int) -> tuple[int, int]:
    """Where the longest run of tokens begins that equal the one `period` later, and its length."""
    import numpy as np

    values = np.asarray(tokens)
    differs = np.flatnonzero(values[:-period] != values[period:])
    edges = np.concatenate(([-1], differs, [len(tokens) - period]))
    gaps = np.diff(edges) - 1
    best = int(gaps.argmax())
    return int(edges[best]) + 1, int(gaps[best])


def _speaks(unit: str) -> bool:
    return any(character.isalnum() for character in unit)
