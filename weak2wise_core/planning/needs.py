"""Calls that are still to be paid for, as bounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weak2wise_core.planning.meter import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many calls it will be; `least == most` where that is known.

    Calls that fail are not counted: they are not paid for, and the next build makes them again.
    """

    least: int = 0
    most: int = 0
    reasks: int = 0
    """The part of `most` that comes only with votes that are neither yes nor no."""

    def __add__(self, other: "Bounds") -> "Bounds":
        return Bounds(
            least=self.least + other.least,
            most=self.most + other.most,
            reasks=self.reasks + other.reasks,
        )

    def unsure(self) -> "Bounds":
        """The same calls where it is not known that any of them will be needed."""
        return Bounds(least=0, most=self.most, reasks=self.reasks)


ONE_CALL = Bounds(least=1, most=1)


class Needs:
    """The missing replies of one question.

    Requests whose text is known are named, so that one that two models or stages want is counted
    once, for the first of them; of the others only the number is known.
    """

    def __init__(self) -> None:
        self._named: dict[Row, dict[str, Bounds]] = {}
        self._rows: dict[str, Row] = {}
        self._unknown: dict[Row, Bounds] = {}

    def add(self, row: Row, name: str, bounds: Bounds) -> None:
        """Count a request, or a ballot, that has a name; of two views the surer one counts."""
        named = self._named.setdefault(self._rows.setdefault(name, row), {})
        known = named.get(name, Bounds())
        named[name] = Bounds(
            least=max(known.least, bounds.least),
            most=max(known.most, bounds.most),
            reasks=max(known.reasks, bounds.reasks),
        )

    def suppose(self, row: Row, bounds: Bounds) -> None:
        """Count requests whose text depends on replies that are missing."""
        if bounds.most:
            self._unknown[row] = self._unknown.get(row, Bounds()) + bounds

    def bounds(self) -> dict[Row, Bounds]:
        """The sums."""
        named = {row: sum(found.values(), Bounds()) for row, found in self._named.items()}
        return total([named, self._unknown])


def total(rows: Iterable[Mapping[Row, Bounds]]) -> dict[Row, Bounds]:
    """The sum over many questions."""
    found: dict[Row, Bounds] = {}
    for bounds in rows:
        for row, one in bounds.items():
            found[row] = found.get(row, Bounds()) + one
    return found
