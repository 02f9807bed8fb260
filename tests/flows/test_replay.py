"""The whole flow on recorded replies of real models, over HTTP."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.loopback import LoopbackServer
from tasks.progress import Progress
from tests.flows.replaying import Replay
from weak2wise_core.config import Recipe
from weak2wise_core.recipes import parse_recipe

pytestmark = pytest.mark.slow


def recipe_for(server: LoopbackServer, rows: Path, tokenizer: Path) -> Recipe:
    """Six roles on one server."""

    def entry(model: str, **settings: Any) -> dict[str, Any]:
        return {"backend": "openai", "model": model, "base_urls": [server.base_url], **settings}

    prices = {"usd_per_mtok": {"input": 1.0, "output": 2.0}}
    return parse_recipe(
        {
            "dataset": "replay",
            "questions": {"path": str(rows)},
            "models": {
                "weak": entry("weak", tokenizer=str(tokenizer)),
                "strong": [
                    entry(f"strong-{number}", name=f"s{number}", stream=number == 1, **prices)
                    for number in range(4)
                ],
                "judge": entry("judge"),
                "truncator": entry("truncator"),
            },
            "generate": {"samples_per_model": 1},
            "judging": {"method": "llm", "votes": 3},
            "truncation": {"method": "endpoint", "over_tokens": 200},
            "sft": {"max_tokens": 8192},
            "execution": {"questions_per_task": 10, "in_flight": 32, "speculate": "never"},
        }
    )


async def test_a_dataset_is_built_from_real_traces(
    build: Callable[..., Awaitable[Any]], shared_data: Path, repository: Path, tmp_path: Path
) -> None:
    """Filter, generation, scoring, selection, truncation and formatting on real text."""
    source = shared_data / "replay" / "gsm8k_weak2_strong4_60q.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    with LoopbackServer(Replay(rows), record=False) as server:
        recipe = recipe_for(server, source, repository / "testbed" / "weak_model")
        first = Progress()
        state = await build(recipe, progress=first)
        assert state.name == "Completed", state.message
        again = Progress()
        repeated = await build(recipe, progress=again)
    published, republished = await state.aresult(), await repeated.aresult()
    assert again.calls == 0
    assert republished.version == published.version
    _check_rows(published.folder, {row["question"]: row for row in rows})
    counts = published.manifest["counts"]
    assert counts["rows"] == 60
    assert counts["train"] >= 30
    assert counts["solved"] + counts["dropped"] + counts["train"] == 60
    assert sum(row["calls"] for row in published.manifest["cost"]) == first.calls + first.stored
    assert published.manifest["golden"]["by_truncation"]["endpoint"] >= 20


def _check_rows(folder: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Every training row is an exact prefix of a recorded trace, with the gold answer."""
    train = pd.read_parquet(folder / "train.parquet")
    for row in train.itertuples():
        source = rows[str(row.prompt)]
        reasoning, answer = str(row.response).removeprefix("<think> ").rsplit(" </think> ", 1)
        assert answer == source["answer"]
        traces = [one["reasoning_content"].strip() for one in source["candidates"]]
        assert any(trace.startswith(reasoning) for trace in traces)
