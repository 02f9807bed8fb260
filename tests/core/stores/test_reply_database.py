import fcntl
import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from weak2wise_core.errors import StoreError
from weak2wise_core.records import ChatReply
from weak2wise_core.stores.replies import ReplyStore
from weak2wise_core.stores.reply_database import open_database, write_turn

MakeReply = Callable[..., ChatReply]
KeyOf = Callable[[object], str]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "replies.sqlite"


@pytest.fixture
def filled(path: Path, make_reply: MakeReply, key_of: KeyOf) -> Path:
    """A store with 300 replies of a few kilobytes."""
    with ReplyStore(path) as store:
        for number in range(300):
            text = os.urandom(1500).hex()
            store.put(key_of(number), make_reply(text), model="m", stage="s")
    return path


def change(path: Path, statement: str) -> None:
    """Change the file as another program could."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def pragma(path: Path, name: str) -> object:
    """A property of the file."""
    connection = sqlite3.connect(path)
    value = connection.execute(f"pragma {name}").fetchone()[0]
    connection.close()
    return value


def test_a_new_store_is_laid_out_as_measured(tmp_path: Path) -> None:
    """Write-ahead log and 16 KB pages; missing folders are made; the name tag is in the header."""
    path = tmp_path / "a" / "b" / "replies.sqlite"
    ReplyStore(path).close()
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "page_size") == 16384
    assert pragma(path, "application_id") == int.from_bytes(b"w2wr", "big")


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """What a killed process left before it wrote anything is no obstacle."""
    path.touch()
    with ReplyStore(path) as store:
        assert store.stats().replies == 0


def test_a_store_that_must_exist_is_not_made(path: Path) -> None:
    """With `create=False` a wrong path is an error and leaves nothing behind."""
    with pytest.raises(StoreError, match=r"there is no reply store at .*replies\.sqlite"):
        ReplyStore(path, create=False)
    assert list(path.parent.iterdir()) == []


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is no store."""
    with pytest.raises(StoreError, match="is a folder; give the path of a file"):
        ReplyStore(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """A path below a file cannot hold a store."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"reply store .* cannot be written"):
        ReplyStore(tmp_path / "file" / "replies.sqlite")


def test_a_file_that_is_not_sqlite_is_refused_and_unchanged(path: Path) -> None:
    """A text file is not overwritten."""
    path.write_text("my notes\n" * 100)
    with pytest.raises(StoreError, match="is not an SQLite file; give the path of a reply store"):
        ReplyStore(path)
    assert path.read_text() == "my notes\n" * 100


def test_the_database_of_another_program_is_refused_and_unchanged(path: Path) -> None:
    """An SQLite file with other tables or another name tag stays as it is."""
    change(path, "create table mine (x)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is an SQLite file of another program"):
        ReplyStore(path)
    assert path.read_bytes() == before
    path.unlink()
    change(path, "pragma application_id = 7")
    with pytest.raises(StoreError, match="is an SQLite file of another program"):
        ReplyStore(path)


def test_a_newer_store_is_refused_and_unchanged(filled: Path) -> None:
    """A schema from the future is named, with the one this program knows."""
    change(filled, "update meta set value = '2' where name = 'schema_version'")
    with pytest.raises(StoreError, match=r"newer weak2wise \(schema 2, this one knows 1\)"):
        ReplyStore(filled)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from meta",
        "update meta set value = '0'",
        "update meta set value = 'x'",
        "drop table meta",
    ],
)
def test_a_store_without_a_version_is_refused(filled: Path, statement: str) -> None:
    """A version that no program wrote is damage."""
    change(filled, statement)
    with pytest.raises(StoreError, match=r"reply store .* (no weak2wise wrote|cannot be used)"):
        ReplyStore(filled)


@pytest.mark.parametrize("length", [100, 5_000, 16_384, 100_000])
def test_a_cut_file_is_a_named_error(filled: Path, key_of: KeyOf, length: int) -> None:
    """A truncated file says so when it is opened, read or checked."""
    os.truncate(filled, length)

    def use() -> None:
        with ReplyStore(filled) as store:
            check = store.verify()
            if not check.sound:
                raise StoreError("; ".join(check.faults))

    with pytest.raises(StoreError, match=r"damaged|malformed|not an SQLite|cannot be used|disk"):
        use()


def test_damaged_pages_are_a_named_error(filled: Path, key_of: KeyOf) -> None:
    """Garbage over the pages: reading says StoreError, and `verify` says what SQLite found."""
    with filled.open("r+b") as handle:
        handle.seek(3 * 16_384)
        handle.write(os.urandom(20 * 16_384))
    complaints = []
    with ReplyStore(filled) as store:
        for number in range(300):
            try:
                store.get(key_of(number))
            except StoreError as error:
                complaints.append(str(error))
        check = store.verify()
    assert complaints
    assert all("damaged" in complaint for complaint in complaints)
    assert check.faults
    assert not check.sound


@pytest.mark.slow
def test_a_read_only_disk_is_named(small_disk: tuple[str, ...], start: Start) -> None:
    """A store that could only be read is refused when it is opened, not when a reply is paid."""
    make = (*small_disk, "sh", "-c")
    steps = '"$@"; mount -o remount,ro /mnt; exec "$@"'
    process = start("open_store", "/mnt/replies.sqlite", prefix=(*make, steps, "sh"))
    output, _ = process.communicate(timeout=60)
    assert "reply store /mnt/replies.sqlite cannot be written" in output
    assert "permissions" in output


@pytest.mark.slow
@pytest.mark.parametrize("part", ["replies.sqlite", "replies.sqlite.lock", "."])
def test_a_read_only_file_is_named(
    filled: Path, part: str, powerless: tuple[str, ...], start: Start
) -> None:
    """Without permission to write the file, the lock or the folder, nothing is opened."""
    target = filled.parent / part
    mode = target.stat().st_mode
    target.chmod(0o555)
    output, _ = start("open_store", filled, prefix=powerless).communicate(timeout=60)
    target.chmod(mode)
    assert "cannot be written" in output
    assert "correct the permissions of the file and its folder" in output


def test_many_threads_open_a_new_store_at_once(path: Path) -> None:
    """Whoever comes first makes it; nobody fails and nobody makes it twice."""
    errors: list[StoreError] = []

    def use() -> None:
        try:
            ReplyStore(path).close()
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_turns_do_not_overlap(path: Path) -> None:
    """Two threads are never inside a turn at the same time."""
    inside, overlaps = [0], [0]

    def take_turns() -> None:
        for _ in range(50):
            with write_turn(path, timeout_s=10):
                inside[0] += 1
                overlaps[0] += inside[0] > 1
                inside[0] -= 1

    threads = [threading.Thread(target=take_turns) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [0]


def test_a_turn_that_never_comes_is_a_named_error(path: Path) -> None:
    """Somebody who holds the lock for ever costs the others the timeout, not a hang."""
    lock = os.open(path.with_name("replies.sqlite.lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(StoreError, match=r"another process has been writing for 0\.1 s"):
        open_database(path, create=True, timeout_s=0.1)
    os.close(lock)
    ReplyStore(path, timeout_s=0.1).close()
