"""Builds in several processes that die or are stopped: nothing is lost, nothing is paid twice."""

import asyncio
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from distributed import Security
from distributed.comm.core import connect

from benchmarks.auditing import check_adds_up, file_bytes, read
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from benchmarks.orchard import answer, content_for, rows, write_rows
from flows import fleet
from flows.carrying import Delivery, Parcel, carry
from tasks.progress import Progress
from tests.flows.processes import BuildProcess
from tests.flows.searching import places_of
from tests.flows.secured import ENVIRONMENT_CANARY, KEY_VARIABLE
from weak2wise_core.config import Recipe
from weak2wise_core.hashing import content_hash
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.stores.replies import ReplyStore

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
QUESTIONS = rows(16)
IN_FLIGHT = 4
AT_WORK = 20
"""Requests of a build after which no process has ended its work."""
SLOW = 3.0
"""Seconds of a slow reply: more than a process needs to see that it is to stop."""


class Counting:
    """A server for all models that counts what is asked, and calls back once when all are at work.

    It answers nobody before as many calls are open as there may be: every process has begun then.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.server = LoopbackServer(self._answer)
        self._open = 0
        self._begun = True
        self._at = 0
        self._then: Callable[[], object] = lambda: None
        self.slow = False
        """Whether a reply takes seconds, as long as this holds."""

    def at_work(self, then: Callable[[], object], *, slow: bool = False) -> None:
        """Call back, from another thread, when the next build is in the middle of its work.

        Args:
            then: What is called.
            slow: Whether replies are slow from then on.
        """
        self._at, self._begun = self.asked.total() + AT_WORK, False

        def now() -> None:
            self.slow = slow
            then()

        self._then = now

    async def _answer(self, request: dict[str, Any]) -> Reply:
        self.asked[content_hash(request)] += 1
        self._open += 1
        try:
            await self._work()
        finally:
            self._open -= 1
        return answer(request)

    async def _work(self) -> None:
        self._begun |= self._open >= IN_FLIGHT
        if self.asked.total() == self._at:
            await asyncio.to_thread(self._then)
        while not self._begun:  # noqa: ASYNC110 - set by another thread, too
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        await asyncio.sleep(0.05)
        while self.slow and time.monotonic() < begun + SLOW:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)


@pytest.fixture
def counting() -> Iterator[Counting]:
    """A running server."""
    found = Counting()
    with found.server:
        yield found


@pytest.fixture
def content(counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The recipe of every build here, for Dask."""
    monkeypatch.setenv(KEY_VARIABLE, ENVIRONMENT_CANARY)
    questions = write_rows(tmp_path / "q.jsonl", QUESTIONS)
    found = content_for(counting.server.base_url, questions, entry={"api_key_env": KEY_VARIABLE})
    return found | {"execution": execution("dask")}


def execution(runner: str, **changes: Any) -> dict[str, Any]:
    """Two processes, two shards each."""
    shared = {"processes": 2, "in_flight": IN_FLIGHT, "questions_per_task": 4}
    return {"runner": runner, "speculate": "never", **shared, **changes}


def recipe(content: dict[str, Any], runner: str = "dask", **changes: Any) -> Recipe:
    """The same recipe for a runner, with changes to how it is executed."""
    return parse_recipe(content | {"execution": execution(runner, **changes)})


def stored(data: Path) -> int:
    """How many replies a store holds, all of them sound."""
    with ReplyStore(data / "replies.sqlite") as store:
        check = store.verify()
    assert check.sound
    return check.replies


