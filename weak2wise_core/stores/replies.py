"""The reply store: every model reply, kept under a hash of the exact request.

It makes a crash, an edit or a rerun cheap: what was answered once is never paid for again. Several
builds share one store at once, and all get the same reply to the same request: the first one that
was written. What one of them is asking just now the others wait for (see `turn`).
"""

import atexit
import dataclasses
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from weak2wise_core.errors import StoreError
from weak2wise_core.hashing import content_hash
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import ChatReply, Message
from weak2wise_core.stores import reply_upkeep
from weak2wise_core.stores.reply_database import (
    connect,
    explain,
    named_errors,
    open_database,
    write_turn,
)
from weak2wise_core.stores.reply_records import Packer, from_json, to_json
from weak2wise_core.stores.reply_turns import Turn, Turns
from weak2wise_core.stores.reply_upkeep import ReplyCheck, ReplyGroup, ReplyStats
from weak2wise_core.stores.reply_writer import Pending, ReplyWriter

__all__ = ["ReplyCheck", "ReplyGroup", "ReplyStats", "ReplyStore", "request_key"]

_SELECT: Final = "select body from replies where key = ?"


def request_key(
    identity: Mapping[str, Any], messages: Sequence[Message], sampling: Sampling, draw: int
) -> str:
    """What makes two requests the same request, as 64 hexadecimal digits.

    Args:
        identity: `ChatModel.identity`: which model it is, without address and key, so that the
            same model behind another address has the same replies.
        messages: The conversation.
        sampling: Temperature and limits; 1 and 1.0 are the same.
        draw: Which sample of the request, from 0.
    """
    exact = dataclasses.replace(
        sampling, temperature=_float(sampling.temperature), top_p=_float(sampling.top_p)
    )
    return content_hash("reply/1", identity, messages, exact, draw)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


