import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weak2wise_core.records import ChatReply
from weak2wise_core.stores import reply_turns
from weak2wise_core.stores.replies import ReplyStore
from weak2wise_core.stores.reply_turns import Turn, Turns

Start = Callable[..., subprocess.Popen[str]]
KeyOf = Callable[[object], str]

by_handle = pytest.mark.skipif(
    sys.platform != "linux", reason="a lock belongs to the process here, not to the opened file"
)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[ReplyStore, ReplyStore]]:
    """One store, opened twice."""
    path = tmp_path / "replies.sqlite"
    with ReplyStore(path) as one, ReplyStore(path) as other:
        yield one, other


@by_handle
def test_one_of_two_has_the_turn_and_then_the_other(
    stores: tuple[ReplyStore, ReplyStore], key_of: KeyOf
) -> None:
    """While one asks, the other may not; other requests are free; a turn that is over is free."""
    one, other = stores
    with one.turn(key_of("q")) as mine, other.turn(key_of("q")) as theirs:
        assert mine.take()
        assert mine.take()
        assert not theirs.take()
        with other.turn(key_of("p")) as elsewhere:
            assert elsewhere.take()
    with other.turn(key_of("q")) as theirs:
        assert theirs.take()


def test_two_turns_of_one_store_exclude_each_other(
    stores: tuple[ReplyStore, ReplyStore], key_of: KeyOf
) -> None:
    """Two builds in one process may share an opened store; leaving in vain takes nothing away."""
    store, _ = stores
    with store.turn(key_of("q")) as mine:
        assert mine.take()
        with store.turn(key_of("q")) as theirs:
            assert not theirs.take()
        with store.turn(key_of("q")) as again:
            assert not again.take()
    with store.turn(key_of("q")) as theirs:
        assert theirs.take()


def test_there_is_no_turn_for_what_was_answered_meanwhile(
    stores: tuple[ReplyStore, ReplyStore],
    key_of: KeyOf,
    make_reply: Callable[..., ChatReply],
) -> None:
    """Between a look into the store and the turn the reply may have come: nothing is asked then."""
    one, other = stores
    assert other.get(key_of("q")) is None
    with one.turn(key_of("q")) as turn:
        assert turn.take()
        one.put(key_of("q"), make_reply(), model="m", stage="s")
        one.flush()
    with other.turn(key_of("q")) as late:
        assert not late.take()
    assert other.get(key_of("q")) is not None


@by_handle
def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    """A process that was halted keeps its turn; after some patience others ask all the same."""
    turns, others = Turns(tmp_path / "t"), Turns(tmp_path / "t")
    key = bytes(range(32))
    held = Turn(turns, key, answered=lambda: False)
    assert held.take()
    patient = Turn(others, key, answered=lambda: False, patience_s=60)
    assert [patient.take() for _ in range(3)] == [False] * 3
    short = Turn(others, key, answered=lambda: False, patience_s=-1)
    assert short.take()
    turns.close()
    assert patient.take()
    others.close()


@by_handle
@pytest.mark.parametrize("seed", range(3))
def test_a_place_never_has_two_holders(tmp_path: Path, seed: int) -> None:
    """However turns are taken and given back, a place is held by one handle at most."""
    lots = random.Random(seed)
    handles = [Turns(tmp_path / "t") for _ in range(3)]
    holder: dict[int, int] = {}
    for _ in range(3000):
        place, who = lots.randrange(12), lots.randrange(3)
        if holder.get(place) == who:
            handles[who].give(place)
            del holder[place]
        else:
            assert handles[who].take(place) == (place not in holder)
            holder.setdefault(place, who)
    for handle in handles:
        handle.close()


@pytest.mark.parametrize("lock", ["of this system", "of the process"])
def test_a_killed_process_loses_its_turns_at_once(
    tmp_path: Path, start: Start, key_of: KeyOf, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL leaves nothing that would have to lapse: the next look finds the turn free.

    So it is with the locks of Linux, and with those that every system has.
    """
    if lock == "of the process":
        monkeypatch.setattr(reply_turns, "_lock", reply_turns._process_lock)
    path = tmp_path / "replies.sqlite"
    with ReplyStore(path) as store, start("hold_turn", path, "q") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "True"
        with store.turn(key_of("q")) as turn:
            assert not turn.take()
            holder.kill()
            holder.wait()
            assert turn.take()


@pytest.mark.slow
def test_processes_share_out_the_requests(tmp_path: Path, start: Start) -> None:
    """Of three processes that want the same hundred replies, each is asked by one of them."""
    path = tmp_path / "replies.sqlite"
    ReplyStore(path).close()
    processes = [start("take_turns", path, name, 100) for name in "abc"]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    asked = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        asked.append(int(output.split()[-1]))
    assert sum(asked) == 100
    with ReplyStore(path, create=False) as store:
        assert store.stats().replies == 100
        assert [group.replies for group in store.stats().groups] == [one for one in asked if one]


def test_a_closed_store_gives_its_turns_back(
    stores: tuple[ReplyStore, ReplyStore], key_of: KeyOf
) -> None:
    """Turns end with the store; one that ends later does no harm."""
    one, other = stores
    keys = list(itertools.islice(map(key_of, itertools.count()), 5))
    turns = [one.turn(key) for key in keys]
    assert all(turn.take() for turn in turns)
    one.close()
    assert all(other.turn(key).take() for key in keys)
    for turn in turns:
        turn.__exit__(None, None, None)
