"""Is an attempt correct? Rules first, then computer algebra in processes that can be killed."""

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
from multiprocessing import Pipe
from types import TracebackType
from typing import Self

from weak2wise_core.answers import Agreement, Ruling, rule
from weak2wise_core.records import Verdict

START_S = 60.0
MAX_CHARS = 600

_VERDICTS = {
    Agreement.AGREE: Verdict.CORRECT,
    Agreement.DISAGREE: Verdict.INCORRECT,
    Agreement.UNDECIDED: Verdict.UNJUDGED,
}


class _Worker:
    """One process that compares expressions."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            # A plain subprocess, not multiprocessing: that would import the caller's main module
            # once more in every worker, and daemonic callers may have no children.
            self._process = subprocess.Popen(  # noqa: S603  # our own module, nothing from outside
                [sys.executable, "-m", "weak2wise_core.algebra", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._ready = False

    def ask(self, gold: str, answer: str, *, timeout_s: float) -> bool | None:
        """Compare one pair.

        Raises:
            TimeoutError: No outcome in time; the process is of no use any more.
            EOFError, OSError: The process has died.
        """
        if not self._ready:
            self._receive(START_S)
            self._ready = True
        self._connection.send_bytes(json.dumps((gold, answer, timeout_s)).encode())
        outcome: bool | None = json.loads(self._receive(timeout_s))
        return outcome

    def _receive(self, timeout_s: float) -> bytes:
        if not self._connection.poll(timeout_s):
            raise TimeoutError
        return self._connection.recv_bytes()

    @property
    def alive(self) -> bool:
        """The process has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process, whatever it is doing; a thread that waits for it gets an EOFError."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and its connection; only while no thread waits for it."""
        self.kill()
        self._connection.close()


class MathVerifyPool:
    """Compares expressions by algebra, in a few processes of its own.

    Processes start when they are first needed and are killed where they take too long: neither
    `9^{9^{9^9}}` nor a crash of the algebra harms the caller. Any thread may ask. It works where a
    child can inherit file descriptors (Linux, macOS).
    """

    def __init__(self, *, processes: int = 1, timeout_s: float = 5.0) -> None:
        """Prepare a pool; no process is started yet.

        Args:
            processes: Most processes at once.
            timeout_s: Seconds for one pair; what takes longer is undecided.

        Raises:
            ValueError: One of the two is not positive.
        """
        if processes < 1 or timeout_s <= 0:
            raise ValueError(f"processes and timeout_s must be positive: {processes}, {timeout_s}")
        self._timeout_s = timeout_s
        self._processes = processes
        self._seats: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(processes):
            self._seats.put(None)
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._closed = False

    def verify(self, gold: str, answer: str) -> bool | None:
        """Compare two expressions.

        Returns:
            True where they are proved equal, False where they certainly differ, None where neither
            is known: not understood, too long, out of time or memory.

        Raises:
            RuntimeError: The pool is closed.
        """
        if max(len(gold), len(answer)) > MAX_CHARS:
            return None
        worker = self._seats.get()
        try:
            worker = self._alive(worker)
            return worker.ask(gold, answer, timeout_s=self._timeout_s)
        except (TimeoutError, EOFError, OSError):
            self._discard(worker)
            worker = None
            return None
        finally:
            self._seats.put(worker)

    def _alive(self, worker: _Worker | None) -> _Worker:
        if worker is not None and not worker.alive:
            self._discard(worker)
            worker = None
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed; open a new one to compare expressions")
            if worker is None:
                worker = _Worker()
                self._workers.add(worker)
            return worker

    def _discard(self, worker: _Worker | None) -> None:
        if worker is not None:
            with self._lock:
                self._workers.discard(worker)
            worker.close()

    def close(self) -> None:
        """End every process. Comparisons under way are undecided; later ones are refused."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        seats = [self._seats.get() for _ in range(self._processes)]
        for seat in seats:
            self._discard(seat)
            self._seats.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AnswerChecker:
    """Checks attempts against the ground truth without a model.

    Rules decide within a fraction of a millisecond; what they leave to algebra takes milliseconds
    in another process. UNJUDGED is what neither is certain of: a matter for a judge.
    """

    def __init__(self, *, pool: MathVerifyPool | None = None) -> None:
        """Prepare a checker; its pool of processes is closed with it.

        Args:
            pool: Where expressions are compared; one process of its own where absent.
        """
        self._pool = pool or MathVerifyPool()

    def check(self, gold: str, attempt: str) -> Verdict:
        """Judge one attempt; any thread may call this.

        Args:
            gold: The ground-truth answer, or a solution that ends with it.
            attempt: The whole attempt. It is data: nothing in it is followed.

        Returns:
            CORRECT or INCORRECT where that is certain, else UNJUDGED. An attempt that states no
            answer, or never ends its thinking, is INCORRECT.

        Raises:
            RuntimeError: The checker is closed.
        """
        ruling = rule(gold, attempt)
        return self._by_algebra(ruling) if ruling.algebra else _VERDICTS[ruling.agreement]

    async def acheck(self, gold: str, attempt: str) -> Verdict:
        """Judge one attempt without holding up the event loop; see `check`."""
        ruling = rule(gold, attempt)
        if ruling.algebra:
            return await asyncio.to_thread(self._by_algebra, ruling)
        return _VERDICTS[ruling.agreement]

    def _by_algebra(self, ruling: Ruling) -> Verdict:
        assert ruling.algebra is not None
        equal = self._pool.verify(*ruling.algebra)
        if equal is None:
            return Verdict.UNJUDGED
        return Verdict.CORRECT if equal else Verdict.INCORRECT

    def close(self) -> None:
        """End the processes of the pool."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
