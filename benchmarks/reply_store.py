"""What keeping a model reply costs: time to write and to read, size on the disk, time at risk.

    python benchmarks/reply_store.py               # 100,000 replies of 8,000 characters

Replies are made of words as frequent as those of a language, so that they compress like prose.
*At risk* is the time from a reply's arrival until it is in the file, where a killed build finds it
again: the median and the longest of a steady stream.
"""

import argparse
import asyncio
import json
import random
import resource
import statistics
import string
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from weak2wise_core.hashing import content_hash
from weak2wise_core.records import ChatReply, FinishReason, Usage
from weak2wise_core.stores.replies import ReplyStore

_VOCABULARY = 20_000
_BURST = 4_096
_STREAMED = 500
_LABELS = {"model": "teacher", "stage": "generate_candidates"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The store under one load."""

    replies: int
    chars: int
    writes_per_s: float
    write_cpu_us: float
    """Of all threads, for one reply."""
    read_us: float
    """Wall time of one `get`, in random order."""
    bytes_each: float
    """On the disk, for one reply."""
    at_risk_ms: float
    most_at_risk_ms: float


class Prose:
    """Replies of random words whose frequencies fall as in a language."""

    def __init__(self, *, chars: int, seed: int) -> None:
        self._rng = random.Random(seed)
        letters = string.ascii_lowercase
        self._words = [
            "".join(self._rng.choices(letters, k=self._rng.randint(2, 9)))
            for _ in range(_VOCABULARY)
        ]
        self._weights = [1 / rank for rank in range(1, _VOCABULARY + 1)]
        self._chars = chars

    def replies(self, number: int) -> list[ChatReply]:
        """So many replies, half thinking and half content."""
        return [self._reply() for _ in range(number)]

    def _reply(self) -> ChatReply:
        words = self._rng.choices(self._words, self._weights, k=self._chars // 4)
        text = " ".join(words)[: self._chars]
        half = len(text) // 2
        return ChatReply(
            content=text[half:],
            reasoning=text[:half],
            finish_reason=FinishReason.STOP,
            usage=Usage(prompt_tokens=300, completion_tokens=len(words)),
            model="teacher",
        )


@contextmanager
def timed() -> Iterator[list[float]]:
    """Wall and CPU seconds of the block."""
    wall, cpu = time.perf_counter(), _cpu_s()
    spent: list[float] = []
    yield spent
    spent += [time.perf_counter() - wall, _cpu_s() - cpu]


def measure(
    folder: Path, *, replies: int, chars: int, seed: int, streamed: int = _STREAMED
) -> Measured:
    """Fill a store, read it, and let a stream of replies come in."""
    prose, path = Prose(chars=chars, seed=seed), folder / "replies.sqlite"
    with ReplyStore(path) as store:
        wall, cpu = _fill(store, prose, replies=replies)
    size = path.stat().st_size
    with ReplyStore(path) as store:
        read_s = _read(store, replies=replies, rng=random.Random(seed))
        waits = asyncio.run(_stream(store, prose.replies(streamed), a_second=100))
    return Measured(
        replies=replies,
        chars=chars,
        writes_per_s=replies / wall,
        write_cpu_us=1e6 * cpu / replies,
        read_us=1e6 * read_s,
        bytes_each=size / replies,
        at_risk_ms=1000 * statistics.median(waits),
        most_at_risk_ms=1000 * max(waits),
    )


def _fill(store: ReplyStore, prose: Prose, *, replies: int) -> tuple[float, float]:
    """Write in bursts; wall and CPU seconds without the making of the replies."""
    wall = cpu = 0.0
    for start in range(0, replies, _BURST):
        burst = prose.replies(min(_BURST, replies - start))
        with timed() as spent:
            for number, reply in enumerate(burst, start=start):
                store.put(_key(number), reply, **_LABELS)
            store.flush()
        wall, cpu = wall + spent[0], cpu + spent[1]
    return wall, cpu


def _read(store: ReplyStore, *, replies: int, rng: random.Random) -> float:
    """Wall seconds of one reading."""
    keys = [_key(rng.randrange(replies)) for _ in range(min(replies, 10_000))]
    started = time.perf_counter()
    for key in keys:
        assert store.get(key) is not None
    return (time.perf_counter() - started) / len(keys)


async def _stream(store: ReplyStore, replies: list[ChatReply], *, a_second: int) -> list[float]:
    """Seconds until each reply of a steady stream was in the file."""

    async def keep(number: int, reply: ChatReply) -> float:
        await asyncio.sleep(number / a_second)
        arrived = time.perf_counter()
        await store.aput(_key(-1 - number), reply, **_LABELS)
        return time.perf_counter() - arrived

    return list(await asyncio.gather(*(keep(*one) for one in enumerate(replies))))


def _key(number: int) -> str:
    return content_hash("reply", number)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def table(found: Measured) -> Table:
    """The figures, one a line."""
    shown = Table("the reply store", f"{found.replies:,} replies of {found.chars:,} characters")
    shown.add_row("written in a second", f"{found.writes_per_s:,.0f}")
    shown.add_row("CPU of one write", f"{found.write_cpu_us:.0f} us")
    shown.add_row("one read", f"{found.read_us:.0f} us")
    shown.add_row("on the disk, each", f"{found.bytes_each:,.0f} bytes")
    shown.add_row("at risk, median", f"{found.at_risk_ms:.1f} ms")
    shown.add_row("at risk, longest", f"{found.most_at_risk_ms:.1f} ms")
    return shown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--chars", type=int, default=8_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weak2wise-replies-") as folder:
        found = measure(
            Path(folder), replies=options.replies, chars=options.chars, seed=options.seed
        )
    Console().print(table(found))
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
