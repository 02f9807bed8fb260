"""The thread that writes replies: whoever has one to keep never waits for the disk."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from weak2wise_core.errors import StoreError
from weak2wise_core.records import ChatReply
from weak2wise_core.stores.reply_database import explain, transaction, write_turn
from weak2wise_core.stores.reply_records import Packer

BATCH: Final = 256
LINGER_S: Final = 0.005  # what waits is lost, and paid for again, if the process is killed
_INSERT: Final = "insert or ignore into replies (key, model, stage, created, body) values "
_ROW: Final = "(?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A reply that was accepted and is not yet in the file."""

    reply: ChatReply
    data: bytes
    """The reply as JSON."""
    model: str
    stage: str
    created: int
    """Seconds since 1970, UTC."""


Batch: TypeAlias = "list[tuple[bytes, Pending]]"


@dataclass(frozen=True, slots=True)
class _Waiter:
    """A coroutine that waits until the first `count` accepted replies are written."""

    count: int
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[None]"

    def answer(self, failure: str | None) -> None:
        with suppress(RuntimeError):  # its event loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, failure)

    def _settle(self, failure: str | None) -> None:
        if self.future.done():
            return
        if failure is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(StoreError(failure))


class ReplyWriter:
    """Writes accepted replies in the order they came: one commit for 256 of them or 5 ms.

    A failed write loses nothing: its replies stay in memory, readable, and are tried again when
    somebody flushes or closes.
    """

    def __init__(self, connection: sqlite3.Connection, *, path: Path, timeout_s: float) -> None:
        self._connection = connection
        self._path = path
        self._timeout_s = timeout_s
        self._packer = Packer()
        values = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self._most = min(BATCH, values // _ROW.count("?"))  # rows that one statement can take
        self._changed = threading.Condition()
        self._pending: dict[bytes, Pending] = {}  # in the order of acceptance
        self._accepted = 0
        self._written = 0
        self.beaten = 0
        """Batches of which another process had stored a reply to the same request before."""
        self._urgent = 0  # accepted replies up to this one do not wait for company
        self._deadline = 0.0  # when the oldest pending reply is written at the latest
        self._failure: str | None = None
        self._closing = False
        self._stopped = False
        self._waiters: list[_Waiter] = []
        self._thread = threading.Thread(target=self._run, name="reply-store", daemon=True)
        self._thread.start()

    def pending(self, key: bytes) -> ChatReply | None:
        """The reply under this key, if it is not yet in the file."""
        found = self._pending.get(key)
        return None if found is None else found.reply

    def put(self, key: bytes, record: Pending) -> bool:
        """Accept a reply; the first one under a key stays.

        Returns:
            Whether it is the first one that waits to be written.

        Raises:
            StoreError: The store is closed; or an earlier write failed, and then the reply is
                nevertheless kept in memory for the next `flush` or `close`.
        """
        with self._changed:
            self._refuse_if_closed()
            first = key not in self._pending
            if first:
                self._accept(key, record)
            self._refuse_if_failed()
        return first

    def _accept(self, key: bytes, record: Pending) -> None:
        if not self._pending:
            self._deadline = time.monotonic() + LINGER_S
        self._pending[key] = record
        self._accepted += 1
        if len(self._pending) in (1, BATCH):
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything accepted so far is in the file.

        Raises:
            StoreError: It cannot be written; it stays in memory.
        """
        with self._changed:
            self._refuse_if_closed()
            count = self._hurry()
            self._changed.wait_for(lambda: self._written >= count or self._ended())
            if self._written < count:
                self._refuse_if_failed()
                self._refuse_if_closed()

    async def written(self) -> None:
        """Wait, without blocking the event loop, until everything accepted so far is in the file.

        Raises:
            StoreError: It cannot be written; it stays in memory.
        """
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._written >= self._accepted:
                return
            self._refuse_if_failed()
            self._refuse_if_closed()
            waiter = _Waiter(self._accepted, loop, loop.create_future())
            self._waiters.append(waiter)
        await waiter.future

    def close(self) -> None:
        """Write what is pending and end the thread.

        Raises:
            StoreError: Some replies cannot be written; they are lost.
        """
        with self._changed:
            self._closing = True
            self._hurry()
        self._thread.join()
        if self._pending:
            raise StoreError(f"{self._failure}; replies lost: {len(self._pending)}")

    def _hurry(self) -> int:
        """Have everything accepted written at once, after a failure too."""
        self._failure = None
        self._urgent = self._accepted
        self._changed.notify_all()
        return self._accepted

    def _ended(self) -> bool:
        return self._failure is not None or self._stopped

    def _refuse_if_closed(self) -> None:
        if self._closing or self._stopped:
            raise StoreError(f"reply store {self._path} is closed")

    def _refuse_if_failed(self) -> None:
        if self._failure is not None:
            raise StoreError(self._failure)

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self._settle(batch, failure=self._write(batch))
        finally:
            with self._changed:
                self._stopped = True
                self._answer(f"reply store {self._path}: the writer has stopped")
                self._changed.notify_all()

    def _next_batch(self) -> Batch:
        """Wait for replies that are due; an empty batch means that the thread should end."""
        with self._changed:
            while not self._due():
                idle = self._failure is not None or not self._pending
                self._changed.wait(None if idle else self._deadline - time.monotonic())
            if self._failure is not None:  # closing, and the last try has failed
                return []
            return list(islice(self._pending.items(), self._most))

    def _due(self) -> bool:
        if self._closing:
            return True
        if self._failure is not None or not self._pending:
            return False
        if len(self._pending) >= BATCH or self._urgent > self._written:
            return True
        return time.monotonic() >= self._deadline

    def _write(self, batch: Batch) -> str | None:
        """Write one batch; returns what went wrong, in words.

        One statement for all rows: every statement has to wait for a busy event loop.
        """
        bodies = self._packer.pack([record.data for _, record in batch])
        values: list[bytes | str | int] = []
        for (key, record), body in zip(batch, bodies, strict=True):
            values += [key, record.model, record.stage, record.created, body]
        statement = _INSERT + ", ".join([_ROW] * len(batch))
        try:
            with (
                write_turn(self._path, timeout_s=self._timeout_s),
                transaction(self._connection),
            ):
                written = self._connection.execute(statement, values).rowcount
        except (sqlite3.Error, OSError, StoreError) as error:
            return explain(self._path, error)
        self.beaten += written < len(batch)
        return None

    def _settle(self, batch: Sequence[tuple[bytes, Pending]], *, failure: str | None) -> None:
        with self._changed:
            self._failure = failure
            if failure is None:
                for key, _ in batch:
                    del self._pending[key]
                self._written += len(batch)
                self._deadline = time.monotonic() + LINGER_S
            self._answer(failure)
            self._changed.notify_all()

    def _answer(self, failure: str | None) -> None:
        """Wake the coroutines whose replies are written, or all of them after a failure."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if failure is not None or waiter.count <= self._written:
                waiter.answer(failure)
            else:
                self._waiters.append(waiter)
