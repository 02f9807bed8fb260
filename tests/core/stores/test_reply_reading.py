"""Laws of the store as a plan sees it: whatever is read, nothing is written."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from weak2wise_core.errors import StoreError
from weak2wise_core.records import ChatReply, FinishReason, Usage
from weak2wise_core.stores.replies import ReplyStore
from weak2wise_core.stores.reply_reading import StoredReplies

KEYS = [f"{number:064x}" for number in range(50)]


def reply(number: int) -> ChatReply:
    """A reply that is long enough to fill pages."""
    return ChatReply(
        content=f"{number} " * 500,
        reasoning=None,
        finish_reason=FinishReason.STOP,
        usage=Usage(prompt_tokens=number),
        model="m",
    )


def fill(path: Path, keys: list[str]) -> ReplyStore:
    """A store with a reply for each key."""
    store = ReplyStore(path)
    for number, key in enumerate(keys):
        store.put(key, reply(number), model="m", stage="s")
    store.flush()
    return store


def content(folder: Path) -> dict[str, bytes]:
    """Every file that holds data; SQLite's own index of the log is made anew at will."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if not path.name.endswith("-shm")
    }


def test_a_closed_store_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    """Not a byte changes, and no file appears beside it, not even a lock."""
    fill(tmp_path / "r.sqlite", KEYS).close()
    before, names = content(tmp_path), {path.name for path in tmp_path.iterdir()}
    with StoredReplies(tmp_path / "r.sqlite") as stored:
        assert [stored.get(key) for key in KEYS] == [reply(number) for number in range(50)]
        assert stored.get("f" * 64) is None
        assert not stored.changed
    assert content(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_store_of_a_killed_build_is_read_with_its_log(tmp_path: Path) -> None:
    """Replies that stand in the log only are found; file and log stay as they are."""
    (tmp_path / "a").mkdir()
    killed = fill(tmp_path / "a" / "r.sqlite", KEYS)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    killed.close()
    before = content(tmp_path / "b")
    assert len(before["r.sqlite-wal"]) > 0
    with StoredReplies(tmp_path / "b" / "r.sqlite") as stored:
        assert [stored.get(key) for key in KEYS] == [reply(number) for number in range(50)]
    assert content(tmp_path / "b") == before


def test_a_store_that_a_build_writes_to_is_read_meanwhile(tmp_path: Path) -> None:
    """What is written after opening is seen too, and the writer is not disturbed."""
    store = fill(tmp_path / "r.sqlite", KEYS[:10])
    with StoredReplies(tmp_path / "r.sqlite") as stored:
        assert stored.get(KEYS[20]) is None
        store.put(KEYS[20], reply(20), model="m", stage="s")
        store.flush()
        assert stored.get(KEYS[20]) == reply(20)
        assert not stored.changed
    store.close()


def test_a_build_that_begins_meanwhile_is_noticed(tmp_path: Path) -> None:
    """A store that was read as a file that does not change says so when it did."""
    path = tmp_path / "r.sqlite"
    fill(path, KEYS[:10]).close()
    with StoredReplies(path) as stored:
        store = ReplyStore(path)
        assert stored.changed
        with pytest.raises(StoreError, match="opened by a build while it was read"):
            stored.stats()
        store.put(KEYS[20], reply(20), model="m", stage="s")
        store.close()
        assert stored.changed


def test_what_is_no_reply_store_is_refused(tmp_path: Path) -> None:
    """A text, and a file of another program, are named and left alone."""
    text, other = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    text.write_text("not a database" * 100)
    with sqlite3.connect(other) as connection:
        connection.execute("create table t (x)")
    connection.close()
    for path in (text, other):
        with pytest.raises(StoreError, match=path.name):
            StoredReplies(path)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """It is an error with the record's key, not a missing reply that is paid for again."""
    path = tmp_path / "r.sqlite"
    fill(path, KEYS[:3]).close()
    connection = sqlite3.connect(path)
    connection.execute("update replies set body = x'00' where key = ?", (bytes.fromhex(KEYS[1]),))
    connection.commit()
    connection.close()
    with StoredReplies(path) as stored:
        assert stored.get(KEYS[0]) == reply(0)
        with pytest.raises(StoreError, match=KEYS[1]):
            stored.get(KEYS[1])
