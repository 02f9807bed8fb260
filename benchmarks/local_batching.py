"""A local model asked one at a time, in plain batches and in continuous batches, side by side.

The testbed's weak model, on this machine, with the same requests for each way::

    python benchmarks/local_batching.py                 # on the CPU
    python benchmarks/local_batching.py --device cuda   # where there is one

*Hints* are Step-Mask prompts: the hints of a question begin alike, and replies are short. *Unequal*
are the same prompts at a temperature at which the model babbles, up to limits from 8 to 192 tokens,
so that a plain batch waits for its longest reply. The ways take turns; the figures are medians. The
replies of all ways are compared: in float32 they must be equal. On a GPU `auto` measures the two
ways on its own work; here both are always shown.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from testbed.models import WEAK_MODEL_FOLDER
from testbed.questions import pool_questions
from testbed.teachers import Teacher, teach
from weak2wise_core.config import Backend, Batching, ModelSpec
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.measuring import LocalStats
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import ChatReply, Message
from weak2wise_core.stages.wording import hint_request
from weak2wise_core.steps import split_steps

GRANULARITY = 6
BABBLE = 5.0
"""A temperature at which the model says nearly anything, and so seldom ends."""

Request = tuple[list[Message], Sampling]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of asking."""

    name: str
    batching: Batching
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way, one kind of work; medians over the rounds."""

    work: str
    way: str
    device: str
    requests: int
    wall_s: float
    cpu_s: float
    tokens_per_s: float
    """Generated tokens per second of wall time."""
    slots_used: float
    busy_share: float
    same_replies: int
    """Replies that are equal to those of one request at a time."""


def hints(questions: int) -> list[list[Message]]:
    """Every mask level of one trace for each question."""
    asked = []
    for question in pool_questions(count=questions, seed=1):
        steps = split_steps(teach(question.question, teacher=Teacher.A, draw=0).steps)
        asked += [
            hint_request(question, steps, level=level, granularity=GRANULARITY, prompts=PromptSet())
            for level in range(GRANULARITY)
        ]
    return asked


def works(questions: int) -> dict[str, list[Request]]:
    """Short replies of like length, and long ones of unlike length."""
    rng = random.Random(1)
    asked = hints(questions)
    short = Sampling(temperature=0.0, max_tokens=192)
    return {
        "hints": [(messages, short) for messages in asked],
        "unequal": [
            (messages, Sampling(temperature=BABBLE, max_tokens=rng.randint(8, 192)))
            for messages in asked[: len(asked) * 2 // 3]
        ],
    }


async def ask(
    way: Way, work: Sequence[Request], device: str
) -> tuple[list[ChatReply], list[float], LocalStats]:
    """All replies of one way; wall and CPU seconds without loading, and its own figures."""
    spec = ModelSpec(
        backend=Backend.TRANSFORMERS,
        model=str(WEAK_MODEL_FOLDER),
        device=device,
        dtype="float32",
        batching=way.batching,
        batch_size=way.batch_size,
    )
    model = TransformersModel(spec)
    messages, sampling = work[0]
    await model.chat(messages, sampling=sampling, draw=1)  # loads and warms up
    wall, cpu = time.perf_counter(), time.process_time()
    calls = [model.chat(messages, sampling=sampling, draw=0) for messages, sampling in work]
    replies = list(await asyncio.gather(*calls))
    seconds = [time.perf_counter() - wall, time.process_time() - cpu]
    stats = model.stats()
    await model.aclose()
    return replies, seconds, stats


def compare(
    name: str, work: Sequence[Request], *, ways: Sequence[Way], rounds: int, device: str
) -> list[Measured]:
    """The ways in turn, several times."""
    alone: list[ChatReply] = []
    times: dict[str, list[list[float]]] = {way.name: [] for way in ways}
    last: dict[str, tuple[list[ChatReply], LocalStats]] = {}
    for _ in range(rounds):
        for way in ways:
            replies, seconds, stats = asyncio.run(ask(way, work, device))
            alone = alone or replies
            times[way.name].append(seconds)
            last[way.name] = (replies, stats)
    return [
        _measured(name, way, times[way.name], last[way.name], alone=alone, device=device)
        for way in ways
    ]


def _measured(
    work: str,
    way: Way,
    times: Sequence[Sequence[float]],
    last: tuple[list[ChatReply], LocalStats],
    *,
    alone: Sequence[ChatReply],
    device: str,
) -> Measured:
    replies, stats = last
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    return Measured(
        work=work,
        way=way.name,
        device=device,
        requests=len(replies),
        wall_s=wall,
        cpu_s=cpu,
        tokens_per_s=sum(reply.usage.completion_tokens for reply in replies) / wall,
        slots_used=stats.slots_used,
        busy_share=stats.busy_share,
        same_replies=sum(map(ChatReply.__eq__, replies, alone)),
    )


def show(found: Sequence[Measured], console: Console) -> None:
    """Seconds, tokens a second and the share of slots that gave tokens."""
    table = Table(
        "work", "way", "calls", "wall s", "CPU s", "tokens/s", "of plain", "slots", "same"
    )
    plain = {one.work: one.tokens_per_s for one in found if one.way == "plain"}
    for one in found:
        table.add_row(
            one.work,
            one.way,
            str(one.requests),
            f"{one.wall_s:.1f}",
            f"{one.cpu_s:.1f}",
            f"{one.tokens_per_s:,.0f}",
            f"{one.tokens_per_s / plain[one.work]:.2f}",
            f"{one.slots_used:.0%}",
            "all" if one.same_replies == one.requests else str(one.same_replies),
        )
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=30, help="six hints each")
    parser.add_argument("--batch-size", type=int, default=64, help="requests at once")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, write JSON; fail where a reply depends on the way."""
    options = _options()
    ways = (
        Way(name="one at a time", batching=Batching.PLAIN, batch_size=1),
        Way(name="plain", batching=Batching.PLAIN, batch_size=options.batch_size),
        Way(name="continuous", batching=Batching.CONTINUOUS, batch_size=options.batch_size),
    )
    found = [
        measured
        for name, work in works(options.questions).items()
        for measured in compare(name, work, ways=ways, rounds=options.rounds, device=options.device)
    ]
    show(found, Console(width=100))
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    if any(one.same_replies < one.requests for one in found) and options.device == "cpu":
        sys.exit("replies depend on the way of batching")


if __name__ == "__main__":
    main()
