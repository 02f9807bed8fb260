"""What a person does to a reply store between builds: count, remove, check, export."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from weak2wise_core.errors import StoreError, UsageError
from weak2wise_core.stores.files import atomic_writer
from weak2wise_core.stores.reply_database import transaction, write_turn
from weak2wise_core.stores.reply_records import Packer, from_json

_MEND: Final = (
    "`weak2wise replies verify` names every such record, and with --remove removes them; then "
    "their replies are asked for again."
)
_ROWS_A_TURN: Final = 1000
_PAGES_A_TURN: Final = 512
_BY_DAMAGED_KEY: Final = (
    "select id from replies where typeof(key) <> 'blob' and cast(key as blob) = ?"
)
_BAD_LABEL: Final = (
    "(typeof(model) <> 'text' or typeof(stage) <> 'text' or typeof(created) <> 'integer'"
    " or created not between 0 and 253402300799)"
)
"""Whether what stands beside a reply is damaged; the largest time is the last of the year 9999."""
_ENDINGS: Final = ("", "-wal", "-shm", ".lock", ".turns")
"""Of the files that make up a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyGroup:
    """The replies of one model at one stage."""

    model: str
    stage: str
    replies: int
    bytes: int
    """Of the compressed records, without the file's own tables."""
    oldest: int
    """When the first one was stored, in seconds since 1970, UTC."""
    newest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyStats:
    """What a reply store holds."""

    replies: int
    bytes: int
    """Size on the disk, the write-ahead log included."""
    groups: tuple[ReplyGroup, ...]
    """By model and stage, in alphabetical order."""
    oldest: int | None
    """When the first reply was stored, in seconds since 1970, UTC; None in an empty store."""
    newest: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCheck:
    """What `verify` found."""

    replies: int
    """Records that could be reached, bad ones included."""
    bad_keys: tuple[str, ...]
    """Records that do not decompress or do not hold a reply, or whose key, model, stage or time is
    damaged."""
    faults: tuple[str, ...]
    """What SQLite's own check says about the file."""

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not self.bad_keys and not self.faults


def stats(connection: sqlite3.Connection, *, path: Path) -> ReplyStats:
    """Count the replies by model and stage.

    Raises:
        StoreError: Model, stage or time of a record is damaged.
    """
    if bad := _count(connection, f"select count(*) from replies where {_BAD_LABEL}"):  # noqa: S608
        raise StoreError(
            f"reply store {path}: {bad} records have a damaged model, stage or time. {_MEND}"
        )
    rows = connection.execute(
        "select model, stage, count(*), sum(length(body)), min(created), max(created)"
        " from replies group by model, stage order by model, stage"
    )
    groups = tuple(
        ReplyGroup(model=model, stage=stage, replies=count, bytes=size, oldest=first, newest=last)
        for model, stage, count, size, first, last in rows
    )
    return ReplyStats(
        replies=sum(group.replies for group in groups),
        bytes=_size_on_disk(path),
        groups=groups,
        oldest=min((group.oldest for group in groups), default=None),
        newest=max((group.newest for group in groups), default=None),
    )


