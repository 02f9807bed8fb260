import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from weak2wise_core.errors import StoreError, UsageError
from weak2wise_core.records import ChatReply
from weak2wise_core.stores.replies import ReplyGroup, ReplyStore

MakeReply = Callable[..., ChatReply]
KeyOf = Callable[[object], str]


class Clock:
    """A clock that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of `store`."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[ReplyStore]:
    """An open, empty store."""
    with ReplyStore(tmp_path / "replies.sqlite", clock=clock) as opened:
        yield opened


@pytest.fixture
def three(store: ReplyStore, clock: Clock, make_reply: MakeReply, key_of: KeyOf) -> ReplyStore:
    """A store with three replies, 100 seconds apart, of two models at two stages."""
    for name, model, stage in (
        ("a", "weak", "score"),
        ("b", "judge", "score"),
        ("c", "weak", "filter"),
    ):
        store.put(key_of(name), make_reply(name), model=model, stage=stage)
        clock.now += 100
    return store


def damage(store: ReplyStore, key: str) -> None:
    """Change the body of one record behind the store's back."""
    store.flush()
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute("update replies set body = x'00ff' where key = ?", (bytes.fromhex(key),))
    connection.close()


def test_an_empty_store_has_empty_stats(store: ReplyStore) -> None:
    """Nothing is counted, and there is no oldest reply."""
    stats = store.stats()
    assert (stats.replies, stats.groups, stats.oldest, stats.newest) == (0, (), None, None)
    assert stats.bytes > 0


def test_stats_count_by_model_and_stage(three: ReplyStore) -> None:
    """Each pair of model and stage is one group; what is pending is counted too."""
    stats = three.stats()
    assert stats.replies == 3
    assert (stats.oldest, stats.newest) == (1_000_000, 1_000_200)
    assert [(group.model, group.stage, group.replies) for group in stats.groups] == [
        ("judge", "score", 1),
        ("weak", "filter", 1),
        ("weak", "score", 1),
    ]
    group: ReplyGroup = stats.groups[0]
    assert (group.oldest, group.newest) == (1_000_100, 1_000_100)
    assert 50 < group.bytes < 500


def test_prune_removes_what_everything_given_applies_to(three: ReplyStore, key_of: KeyOf) -> None:
    """Model and stage together are narrower than each alone."""
    assert three.prune(model="weak", stage="filter") == 1
    assert three.get(key_of("c")) is None
    assert three.prune(model="weak", stage="filter") == 0
    assert three.prune(stage="score") == 2
    assert three.stats().replies == 0


def test_prune_by_age_spares_what_is_as_old(three: ReplyStore, clock: Clock, key_of: KeyOf) -> None:
    """Older than 200 seconds means more than 200 seconds before now."""
    clock.now = 1_000_300
    assert three.prune(older_than=timedelta(seconds=200)) == 1
    assert three.get(key_of("a")) is None
    assert three.get(key_of("b")) is not None


def test_prune_without_a_condition_is_refused(three: ReplyStore) -> None:
    """Nobody empties a store by leaving something out."""
    with pytest.raises(ValueError, match="an age, a model or a stage"):
        three.prune()
    assert three.stats().replies == 3


