"""The testbed's models behind HTTP, with a log of every request that outlives the build.

What a model once said is repeated, as `weak2wise` itself would find it in its store; the first
build of a benchmark is answered by the models themselves.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.loopback_replies import Reply
from testbed.models import WEAK, open_testbed_model
from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.hashing import content_hash
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.records import ChatReply, Message

ASKING = {
    "filter": "filter_qa",
    "generate": "generate_candidates",
    "step-mask": "score_step_masks",
}
"""The stages that ask models: the name in tables, and the name of the task."""
_HINT = "## Hint"
_LATENCY_S = (0.005, 0.025)


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request that arrived at the server."""

    request: str
    """Hash of the whole body: two requests are the same when model, messages and sampling are."""
    stage: str
    run: int
    """Which start of the build sent it, from 0."""
    arrived: float
    """`time.monotonic()`."""
    answered: float | None = None
    """The same clock; None as long as the model is at work, and for good if nobody waited."""


class Progress(Protocol):
    """How far the builds of one round are."""

    def begin(self, data: Path) -> None:
        """A new round with a data folder of its own."""
        ...

    def answered(self, stage: str) -> int:
        """Different requests of a stage that were answered in this round."""
        ...


class ServedModels:
    """The answers of a `LoopbackServer`: the testbed's models, and the log of who asked what.

    Args:
        seed: Of the latencies; a request takes the same time in every round.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._models: dict[str, ChatModel] = {}
        self._said: dict[str, Reply] = {}
        self._run = 0
        self.log: list[Asked] = []
        """Of this round, in the order of arrival."""
        self._done: dict[str, set[str]] = {}

    def begin(self, data: Path) -> None:  # the server knows without looking
        """Forget the log of the last round."""
        self.log, self._done, self._run = [], {stage: set() for stage in ASKING}, 0

    def next_run(self) -> None:
        """What arrives from now on was sent by the next start of the build."""
        self._run += 1

    def answered(self, stage: str) -> int:
        """Different requests of a stage that were answered in this round."""
        return len(self._done[stage])

    async def answer(self, body: dict[str, Any]) -> Reply:
        """Answer one request, by heart where it was asked in an earlier round."""
        asked = Asked(
            request=content_hash(body),
            stage=_stage(body),
            run=self._run,
            arrived=time.monotonic(),
        )
        log, done = self.log, self._done[asked.stage]
        log.append(asked)
        if asked.request in self._said:
            await asyncio.sleep(self._latency_s(asked.request))
        else:
            self._said[asked.request] = await self._ask(body)
        asked.answered = time.monotonic()
        done.add(asked.request)
        return self._said[asked.request]

    async def aclose(self) -> None:
        """Free the models."""
        for model in self._models.values():
            await model.aclose()

    def _latency_s(self, request: str) -> float:
        return random.Random(f"{self._seed} {request}").uniform(*_LATENCY_S)

    async def _ask(self, body: Mapping[str, Any]) -> Reply:
        name = str(body["model"])
        if name not in self._models:
            spec = ModelSpec(backend=Backend.TESTBED, model=name)
            self._models[name] = open_testbed_model(spec)
        messages = [Message(**message) for message in body["messages"]]
        names = ("temperature", "top_p", "max_tokens", "seed")
        sampling = Sampling(**{key: body.get(key) for key in names})
        # the client sends the recipe's seed plus the draw: the seed alone tells draws apart
        return _served(await self._models[name].chat(messages, sampling=sampling, draw=0))


class StoredProgress:
    """The progress of builds that ask models in their own process: what their store holds."""

    def __init__(self) -> None:
        self._path = Path()

    def begin(self, data: Path) -> None:
        """Look into the reply store of another data folder."""
        self._path = data / "replies.sqlite"

    def answered(self, stage: str) -> int:
        """Replies of a stage in the store; 0 while it cannot be read."""
        query = "select count(*) from replies where stage = ?"
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as store:
                return int(store.execute(query, (ASKING[stage],)).fetchone()[0])
        except sqlite3.Error:
            return 0  # not there yet, or being made


def _stage(body: Mapping[str, Any]) -> str:
    if body["model"] != WEAK:
        return "generate"
    return "step-mask" if _HINT in body["messages"][-1]["content"] else "filter"


def _served(reply: ChatReply) -> Reply:
    usage = reply.usage
    return Reply(
        content=reply.content,
        reasoning=reply.reasoning,
        finish_reason=reply.finish_reason.value,
        usage={
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        },
    )