async def test_a_process_that_is_killed_costs_nothing_but_what_it_had_in_flight(
    build: Build,
    counting: Counting,
    content: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The build goes on with the same bytes; no other reply is paid again, every question counts.

    On the way, Dask writes nothing into its folder; the key is nowhere, though each process had it.
    """
    data, spill, killed = tmp_path / "data", tmp_path / "dask", list[int]()

    def kill() -> None:
        assert spill.is_dir()
        assert not any(path.is_file() and path.stat().st_size for path in spill.rglob("*"))
        alive = multiprocessing.active_children()
        victim = next(one for one in alive if one.name.startswith("Dask Worker"))
        victim.kill()
        killed.append(victim.pid or 0)

    counting.at_work(kill)
    progress = Progress()
    with dask.config.set({"temporary-directory": str(spill)}):
        state = await build(recipe(content), progress=progress, data=data)
    assert (state.name, len(killed)) == ("Completed", 1), state.message
    again = counting.asked.total() - len(counting.asked)
    assert again <= IN_FLIGHT
    assert stored(data) == len(counting.asked)
    assert progress.entered["filter_qa"] == len(QUESTIONS)
    keys = {one.headers["authorization"] for one in counting.server.requests}
    assert keys == {f"Bearer {ENVIRONMENT_CANARY}"}
    assert places_of(ENVIRONMENT_CANARY, tmp_path) == []
    folder = (await state.aresult()).folder
    check_adds_up(folder, ids=[row["id"] for row in QUESTIONS])
    undisturbed = await build(recipe(content, "async"), data=tmp_path / "other")
    assert file_bytes(folder) == file_bytes((await undisturbed.aresult()).folder)


class Mortal:
    """A runner of two processes; the first one of a round dies over what it is given, twice."""

    def __init__(self) -> None:
        self._sent = 0

    def submit(self, task: object, parameters: dict[str, Parcel]) -> Any:
        """Carry a load in a thread, or die over it."""
        self._sent += 1
        return SimpleNamespace(result=partial(self._result, parameters["parcel"], self._sent))

    def _result(self, parcel: Parcel, number: int) -> Delivery:
        if number in (1, 3):
            raise OSError("worker gone")
        return carry(parcel)


async def test_what_a_process_dies_over_twice_is_set_aside(
    build: Build,
    counting: Counting,
    content: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its questions are quarantined with the reason; the next build asks for them and no other."""
    monkeypatch.setattr(fleet, "task_runner", lambda *_: nullcontext(Mortal()))
    progress = Progress()
    state = await build(recipe(content, max_quarantine_fraction=1.0), progress=progress)
    assert state.name == "CompletedWithQuarantine", state.message
    folder = (await state.aresult()).folder
    check_adds_up(folder, ids=[row["id"] for row in QUESTIONS])
    lost = read(folder, "quarantine")
    failed = [row for row in lost if row["reason"] == "shard_failed"]
    assert len(failed) == 4
    assert all("worker gone" in row["detail"] for row in failed)
    assert progress.entered["filter_qa"] == len(QUESTIONS) - len(failed)
    again = await build(recipe(content, "async"))
    assert again.name == "Completed", again.message
    assert counting.asked.total() == len(counting.asked)


def test_processes_of_dask_serve_their_build_alone() -> None:
    """Two builds have theirs at once, on one machine; nobody else can send them work."""
    with fleet.by_dask(1) as one, fleet.by_dask(1) as other:
        addresses = [str(runner.client.scheduler_info()["address"]) for runner in (one, other)]
        assert len(set(addresses)) == 2
        own = Security.temporary().get_connection_args("client")
        for address in addresses:
            assert address.startswith("tls://127.0.0.1:")
            with pytest.raises(OSError, match="certificate"):
                asyncio.run(connect(address, timeout=5, **own))
            with pytest.raises(OSError, match=r"reset|closed"):
                asyncio.run(connect(address.replace("tls", "tcp"), timeout=5))


async def test_a_build_that_a_signal_stops_goes_on_where_it_was(
    build: Build, counting: Counting, content: dict[str, Any], tmp_path: Path
) -> None:
    """Ctrl-C reaches every process, as a terminal sends it; SIGTERM the first one alone.

    No process asks on or stays behind, the sentence says how to go on, and the bytes are the same.
    """
    data = tmp_path / "data"
    for number, code in (signal.SIGINT, 130), (signal.SIGTERM, 143):
        before = counting.asked.total()
        running = BuildProcess(content, recipe=tmp_path / "r.yaml", data=data)
        group = running.process.pid
        send = os.killpg if number is signal.SIGINT else os.kill
        counting.at_work(partial(send, group, number), slow=True)
        _, said = running.ended()
        counting.slow = False
        ended = running.process.returncode
        assert ended == code, said
        assert "Start the same build again to go on" in said
        assert "Traceback" not in said
        assert counting.asked.total() <= before + AT_WORK + 2 * IN_FLIGHT
        assert await asyncio.to_thread(is_gone, group)
    assert stored(data) >= len(counting.asked) - 2 * IN_FLIGHT
    state = await build(recipe(content, "async"), data=data)
    assert counting.asked.total() - len(counting.asked) <= 2 * IN_FLIGHT
    assert state.name == "Completed", state.message
    undisturbed = await build(recipe(content, "async"), data=tmp_path / "other")
    folders = [(await one.aresult()).folder for one in (state, undisturbed)]
    assert file_bytes(folders[0]) == file_bytes(folders[1])


def is_gone(group: int) -> bool:
    """Whether the last process of a group ends soon."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
