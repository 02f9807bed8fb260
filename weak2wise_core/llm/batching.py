"""Many waiting requests, one model: a queue that keeps it busy, in the faster of two ways.

Nothing here knows what a model is: a `BatchQueue` is given a `Machine` that answers a plain batch,
or opens a stream for continuous batching.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from typing import Protocol

from weak2wise_core.errors import FatalModelError, ModelError
from weak2wise_core.llm.jobs import Answer, Dropped, Job, Prompt, does_not_fit
from weak2wise_core.llm.measuring import Contest, LocalStats, Tally, Way
from weak2wise_core.llm.packing import StreamPlan, admitted, padded, plan_stream, similar
from weak2wise_core.llm.session import Session, Stream, StreamFailedError, Stretch

logger = logging.getLogger(__name__)

LINGER_S = 0.005
"""A batch that is not full starts when no request has come for this long."""
IDLE_S = 1.0
"""A session of continuous batching ends when no request has come for this long."""


class Machine(Protocol):
    """A loaded model; only one thread uses it."""

    @property
    def device(self) -> str:
        """Where it runs."""
        ...

    @property
    def memory_tokens(self) -> int:
        """Tokens whose keys and values it can be asked to keep for continuous batching."""
        ...

    def contest(self) -> Contest:
        """The ways in which it may batch, to be measured where there are several."""
        ...

    def answer(self, prompts: Sequence[Prompt], *, dropped: Dropped) -> Sequence[Answer]:
        """Answer a plain batch.

        Raises:
            MemoryError: The batch does not fit; smaller ones still may.
        """
        ...

    def open_stream(self, plan: StreamPlan) -> Stream:
        """Start continuous batching.

        Raises:
            MemoryError: The plan does not fit; a smaller one still may.
            StreamFailedError: This model cannot be batched continuously.
        """
        ...


class BatchQueue:
    """Collects requests from any thread or event loop and answers them together, in one thread.

    A request that nobody waits for any more is not started, and stops when it is the last of its
    batch, or at once in continuous batching. When requests do not fit into memory together, they
    are put back, and from then on half as much is asked at once. Any other failure of a batch ends
    the queue: every request gets it as a named error; a failure of continuous batching only where
    there is no plain way beside it.
    """

    def __init__(
        self, machine: Callable[[], Machine], *, executor: Executor, batch_size: int
    ) -> None:
        """Start empty.

        Args:
            machine: The model; called in the executor only, and always gives the same one.
            executor: One thread.
            batch_size: Most requests at once.
        """
        self._machine = machine
        self._executor = executor
        self._batch_size = batch_size
        self._contest: Contest | None = None
        self._most_tokens: int | None = None
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._in_hand: list[Job] = []
        self._draining = False
        self._idle = False
        self._ended: ModelError | None = None
        self._tally = Tally()

    @property
    def stats(self) -> LocalStats:
        """What was done so far."""
        return self._tally.stats

    def submit(self, prompt: Prompt) -> Future[Answer]:
        """Add a request; cancelling its future takes it back.

        Raises:
            FatalModelError: The queue has ended.
        """
        job = Job(prompt)
        with self._changed:
            if self._ended is not None:
                raise self._ended
            self._tally.begin()
            self._waiting.append(job)
            if self._idle or len(self._waiting) >= self._batch_size:
                self._changed.notify()
            starting, self._draining = not self._draining, True
        if starting:
            self._executor.submit(self._drain).add_done_callback(self._drained)
        return job.future

    def end(self, error: ModelError) -> None:
        """Answer every open and every later request with this error."""
        with self._changed:
            self._ended = self._ended or error
            open_jobs = self._waiting + self._in_hand
            self._waiting = []
            self._changed.notify()
        for job in open_jobs:
            job.resolve(error)

    def _drained(self, run: Future[None]) -> None:
        error = run.exception()
        if error is not None:
            fatal = FatalModelError(
                f"the local model failed on a batch of {len(self._in_hand)} requests "
                f"({type(error).__name__}: {error}) and answers no more. Start the build again: "
                "what was answered is kept."
            )
            fatal.__cause__ = error
            self.end(fatal)

    def _drain(self) -> None:
        while self._gather():
            machine = self._machine()
            if self._contest is None:
                self._contest = machine.contest()
                self._tally.on(machine.device)
            if self._contest.way is Way.PLAIN:
                self._serve(machine, contest=self._contest)
            else:
                self._stream(machine, contest=self._contest)

    def _gather(self) -> bool:
        """Wait while requests keep coming, until a batch is full; whether there is work."""
        with self._changed:
            before = -1
            while before < len(self._waiting) < self._batch_size:
                before = len(self._waiting)
                self._changed.wait(LINGER_S)
            self._forget_gone()
            self._draining = bool(self._waiting)
            return self._draining

    def _forget_gone(self) -> None:
        self._waiting = [job for job in self._waiting if not job.future.done()]

    def _take(self, pick: Callable[[Sequence[Job]], list[Job]]) -> list[Job]:
        """Take requests out of the line; they are in hand until others are taken."""
        with self._changed:
            self._forget_gone()
            picked = pick(self._waiting)
            taken = set(picked)
            self._waiting = [job for job in self._waiting if job not in taken]
            self._in_hand = [job for job in self._in_hand if not job.future.done()] + picked
            return picked

    def _put_back(self, jobs: Sequence[Job]) -> None:
        with self._changed:
            self._in_hand = []
            self._waiting = [*jobs, *self._waiting]

    # --- plain batches ------------------------------------------------------------------------

    def _serve(self, machine: Machine, *, contest: Contest) -> None:
        most, bound = self._batch_size, self._most_tokens
        batch = self._take(lambda waiting: similar(waiting, most=most, most_tokens=bound))
        if not batch:
            return
        prompts = [job.prompt for job in batch]
        started = time.perf_counter()
        try:
            answers = machine.answer(prompts, dropped=lambda row: batch[row].future.done())
        except MemoryError as error:
            self._shrink(batch, together=len(batch), tokens=padded(batch), reason=str(error))
            return
        seconds = time.perf_counter() - started
        answered = list(zip(prompts, answers, strict=True))
        self._tally.plain(answered, slots=self._batch_size, seconds=seconds)
        if len(batch) == self._batch_size:
            self._measure(contest, Way.PLAIN, answered, seconds=seconds)
        for job, answer in zip(batch, answers, strict=True):
            job.resolve(answer)

    def _measure(
        self,
        contest: Contest,
        way: Way,
        answered: Sequence[tuple[Prompt, Answer]],
        *,
        seconds: float,
    ) -> None:
        """Let what was done while every slot had work count in the contest."""
        if contest.decided:
            return
        tokens = sum(answer.completion_tokens for _, answer in answered)
        contest.count(way, requests=len(answered), tokens=tokens, seconds=seconds)
        if contest.decided:
            paces = ", ".join(f"{name} {pace:,.0f}" for name, pace in contest.paces.items())
            logger.info("tokens a second: %s; going on with %s batches", paces, contest.way)

    def _shrink(self, jobs: Sequence[Job], *, together: int, tokens: int, reason: str) -> None:
        """Go on with half of what did not fit; a request that is too large alone is refused.

        Args:
            jobs: What was in hand; none where the model had not begun.
            together: Requests for which there was to be room.
            tokens: Their tokens.
            reason: What the library said.
        """
        self._put_back(jobs)
        if together > 1:
            self._most_tokens = tokens // 2
            logger.warning(
                "%d requests did not fit into memory (%s); going on with half of that at once. "
                "A smaller batch_size in the recipe avoids the attempt.",
                together,
                reason,
            )
            return
        for job in self._take(lambda waiting: list(waiting[:1])):
            job.resolve(does_not_fit(job.prompt, reason=reason))

    # --- continuous batching ------------------------------------------------------------------

    def _stream(self, machine: Machine, *, contest: Contest) -> None:
        plan = plan_stream(
            self._waiting,
            slots=self._batch_size,
            most_tokens=self._most_tokens,
            memory_tokens=machine.memory_tokens,
        )
        session = self._session(plan, contest=contest)
        try:
            with closing(machine.open_stream(plan)) as stream:
                session.run(stream)
        except MemoryError as error:
            self._shrink(
                list(session.open.values()),
                together=plan.slots,
                tokens=plan.cache_tokens,
                reason=str(error),
            )
        except StreamFailedError as error:
            self._put_back(list(session.open.values()))
            if not contest.withdraw(Way.CONTINUOUS):
                raise
            logger.warning("%s. Going on with plain batches.", error)

    def _session(self, plan: StreamPlan, *, contest: Contest) -> Session:
        opened = True

        def take(most: int) -> list[Job]:
            if contest.way is not Way.CONTINUOUS:
                return []
            return self._take(lambda waiting: admitted(waiting, plan=plan, most=most))

        def note(stretch: Stretch) -> None:
            nonlocal opened
            self._tally.session(stretch, slots=plan.slots, opened=opened)
            opened = False
            if stretch.full:
                self._measure(contest, Way.CONTINUOUS, stretch.answered, seconds=stretch.seconds)

        return Session(plan, take=take, more=self._more, note=note)

    def _more(self) -> bool:
        """Wait for a request, or for the end of the queue."""
        with self._changed:
            self._idle = True
            self._changed.wait_for(lambda: self._waiting or self._ended is not None, IDLE_S)
            self._idle = False
            return bool(self._waiting)
