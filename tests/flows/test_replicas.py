"""Laws of a build whose models stand on two servers, one of which dies and comes back."""

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.auditing import check_adds_up, file_bytes
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from benchmarks.orchard import answer, recipe_for, rows, write_rows
from tasks.progress import Progress

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
QUESTIONS = rows(120)
DIES_AFTER, BACK_AFTER = 120, 120
"""Replies of both servers together; then of the one that is left."""


class Pair:
    """Two servers; the second one is down for a while in the middle of a build."""

    def __init__(self, *, mortal: bool) -> None:
        self.steady = LoopbackServer(self._answer)
        self.mortal = LoopbackServer(self._answer)
        self._mortal = mortal
        self._lock = threading.Lock()
        self._given = 0
        self._killer: threading.Thread | None = None
        self.before: tuple[int, int] = (0, 0)
        """Requests at either server when the second one died."""
        self.back: tuple[int, int] = (0, 0)
        """Requests at either server when it was back."""

    def counts(self) -> tuple[int, int]:
        """Requests that came to either server."""
        return len(self.steady.requests), len(self.mortal.requests)

    def __enter__(self) -> "Pair":
        self.steady.start()
        self.mortal.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._killer is not None:
            self._killer.join()
        self.steady.stop()
        self.mortal.stop()

    @property
    def urls(self) -> list[str]:
        """Their addresses."""
        return [self.steady.base_url, self.mortal.base_url]

    def _answer(self, request: dict[str, Any]) -> Reply:
        with self._lock:
            self._given += 1
            if self._mortal and self._given == DIES_AFTER:
                self._killer = threading.Thread(target=self._kill_and_revive)
                self._killer.start()
        reply = answer(request)
        return Reply(
            content=reply.content, reasoning=reply.reasoning, usage=reply.usage, delay_s=0.02
        )

    def _kill_and_revive(self) -> None:
        self.mortal.stop()
        self.before = self.counts()
        while self.counts()[0] < self.before[0] + BACK_AFTER:
            threading.Event().wait(0.005)
        self.back = self.counts()
        self.mortal.start()


async def test_the_share_of_a_dead_replica_moves_on_and_returns(
    build: Build, tmp_path: Path
) -> None:
    """No question is lost, the bytes are those of an undisturbed build, and the counts show it.

    Both servers have a share at first; while one is dead the other gets everything; then the share
    comes back. A call is asked again only where the dying server took it with it.
    """
    path = write_rows(tmp_path / "q.jsonl", QUESTIONS)
    files, pairs, calls = {}, {}, {}
    for mortal in (False, True):
        progress = Progress()
        with Pair(mortal=mortal) as pair:
            recipe = recipe_for(
                pair.urls,
                path,
                entry={"backoff_s": 0.02, "retries": 8},
                execution={"in_flight": 8, "speculate": "never"},
            )
            state = await build(recipe, progress=progress, data=tmp_path / f"data-{mortal}")
        assert state.name == "Completed", state.message
        folder = (await state.aresult()).folder
        check_adds_up(folder, ids=[row["id"] for row in QUESTIONS])
        files[mortal], pairs[mortal], calls[mortal] = file_bytes(folder), pair, progress.calls
    assert files[True] == files[False]
    assert calls[True] == calls[False]
    steady, mortal_one = pairs[False].counts()
    assert min(steady, mortal_one) > calls[False] / 4
    assert steady + mortal_one == calls[False]
    disturbed = pairs[True]
    assert min(disturbed.before) > 0
    assert disturbed.back[0] >= disturbed.before[0] + BACK_AFTER
    assert disturbed.back[1] == disturbed.before[1]
    assert disturbed.counts()[1] > disturbed.back[1] + 10
    assert sum(disturbed.counts()) <= calls[True] + 8  # what was in flight when it died


def crate(text: str) -> str:
    """Which question a message is about."""
    return text.partition("Crate ")[2].partition(":")[0]


async def test_calls_of_one_question_share_a_server(build: Build, tmp_path: Path) -> None:
    """All calls of a model about one question go to one address, whose prefix cache serves them."""
    path = write_rows(tmp_path / "q.jsonl", QUESTIONS[:40])
    with Pair(mortal=False) as pair:
        state = await build(recipe_for(pair.urls, path))
    assert state.name == "Completed", state.message
    seen = [
        {crate(one.body["messages"][0]["content"]) for one in server.requests}
        for server in (pair.steady, pair.mortal)
    ]
    assert all(seen)
    assert len(seen[0]) + len(seen[1]) == 40
    assert not seen[0] & seen[1]
