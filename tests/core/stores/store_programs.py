"""Programs that use the stores in a process of their own; the tests start, watch and kill them.

Each one prints what it has done, a line at a time.
"""

import asyncio
import hashlib
import random
import resource
import signal
import sys
from pathlib import Path

from weak2wise_core.errors import StoreError
from weak2wise_core.records import ChatReply, FinishReason, Question, Usage
from weak2wise_core.stores.asking import ask_in_turn
from weak2wise_core.stores.files import atomic_writer
from weak2wise_core.stores.parquet import to_bytes
from weak2wise_core.stores.replies import ReplyStore
from weak2wise_core.stores.reply_turns import Turn


def say(line: object) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def key_of(name: object) -> str:
    """The same keys as the tests use."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def reply_of(content: str, size: int = 0) -> ChatReply:
    """A reply with `size` characters that do not compress."""
    noise = random.Random(content).randbytes(size // 2).hex()
    return ChatReply(
        content=content,
        reasoning=noise,
        finish_reason=FinishReason.STOP,
        usage=Usage(),
        model="m",
    )


def keep_writing(path: str, start: str) -> None:
    """Put numbered replies for ever; say the last number whenever all so far are flushed."""
    store = ReplyStore(Path(path))
    number = int(start)
    while True:
        store.put(key_of(number), reply_of(str(number), size=2000), model="m", stage="s")
        number += 1
        if number % 37 == 0:
            store.flush()
            say(number)


def race(path: str, name: str, count: str) -> None:
    """Put `count` replies that another process puts too, then say which ones the store kept."""
    with ReplyStore(Path(path)) as store:
        say("ready")
        sys.stdin.readline()
        for number in range(int(count)):
            store.put(key_of(number), reply_of(f"{name} {number}"), model=name, stage="s")
        store.flush()
        replies = [store.get(key_of(number)) for number in range(int(count))]
        say(" ".join("" if reply is None else reply.content.split()[0] for reply in replies))


def hold_turn(path: str, name: str) -> None:
    """Take the turn of a request, say whether that was possible, and wait to be killed."""
    with ReplyStore(Path(path)) as store, store.turn(key_of(name)) as turn:
        say(turn.take())
        signal.pause()


def take_turns(path: str, name: str, count: str) -> None:
    """Ask for `count` replies that others want too, in turn; say how many were asked here."""

    async def all_of_them(store: ReplyStore) -> int:
        async def ask(turn: Turn) -> ChatReply | None:
            if not turn.take():
                return None
            await asyncio.sleep(0.01)
            return reply_of(name)

        answered = await asyncio.gather(
            *(
                ask_in_turn(store, key_of(number), ask, model=name, stage="s")
                for number in range(int(count))
            )
        )
        return sum(one.paid for one in answered)

    with ReplyStore(Path(path)) as store:
        say("ready")
        sys.stdin.readline()
        say(asyncio.run(all_of_them(store)))


def forget_to_close(path: str) -> None:
    """Put a reply and end."""
    ReplyStore(Path(path)).put(key_of("last"), reply_of("last"), model="m", stage="s")


def fill(store: ReplyStore) -> int:
    """Put and flush replies until one cannot be written; returns how many could be."""
    for number in range(10_000):
        try:
            store.put(key_of(number), reply_of(str(number), size=20_000), model="m", stage="s")
            store.flush()
        except StoreError as error:
            say(error)
            return number
    raise AssertionError("the disk never became full")


def fill_disk(path: str) -> None:
    """Fill a small disk, make room, and go on; then fill it again and close."""
    filler = Path(path).with_name("filler")
    filler.write_bytes(b"x" * 400_000)
    store = ReplyStore(Path(path))
    kept = fill(store)
    filler.unlink()
    store.flush()
    assert store.get(key_of(kept)) is not None
    kept = fill(store)
    close_and_check(store, kept)


def limited_file(path: str) -> None:
    """Write against a limit on the size of files."""
    store = ReplyStore(Path(path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    kept = fill(store)
    close_and_check(store, kept)


def close_and_check(store: ReplyStore, kept: int) -> None:
    """Close a store that cannot write, and see that what it confirmed is there."""
    try:
        store.close()
    except StoreError as error:
        say(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with ReplyStore(store.path) as again:
        assert all(again.get(key_of(number)) is not None for number in range(kept))
        say(f"kept {kept} sound {again.verify().sound}")


def open_store(path: str) -> None:
    """Open and close a store."""
    try:
        ReplyStore(Path(path)).close()
    except StoreError as error:
        say(error)


def write_file(path: str) -> None:
    """Replace a file with more than the disk can hold."""
    try:
        with atomic_writer(Path(path)) as handle:
            handle.write(b"x" * 4_000_000)
    except StoreError as error:
        say(error)
    say(Path(path).read_text())
    say(sorted(item.name for item in Path(path).parent.iterdir()))


def write_half(path: str) -> None:
    """Write half of a file, say so, and wait to be killed."""
    with atomic_writer(Path(path)) as handle:
        handle.write(b"half")
        handle.flush()
        say("half")
        signal.pause()


def digest(count: str) -> None:
    """Say the digest of a Parquet file of `count` questions."""
    rows = [Question(id=str(n), question=f"What is {n}?", answer=str(n)) for n in range(int(count))]
    say(hashlib.sha256(to_bytes(rows, Question)).hexdigest())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
