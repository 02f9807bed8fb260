"""What one model call costs this side of the network: our client beside plain AsyncOpenAI.

Each client asks the same loopback server, in a process of its own, one after the other::

    python benchmarks/client.py                # 64, 256 and 1024 calls in flight
    python benchmarks/client.py --sequential   # one call at a time, a new client for every call

The first prints CPU milliseconds a call and their ratio to plain AsyncOpenAI, on the usual event
loop and on uvloop; the second compares the wall time of 20,000 calls at 256 slots and 200 ms, on
uvloop, with a driver that has one call in flight and opens a client for every call. That driver
makes a hundredth of the calls, and its time for all of them is worked out from those.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import openai
from rich.console import Console
from rich.table import Table

from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import Message

PROMPT = "A train leaves at nine with 14 wagons and loses two at every stop. " * 12
OURS, OURS_UVLOOP, PLAIN, SEQUENTIAL = "ours", "ours, uvloop", "AsyncOpenAI", "one at a time"
_TIMEOUT_S = 600.0

Ask = Callable[[int], Awaitable[None]]
"""Makes the call of a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One client, one load."""

    client: str
    in_flight: int
    calls: int
    cpu_ms: float
    """CPU milliseconds of one call, user and system, without start-up and the first calls."""
    wall_s: float
    """Seconds for all calls."""


async def drive(ask: Ask, *, calls: int, in_flight: int) -> None:
    """Make calls with so many of them in flight at any time."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            await ask(number)

    await asyncio.gather(*(worker() for _ in range(in_flight)))


@contextmanager
def loopback(latency_ms: float) -> Iterator[str]:
    """A loopback server in a process of its own; its base address."""
    program = Path(__file__).with_name("loopback.py")
    command = [sys.executable, str(program), "--port", "0", "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["base_url"]
        finally:
            server.terminate()


async def measure(client: str, url: str, *, calls: int, in_flight: int) -> Measured:
    """Ask a server with one kind of client, in this process."""
    if client in {OURS, OURS_UVLOOP}:
        spec = ModelSpec(backend=Backend.OPENAI, model="m", base_urls=(url,))
        model = OpenAIModel(spec, api_key="")
        ask, close = _ours(model), model.aclose
    elif client == PLAIN:
        plain = _plain_client(url)
        ask, close = _plain(plain), plain.close
    else:
        ask, close = _client_for_every_call(url), _nothing
    await drive(ask, calls=min(2 * in_flight, calls), in_flight=in_flight)  # connections, caches
    before, started = _cpu_s(), time.perf_counter()
    await drive(ask, calls=calls, in_flight=in_flight)
    wall, cpu = time.perf_counter() - started, _cpu_s() - before
    await close()
    return Measured(
        client=client, in_flight=in_flight, calls=calls, cpu_ms=1000 * cpu / calls, wall_s=wall
    )


def _ours(model: OpenAIModel) -> Ask:
    sampling = Sampling(temperature=0.6, max_tokens=512)

    async def ask(number: int) -> None:
        messages = [Message(role="user", content=f"{PROMPT}{number}")]
        await model.chat(messages, sampling=sampling, draw=0)

    return ask


def _plain_client(url: str) -> openai.AsyncOpenAI:
    # as it comes but for its timeout: a busy machine needs more than 5 s for 1,024 connections
    return openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0, timeout=_TIMEOUT_S)


def _plain(client: openai.AsyncOpenAI) -> Ask:
    async def ask(number: int) -> None:
        await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": f"{PROMPT}{number}"}],
            temperature=0.6,
            max_tokens=512,
        )

    return ask


def _client_for_every_call(url: str) -> Ask:
    async def ask(number: int) -> None:
        async with _plain_client(url) as client:
            await _plain(client)(number)

    return ask


async def _nothing() -> None:
    """There is nothing to close."""


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def in_own_process(client: str, url: str, *, calls: int, in_flight: int) -> Measured:
    """Measure one client in a fresh interpreter."""
    options = ["--one", client, "--url", url, "--calls", str(calls), "--in-flight", str(in_flight)]
    found = subprocess.run(
        [sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=True
    )
    return Measured(**json.loads(found.stdout))


def compare_cost(*, calls: int, latency_ms: float) -> list[Measured]:
    """Our client and plain AsyncOpenAI in turn, at three loads."""
    with loopback(latency_ms) as url:
        return [
            in_own_process(client, url, calls=calls, in_flight=in_flight)
            for in_flight in (64, 256, 1024)
            for client in (PLAIN, OURS, OURS_UVLOOP)
        ]


def compare_wall(*, calls: int) -> list[Measured]:
    """256 slots beside one call at a time, at 200 ms.

    The sequential driver makes a hundredth of the calls; its time is for as many as ours makes.
    """
    with loopback(200) as url:
        few = in_own_process(SEQUENTIAL, url, calls=max(calls // 100, 20), in_flight=1)
        ours = in_own_process(OURS_UVLOOP, url, calls=calls, in_flight=256)
    return [few, ours]


def show_cost(found: list[Measured], console: Console) -> None:
    """CPU a call, and its ratio to plain AsyncOpenAI at the same load."""
    table = Table("in flight", "client", "CPU ms a call", "of AsyncOpenAI", "calls/s")
    base = {one.in_flight: one.cpu_ms for one in found if one.client == PLAIN}
    for one in found:
        ratio = one.cpu_ms / base[one.in_flight]
        rate = one.calls / one.wall_s
        table.add_row(
            str(one.in_flight), one.client, f"{one.cpu_ms:.2f}", f"{ratio:.2f}", f"{rate:,.0f}"
        )
    console.print(table)


def show_wall(found: list[Measured], console: Console) -> None:
    """Seconds for the same number of calls, and how many times faster ours is."""
    few, ours = found
    scaled = few.wall_s / few.calls * ours.calls
    table = Table("driver", "calls made", "seconds", f"seconds for {ours.calls:,}", "times faster")
    table.add_row(few.client, f"{few.calls:,}", f"{few.wall_s:.1f}", f"{scaled:,.0f}", "1")
    table.add_row(
        "ours, 256 slots",
        f"{ours.calls:,}",
        f"{ours.wall_s:.1f}",
        f"{ours.wall_s:,.1f}",
        f"{scaled / ours.wall_s:,.0f}",
    )
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sequential", action="store_true", help="against one call at a time")
    parser.add_argument("--calls", type=int, default=None, help="calls of each client")
    parser.add_argument("--latency-ms", type=float, default=200.0, help="of the server")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--in-flight", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure_here(options: argparse.Namespace) -> None:
    run = asyncio.run
    if options.one == OURS_UVLOOP:
        import uvloop

        run = uvloop.run
    measuring = measure(options.one, options.url, calls=options.calls, in_flight=options.in_flight)
    print(json.dumps(asdict(run(measuring))))


def main() -> None:
    """Measure, print a table, write JSON."""
    options = _options()
    if options.one:
        _measure_here(options)
        return
    console = Console()
    if options.sequential:
        found = compare_wall(calls=options.calls or 20_000)
        show_wall(found, console)
    else:
        found = compare_cost(calls=options.calls or 10_000, latency_ms=options.latency_ms)
        show_cost(found, console)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
