"""How much of the prompts a replica has read before, by what decides which replica is asked.

Step-Mask prompts of mock questions go to several servers. Each remembers the blocks of 16 words
that prompts began with, as the prefix cache of a model server does. Three ways, side by side::

    python benchmarks/replicas.py

*question* is what a build does: every call about a question goes to one replica, chosen by
rendezvous hashing. *candidate* spreads the candidates of a question, *random* every call.
"""

import argparse
import asyncio
import hashlib
import json
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import Message, Question
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.wording import hint_request
from weak2wise_core.steps import split_steps

WAYS = ("question", "candidate", "random")
BLOCK_WORDS = 16
LEVELS, CANDIDATES, STEPS = 6, 6, 8
_AT_ONCE = 64


class PrefixCache:
    """What one server remembers, and how much of what it was asked that was."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        self.words = 0
        self.shared = 0

    def answer(self, request: dict[str, Any]) -> Reply:
        """Read a prompt, block by block."""
        words = str(request["messages"][-1]["content"]).split()
        self.words += len(words)
        digest, missed = hashlib.sha256(), False
        for start in range(0, len(words) - BLOCK_WORDS + 1, BLOCK_WORDS):
            digest.update(" ".join(words[start : start + BLOCK_WORDS]).encode())
            missed = missed or digest.digest() not in self._known
            self.shared += 0 if missed else BLOCK_WORDS
            self._known.add(digest.digest())
        return Reply(content="0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """One way of choosing the replica."""

    way: str
    replicas: int
    calls: int
    busiest: float
    """Calls of the busiest replica, of an even share."""
    shared: float
    """Part of the words that the asked replica had read before, at the same place."""


def prompts_of(number: int, *, seed: int) -> list[tuple[str, Message]]:
    """Every Step-Mask prompt of one question, with the candidate that it is made of."""
    rng = random.Random(f"{seed}/{number}")
    vocabulary = [f"w{n}" for n in range(2000)]

    def text(words: int) -> str:
        return " ".join(rng.choices(vocabulary, k=words))

    question = Question(id=f"q{number}", question=text(rng.randint(40, 120)), answer="42")
    found = []
    for candidate in range(CANDIDATES):
        steps = "\n".join(f"## {text(4)}\n{text(rng.randint(20, 70))}" for _ in range(STEPS))
        trace = split_steps(f"{steps}\n## Final Answer\n42")
        for level in range(LEVELS):
            (message,) = hint_request(
                question, trace, level=level, granularity=LEVELS, prompts=PromptSet()
            )
            found.append((f"{question.id} {candidate}", message))
    return found


async def routed(way: str, *, questions: int, replicas: int, seed: int) -> Routed:
    """Send every prompt to the replica that one way chooses."""
    caches = [PrefixCache() for _ in range(replicas)]
    rng, gate = random.Random(seed), asyncio.Semaphore(_AT_ONCE)
    with ExitStack() as stack:
        servers = [stack.enter_context(LoopbackServer(one.answer)) for one in caches]
        urls = tuple(server.base_url for server in servers)
        model = OpenAIModel(
            ModelSpec(backend=Backend.OPENAI, model="m", base_urls=urls), api_key=""
        )

        async def ask(candidate: str, message: Message) -> None:
            affinity = {
                "question": candidate.partition(" ")[0],
                "candidate": candidate,
                "random": str(rng.random()),
            }[way]
            async with gate:
                await model.chat([message], sampling=Sampling(), draw=0, affinity=affinity)

        calls = [pair for n in range(questions) for pair in prompts_of(n, seed=seed)]
        await gather_all([ask(candidate, message) for candidate, message in calls])
        await model.aclose()
        counts = [len(server.requests) for server in servers]
    words = sum(one.words for one in caches)
    return Routed(
        way=way,
        replicas=replicas,
        calls=sum(counts),
        busiest=max(counts) * replicas / sum(counts),
        shared=sum(one.shared for one in caches) / words,
    )


def show(found: Sequence[Routed], console: Console) -> None:
    """A table."""
    table = Table("replica chosen by", "replicas", "calls", "busiest", "prompt words shared")
    for one in found:
        row = (f"{one.replicas}", f"{one.calls:,}", f"{one.busiest:.2f}", f"{one.shared:.1%}")
        table.add_row(one.way, *row)
    console.print(table)


def main() -> None:
    """Ask in three ways and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    sizes = {"questions": options.questions, "replicas": options.replicas, "seed": options.seed}
    found = [asyncio.run(routed(way, **sizes)) for way in WAYS]
    show(found, Console())
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
