"""Continuous batching as a queue sees it: requests come and go while others are answered."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from weak2wise_core.llm.jobs import Answer, Job, Prompt
from weak2wise_core.llm.packing import StreamPlan

POLL_S = 0.02
"""A request that comes while others are answered is seen after this at the latest."""
AHEAD = 2
"""Requests handed over for each slot, so that the next one is there when a slot gets free."""


class StreamFailedError(RuntimeError):
    """The library's loop ended with an error; what it had in hand is not answered."""


class Stream(Protocol):
    """A running loop that answers requests by number, in any order."""

    @property
    def steps(self) -> int:
        """Passes through the model so far."""
        ...

    def add(self, number: int, prompt: Prompt) -> None:
        """Take a request."""
        ...

    def drop(self, number: int) -> None:
        """Forget a request; it may still be answered."""
        ...

    def finished(self, timeout_s: float) -> Sequence[tuple[int, Answer]]:
        """Answers that are there, after waiting for a first one.

        Raises:
            MemoryError: The requests in hand do not fit into memory.
            StreamFailedError: The loop ended for another reason.
        """
        ...

    def close(self) -> None:
        """End the loop and free its memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What happened between two looks at a stream."""

    answered: Sequence[tuple[Prompt, Answer]]
    steps: int
    seconds: float
    full: bool
    """Whether every slot had work."""


class Session:
    """Feeds one stream until no work is left for it."""

    def __init__(
        self,
        plan: StreamPlan,
        *,
        take: Callable[[int], Sequence[Job]],
        more: Callable[[], bool],
        note: Callable[[Stretch], None],
    ) -> None:
        """Prepare a session.

        Args:
            plan: The room of the stream.
            take: Up to so many requests that wait and fit.
            more: Waits for a moment; whether there may be something to take.
            note: Told what was done.
        """
        self.open: dict[int, Job] = {}
        """Requests in the stream that are not answered, by number."""
        self._plan = plan
        self._take = take
        self._more = more
        self._note = note
        self._next = 0
        self._steps = 0
        self._since = 0.0

    def run(self, stream: Stream) -> None:
        """Answer what comes; returns when nothing is open and nothing more comes.

        Args:
            stream: Where requests are answered; opened for this session.

        Raises:
            MemoryError: `open` did not fit into memory; its requests are not answered.
            StreamFailedError: The stream ended; `open` is not answered.
        """
        self._since = time.perf_counter()
        self._admit(stream)
        while self.open or self._resumed(stream):
            self._look(stream)
            self._drop(stream)
            self._admit(stream)

    def _resumed(self, stream: Stream) -> bool:
        """Whether work came after there was none; the time between is not counted."""
        if not self._more():
            return False
        self._since = time.perf_counter()
        self._admit(stream)
        return bool(self.open)

    def _admit(self, stream: Stream) -> None:
        room = AHEAD * self._plan.slots - len(self.open)
        jobs = {self._next + place: job for place, job in enumerate(self._take(max(0, room)))}
        self._next += len(jobs)
        self.open |= jobs  # all of them are known before any can fail
        for number, job in jobs.items():
            stream.add(number, job.prompt)

    def _look(self, stream: Stream) -> None:
        full = len(self.open) >= self._plan.slots
        found = dict(stream.finished(POLL_S))
        answered = [
            (self.open.pop(number), found[number]) for number in found.keys() & self.open.keys()
        ]
        now, steps = time.perf_counter(), stream.steps
        self._note(
            Stretch(
                answered=[(job.prompt, answer) for job, answer in answered],
                steps=steps - self._steps,
                seconds=now - self._since,
                full=full,
            )
        )
        self._since, self._steps = now, steps
        for job, answer in answered:
            job.resolve(answer)

    def _drop(self, stream: Stream) -> None:
        gone = [number for number, job in self.open.items() if job.future.done()]
        for number in gone:
            del self.open[number]
            stream.drop(number)
