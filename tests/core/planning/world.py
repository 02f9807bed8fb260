"""A scripted world for plans: questions, four models with habits, and a store in memory.

Everything that a model says follows from a hash of what it was asked, so that a run can be repeated
and no two questions go the same way.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, cast

from weak2wise_core.accounts import Account
from weak2wise_core.config import BudgetSettings, Recipe
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.gateway import Gateway, ModelHandle
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.scripted import ScriptedModel
from weak2wise_core.planning.answering import StoredModels
from weak2wise_core.planning.meter import Row
from weak2wise_core.planning.pilot import Sample, run_pilot
from weak2wise_core.planning.replay import Outlook, look_ahead
from weak2wise_core.planning.scene import Scene
from weak2wise_core.prompts import PromptSet
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import ChatReply, FinishReason, Message, Question, Usage
from weak2wise_core.stores.replies import ReplyStore

PRICES = {"input": 1.0, "output": 2.0, "cached_input": 0.5}


def lot(*parts: object) -> float:
    """A number in [0, 1) that follows from the parts."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def questions(count: int) -> list[Question]:
    """Questions whose answer is 2."""
    return [
        Question(id=f"q{i}", question=f"What is 1 + 1, number {i}?", answer="2")
        for i in range(count)
    ]


def recipe(**changes: Any) -> Recipe:
    """Every stage asks a model, unless the changes say otherwise."""
    model = {"backend": "testbed", "usd_per_mtok": PRICES, "max_tokens": 1000}
    content: dict[str, Any] = {
        "dataset": "planned",
        "questions": {"path": "q.jsonl"},
        "models": {
            "weak": model | {"model": "weak"},
            "strong": [model | {"name": name, "model": name} for name in ("s1", "s2")],
            "judge": model | {"model": "judge"},
            "truncator": model | {"model": "truncator"},
        },
        "generate": {"samples_per_model": 2},
        "step_mask": {"granularity": 3, "policy": "exhaustive"},
        "truncation": {"over_tokens": 4},
    }
    return parse_recipe(content | changes)


def say(content: str, *, reasoning: str | None = None, chance: float, model: str) -> ChatReply:
    """A reply whose length follows from chance."""
    usage = Usage(
        prompt_tokens=50 + int(100 * chance),
        completion_tokens=20 + int(400 * chance**3),
        reasoning_tokens=int(50 * chance),
        cached_tokens=int(40 * chance),
    )
    return ChatReply(
        content=content,
        reasoning=reasoning,
        finish_reason=FinishReason.STOP,
        usage=usage,
        model=model,
    )


def weak(messages: Sequence[Message], _: Sampling, draw: int) -> ChatReply:
    """Solves a fifth of the questions alone, and more with a hint."""
    chance = lot("weak", messages, draw)
    solves = chance < (0.35 if "## Hint" in messages[-1].content else 0.2)
    answer = r"\boxed{2}" if solves else rf"\boxed{{{int(chance * 10) + 3}}}"
    return say(answer, chance=chance, model="weak-1")


def strong(name: str) -> Callable[[Sequence[Message], Sampling, int], ChatReply]:
    """Writes traces, one in six without steps."""

    def script(messages: Sequence[Message], _: Sampling, draw: int) -> ChatReply:
        chance = lot(name, messages, draw)
        body = f"## Add\n1 + 1, by way {int(chance * 1e6)}, is two\n\n## Final Answer\n2"
        thinking = "I think. " * (1 + int(4 * chance)) + "1 + 1 = 2. So it is 2. Yes."
        content = "no steps" if chance < 1 / 6 else body
        return say(content, reasoning=thinking, chance=chance, model=f"{name}-1")

    return script


def judge(messages: Sequence[Message], _: Sampling, draw: int) -> ChatReply:
    """Votes, two in five times for neither side, and now and then wrongly."""
    chance = lot("judge", messages, draw)
    right = r"\boxed{2}" in messages[-1].content
    if chance < 0.4:
        return say("I cannot tell.", chance=chance, model="judge-1")
    return say("Yes" if right != (chance > 0.85) else "No", chance=chance, model="judge-1")


