"""Many waiting requests, one model: full batches of requests of similar length.

Nothing here knows what a model is: a `BatchQueue` is given a function that answers a batch. A
queue with `submit`, `end` and `stats` that admits requests between two tokens (continuous
batching) could take its place.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from weak2wise_core.errors import FatalModelError, ModelError, RequestRefusedError
from weak2wise_core.llm.sampling import Choice
from weak2wise_core.records import FinishReason

logger = logging.getLogger(__name__)

LINGER_S = 0.005
"""A batch that is not full starts when no request has come for this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One request, ready for the model."""

    ids: tuple[int, ...]
    limit: int
    """Most tokens of the reply."""
    choice: Choice
    seed: int

    @property
    def most_tokens(self) -> int:
        """Length of prompt and reply, if the reply takes all it may."""
        return len(self.ids) + self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model said to one prompt."""

    text: str
    finish_reason: FinishReason
    completion_tokens: int
    """Tokens generated for this reply, the one that ends it included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStats:
    """What a local model has done so far."""

    requests: int = 0
    batches: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    busy_s: float = 0.0
    """Seconds in which a batch was being answered."""

    @property
    def mean_batch(self) -> float:
        """Requests in one batch, on average."""
        return self.requests / self.batches if self.batches else 0.0


Dropped: TypeAlias = Callable[[int], bool]
"""Whether nobody waits any more for the row of this number."""

Answerer: TypeAlias = Callable[[Sequence[Prompt], Dropped], Sequence[Answer]]
"""Answers a batch; raises MemoryError when the batch does not fit, and can be called again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    prompt: Prompt
    future: Future[Answer] = field(default_factory=Future)

    def resolve(self, outcome: Answer | ModelError) -> None:
        """Hand over the outcome, unless the one who asked has gone or has an outcome already."""
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Answer):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)


class BatchQueue:
    """Collects requests from any thread or event loop and answers them in batches, in one thread.

    A request that nobody waits for any more is not started, and stops when it is the last of its
    batch. When a batch does not fit into memory, it is split, and later batches stay below its
    size. Any other failure of a batch ends the queue: every request gets it as a named error.
    """

    def __init__(self, answer: Answerer, *, executor: Executor, batch_size: int) -> None:
        """Start empty.

        Args:
            answer: Answers one batch; only ever called in the executor, one call at a time.
            executor: One thread.
            batch_size: Most requests in one batch.
        """
        self._answer = answer
        self._executor = executor
        self._batch_size = batch_size
        self._most_padded: int | None = None
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._in_hand: list[_Request] = []
        self._draining = False
        self._ended: ModelError | None = None
        self._stats = LocalStats()

    @property
    def stats(self) -> LocalStats:
        """What was done so far."""
        return self._stats

    def submit(self, prompt: Prompt) -> Future[Answer]:
        """Add a request; cancelling its future takes it back.

        Raises:
            FatalModelError: The queue has ended.
        """
        request = _Request(prompt)
        with self._changed:
            if self._ended is not None:
                raise self._ended
            self._waiting.append(request)
            if len(self._waiting) >= self._batch_size:
                self._changed.notify()
            starting, self._draining = not self._draining, True
        if starting:
            self._executor.submit(self._drain).add_done_callback(self._drained)
        return request.future

    def end(self, error: ModelError) -> None:
        """Answer every open and every later request with this error."""
        with self._changed:
            self._ended = self._ended or error
            open_requests = self._waiting + self._in_hand
            self._waiting = []
            self._changed.notify()
        for request in open_requests:
            request.resolve(error)

    def _drained(self, job: Future[None]) -> None:
        error = job.exception()
        if error is not None:
            fatal = FatalModelError(
                f"the local model failed on a batch of {len(self._in_hand)} requests "
                f"({type(error).__name__}: {error}) and answers no more. Start the build again: "
                "what was answered is kept."
            )
            fatal.__cause__ = error
            self.end(fatal)

    def _drain(self) -> None:
        while batch := self._next_batch():
            self._serve(batch)

    def _next_batch(self) -> list[_Request]:
        self._linger()
        with self._changed:
            self._waiting = [one for one in self._waiting if not one.future.done()]
            self._in_hand = similar(
                self._waiting, most=self._batch_size, most_padded=self._most_padded
            )
            taken = set(self._in_hand)
            self._waiting = [one for one in self._waiting if one not in taken]
            self._draining = bool(taken)
            return self._in_hand

    def _linger(self) -> None:
        """Wait while requests keep coming, until there are enough for a full batch."""
        with self._changed:
            before = -1
            while before < len(self._waiting) < self._batch_size:
                before = len(self._waiting)
                self._changed.wait(LINGER_S)

    def _serve(self, batch: Sequence[_Request]) -> None:
        prompts = [request.prompt for request in batch]
        started = time.perf_counter()
        try:
            answers = self._answer(prompts, lambda row: batch[row].future.done())
        except MemoryError as error:
            self._shrink(batch, reason=str(error))
            return
        self._count(prompts, answers=answers, seconds=time.perf_counter() - started)
        for request, answer in zip(batch, answers, strict=True):
            request.resolve(answer)

    def _shrink(self, batch: Sequence[_Request], *, reason: str) -> None:
        padded = _padded(batch)
        if len(batch) == 1:
            batch[0].resolve(_does_not_fit(batch[0].prompt, reason=reason))
            return
        logger.warning(
            "%d requests did not fit into memory (%s); going on with half of that at once. "
            "A smaller batch_size in the recipe avoids the attempt.",
            len(batch),
            reason,
        )
        with self._changed:
            self._most_padded = padded // 2
            self._waiting = [*batch, *self._waiting]

    def _count(
        self, prompts: Sequence[Prompt], *, answers: Sequence[Answer], seconds: float
    ) -> None:
        was = self._stats
        self._stats = replace(
            was,
            requests=was.requests + len(prompts),
            batches=was.batches + 1,
            prompt_tokens=was.prompt_tokens + sum(len(one.ids) for one in prompts),
            generated_tokens=was.generated_tokens + sum(one.completion_tokens for one in answers),
            busy_s=was.busy_s + seconds,
        )


def _does_not_fit(prompt: Prompt, *, reason: str) -> RequestRefusedError:
    return RequestRefusedError(
        f"a prompt of {len(prompt.ids)} tokens with a reply of up to {prompt.limit} tokens does "
        f"not fit into memory even alone ({reason}). Lower max_tokens, use a smaller dtype or "
        "model, or a device with more memory."
    )


def _padded(batch: Sequence[_Request]) -> int:
    """Tokens that a batch takes in memory at most, padding included."""
    return len(batch) * max(request.prompt.most_tokens for request in batch)


def similar(waiting: Sequence[_Request], *, most: int, most_padded: int | None) -> list[_Request]:
    """The next batch: the request that has waited longest, and those nearest to it in length.

    Args:
        waiting: Longest wait first.
        most: Requests in a batch.
        most_padded: Tokens in a batch, padding and whole replies included; one request alone may
            have more. None sets no bound.

    Returns:
        Neighbours in the order of prompt lengths, in aligned runs, so that a burst is cut into
        full batches without leaving gaps.
    """
    if not waiting:
        return []
    ranked = sorted(waiting, key=lambda request: len(request.prompt.ids))
    place = ranked.index(waiting[0])
    while True:
        start = max(0, min(place // most * most, len(ranked) - most))
        batch = ranked[start : start + most]
        if len(batch) == 1 or most_padded is None or _padded(batch) <= most_padded:
            return batch
        most = len(batch) - 1
