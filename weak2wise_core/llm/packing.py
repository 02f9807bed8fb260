"""Which requests a local model answers together, and how much memory that may take.

Plain numbers in, plain numbers out: nothing here knows a model or a thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from weak2wise_core.llm.jobs import Job

SHORTEST_CACHE = 256
"""Tokens; the cache of continuous batching is sized for requests of at least this length."""
TOKENS_IN_A_STEP = 1024
"""Most tokens, of prompts and replies together, that continuous batching computes at once."""


def padded(batch: Sequence[Job]) -> int:
    """Tokens that a plain batch takes in memory at most, padding included."""
    return len(batch) * max(job.prompt.most_tokens for job in batch)


def similar(waiting: Sequence[Job], *, most: int, most_tokens: int | None) -> list[Job]:
    """The next plain batch: the request that has waited longest, and those nearest in length.

    Args:
        waiting: Longest wait first.
        most: Requests in a batch.
        most_tokens: Tokens in a batch, padding and whole replies included; one request alone may
            have more. None sets no bound.

    Returns:
        Neighbours in the order of prompt lengths, in aligned runs, so that a burst is cut into
        full batches without leaving gaps.
    """
    if not waiting:
        return []
    ranked = sorted(waiting, key=lambda job: len(job.prompt.ids))
    place = ranked.index(waiting[0])
    while True:
        start = max(0, min(place // most * most, len(ranked) - most))
        batch = ranked[start : start + most]
        if len(batch) == 1 or most_tokens is None or padded(batch) <= most_tokens:
            return batch
        most = len(batch) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """The room of one session of continuous batching."""

    slots: int
    """Requests that are answered at once."""
    longest: int
    """Tokens of the longest request, prompt and whole reply, that it takes."""
    cache_tokens: int
    """Tokens whose keys and values are kept; fewer than all slots may need, where memory is
    short: the library then puts requests back and computes their prompts again."""
    step_tokens: int
    """Tokens that are computed at once."""

    def fits(self, job: Job) -> bool:
        """Whether a request can be answered in this session."""
        return job.prompt.most_tokens <= self.longest


def plan_stream(
    waiting: Sequence[Job], *, slots: int, most_tokens: int | None, memory_tokens: int
) -> StreamPlan:
    """Room for what waits, in sizes that do for a while.

    Args:
        waiting: The requests to come; at least one.
        slots: Most requests at once.
        most_tokens: What all requests at once may have, after an earlier session did not fit into
            memory. None sets no bound.
        memory_tokens: Tokens whose keys and values the device can be asked to keep.
    """
    needed = max(job.prompt.most_tokens for job in waiting)
    longest = max(SHORTEST_CACHE, 1 << (needed - 1).bit_length())
    if most_tokens is not None:
        slots = max(1, min(slots, most_tokens // longest))
    return StreamPlan(
        slots=slots,
        longest=longest,
        cache_tokens=min(slots * longest, max(memory_tokens, longest)),
        step_tokens=max(TOKENS_IN_A_STEP, slots),
    )


def admitted(waiting: Sequence[Job], *, plan: StreamPlan, most: int) -> list[Job]:
    """The requests that enter a session now, in the order of their waiting.

    A request that is too long for the session stops those behind it: it would wait for ever if
    shorter ones kept overtaking it.
    """
    return list(islice(takewhile(plan.fits, waiting), most))
