"""Laws of builds in several processes: the same bytes, and no more calls than one process."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.auditing import check_adds_up, file_bytes
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from benchmarks.orchard import answer, recipe_for, rows, write_rows
from flows.fleet import Fleet
from flows.travelling import Luggage
from tasks.progress import Progress
from weak2wise_core.accounts import Account
from weak2wise_core.config import Recipe
from weak2wise_core.errors import MissingExtraError
from weak2wise_core.shares import Spending

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
QUESTIONS = rows(24)
IN_FLIGHT = 5


class Served:
    """One server for all models, and what was asked of it at once."""

    def __init__(self, path: Path) -> None:
        self.server = LoopbackServer(self._answer)
        self._path = path

    def __enter__(self) -> "Served":
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    async def _answer(self, request: dict[str, Any]) -> Reply:
        await asyncio.sleep(0.01)
        return answer(request)

    def recipe(self, runner: str, **changes: Any) -> Recipe:
        """The recipe of every build here, for one runner."""
        execution = {
            "runner": runner,
            "processes": 2,
            "in_flight": IN_FLIGHT,
            "questions_per_task": 4,
            "speculate": "never",
        }
        return recipe_for([self.server.base_url], self._path, execution=execution, **changes)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """The question file."""
    return write_rows(tmp_path / "q.jsonl", QUESTIONS)


async def test_every_runner_gives_the_same_bytes(
    build: Build, questions: Path, tmp_path: Path
) -> None:
    """Dask and Ray ask what one process asks, never more at once, and count and publish the same.

    What came back from the processes is all there: calls by stage, questions by stage.
    """
    files, accounts, stages = {}, {}, {}
    for runner in ("async", "dask", "ray"):
        progress = Progress()
        with Served(questions) as served:
            data = tmp_path / f"data-{runner}"
            state = await build(served.recipe(runner), progress=progress, data=data)
            assert state.name == "Completed", state.message
            stats = served.server.stats()
        folder = (await state.aresult()).folder
        check_adds_up(folder, ids=[row["id"] for row in QUESTIONS])
        assert stats["requests"] == progress.calls
        assert stats["most_in_flight"] <= IN_FLIGHT
        files[runner] = file_bytes(folder)
        accounts[runner] = {key: (one.calls, one.stored) for key, one in progress.accounts.items()}
        stages[runner] = {stage: progress.left(stage) for stage in progress.entered}
    assert files["async"] == files["dask"] == files["ray"]
    assert accounts["async"] == accounts["dask"] == accounts["ray"]
    assert stages["async"] == stages["dask"] == stages["ray"]


async def test_a_budget_holds_over_all_processes(
    build: Build, questions: Path, tmp_path: Path
) -> None:
    """The cap of calls is never crossed, and is used to the last one; what was paid counts."""
    cap = 50
    with Served(questions) as served:
        state = await build(served.recipe("dask", budget={"calls": cap}))
        assert state.name == "StoppedAtBudget", state.message
        assert served.server.stats()["requests"] == cap
        progress = Progress()
        state = await build(served.recipe("async"), progress=progress)
        assert state.name == "Completed", state.message
        assert served.server.stats()["requests"] == cap + progress.calls


async def test_a_missing_package_is_named_with_its_remedy(
    build: Build, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked, and the sentence says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with Served(questions) as served:
        state = await build(served.recipe("dask"))
        error = await state.aresult(raise_on_failure=False)
        assert isinstance(error, MissingExtraError)
        assert "pip install 'weak2wise[scale]'" in str(error)
        assert served.server.requests == []


def test_the_budget_is_divided_again_by_what_it_holds(tmp_path: Path) -> None:
    """What a server did not count is taken at its most, or processes would go on for ever."""
    account = Account(calls=5, uncounted=5, held_usd=0.75)
    progress = Progress(accounts={("filter_qa", "weak"): account})
    runtime: Any = SimpleNamespace(progress=progress)
    assert Fleet(runtime, luggage=Luggage(), scratch=tmp_path).spent == Spending(calls=5, usd=0.75)
