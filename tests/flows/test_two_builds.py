"""Laws of two builds that run at the same time on one data folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.auditing import check_adds_up, file_bytes
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from benchmarks.orchard import answer, content_for, rows, write_rows
from tests.flows.processes import BuildProcess
from weak2wise_core.stores.replies import ReplyStore

pytestmark = pytest.mark.slow

QUESTIONS = rows(60)
IN_FLIGHT = 4
"""Calls of one build at once."""
Start = Callable[..., BuildProcess]


def unhurried(request: dict[str, Any]) -> Reply:
    """An answer that takes so long that builds overlap."""
    reply = answer(request)
    return Reply(content=reply.content, reasoning=reply.reasoning, usage=reply.usage, delay_s=0.2)


@pytest.fixture
def start(engine: None, tmp_path: Path) -> Start:
    """Starts a build in a process of its own."""

    def run(server: LoopbackServer, data: Path) -> BuildProcess:
        content = content_for(server.base_url, write_rows(tmp_path / "q.jsonl", QUESTIONS))
        content["execution"] |= {"in_flight": IN_FLIGHT}
        return BuildProcess(content, recipe=tmp_path / "recipe.yaml", data=data)

    return run


def test_two_builds_share_every_reply(start: Start, tmp_path: Path) -> None:
    """Both finish with the same dataset, and no reply is paid for twice.

    What one of them asks just now the other one waits for; each counts what it paid itself.
    """
    with LoopbackServer(unhurried) as server:
        facts = [one.facts() for one in [start(server, tmp_path / "both") for _ in range(2)]]
        shared, most_in_flight = server.stats()["requests"], server.stats()["most_in_flight"]
    with LoopbackServer(answer) as server:
        alone = start(server, tmp_path / "alone").facts()
        needed = server.stats()["requests"]
    assert shared == needed == alone["run"]["calls"]
    assert most_in_flight > IN_FLIGHT, "the builds did not overlap"
    assert sum(one["run"]["calls"] for one in facts) == shared
    assert {one["state"] for one in (*facts, alone)} == {"Completed"}
    assert {one["version"] for one in facts} == {alone["version"]}
    folders = [Path(one["folder"]) for one in (*facts, alone)]
    check_adds_up(folders[0], ids=[row["id"] for row in QUESTIONS])
    assert file_bytes(folders[0]) == file_bytes(folders[1]) == file_bytes(folders[2])


def test_a_killed_build_holds_up_nobody(start: Start, tmp_path: Path) -> None:
    """Whoever waits for a reply that a killed build had asked for goes on by itself, at once."""
    with LoopbackServer(unhurried) as server:
        first, second = (start(server, tmp_path / "data") for _ in range(2))
        deadline = time.monotonic() + 200
        while server.stats()["requests"] < 40:
            assert time.monotonic() < deadline, "the builds never began"
            time.sleep(0.02)
        first.kill()
        first.died()
        facts = second.facts()
        asked = server.stats()["requests"]
    with ReplyStore(tmp_path / "data" / "replies.sqlite") as store:
        replies = store.stats().replies
    assert replies <= asked <= replies + 3 * IN_FLIGHT  # what was under way died with its build
    assert 0 < facts["run"]["calls"] < replies
    check_adds_up(Path(facts["folder"]), ids=[row["id"] for row in QUESTIONS])
