"""The SQLite file under the reply store: opening, taking turns to write, errors in plain words.

Nothing but SQLite may open the file itself: closing any other handle on it would drop the locks
that SQLite holds for this process.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from weak2wise_core.errors import StoreError

APPLICATION_ID: Final = 0x77327772
"""'w2wr' in the file's header: what tells a reply store from other SQLite files."""
SCHEMA_VERSION: Final = "1"
_NO_APPLICATION: Final = 0
_POLL_S: Final = 0.003

_SCHEMA: Final = (
    "create table meta (name text primary key, value text not null) without rowid",
    "create table replies (id integer primary key, key blob not null unique, model text not null,"
    " stage text not null, created integer not null, body blob not null)",
    f"pragma application_id = {APPLICATION_ID}",
)

_PERMISSIONS: Final = "cannot be written; correct the permissions of the file and its folder"
_ADVICE: Final = {
    sqlite3.SQLITE_NOTADB: "is not an SQLite file; give the path of a reply store or a new path",
    sqlite3.SQLITE_CORRUPT: "is damaged; `weak2wise replies verify` says where. Move it away, "
    "with the -wal and -shm beside it, and restore a copy, or start a new store",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full. Free space; what was written is safe",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk is full, a limit on file sizes is "
    "reached, or the disk fails. What was written is safe",
    sqlite3.SQLITE_READONLY: _PERMISSIONS,
    sqlite3.SQLITE_CANTOPEN: _PERMISSIONS,
    sqlite3.SQLITE_PERM: _PERMISSIONS,
    sqlite3.SQLITE_BUSY: "is held by another process; end it, or try again when it is done",
}


def explain(path: Path, error: Exception) -> str:
    """An error of SQLite or the file system in words for the user: what, where, what to do."""
    if isinstance(error, StoreError):
        return str(error)
    if isinstance(error, OSError):
        return (
            f"reply store {path} cannot be written: {error.strerror or error}; correct the "
            "permissions of the file and its folder, or choose another place"
        )
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bytes only refine the lowest
    return f"reply store {path} {_ADVICE.get(code, 'cannot be used')} ({error})"


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a StoreError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(explain(path, error)) from error


@contextmanager
def write_turn(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Be the only one, of all threads and processes, that writes to the store.

    SQLite's own locks would do, but for an error in versions before 3.51.3: a write and a
    checkpoint of two connections at the same instant can lose a committed transaction
    (https://sqlite.org/wal.html#walresetbug). Whoever writes, checkpoints or closes takes a turn.

    Raises:
        StoreError: Somebody else was writing for longer than `timeout_s` seconds.
        OSError: The lock file cannot be made.
    """
    lock = path.with_name(path.name + ".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(descriptor, path=path, timeout_s=timeout_s)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a fork has inherited the descriptor
        os.close(descriptor)


def _take(descriptor: int, *, path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"reply store {path}: another process has been writing for {timeout_s:g} s; "
                    "end it, or try again when it is done"
                ) from None
            time.sleep(_POLL_S)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("rollback")
        raise


def connect(path: Path, *, timeout_s: float) -> sqlite3.Connection:
    """A connection to a store that exists, for one thread at a time.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = sqlite3.connect(
        path, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    # A commit is safe from the end of the process at once, from the end of the machine when the
    # system has written it out (Linux: after half a minute); nothing is torn by either.
    connection.execute("pragma synchronous = normal")
    connection.execute("pragma cache_size = -65536")  # 64 MiB of pages
    connection.execute("pragma journal_size_limit = 67108864")
    return connection


def open_database(path: Path, *, create: bool, timeout_s: float) -> sqlite3.Connection:
    """Open a reply store, and make it where there is none.

    Args:
        path: The file.
        create: Make a new store where the file does not exist; else that is an error.
        timeout_s: Seconds to wait for somebody else who is writing.

    Raises:
        StoreError: The file is a folder, no SQLite file, another program's, written by a newer
            version, damaged, or cannot be written; or it does not exist and `create` is false.
    """
    with named_errors(path):
        if path.is_dir():
            raise StoreError(f"reply store {path} is a folder; give the path of a file")
        if not create and not path.exists():
            raise StoreError(f"there is no reply store at {path}; correct the path")
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path, timeout_s=timeout_s)
        try:
            _refuse_foreign(connection, path=path)
            with write_turn(path, timeout_s=timeout_s):
                _prepare(connection, path=path)
        except BaseException:
            connection.close()
            raise
    return connection


def _refuse_foreign(connection: sqlite3.Connection, *, path: Path) -> None:
    connection.execute("begin")  # one moment for both: another thread may be making the store
    application = _value(connection, "pragma application_id")
    tables = _value(connection, "select count(*) from sqlite_master")
    connection.execute("rollback")
    if application != APPLICATION_ID and (tables or application != _NO_APPLICATION):
        raise StoreError(
            f"{path} is an SQLite file of another program; give the path of a reply store or a "
            "new path"
        )


def _prepare(connection: sqlite3.Connection, *, path: Path) -> None:
    if not _value(connection, "select count(*) from sqlite_master"):
        _create(connection)
    version = _schema_version(connection)
    if version != SCHEMA_VERSION:
        raise StoreError(_unknown_version(path, version))
    mode = _value(connection, "pragma journal_mode = wal")
    if mode != "wal":
        raise StoreError(
            f"reply store {path}: this file system has no shared memory (journal mode {mode}); "
            "put the store on a local disk"
        )
    # finds a file that can be read and not written before anything is paid for; `begin` does not
    connection.execute("begin immediate")
    connection.execute("update meta set value = value")
    connection.execute("rollback")


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("pragma page_size = 16384")
    connection.execute("pragma auto_vacuum = incremental")
    connection.execute("pragma journal_mode = wal")
    with transaction(connection):
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("insert into meta values ('schema_version', ?)", (SCHEMA_VERSION,))


def _schema_version(connection: sqlite3.Connection) -> str:
    row = connection.execute("select value from meta where name = 'schema_version'").fetchone()
    return "unknown" if row is None else str(row[0])


def _unknown_version(path: Path, version: str) -> str:
    if version.isdecimal() and int(version) > int(SCHEMA_VERSION):
        return (
            f"reply store {path} was written by a newer weak2wise (schema {version}, this one "
            f"knows {SCHEMA_VERSION}); upgrade weak2wise, or give another path"
        )
    return f"reply store {path} has schema {version}, which no weak2wise wrote; it is damaged"


def _value(connection: sqlite3.Connection, statement: str) -> object:
    row = connection.execute(statement).fetchone()
    return row[0]