def truncator(messages: Sequence[Message], _: Sampling, draw: int) -> ChatReply:
    """Names the sentence."""
    return say("So it is 2.", chance=lot("truncator", messages, draw), model="truncator-1")


class OurTurn(AbstractContextManager["OurTurn"]):
    """Nobody else shares a store in memory: it is always our turn to ask."""

    def __exit__(self, *_: object) -> None:
        """Nothing is to be given back."""

    def take(self) -> bool:
        """Yes."""
        return True


class MemoryStore:
    """What a gateway needs of a reply store, without a disk."""

    def __init__(self) -> None:
        self.replies: dict[str, ChatReply] = {}

    def get(self, key: str) -> ChatReply | None:
        """The reply under a key."""
        return self.replies.get(key)

    def turn(self, _: str) -> OurTurn:
        """The turn to ask a request."""
        return OurTurn()

    async def aput(self, key: str, reply: ChatReply, **_: str) -> ChatReply:
        """Keep a reply; the first one stays."""
        return self.replies.setdefault(key, reply)


class Idle:
    """A watcher that looks away."""

    def enter(self, stage: str, shard: str, questions: int) -> None:
        """Nothing."""

    def advance(self, stage: str, shard: str) -> None:
        """Nothing."""


@dataclass
class World:
    """One data folder: its store outlives the runs."""

    recipe: Recipe
    checker: AnswerChecker
    store: MemoryStore | ReplyStore = field(default_factory=MemoryStore)
    models: dict[str, ScriptedModel] = field(
        default_factory=lambda: {
            "weak": ScriptedModel(weak, name="weak"),
            "s1": ScriptedModel(strong("s1"), name="s1"),
            "s2": ScriptedModel(strong("s2"), name="s2"),
            "judge": ScriptedModel(judge, name="judge"),
            "truncator": ScriptedModel(truncator, name="truncator"),
        }
    )

    @property
    def scene(self) -> Scene:
        """The recipe and what is opened for it."""
        return Scene(
            recipe=self.recipe,
            prompts=PromptSet(),
            checker=self.checker,
            count_tokens=lambda text: len(text.split()),
        )

    @property
    def identities(self) -> dict[str, dict[str, Any]]:
        """What decides the replies of the models."""
        return {name: self.models[name].identity for name in self.recipe.models.specs()}

    @property
    def stored(self) -> StoredModels:
        """The models, as far as the store can speak for them."""
        specs = self.recipe.models.specs()
        return StoredModels(
            identities=self.identities,
            samplings={name: Sampling.of(spec) for name, spec in specs.items()},
            lookup=self.store.get,
        )

    def key(self, name: str, messages: Sequence[Message]) -> str:
        """The key of a request."""
        return self.stored.key(name, messages, draw=0)

    async def look_ahead(self, chosen: Sequence[Question]) -> list[Outlook]:
        """What the store has for some questions."""
        models = self.stored
        return [await look_ahead(one, scene=self.scene, models=models) for one in chosen]

    async def run(
        self, chosen: Sequence[Question], *, calls: int | None = None
    ) -> "tuple[list[Sample], dict[Row, Account]]":
        """Really ask, with a budget of calls; what was paid, by line.

        Raises:
            BudgetReachedError: The budget is used up.
        """
        gateway = Gateway(
            in_flight=8,
            store=cast("ReplyStore", self.store),
            budget=BudgetSettings(calls=calls),
        )
        self.accounts = gateway.accounts

        def handle(name: str, stage: str) -> ModelHandle:
            spec = self.recipe.models.spec(name)
            return gateway.handle(self.models[name], spec=spec, name=name, stage=stage)

        samples = await run_pilot(chosen, scene=self.scene, handle=handle, watcher=Idle())
        return samples, {Row(*key): one for key, one in gateway.accounts.items()}
