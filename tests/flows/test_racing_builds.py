"""The law of racing, on whole builds: less is asked and the same is trained on."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.progress import Progress
from weak2wise_core.config import Recipe

pytestmark = pytest.mark.slow


async def test_a_race_and_exhaustive_scoring_train_on_the_same_bytes(
    build: Callable[..., Awaitable[Any]],
    testbed_recipe: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    """On the testbed; what the race asked, the exhaustive build finds in the reply store."""
    files, calls = {}, {}
    for policy in ("race", "exhaustive"):
        progress = Progress()
        state = await build(testbed_recipe(step_mask={"policy": policy}), progress=progress)
        assert state.name == "Completed", state.message
        published = await state.aresult()
        files[policy] = (published.folder / "train.parquet").read_bytes()
        calls[policy] = published.manifest["counts"]["mask_levels_asked"]
    assert files["race"] == files["exhaustive"]
    assert calls["race"] < calls["exhaustive"]
