"""How a local model is batched changes the speed of a build, and nothing in it."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.commands.building import _facts
from flows.commands.display import show_result
from tasks.progress import Progress
from tasks.reporting import summary
from weak2wise_core.config import Recipe

Build = Callable[..., Awaitable[Any]]
MakeRecipe = Callable[..., Recipe]
pytestmark = pytest.mark.slow


def batched(make: MakeRecipe, way: str, questions: Path) -> Recipe:
    """The testbed's recipe with three questions, its weak model batched in one way."""
    weak = {"backend": "testbed", "model": "weak", "temperature": 0, "max_tokens": 24}
    strong = {"name": "teacher-a", "backend": "testbed", "model": "teacher-a"}
    return make(
        questions={"path": str(questions), "limit": 3},
        models={"weak": weak | {"batching": way, "batch_size": 8}, "strong": [strong]},
        execution={"questions_per_task": 25},
    )


async def test_both_ways_build_the_same_dataset(
    build: Build, testbed_recipe: MakeRecipe, repository: Path, tmp_path: Path
) -> None:
    """The same version and bytes; what one way answered the other does not ask again."""
    continuous, again = Progress(), Progress()
    questions = repository / "testbed" / "questions.jsonl"
    slot_by_slot = batched(testbed_recipe, "continuous", questions)
    in_batches = batched(testbed_recipe, "plain", questions)
    state = await build(slot_by_slot, progress=continuous)
    repeated = await build(in_batches, progress=again)
    plain = await build(in_batches, progress=Progress(), data=tmp_path / "plain")
    published = [await one.aresult() for one in (state, repeated, plain)]
    assert len({one.version for one in published}) == 1
    assert len({(one.folder / "train.parquet").read_bytes() for one in published}) == 1
    assert (again.calls, again.stored) == (0, 0)

    [row] = continuous.local.rows()
    assert (row["model"], row["batching"]) == ("weak", "continuous")
    assert row["requests"] == sum(
        account.calls for (_, model), account in continuous.accounts.items() if model == "weak"
    )
    assert again.local.rows() == []
    facts = await asyncio.to_thread(_facts, state, continuous, seconds=1.0)
    console = Console(width=100, record=True, file=io.StringIO())
    show_result(facts, console)
    told = "weak on cpu, continuous batches: "
    assert told in console.export_text()
    assert told in summary(continuous, contents=None, published=None)
