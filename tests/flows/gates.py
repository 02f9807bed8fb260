"""A build that comes to a point where it waits for a server, so that it can be stopped there.

Behind the gate are four requests; the replies to all others have come, the last of them a moment
ago. So what must be in the store, and what must be asked again, are exact numbers.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tests.flows.test_build import script

QUESTIONS = 16
BEFORE_THE_GATE = 40
IN_FLIGHT = 4
CALLS_OF_A_BUILD = QUESTIONS * (1 + 1 + 6)
"""Unaided, strong, and at six mask levels."""


class Gate:
    """The script of a build; after some replies it keeps whoever asks waiting until it is open."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.asked = 0
        self.answered = 0
        self.open = is_open
        self.at_full: Callable[[], None] = lambda: None
        """Called when every slot of the build waits at the gate; on the server's thread."""

    @property
    def full(self) -> bool:
        """Whether every slot of the build has come to the closed gate."""
        return self.asked == BEFORE_THE_GATE + IN_FLIGHT

    async def __call__(self, request: dict[str, Any]) -> Reply | str:
        """Answer, now or when the gate is open."""
        self.asked += 1
        if self.full and not self.open:
            self.at_full()
        while self.answered >= BEFORE_THE_GATE and not self.open:  # noqa: ASYNC110 - other thread
            await asyncio.sleep(0.05)
        self.answered += 1
        return script(request)


def write_questions(folder: Path) -> Path:
    """As many questions as a build that meets a gate has."""
    rows = [
        {"id": f"q{i}", "question": f"What is 1 + 1, number {i}?", "answer": 2}
        for i in range(QUESTIONS)
    ]
    path = folder / "stopped.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recipe_for(server: LoopbackServer, questions: Path) -> dict[str, Any]:
    """Four calls at once, in four shards."""
    served = {"backend": "openai", "base_urls": [server.base_url]}
    return {
        "dataset": "stopped",
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


def dataset_bytes(data: Path) -> dict[str, bytes]:
    """Every file of the dataset that such a build publishes."""
    folder = (data / "datasets" / "stopped" / "latest").resolve()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def wait_until(done: Callable[[], bool]) -> None:
    """Wait five minutes at most: a busy machine takes its time."""
    for _ in range(3000):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within five minutes")
