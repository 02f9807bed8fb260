"""How fast a local model works, how full it is, and which way of batching is the faster one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

from weak2wise_core.llm.jobs import Answer, Prompt
from weak2wise_core.llm.session import Stretch


class Way(StrEnum):
    """How the requests that wait are put together."""

    PLAIN = "plain"
    """Batches of similar length, padded at the left; a batch ends with its longest reply."""
    CONTINUOUS = "continuous"
    """A request takes the slot of another as soon as that one ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStats:
    """What a local model has done so far."""

    device: str = ""
    """Where it runs; empty before it is loaded."""
    way: Way = Way.PLAIN
    """How the latest requests were batched."""
    requests: int = 0
    batches: int = 0
    """Plain batches, and sessions of continuous batching."""
    prompt_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0
    """Passes through the model that could have added a token to every slot."""
    slot_steps: int = 0
    """Tokens that would have been generated if no slot had been empty in any step."""
    busy_s: float = 0.0
    """Seconds in which requests were being answered."""
    open_s: float = 0.0
    """Seconds from the first request to the latest answer."""

    @property
    def mean_batch(self) -> float:
        """Requests in one batch, on average."""
        return self.requests / self.batches if self.batches else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Tokens generated in a second of work."""
        return self.generated_tokens / self.busy_s if self.busy_s else 0.0

    @property
    def slots_used(self) -> float:
        """Share of the slots of all steps that gave a token of a reply."""
        return self.generated_tokens / self.slot_steps if self.slot_steps else 0.0

    @property
    def busy_share(self) -> float:
        """Share of the time since the first request in which the model was at work."""
        return min(1.0, self.busy_s / self.open_s) if self.open_s else 0.0


class Tally:
    """Counts for `LocalStats`; written by one thread, read by any."""

    def __init__(self) -> None:
        self.stats = LocalStats()
        self._started: float | None = None

    def begin(self) -> None:
        """A request came; the first one starts the clock."""
        self._started = time.perf_counter() if self._started is None else self._started

    def on(self, device: str) -> None:
        """The model is loaded."""
        self.stats = replace(self.stats, device=device)

    def plain(
        self, answered: Sequence[tuple[Prompt, Answer]], *, slots: int, seconds: float
    ) -> None:
        """Count a plain batch: it took a step for every token of its longest reply."""
        steps = max((answer.completion_tokens for _, answer in answered), default=0)
        self._add(
            answered,
            way=Way.PLAIN,
            batches=1,
            steps=steps,
            slot_steps=steps * slots,
            seconds=seconds,
        )

    def session(self, stretch: Stretch, *, slots: int, opened: bool) -> None:
        """Count a stretch of continuous batching; `opened` where it begins a session."""
        self._add(
            stretch.answered,
            way=Way.CONTINUOUS,
            batches=int(opened),
            steps=stretch.steps,
            slot_steps=stretch.steps * slots,
            seconds=stretch.seconds,
        )

    def _add(
        self,
        answered: Sequence[tuple[Prompt, Answer]],
        *,
        way: Way,
        batches: int,
        steps: int,
        slot_steps: int,
        seconds: float,
    ) -> None:
        was, now = self.stats, time.perf_counter()
        self.stats = replace(
            was,
            way=way,
            requests=was.requests + len(answered),
            batches=was.batches + batches,
            prompt_tokens=was.prompt_tokens + sum(len(prompt.ids) for prompt, _ in answered),
            generated_tokens=was.generated_tokens
            + sum(answer.completion_tokens for _, answer in answered),
            steps=was.steps + steps,
            slot_steps=was.slot_steps + slot_steps,
            busy_s=was.busy_s + seconds,
            open_s=now - (now if self._started is None else self._started),
        )


@runtime_checkable
class Local(Protocol):
    """A model that runs in this process."""

    def stats(self) -> LocalStats:
        """What it has done so far."""
        ...


@dataclass(slots=True)
class _Pace:
    seen: int = 0
    requests: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Contest:
    """Finds the faster way on the work itself: each way in turn answers a sample of it.

    Nothing is asked twice for the comparison, and only times in which every slot had work count.
    The first `warm_up` requests of a way are left out: they pay for kernels and memory. Where the
    work never fills the slots, no way is measured and the first one stays.
    """

    ways: Sequence[Way]
    """Candidates, the one to begin with first; a single one is not measured."""
    warm_up: int = 0
    sample: int = 1
    """Requests of each way that count."""
    _paces: dict[Way, _Pace] = field(default_factory=dict)

    @property
    def way(self) -> Way:
        """How to batch what comes next."""
        unmeasured = [way for way in self.ways if not self._done(way)]
        if len(self.ways) == 1 or not unmeasured:
            return max(self.ways, key=lambda way: self._pace(way).tokens_per_s)
        return unmeasured[0]

    @property
    def decided(self) -> bool:
        """Whether the way will stay as it is."""
        return len(self.ways) == 1 or all(self._done(way) for way in self.ways)

    @property
    def paces(self) -> dict[Way, float]:
        """Tokens per second of the ways that were measured."""
        return {way: pace.tokens_per_s for way, pace in self._paces.items() if self._done(way)}

    def count(self, way: Way, *, requests: int, tokens: int, seconds: float) -> None:
        """Note what a way did while every slot had work."""
        pace = self._paces.setdefault(way, _Pace())
        if self.decided:
            return
        if pace.seen >= self.warm_up:
            pace.requests += requests
            pace.tokens += tokens
            pace.seconds += seconds
        pace.seen += requests

    def withdraw(self, way: Way) -> bool:
        """Leave out a way that failed; False where it is the only one."""
        left = [other for other in self.ways if other is not way]
        self.ways = left or self.ways
        return bool(left)

    def _pace(self, way: Way) -> _Pace:
        return self._paces.get(way, _Pace())

    def _done(self, way: Way) -> bool:
        return self._pace(way).requests >= self.sample
