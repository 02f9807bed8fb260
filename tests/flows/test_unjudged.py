"""Laws of a judge that gives no verdict: its votes are replies, and what mends them is told."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.auditing import check_adds_up, file_bytes, manifest_of, read
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from benchmarks.orchard import answer, content_for, rows, write_rows
from tests.flows.test_cli import invoke
from weak2wise_core.recipes import parse_recipe

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]

QUESTIONS = rows(20)
IDS = [row["id"] for row in QUESTIONS]
ADVICE = "weak2wise replies prune --model judge"
UNAIDED, HELPED = (6, 16), (5, 15)
"""Crates on which a judge that is mute in part says nothing of attempts without, or with, help."""


class Judged:
    """Builds on one store, whose judge is mute until it is mended."""

    def __init__(self, build: Build, folder: Path, *, everywhere: bool) -> None:
        self._build = build
        self._questions = write_rows(folder / "q.jsonl", QUESTIONS)
        self._everywhere = everywhere
        self.data = folder / "data"
        self.mended = False
        self.server = LoopbackServer(self.answer)

    def answer(self, request: dict[str, Any]) -> Reply:
        """What the orchard's models say; a judge of any name judges."""
        if not request["model"].startswith("judge"):
            return answer(request)
        reply = answer(request | {"model": "judge"})
        mute = request["model"] == "judge" and not self.mended
        return Reply(content="It depends.") if mute and self._withholds(request, reply) else reply

    def _withholds(self, request: dict[str, Any], reply: Reply) -> bool:
        crates = HELPED if reply.content == "Yes" else UNAIDED
        text = request["messages"][-1]["content"]
        return self._everywhere or any(f"Crate {number}:" in text for number in crates)

    async def run(self, *, data: Path | None = None, judge: str = "judge", **judging: Any) -> Any:
        """Build; how it ends."""
        self.server = LoopbackServer(self.answer)
        with self.server:
            content = content_for(self.server.base_url, self._questions)
            models = content["models"]
            content["models"] = models | {"judge": models["weak"] | {"model": judge}}
            content["judging"] = {"method": "llm", "votes": 3} | judging
            content["execution"] |= {"max_quarantine_fraction": 0.5}
            return await self._build(parse_recipe(content), data=data or self.data)

    def asked(self, model: str) -> set[str]:
        """The last build's requests to a model."""
        return {repr(one.body) for one in self.server.requests if one.body["model"] == model}


async def published(state: Any) -> Path:
    """The folder of a build that ended well, which adds up."""
    folder: Path = (await state.aresult()).folder
    check_adds_up(folder, ids=IDS)
    return folder


def prune(data: Path) -> None:
    """Do what the program advises."""
    code, output = invoke(*ADVICE.split()[1:], "--data-dir", data)
    assert (code, "replies removed" in output) == (0, True)


async def test_votes_without_a_verdict_come_again_until_they_are_pruned(
    build: Build, tmp_path: Path
) -> None:
    """Unjudged is quarantined by name; building again asks nothing; the row says what mends it.

    Then the judge votes anew, no other model answers anything twice, and the bytes are those of a
    build whose judge was never mute.
    """
    judged = Judged(build, tmp_path, everywhere=False)
    first = await published(await judged.run())
    asked = judged.asked("weak")
    left = [row for row in read(first, "quarantine") if row["kind"] == "quarantined"]
    assert all(ADVICE in row["detail"] for row in left)
    assert manifest_of(first)["quarantined"] == {
        "filter_qa": {"unjudged": len(UNAIDED)},
        "select_golden": {"unjudged": len(HELPED)},
    }

    judged.mended = True
    assert file_bytes(await published(await judged.run())) == file_bytes(first)
    assert judged.server.requests == []

    prune(judged.data)
    mended = await published(await judged.run())
    assert judged.asked("judge")
    assert not judged.asked("weak") & asked
    whole = await published(await judged.run(data=tmp_path / "never mute"))
    assert file_bytes(mended) == file_bytes(whole)


async def test_where_nothing_was_judged_the_end_says_what_mends_it(
    build: Build, tmp_path: Path
) -> None:
    """Nothing is published and nothing counted as wrong; again it asks nothing and ends the same.

    Another judge, or rules, are not asked for what the mute one said; pruned and mended, the first
    judges too. All three train on the same rows.
    """
    judged = Judged(build, tmp_path, everywhere=True)
    for mended in (False, True):
        judged.mended = mended
        state = await judged.run()
        assert state.name == "TooManyQuarantined"
        assert ADVICE in state.message
        manifest = (await state.aresult(raise_on_failure=False)).manifest
        assert manifest["quarantined"] == {"filter_qa": {"unjudged": len(IDS)}}
    assert judged.server.requests == []

    judged.mended = False
    folders = [
        await published(await judged.run(judge="judge-2")),
        await published(await judged.run(method="rule_then_llm")),
    ]
    judged.mended = True
    prune(judged.data)
    folders.append(await published(await judged.run()))
    assert [manifest_of(folder)["quarantined"] for folder in folders] == [{}] * 3
    assert len({file_bytes(folder)["train.parquet"] for folder in folders}) == 1
