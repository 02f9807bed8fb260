"""Laws of a build whose server loses replies that it charges for, or whose credit runs out."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.auditing import file_bytes
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Fault, FaultPlan, Reply
from benchmarks.orchard import USAGE, answer, recipe_for, rows, write_rows
from tasks.progress import Progress, account
from weak2wise_core.hashing import content_hash
from weak2wise_core.stores.replies import ReplyStore

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
LOST = [Fault.CUT_BODY, Fault.EMPTY_CHOICES, Fault.RESET]
MOST_TOKENS = 500
ENTRY = {
    "usd_per_mtok": {"input": 1.0, "output": 10.0},
    "max_tokens": MOST_TOKENS,
    "retries": 9,
}
EACH_USD = (USAGE["prompt_tokens"] + 10 * USAGE["completion_tokens"]) / 1e6
CAPS = (0.03, 0.05, 50.0)
TRAINED_ON = ("train.parquet", "train.jsonl")


async def test_lost_replies_do_not_cross_a_budget(build: Build, tmp_path: Path) -> None:
    """However often the build is started again; what the server charges is below what is held.

    The dataset is that of a server that loses nothing.
    """
    questions = write_rows(tmp_path / "q.jsonl", rows(12))
    with LoopbackServer(answer) as server:
        recipe = recipe_for(server.base_url, questions, entry=ENTRY)
        state = await build(recipe, data=tmp_path / "undisturbed")
        expected = file_bytes((await state.aresult()).folder)
    names, lost = [], 0
    for cap in CAPS:
        progress, faults = Progress(), FaultPlan(rates=dict.fromkeys(LOST, 0.1), seed=5)
        with LoopbackServer(answer, faults=faults) as server:
            recipe = recipe_for(server.base_url, questions, entry=ENTRY, budget={"usd": cap})
            state = await build(recipe, progress=progress)
        names.append(state.name)
        charged = len(server.requests)
        assert progress.calls + progress.lost == charged
        assert EACH_USD * charged <= progress.held_usd <= cap
        assert sum(row.get("lost", 0) for row in account(progress)) == progress.lost
        lost += progress.lost
    assert names == ["StoppedAtBudget", "StoppedAtBudget", "Completed"]
    assert lost > 0
    found = file_bytes((await state.aresult()).folder)
    assert {name: found[name] for name in TRAINED_ON} == {
        name: expected[name] for name in TRAINED_ON
    }


async def test_a_provider_without_credit_costs_no_reply_of_the_others(
    build: Build, tmp_path: Path
) -> None:
    """The build ends with its sentence when all that was asked has come back and is kept.

    Started again with credit, it asks nothing twice and gives the bytes of an undisturbed build.
    """
    questions = write_rows(tmp_path / "q.jsonl", rows(12))
    credit = 4
    answered = Counter[str]()

    def bank(request: dict[str, Any]) -> Reply:
        nonlocal credit
        if request["model"] == "streamed":
            credit -= 1
            if credit < 0:
                return Reply(status=402, error="no credit is left", delay_s=0.05)
        answered[content_hash(request)] += 1
        return replace(answer(request), delay_s=0.3)

    with LoopbackServer(bank) as server:
        recipe = recipe_for(server.base_url, questions)
        stopped = await build(recipe)
        assert "no credit is left" in stopped.message
        with ReplyStore(tmp_path / "data" / "replies.sqlite") as store:
            assert store.stats().replies == len(answered) == answered.total()
        credit = 1_000
        state = await build(recipe)
        assert answered.total() == len(answered)
        found = file_bytes((await state.aresult()).folder)
        state = await build(recipe, data=tmp_path / "undisturbed")
        assert found == file_bytes((await state.aresult()).folder)
