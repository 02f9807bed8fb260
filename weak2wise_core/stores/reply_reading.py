"""The reply store as a plan sees it: read, and left as it is, down to the last byte.

Its upkeep sees it so where the disk can only be read.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from weak2wise_core.errors import StoreError
from weak2wise_core.records import ChatReply
from weak2wise_core.stores import reply_upkeep
from weak2wise_core.stores.reply_database import APPLICATION_ID, SCHEMA_VERSION, named_errors
from weak2wise_core.stores.reply_records import Packer, from_json
from weak2wise_core.stores.reply_upkeep import ReplyCheck, ReplyStats, damaged, readable


class StoredReplies:
    """The replies in a store, for one thread; nothing is written, not even a lock file.

    Where no build has the store open, or was killed with it open, it is read as a file that does
    not change: SQLite would otherwise leave files beside it. `changed` says whether a build has
    opened it since; what was read may then be wrong, and must be read anew.

    Args:
        path: The SQLite file of a reply store.

    Raises:
        StoreError: It cannot be read, or is no reply store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._alone = not self._log.exists()
        self._packer = Packer()
        how = "immutable=1" if self._alone else "mode=ro"
        with named_errors(path):
            self._seen = self._state()
            address = f"{path.absolute().as_uri()}?{how}"
            self._connection = sqlite3.connect(address, uri=True, isolation_level=None)
            try:
                self._refuse_foreign()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def changed(self) -> bool:
        """Whether a build has opened the store while it was read as one that does not change."""
        with named_errors(self._path):
            return self._alone and (self._log.exists() or self._state() != self._seen)

    def get(self, key: str) -> ChatReply | None:
        """The reply to a request, or None.

        Raises:
            StoreError: The record or the file is damaged.
        """
        raw = bytes.fromhex(key)
        with named_errors(self._path):
            found = self._connection.execute("select body from replies where key = ?", (raw,))
            row = found.fetchone()
        if row is None:
            return None
        try:
            return from_json(readable(self._packer, row[0], key=raw, path=self._path))
        except ValueError as error:
            raise damaged(self._path, key=raw, fault=error) from error

    def stats(self) -> ReplyStats:
        """Count the replies by model and stage.

        Raises:
            StoreError: The store cannot be read, or has changed meanwhile.
        """
        with self._unchanged():
            return reply_upkeep.stats(self._connection, path=self._path)

    def verify(self) -> ReplyCheck:
        """Check the file and read every record.

        Raises:
            StoreError: The store has changed meanwhile.
        """
        with self._unchanged():
            return reply_upkeep.verify(self._connection)

    def export(self, path_jsonl: Path) -> int:
        """Write every reply as one line of JSON; see `ReplyStore.export`.

        Raises:
            StoreError: A record is damaged, the file cannot be written, or the store has changed
                meanwhile.
            UsageError: The file is the store itself.
        """
        with self._unchanged():
            return reply_upkeep.export(self._connection, to=path_jsonl, path=self._path)

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        with named_errors(self._path):
            yield
        if self.changed:
            raise StoreError(
                f"reply store {self._path} was opened by a build while it was read; read it again"
            )

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _state(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _refuse_foreign(self) -> None:
        (application,) = self._connection.execute("pragma application_id").fetchone()
        if application != APPLICATION_ID:
            raise StoreError(f"{self._path} is no reply store; give the folder of a build's data")
        statement = "select value from meta where name = 'schema_version'"
        (version,) = self._connection.execute(statement).fetchone() or ("unknown",)
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"reply store {self._path} has schema {version}, this weak2wise reads "
                f"{SCHEMA_VERSION}; use the version that wrote it"
            )