def _size_on_disk(path: Path) -> int:
    parts = (path, path.with_name(path.name + "-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def select(
    connection: sqlite3.Connection, *, before: float | None, model: str | None, stage: str | None
) -> list[int]:
    """Row numbers of the replies to which everything given applies."""
    rows = connection.execute(
        "select id from replies where (:before is null or created < :before)"
        " and (:model is null or model = :model) and (:stage is null or stage = :stage)",
        {"before": before, "model": model, "stage": stage},
    )
    return [row[0] for row in rows]


def find(connection: sqlite3.Connection, *, keys: Iterable[bytes]) -> list[int]:
    """Row numbers of the replies under these keys, as `verify` names them."""
    found: list[int] = []
    for key in keys:
        rows = connection.execute("select id from replies where key = ?", (key,)).fetchall()
        found += [row[0] for row in rows or connection.execute(_BY_DAMAGED_KEY, (key,))]
    return found


def remove(
    connection: sqlite3.Connection, *, rows: Sequence[int], path: Path, timeout_s: float
) -> int:
    """Remove rows in short turns, so that a build can write in between, and shrink the file.

    Returns:
        How many there were; another process may have removed some before.
    """
    before = connection.total_changes
    for start in range(0, len(rows), _ROWS_A_TURN):
        chunk = [(row,) for row in rows[start : start + _ROWS_A_TURN]]
        with write_turn(path, timeout_s=timeout_s), transaction(connection):
            connection.executemany("delete from replies where id = ?", chunk)
    removed = connection.total_changes - before
    if removed:
        _shrink(connection, path=path, timeout_s=timeout_s)
    return removed


def _shrink(connection: sqlite3.Connection, *, path: Path, timeout_s: float) -> None:
    free = _count(connection, "pragma freelist_count")
    for _ in range(0, free, _PAGES_A_TURN):
        with write_turn(path, timeout_s=timeout_s):
            # `execute` would free one page only: this pragma works row by row, without columns
            connection.executescript(f"pragma incremental_vacuum({_PAGES_A_TURN})")
    with write_turn(path, timeout_s=timeout_s):
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()


def verify(connection: sqlite3.Connection) -> ReplyCheck:
    """Have SQLite check the file, and read every record."""
    packer = Packer()
    faults: list[str] = []
    bad_keys: list[str] = []
    replies = 0
    try:
        faults += [row[0] for row in connection.execute("pragma integrity_check") if row[0] != "ok"]
        rows = (
            f"select lower(hex(key)), typeof(key) <> 'blob' or {_BAD_LABEL},"  # noqa: S608
            " cast(model as blob), cast(stage as blob), body from replies order by id"
        )
        for key, bad, model, stage, body in connection.execute(rows):
            replies += 1
            if bad or not (_is_text(model) and _is_text(stage) and _readable(packer, body)):
                bad_keys.append(key)
    except sqlite3.DatabaseError as error:
        faults.append(f"reading stopped after {replies} replies: {error}")
    return ReplyCheck(replies=replies, bad_keys=tuple(bad_keys), faults=tuple(faults))


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _readable(packer: Packer, body: bytes) -> bool:
    try:
        from_json(packer.unpack(body))
    except ValueError:
        return False
    return True


def export(connection: sqlite3.Connection, *, to: Path, path: Path) -> int:
    """Write every reply as one line of JSON, in the order of the keys.

    Returns:
        How many lines were written.

    Raises:
        StoreError: A record is damaged, or the file cannot be written. Then there is no new file.
        UsageError: The file is the store itself, which the export would replace.
    """
    _refuse_own_file(to, path=path)
    packer = Packer()
    count = 0
    rows = connection.execute(
        f"select cast(key as blob), {_BAD_LABEL}, model, stage, created, body"  # noqa: S608
        " from replies order by key"
    )
    with atomic_writer(to) as handle:
        for key, bad, model, stage, created, body in rows:
            if bad:
                raise damaged(path, key=key, fault=ValueError("its model, stage or time is none"))
            data = readable(packer, body, key=key, path=path)
            line = {"key": key.hex(), "model": model, "stage": stage, "created": created}
            handle.write(orjson.dumps(line | {"reply": orjson.Fragment(data)}) + b"\n")
            count += 1
    return count


def _refuse_own_file(to: Path, *, path: Path) -> None:
    parts = [path.with_name(path.name + ending) for ending in _ENDINGS]
    if to.exists() and any(part.exists() and part.samefile(to) for part in parts):
        raise UsageError(f"{to} is part of the reply store; name another file for the export")


def readable(packer: Packer, body: bytes, *, key: bytes, path: Path) -> bytes:
    """The JSON of one record.

    Raises:
        StoreError: It is damaged; the message names it.
    """
    try:
        return packer.unpack(body)
    except ValueError as error:
        raise damaged(path, key=key, fault=error) from error


def damaged(path: Path, *, key: bytes, fault: ValueError) -> StoreError:
    """The error of a record that cannot be read."""
    return StoreError(f"reply store {path}: the record {key.hex()} is damaged ({fault}). {_MEND}")


def _count(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])
