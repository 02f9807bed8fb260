"""A build that is cancelled from the task engine ends in order, and goes on when started again."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tests.flows.secured import SecuredEngine, write_recipe
from tests.flows.test_build import script

pytestmark = pytest.mark.slow

QUESTIONS = 16
BEFORE_THE_GATE = 40
IN_FLIGHT = 4
CALLS_OF_A_BUILD = QUESTIONS * (1 + 1 + 6)
"""Unaided, strong, and at six mask levels."""


class Gate:
    """The script of a build; after some replies it keeps whoever asks waiting until it is open."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.open = False

    async def __call__(self, request: dict[str, Any]) -> Reply | str:
        """Answer, now or when the gate is open."""
        self.asked += 1
        while self.answered >= BEFORE_THE_GATE and not self.open:  # noqa: ASYNC110 - other thread
            await asyncio.sleep(0.05)
        self.answered += 1
        return script(request)


def recipe_for(server: LoopbackServer, home: Path) -> dict[str, Any]:
    """Four calls at once, in four shards."""
    rows = [
        {"id": f"q{i}", "question": f"What is 1 + 1, number {i}?", "answer": 2}
        for i in range(QUESTIONS)
    ]
    questions = home / "cancelled.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    served = {"backend": "openai", "base_urls": [server.base_url]}
    return {
        "dataset": "cancelled",
        "questions": {"path": str(questions)},
        "models": {
            "weak": served | {"model": "m", "tokenizer": "testbed/weak_model"},
            "strong": [served | {"model": "s", "name": "strong"}],
        },
        "generate": {"samples_per_model": 1},
        "step_mask": {"policy": "exhaustive"},
        "judging": {"method": "rule"},
        "truncation": {"method": "rule"},
        "sft": {"max_tokens": 4096},
        "execution": {"in_flight": IN_FLIGHT, "questions_per_task": 4},
    }


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset."""
    return {path.name: path.read_bytes() for path in sorted(folder.resolve().iterdir())}


def stored_replies(secured: SecuredEngine) -> int:
    """How many replies the store of the worker holds, all of them sound."""
    done = secured.weak2wise("replies", "verify", "--data-dir", str(secured.data), "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["bad_keys"], found["faults"]) == (0, [], []), done.stderr
    replies: int = found["replies"]
    return replies


def test_a_cancelled_build_loses_nothing_and_goes_on(secured: SecuredEngine) -> None:
    """Cancelled means Cancelled; what was answered is stored and sound; the bytes are the same.

    Started again, the build asks for what it has no reply to, and for nothing else.
    """
    before = stored_replies(secured) if (secured.data / "replies.sqlite").exists() else 0
    gate = Gate()
    with LoopbackServer(gate) as server:
        recipe = recipe_for(server, secured.home)
        run = secured.submit(recipe)
        wait_until(lambda: gate.asked == BEFORE_THE_GATE + IN_FLIGHT)
        secured.run("flow-run", "cancel", run)
        state = secured.wait_for(run, "CANCELLED", "COMPLETED", "FAILED", "CRASHED")
        assert state["name"] == "Cancelled", state["message"]
        # the last process to close the store removes its log
        wait_until(lambda: not (secured.data / "replies.sqlite-wal").exists())
        assert gate.asked == BEFORE_THE_GATE + IN_FLIGHT
        assert stored_replies(secured) - before == BEFORE_THE_GATE

        gate.open = True
        again = secured.wait_for(secured.submit(recipe), "COMPLETED", "FAILED", "CRASHED")
        assert again["name"] == "Completed", again["message"]
        assert gate.asked == CALLS_OF_A_BUILD + IN_FLIGHT

        other = secured.home / "undisturbed"
        path = write_recipe(secured.home / "cancelled.yaml", recipe)
        done = secured.weak2wise("build", str(path), "--data-dir", str(other), "--json")
        assert done.returncode == 0, done.stderr
    undisturbed = content(other / "datasets" / "cancelled" / "latest")
    assert content(secured.data / "datasets" / "cancelled" / "latest") == undisturbed


def wait_until(done: Callable[[], bool]) -> None:
    """Wait a minute at most."""
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")
