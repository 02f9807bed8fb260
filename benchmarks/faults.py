"""Build behind a server that fails on purpose, in every way it can: is anything lost?

    python benchmarks/faults.py                              # every fault alone, then all at once
    python benchmarks/faults.py --kinds hang cut_body all --questions 50

Each kind of fault comes alone in 20% of all requests, then all of them together in 10%, each time
in a build of its own through the whole flow. The same requests fail whatever the kind, and one that
is sent again may fail again.

After a build its dataset is read with another reader than the one that wrote it, and must add up:
every row that came in is trained on, solved, dropped by name or quarantined by name; the manifest
counts what the tables hold; and a quarantined row says in which stage, with which model and draw,
and why. Every reply that was paid for must be in the reply store. Exit code 1 if anything does not
add up, or no fault came to a build.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.auditing import DiscrepancyError, expect, manifest_of
from benchmarks.fault_builds import Builds, Orchard, Rates
from benchmarks.kill_builds import REPOSITORY, RigError, engine_server, workplace
from benchmarks.loopback_replies import Fault
from benchmarks.orchard import rows, write_rows
from tasks.progress import Progress
from weak2wise_core.config import Recipe

ALL = "all"
KINDS = (*(fault.value for fault in Fault), ALL)
ALONE, TOGETHER = 0.2, 0.1
"""The share of requests that fail."""
_STATIONS = ("train", "solved", "dropped", "quarantined")
_WIDTH = 130

Build = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one build."""

    fault: str
    """A kind of fault, or all of them."""
    rows: int
    requests: int
    injected: int
    """Replies with a fault."""
    train: int = 0
    solved: int = 0
    dropped: int = 0
    quarantined: int = 0
    seconds: float
    discrepancy: str = ""
    """What does not add up; empty where all of it does."""


def rates_of(kind: str) -> Rates:
    """Which share of the requests meets which fault."""
    if kind == ALL:
        return dict.fromkeys(Fault, TOGETHER / len(Fault))
    return {Fault(kind): ALONE}


async def outcome_of(kind: str, *, build: Build, questions: Orchard, data: Path) -> Outcome:
    """Build once, on a new store."""
    builds, started = Builds(build, questions, data), time.monotonic()
    counts, discrepancy = dict.fromkeys(_STATIONS, 0), ""
    try:
        found = manifest_of(await builds.run(rates_of(kind)))["counts"]
        counts = {name: found[name] for name in _STATIONS}
        paid, stored = builds.progress.calls, builds.stored()
        expect(paid == stored, "replies paid for, and stored", paid, stored)
    except DiscrepancyError as error:
        discrepancy = str(error)
    seen = builds.server.stats()
    return Outcome(
        fault=kind,
        rows=len(questions.ids),
        requests=seen["requests"],
        injected=sum(seen["faults"].values()),
        **counts,
        seconds=round(time.monotonic() - started, 1),
        discrepancy=discrepancy,
    )


async def play(
    kinds: Sequence[str], *, questions: int, build: Build, folder: Path, console: Console
) -> list[Outcome]:
    """One build after the other, each in a data folder of its own that goes with it.

    Args:
        kinds: Of faults.
        questions: How many a build has.
        build: Runs the flow on a recipe, with the keywords `progress` and `data`.
        folder: Where questions and data lie meanwhile.
        console: Told what is done.
    """
    content = rows(questions)
    path = write_rows(folder / "questions.jsonl", content)
    orchard = Orchard(path=path, ids=[row["id"] for row in content])
    found: list[Outcome] = []
    for kind in kinds:
        with TemporaryDirectory(dir=folder) as data:
            one = await outcome_of(kind, build=build, questions=orchard, data=Path(data))
        found.append(one)
        console.print(f"{kind}: {one.seconds:.1f} s")
    return found


async def run_flow(recipe: Recipe, *, progress: Progress, data: Path) -> Any:
    """The flow in this process; its final state."""
    from flows.build import PROGRESS, weak2wise

    os.environ["WEAK2WISE_DATA"] = str(data)
    token = PROGRESS.set(progress)
    try:
        return await weak2wise(recipe, return_state=True)
    finally:
        PROGRESS.reset(token)


def table(found: Sequence[Outcome]) -> Table:
    """One line for each build, and their sum."""
    columns = ("requests", "injected", *_STATIONS)
    shown = Table("fault", caption=f"of {found[0].rows:,} rows each")
    for name in (*columns, "adds up"):
        shown.add_column(name, justify="right")
    for one in found:
        figures = [f"{getattr(one, name):,}" for name in columns]
        shown.add_row(one.fault, *figures, "NO" if one.discrepancy else "yes")
    sums = [f"{sum(getattr(one, name) for one in found):,}" for name in columns]
    right = sum(not one.discrepancy for one in found)
    shown.add_section()
    shown.add_row("sum", *sums, f"{right} of {len(found)}")
    return shown


def broken(found: Sequence[Outcome]) -> Iterator[str]:
    """What does not add up, and builds that no fault came to."""
    for one in found:
        if one.discrepancy:
            yield f"{one.fault}: {one.discrepancy}"
        elif not one.injected:
            yield f"{one.fault}: no reply of {one.requests} had a fault; ask more questions"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=200, help="of each build")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help=", ".join(KINDS)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def main() -> None:
    """Build behind every fault and print the table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up
    options, console = _options(), Console(width=_WIDTH)
    try:
        with workplace() as folder, engine_server(folder / "engine") as environment:
            # before the engine is first imported
            os.environ |= environment | {"PREFECT_LOGGING_LEVEL": "CRITICAL"}
            os.environ["WEAK2WISE_FOLDERS"] = os.pathsep.join((str(folder), str(REPOSITORY)))
            found = asyncio.run(
                play(
                    options.kinds,
                    questions=options.questions,
                    build=run_flow,
                    folder=folder,
                    console=console,
                )
            )
    except RigError as error:
        sys.exit(f"the builds cannot be made: {error}")
    console.print(table(found))
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    faults = list(broken(found))
    for fault in faults:
        console.print(f"broken: {fault}", soft_wrap=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
