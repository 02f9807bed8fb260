"""What the requests of one question took, each request counted once however often it is asked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from weak2wise_core.records import Usage


class Row(NamedTuple):
    """A line of a plan: one stage and one model, by the name that the recipe gives it."""

    stage: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Calls and their tokens."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    counted: int = 0
    """Calls whose replies count tokens: the others tell nothing about lengths."""

    @classmethod
    def of(cls, usages: Iterable[Usage]) -> "Taken":
        """The sum of some replies."""
        found = list(usages)
        return cls(
            calls=len(found),
            prompt_tokens=sum(one.prompt_tokens for one in found),
            completion_tokens=sum(one.completion_tokens for one in found),
            reasoning_tokens=sum(one.reasoning_tokens for one in found),
            cached_tokens=sum(one.cached_tokens for one in found),
            counted=sum(one.counted for one in found),
        )

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            counted=self.counted + other.counted,
        )

    @property
    def usage(self) -> Usage:
        """The tokens without the calls."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            reasoning_tokens=self.reasoning_tokens,
            cached_tokens=self.cached_tokens,
        )


class Meter:
    """Collects the replies of one question.

    A request that comes again, in whatever stage, costs nothing: a build pays for it once.
    """

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._replies: dict[Row, list[Usage]] = {}

    def add(self, row: Row, *, key: str, usage: Usage) -> None:
        """Count one reply, unless its request was counted before."""
        if key not in self._keys:
            self._keys.add(key)
            self._replies.setdefault(row, []).append(usage)

    def taken(self) -> dict[Row, Taken]:
        """The sums."""
        return {row: Taken.of(usages) for row, usages in self._replies.items()}


def total(rows: Iterable[Mapping[Row, Taken]]) -> dict[Row, Taken]:
    """The sum over many questions."""
    found: dict[Row, Taken] = {}
    for taken in rows:
        for row, one in taken.items():
            found[row] = found.get(row, Taken()) + one
    return found
