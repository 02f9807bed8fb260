import asyncio
import dataclasses
import fcntl
import os
import queue
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.errors import StoreError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import ChatReply, Message
from weak2wise_core.stores.replies import ReplyStore, request_key

MakeReply = Callable[..., ChatReply]
KeyOf = Callable[[object], str]
Start = Callable[..., subprocess.Popen[str]]

TAGS: dict[str, Any] = {"model": "m", "stage": "s"}
IDENTITY = {"backend": "openai", "model": "m"}
MESSAGES = (Message(role="user", content="What is 6 times 7?"),)
SAMPLING = Sampling(temperature=0.6, top_p=0.9, max_tokens=100, seed=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "replies.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[ReplyStore]:
    """An open, empty store."""
    with ReplyStore(path) as opened:
        yield opened


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep every store from writing, as a process that hangs while it writes would."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


# --- keys -----------------------------------------------------------------------------------------


def test_the_key_of_a_request_never_changes() -> None:
    """Another version of the program finds what this one has paid for."""
    key = request_key(IDENTITY, MESSAGES, SAMPLING, 0)
    assert key == "35bef08b248b80ed4bd901af2a30b12ad2f46de2f2eec837e4bb7b65701d7dcf"


@pytest.mark.parametrize(
    "other",
    [
        ({**IDENTITY, "model": "n"}, MESSAGES, SAMPLING, 0),
        (IDENTITY, (Message(role="user", content="What is 6 times 7? "),), SAMPLING, 0),
        (IDENTITY, (Message(role="system", content=MESSAGES[0].content),), SAMPLING, 0),
        (IDENTITY, (*MESSAGES, *MESSAGES), SAMPLING, 0),
        (IDENTITY, MESSAGES, dataclasses.replace(SAMPLING, temperature=0.61), 0),
        (IDENTITY, MESSAGES, dataclasses.replace(SAMPLING, temperature=None), 0),
        (IDENTITY, MESSAGES, dataclasses.replace(SAMPLING, top_p=None), 0),
        (IDENTITY, MESSAGES, dataclasses.replace(SAMPLING, max_tokens=101), 0),
        (IDENTITY, MESSAGES, dataclasses.replace(SAMPLING, seed=2), 0),
        (IDENTITY, MESSAGES, SAMPLING, 1),
    ],
)
def test_whatever_decides_a_reply_is_in_its_key(other: tuple[Any, ...]) -> None:
    """A change of model, messages, sampling or draw is another request."""
    assert request_key(*other) != request_key(IDENTITY, MESSAGES, SAMPLING, 0)


def test_the_same_number_is_the_same_request() -> None:
    """A temperature of 1 is a temperature of 1.0."""
    one, real = (Sampling(temperature=t, top_p=t) for t in (1, 1.0))
    assert request_key(IDENTITY, MESSAGES, one, 0) == request_key(IDENTITY, MESSAGES, real, 0)


def test_addresses_and_keys_are_not_in_the_key() -> None:
    """The same model behind another address has the same replies."""
    first = ModelSpec(backend=Backend.OPENAI, model="m", base_urls=("http://a/v1",))
    second = ModelSpec(
        backend=Backend.OPENAI, model="m", base_urls=("http://b/v1",), api_key_env="KEY", rpm=5
    )
    keys = {request_key(spec.identity(), MESSAGES, SAMPLING, 0) for spec in (first, second)}
    assert len(keys) == 1


def test_a_key_that_is_none_is_refused(store: ReplyStore, make_reply: MakeReply) -> None:
    """Keys are hexadecimal digits: a question passed by mistake is an error."""
    with pytest.raises(ValueError, match="hexadecimal"):
        store.get("What is 6 times 7?")
    with pytest.raises(ValueError, match="hexadecimal"):
        store.put("What is 6 times 7?", make_reply(), **TAGS)


# --- keeping and finding --------------------------------------------------------------------------


def test_a_reply_is_found_before_and_after_it_is_written(
    path: Path, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """What was put is there at once, after it was written, and in a later process."""
    reply = make_reply("odd \x00 \ud83d \u2028 😀")
    with ReplyStore(path) as store, held(path):
        store.put(key_of(1), reply, **TAGS)
        assert store.get(key_of(1)) is reply
        assert store.get(key_of(2)) is None
    with ReplyStore(path) as store:
        assert store.get(key_of(1)) == reply
        assert store.get(key_of(2)) is None


def test_writing_does_not_wait_for_a_flush(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """A single reply is in the file, for others to find, soon after it was put."""
    with ReplyStore(store.path) as other:
        store.put(key_of(1), make_reply(), **TAGS)
        deadline = time.monotonic() + 10
        while other.get(key_of(1)) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert other.get(key_of(1)) == make_reply()


def test_more_replies_than_one_batch_are_all_kept(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """A thousand replies put in one go are there after one flush."""
    for number in range(1000):
        store.put(key_of(number), make_reply(str(number)), **TAGS)
    store.flush()
    with ReplyStore(store.path) as other:
        assert all(other.get(key_of(n)) == make_reply(str(n)) for n in range(1000))


def test_the_first_reply_stays(store: ReplyStore, make_reply: MakeReply, key_of: KeyOf) -> None:
    """A second reply under a key changes nothing, whether the first is written or not."""
    store.put(key_of(1), make_reply("first"), **TAGS)
    store.put(key_of(1), make_reply("second"), **TAGS)
    assert store.get(key_of(1)) == make_reply("first")
    store.flush()
    store.put(key_of(1), make_reply("third"), **TAGS)
    store.flush()
    assert store.get(key_of(1)) == make_reply("first")


def test_the_first_of_two_stores_wins(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """A reply that lost against another process is replaced by the one that won."""
    with ReplyStore(store.path) as other:
        other.put(key_of(1), make_reply("other"), **TAGS)
        other.flush()
        store.put(key_of(1), make_reply("mine"), **TAGS)
        store.flush()
        assert store.get(key_of(1)) == make_reply("other")
        assert other.get(key_of(1)) == make_reply("other")


async def test_aput_returns_what_the_store_keeps(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """Once awaited, a reply is written, and everybody has the same one."""
    with ReplyStore(store.path) as other:
        assert await store.aput(key_of(1), make_reply("mine"), **TAGS) == make_reply("mine")
        assert other.get(key_of(1)) == make_reply("mine")
        assert await other.aput(key_of(1), make_reply("other"), **TAGS) == make_reply("mine")
    store.put(key_of(2), make_reply("first"), **TAGS)
    assert await store.aput(key_of(2), make_reply("second"), **TAGS) == make_reply("first")


async def test_many_aputs_share_a_few_commits(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """A thousand coroutines that wait for the disk do not wait for each other."""
    begin = time.monotonic()
    await asyncio.gather(*(store.aput(key_of(n), make_reply(str(n)), **TAGS) for n in range(1000)))
    assert time.monotonic() - begin < 10  # one after the other: 50 s
    assert store.get(key_of(999)) == make_reply("999")


async def test_a_cancelled_aput_harms_nobody(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """The reply is kept all the same, and the writer goes on."""
    with held(store.path):
        waiting = asyncio.create_task(store.aput(key_of(1), make_reply("a"), **TAGS))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await store.aput(key_of(2), make_reply("b"), **TAGS)
    assert store.get(key_of(1)) == make_reply("a")


def test_threads_put_and_get_together(
    store: ReplyStore, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """Eight threads over the same keys: every reading gives the reply of its key."""
    faults: queue.SimpleQueue[object] = queue.SimpleQueue()

    def use(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(300):
            number = chance.randrange(200)
            store.put(key_of(number), make_reply(str(number)), **TAGS)
            found = store.get(key_of(chance.randrange(200)))
            own = store.get(key_of(number))
            if own != make_reply(str(number)) or not (found is None or found.content.isdigit()):
                faults.put((number, own, found))

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults.empty()


# --- closing --------------------------------------------------------------------------------------


def test_closing_writes_everything(path: Path, make_reply: MakeReply, key_of: KeyOf) -> None:
    """What was put a moment before is kept; closing twice is no error; the log is gone."""
    store = ReplyStore(path)
    for number in range(700):
        store.put(key_of(number), make_reply(str(number)), **TAGS)
    store.close()
    store.close()
    assert sorted(item.name for item in path.parent.iterdir()) == [
        "replies.sqlite",
        "replies.sqlite.lock",
        "replies.sqlite.turns",
    ]
    with ReplyStore(path, create=False) as again:
        assert again.stats().replies == 700


async def test_a_closed_store_is_a_named_error(
    path: Path, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """Nothing can be put into or taken from a closed store."""
    store = ReplyStore(path)
    store.put(key_of(1), make_reply(), **TAGS)
    store.close()
    uses: list[Callable[[], object]] = [
        store.flush,
        lambda: store.get(key_of(1)),
        lambda: store.put(key_of(2), make_reply(), **TAGS),
    ]
    for use in uses:
        with pytest.raises(StoreError, match="is closed"):
            use()
    with pytest.raises(StoreError, match="is closed"):
        await store.aput(key_of(3), make_reply(), **TAGS)


def test_closing_ends_the_thread(path: Path) -> None:
    """A store leaves no thread behind."""
    before = threading.active_count()
    ReplyStore(path).close()
    assert threading.active_count() == before


@pytest.mark.slow
def test_a_program_that_forgets_to_close_loses_nothing(
    path: Path, start: Start, key_of: KeyOf
) -> None:
    """Ending normally is as good as closing."""
    process = start("forget_to_close", path)
    process.communicate(timeout=60)
    assert process.returncode == 0
    with ReplyStore(path) as store:
        assert store.get(key_of("last")) is not None


# --- failing --------------------------------------------------------------------------------------


def test_a_failed_write_is_reported_and_made_good(
    path: Path, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """The next verb says what failed, the replies stay readable, and a later flush keeps them."""
    with ReplyStore(path, timeout_s=0.1) as store:
        with held(path):
            store.put(key_of(1), make_reply("1"), **TAGS)
            with pytest.raises(StoreError, match="another process has been writing"):
                store.flush()
            with pytest.raises(StoreError, match="another process has been writing"):
                store.put(key_of(2), make_reply("2"), **TAGS)
            assert store.get(key_of(1)) == make_reply("1")
            assert store.get(key_of(2)) == make_reply("2")
        store.flush()
        store.put(key_of(3), make_reply("3"), **TAGS)
    with ReplyStore(path) as again:
        assert [again.get(key_of(n)) for n in (1, 2, 3)] == [make_reply(n) for n in "123"]


async def test_a_failed_write_reaches_those_who_wait(
    path: Path, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """Every coroutine that awaits a reply's writing gets the error, none hangs."""
    with ReplyStore(path, timeout_s=0.1) as store:
        with held(path):
            waiting = [store.aput(key_of(n), make_reply(), **TAGS) for n in range(20)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, StoreError) for result in results)
        store.flush()
        assert await store.aput(key_of(5), make_reply("late"), **TAGS) == make_reply()


def test_closing_says_how_many_replies_are_lost(
    path: Path, make_reply: MakeReply, key_of: KeyOf
) -> None:
    """A store that cannot write at the end is closed, with the number in the error."""
    store = ReplyStore(path, timeout_s=0.1)
    with held(path):
        for number in range(3):
            store.put(key_of(number), make_reply(), **TAGS)
        with pytest.raises(StoreError, match="replies lost: 3"):
            store.close()
    store.close()
    with ReplyStore(path) as again:
        assert again.verify().replies == 0


@pytest.mark.slow
def test_a_full_disk_loses_nothing_confirmed(small_disk: tuple[str, ...], start: Start) -> None:
    """The error names the disk, room makes the store go on, and no record is torn."""
    process = start("fill_disk", "/mnt/replies.sqlite", prefix=small_disk)
    output, _ = process.communicate(timeout=120)
    first, second, lost, result = output.splitlines()
    assert "the disk is full" in first
    assert "the disk is full" in second
    assert "replies lost: 1" in lost
    kept = int(result.split()[1])
    assert result == f"kept {kept} sound True"
    assert kept > 10


@pytest.mark.slow
def test_a_limit_on_files_loses_nothing_confirmed(path: Path, start: Start) -> None:
    """A file that may not grow is like a full disk."""
    output, _ = start("limited_file", path).communicate(timeout=120)
    error, lost, result = output.splitlines()
    assert "a limit on file sizes is reached" in error
    assert "replies lost: 1" in lost
    assert result.endswith("sound True")


# --- several processes ----------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_end_with_the_same_replies(path: Path, start: Start) -> None:
    """Whatever the order in which they write, both get one and the same reply for each key."""
    racers = [start("race", path, name, 3000) for name in ("left", "right")]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    left, right = (racer.communicate("go\n", timeout=120)[0].split() for racer in racers)
    assert len(left) == 3000
    assert left == right
    with ReplyStore(path) as store:
        check = store.verify()
    assert (check.sound, check.replies) == (True, 3000)


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_confirmed(path: Path, start: Start, key_of: KeyOf) -> None:
    """SIGKILL at any moment: what a flush has confirmed is there, and no record is torn."""
    chance = random.Random(0)
    confirmed = 0
    for _ in range(6):
        writer = start("keep_writing", path, confirmed)
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 20)):
            confirmed = int(writer.stdout.readline())
        time.sleep(chance.random() / 50)
        writer.kill()
        rest = writer.communicate()[0].split()
        confirmed = int(rest[-1]) if rest else confirmed
        with ReplyStore(path) as store:
            check = store.verify()
            assert check.sound
            assert check.replies >= confirmed
            assert all(store.get(key_of(n)) is not None for n in range(confirmed))
