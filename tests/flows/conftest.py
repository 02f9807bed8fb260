"""What flow tests share: one task engine for the session, and a way to run a build."""

import gc
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.serving import served  # noqa: F401 - a fixture for every test here
from weak2wise_core.config import Recipe
from weak2wise_core.recipes import parse_recipe

Build = Callable[..., Awaitable[Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The engine's own clients leave sockets to the garbage collector; that is not our leak."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            for ignored in ("pytest.PytestUnraisableExceptionWarning", "ResourceWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{ignored}"))


@pytest.fixture(scope="module", autouse=True)
def own_garbage() -> Iterator[None]:
    """Collect those sockets here, not during some other test: a run keeps them until it ends."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A task engine with a database of its own; takes a dozen seconds to start."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Any]:
    """A real server that demands a password, with a worker; takes half a minute to start."""
    from tests.flows.secured import SecuredEngine

    running = SecuredEngine(tmp_path_factory.mktemp("secured"), repository)
    try:
        running.serve()
        yield running
    finally:
        running.stop()


@pytest.fixture
def build(engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Runs the flow with its data below `tmp_path` / data and returns the final state."""

    async def run(recipe: Recipe, *, progress: Any = None, data: Path | None = None) -> Any:
        from flows.build import PROGRESS, weak2wise

        monkeypatch.setenv("WEAK2WISE_DATA", str(data or tmp_path / "data"))
        token = PROGRESS.set(progress)
        try:
            return await weak2wise(recipe, return_state=True)
        finally:
            PROGRESS.reset(token)

    return run


@pytest.fixture
def testbed_recipe(repository: Path) -> Callable[..., Recipe]:
    """The testbed's recipe with changes."""

    def make(**changes: Any) -> Recipe:
        content: dict[str, Any] = {
            "dataset": "testbed",
            "questions": {"path": str(repository / "testbed" / "questions.jsonl"), "limit": 12},
            "models": {
                "weak": {"backend": "testbed", "model": "weak", "temperature": 0, "max_tokens": 24},
                "strong": [
                    {"name": name, "backend": "testbed", "model": name}
                    for name in ("teacher-a", "teacher-b")
                ],
            },
            "generate": {"samples_per_model": 2},
            "step_mask": {"policy": "exhaustive"},
            "judging": {"method": "rule"},
            "truncation": {"method": "rule", "over_tokens": 0},
            "sft": {"max_tokens": 1024},
            "execution": {"questions_per_task": 4},
        }
        return parse_recipe(content | changes)

    return make