def test_a_pruned_reply_can_be_put_again(
    three: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """After pruning, the next reply under the key is kept."""
    three.prune(model="judge")
    three.put(key_of("b"), make_reply("again"), model="judge", stage="score")
    three.flush()
    assert three.get(key_of("b")) == make_reply("again")


def test_pruning_gives_the_space_back(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """The file of a store that was emptied is small again."""
    for number in range(2500):
        text = key_of(number) * 20
        store.put(key_of(number), make_reply(text), model="old", stage="s")
    full = store.stats().bytes
    assert store.prune(model="old") == 2500
    assert store.stats().bytes < full / 5
    assert store.verify().sound


def test_another_store_writes_while_one_prunes(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """Pruning takes short turns: nothing fails, and what is new stays."""
    for number in range(3000):
        store.put(key_of(("old", number)), make_reply(), model="old", stage="s")
    store.flush()
    with ReplyStore(store.path) as other:

        def write() -> None:
            for number in range(500):
                other.put(key_of(("new", number)), make_reply(), model="new", stage="s")
                if number % 20 == 0:
                    other.flush()

        thread = threading.Thread(target=write)
        thread.start()
        assert store.prune(model="old") == 3000
        thread.join()
    assert [(group.model, group.replies) for group in store.stats().groups] == [("new", 500)]
    assert store.verify().sound


def test_a_sound_store_verifies(three: ReplyStore) -> None:
    """Every record is read, and nothing is found."""
    check = three.verify()
    assert check.sound
    assert (check.replies, check.bad_keys, check.faults) == (3, (), ())


def test_a_bad_record_is_found_named_and_removed(
    three: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """`get` names the record, `verify` all of them, and once removed it can be put again."""
    bad = key_of("b")
    damage(three, bad)
    with pytest.raises(StoreError, match=f"record {bad} is damaged"):
        three.get(bad)
    check = three.verify()
    assert (check.sound, check.replies, check.bad_keys) == (False, 3, (bad,))
    assert three.remove([*check.bad_keys, key_of("unknown")]) == 1
    assert three.get(bad) is None
    assert three.verify().sound
    three.put(bad, make_reply("again"), model="judge", stage="score")
    three.flush()
    assert three.get(bad) == make_reply("again")


@pytest.mark.parametrize("key", ["text", "\u00e9\x01", 17, 2.5])
def test_a_record_whose_key_is_damaged_is_found_named_and_removed(
    three: ReplyStore, tmp_path: Path, key: object
) -> None:
    """Also where it is no longer a row of bytes: no request can ever find it."""
    three.flush()
    connection = sqlite3.connect(three.path)
    with connection:
        connection.execute("update replies set key = ? where model = 'judge'", (key,))
    connection.close()
    check = three.verify()
    assert (check.sound, check.replies, len(check.bad_keys)) == (False, 3, 1)
    assert three.export(tmp_path / "replies.jsonl") == 3
    assert three.remove(check.bad_keys) == 1
    assert three.verify().sound
    assert three.stats().replies == 2


@pytest.mark.parametrize(
    "change",
    [
        "created = 'yesterday'",
        "created = 1e300",
        "created = -1",
        "created = 99999999999999",
        "model = x'ff00'",
        "model = cast(x'ff00' as text)",
        "stage = x'00'",
    ],
)
def test_what_stands_beside_a_reply_may_be_damaged_too(
    three: ReplyStore, tmp_path: Path, key_of: KeyOf, change: str
) -> None:
    """Stats and export say so, `verify` names the record, and without it all is well."""
    three.flush()
    connection = sqlite3.connect(three.path)
    with connection:
        statement = f"update replies set {change} where key = ?"
        connection.execute(statement, (bytes.fromhex(key_of("b")),))
    connection.close()
    with pytest.raises(StoreError, match="replies"):
        three.stats()
    with pytest.raises(StoreError):
        three.export(tmp_path / "all.jsonl")
    assert not (tmp_path / "all.jsonl").exists()
    found = three.verify()
    assert (found.replies, found.bad_keys, found.sound) == (3, (key_of("b"),), False)
    assert three.remove(found.bad_keys) == 1
    assert three.stats().replies == three.export(tmp_path / "all.jsonl") == 2


def test_export_writes_every_reply(three: ReplyStore, tmp_path: Path, key_of: KeyOf) -> None:
    """One JSON object a line, in the order of the keys, with model, stage and time."""
    path = tmp_path / "replies.jsonl"
    assert three.export(path) == 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["key"] for line in lines] == sorted(key_of(name) for name in "abc")
    line = next(line for line in lines if line["key"] == key_of("c"))
    assert (line["model"], line["stage"], line["created"]) == ("weak", "filter", 1_000_200)
    assert line["reply"]["content"] == "c"
    assert line["reply"]["usage"]["completion_tokens"] == 20


def test_export_keeps_halves_of_surrogate_pairs(
    store: ReplyStore, tmp_path: Path, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """A reply that UTF-8 cannot hold is exported with escapes, on one line of valid JSON."""
    store.put(key_of("a"), make_reply("cut \ud83d"), model="m", stage="s")
    store.export(tmp_path / "out.jsonl")
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["reply"]["content"] == "cut \ud83d"


def test_export_of_a_damaged_store_leaves_no_file(
    three: ReplyStore, tmp_path: Path, key_of: KeyOf
) -> None:
    """The old export stays, and the damaged record is named."""
    path = tmp_path / "replies.jsonl"
    path.write_text("old")
    damage(three, key_of("a"))
    with pytest.raises(StoreError, match=f"record {key_of('a')} is damaged"):
        three.export(path)
    assert path.read_text() == "old"
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("ending", ["", "-wal", ".lock", ".turns"])
def test_an_export_never_replaces_the_store(three: ReplyStore, key_of: KeyOf, ending: str) -> None:
    """Neither the file nor what lies beside it, by whatever name it is reached."""
    three.flush()
    target = three.path.with_name(three.path.name + ending)
    link = three.path.with_name("out.jsonl")
    link.hardlink_to(target)
    for path in (target, link):
        with pytest.raises(UsageError, match="is part of the reply store"):
            three.export(path)
    assert three.verify().sound
    with ReplyStore(three.path, create=False) as again:
        assert all(again.get(key_of(name)) is not None for name in "abc")


def test_a_closed_store_has_no_upkeep(three: ReplyStore, tmp_path: Path) -> None:
    """Every verb of a closed store is a StoreError."""
    three.close()
    for verb in (
        three.stats,
        three.verify,
        lambda: three.prune(model="m"),
        lambda: three.remove([]),
        lambda: three.export(tmp_path / "out"),
    ):
        with pytest.raises(StoreError, match="is closed"):
            verb()