class ReplyStore:
    """Replies on the disk, for any number of threads and processes at once (Linux and macOS).

    `put` returns at once; a thread writes in batches. What `flush` or `aput` have confirmed
    outlives a killed process; a power cut can take the last seconds, never the file. Damage,
    a full disk and missing permissions are reported as StoreError.

    Args:
        path: The SQLite file, on a local disk. `-wal`, `-shm`, `.lock` and `.turns` lie beside it.
        create: Make the store where there is none; else that is an error.
        timeout_s: Seconds to wait for another process that is writing.
        clock: Seconds since 1970, UTC; the time under which replies are stored.

    Raises:
        StoreError: The store cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._clock = clock
        self._connection = open_database(path, create=create, timeout_s=timeout_s)
        with named_errors(path):
            self._reader = connect(path, timeout_s=timeout_s)
            self._turns = Turns(path.with_name(path.name + ".turns"))
        self._reading = threading.Lock()
        self._packer = Packer()
        self._closed = False
        self._writer = ReplyWriter(self._connection, path=path, timeout_s=timeout_s)
        atexit.register(self.close)  # a program that ends without close still keeps its replies

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def get(self, key: str) -> ChatReply | None:
        """The reply to a request, or None if the store has none.

        Args:
            key: From `request_key`.

        Raises:
            StoreError: The record or the file is damaged, or the store is closed.
        """
        raw = bytes.fromhex(key)
        waiting = self._writer.pending(raw)
        if waiting is not None:
            return waiting
        data = self._read(raw)
        if data is None:
            return None
        try:
            return from_json(data)
        except ValueError as error:
            raise reply_upkeep.damaged(self.path, key=raw, fault=error) from error

    def _read(self, key: bytes) -> bytes | None:
        with self._reading:
            self._refuse_if_closed()
            try:  # not `named_errors`, which would take a tenth of the time of a read
                row = self._reader.execute(_SELECT, (key,)).fetchone()
            except sqlite3.Error as error:
                raise StoreError(explain(self.path, error)) from error
            if row is None:
                return None
            return reply_upkeep.readable(self._packer, row[0], key=key, path=self.path)

    def turn(self, key: str) -> Turn:
        """The turn to ask a request, of which the builds that share this store have one at a time.

        Args:
            key: From `request_key`.
        """
        raw = bytes.fromhex(key)
        return Turn(self._turns, raw, answered=lambda: self._holds(raw))

    def _holds(self, key: bytes) -> bool:
        return self._writer.pending(key) is not None or self._read(key) is not None

    def put(self, key: str, reply: ChatReply, *, model: str, stage: str) -> bool:
        """Keep a reply; returns at once.

        Where the key has a reply already, by this process or another, that one stays, and `get`
        returns it as soon as this one has been written in vain.

        Args:
            key: From `request_key`.
            reply: What the model said.
            model: The model as the recipe calls it, for `stats` and `prune`.
            stage: The stage that asked, for `stats` and `prune`.

        Returns:
            Whether no other reply to this request waits to be written by this process.

        Raises:
            StoreError: The store is closed, or an earlier reply could not be written. In the
                second case this reply is kept in memory all the same, and a later `flush` or
                `close` tries to write all of them again.
        """
        for text in (model, stage):
            text.encode("utf-8")  # fails here rather than in the writer's thread
        record = Pending(
            reply=reply,
            data=to_json(reply),
            model=model,
            stage=stage,
            created=int(self._clock()),
        )
        return self._writer.put(bytes.fromhex(key), record)

    async def aput(self, key: str, reply: ChatReply, *, model: str, stage: str) -> ChatReply:
        """Keep a reply and wait, some milliseconds, until it is written.

        Returns:
            The reply that the store holds under the key: this one, or the one of a process that
            was faster. Who goes on with what is returned gets the same as everybody else.

        Raises:
            StoreError: It cannot be written (see `put`).
        """
        beaten = self._writer.beaten
        first = self.put(key, reply, model=model, stage=stage)
        await self._writer.written()
        if first and self._writer.beaten == beaten:
            return reply
        stored = self.get(key)
        return reply if stored is None else stored

    def flush(self) -> None:
        """Write everything accepted so far, now, and wait for it.

        It blocks for the length of a few writes; a coroutine calls it through `asyncio.to_thread`.

        Raises:
            StoreError: Something cannot be written; it stays in memory and can be tried again.
        """
        self._writer.flush()

    def close(self) -> None:
        """Write what is pending and close the file. Closing again does nothing.

        Raises:
            StoreError: Some replies cannot be written; they are lost, and the message says how
                many. The store is closed nevertheless.
        """
        if self._closed:
            return
        atexit.unregister(self.close)
        try:
            self._writer.close()
        finally:
            with self._reading:
                self._closed = True
                self._close_connections()

    def _close_connections(self) -> None:
        self._turns.close()
        self._reader.close()
        # the last connection to close takes the log into the file: a write like any other
        with suppress(StoreError, OSError), write_turn(self.path, timeout_s=self._timeout_s):
            self._connection.close()
        self._connection.close()

    def stats(self) -> ReplyStats:
        """Count the replies by model and stage.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._upkeep() as connection:
            return reply_upkeep.stats(connection, path=self.path)

    def prune(
        self,
        *,
        older_than: timedelta | None = None,
        model: str | None = None,
        stage: str | None = None,
    ) -> int:
        """Remove the replies to which everything given applies, and shrink the file.

        Args:
            older_than: Age.
            model: As it was given to `put`.
            stage: As it was given to `put`.

        Returns:
            How many replies were removed.

        Raises:
            ValueError: Nothing was given: that would empty the store.
            StoreError: The store cannot be written.
        """
        if older_than is None and model is None and stage is None:
            raise ValueError("prune needs an age, a model or a stage")
        before = None if older_than is None else self._clock() - older_than.total_seconds()
        with self._upkeep() as connection:
            rows = reply_upkeep.select(connection, before=before, model=model, stage=stage)
            return self._remove(connection, rows)

    def remove(self, keys: Iterable[str]) -> int:
        """Remove single replies, such as those that `verify` names.

        Returns:
            How many there were.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._upkeep() as connection:
            rows = reply_upkeep.find(connection, keys=map(bytes.fromhex, keys))
            return self._remove(connection, rows)

    def _remove(self, connection: sqlite3.Connection, rows: Sequence[int]) -> int:
        return reply_upkeep.remove(connection, rows=rows, path=self.path, timeout_s=self._timeout_s)

    def verify(self) -> ReplyCheck:
        """Check the file and read every record.

        Raises:
            StoreError: The store is closed, or what is pending cannot be written.
        """
        with self._upkeep() as connection:
            return reply_upkeep.verify(connection)

    def export(self, path_jsonl: Path) -> int:
        """Write every reply as one line of JSON; the file is whole or absent.

        Returns:
            How many lines were written.

        Raises:
            StoreError: A record is damaged, or the file cannot be written.
            UsageError: The file is the store itself, which the export would replace.
        """
        with self._upkeep() as connection:
            return reply_upkeep.export(connection, to=path_jsonl, path=self.path)

    @contextmanager
    def _upkeep(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, so that a long reading does not keep `get` waiting."""
        self.flush()
        with (
            named_errors(self.path),
            closing(connect(self.path, timeout_s=self._timeout_s)) as connection,
        ):
            yield connection

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError(f"reply store {self.path} is closed")
