"""Rows by the question that they belong to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar


class OfQuestion(Protocol):
    """A row that belongs to a question."""

    @property
    def question_id(self) -> str:
        """Its id."""


Q = TypeVar("Q", bound=OfQuestion)


def rows_by_question(rows: Iterable[Q]) -> Mapping[str, Sequence[Q]]:
    """The rows by the question that they belong to; none for a question without rows."""
    found: defaultdict[str, list[Q]] = defaultdict(list)
    for row in rows:
        found[row.question_id].append(row)
    return found
