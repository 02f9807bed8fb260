"""Builds of the orchard on one store, behind servers that fail on purpose."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.auditing import DiscrepancyError, check_adds_up, check_named, expect, manifest_of
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Fault, FaultPlan
from benchmarks.orchard import MODELS, answer, content_for
from tasks.progress import Progress
from weak2wise_core.config import Recipe
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.stores.replies import ReplyStore

SEED = 3
TRIES = 3
"""One, and the two retries of the orchard's recipe."""

Rates = Mapping[Fault, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchard:
    """The questions of a build."""

    path: Path
    ids: list[str]


class Builds:
    """Builds of the same questions on one store, and what the servers saw.

    Args:
        build: Runs the flow on a recipe, with the keywords `progress` and `data`; the final state.
        questions: What is built.
        data: The data folder of all of them.
    """

    def __init__(
        self, build: Callable[..., Awaitable[Any]], questions: Orchard, data: Path
    ) -> None:
        self._build = build
        self._questions = questions
        self._data = data
        self.progress = Progress()
        self.server = LoopbackServer(answer)

    async def run(self, rates: Rates, *, judge: bool = False) -> Path:
        """Build against a server with these faults; the published folder, which adds up.

        Raises:
            DiscrepancyError: Something is lost, counted twice, or left without its reason.
        """
        self.progress = Progress()
        self.server = LoopbackServer(answer, faults=FaultPlan(rates=rates, seed=SEED))
        with self.server:
            recipe = self._recipe(timeout_s=0.5 if Fault.HANG in rates else 60.0, judge=judge)
            state = await self._build(recipe, progress=self.progress, data=self._data)
        published = await state.aresult(raise_on_failure=False)
        folder: Path | None = getattr(published, "folder", None)
        if folder is None:
            raise DiscrepancyError(f"nothing is published: {state.name}, {state.message}")
        check_adds_up(folder, ids=self._questions.ids)
        check_named(folder, models=set(MODELS), tries=TRIES, host="127.0.0.1")
        lost = manifest_of(folder)["counts"]["quarantined"]
        name = "CompletedWithQuarantine" if lost else "Completed"
        expect(state.name == name, f"the state of a build that lost {lost} rows", state.name)
        return folder

    def _recipe(self, *, timeout_s: float, judge: bool) -> Recipe:
        entry = {"timeout_s": timeout_s, "retries": TRIES - 1}
        content = content_for(self.server.base_url, self._questions.path, entry=entry)
        if judge:
            models = content["models"]
            content["models"] = models | {"judge": models["weak"] | {"model": "judge"}}
            content["judging"] = {"method": "llm", "votes": 3}
            content["execution"] |= {"speculate": "always"}
        return parse_recipe(content)

    def stored(self) -> int:
        """Replies in the store."""
        with ReplyStore(self._data / "replies.sqlite") as store:
            return store.stats().replies

    def hit(self, model: str) -> list[str]:
        """The last message of every request to a model whose reply was faulty."""
        return [
            one.body["messages"][-1]["content"]
            for one in self.server.requests
            if one.fault is not None and one.body["model"] == model
        ]
