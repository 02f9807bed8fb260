"""What a build costs beside its models: seconds and memory by size, with and without the engine.

Builds on a model that answers at once, each in a process of its own, side by side::

    python benchmarks/builds.py                                  # 100, 1,000 and 10,000 questions
    python benchmarks/builds.py --sizes 1000 --latency-ms 50 --repeats 3   # the engine's share
    python benchmarks/builds.py --sizes 100000 --modes on --no-store

*off* sends the same shards through the same stages without the task engine. Every build is made
twice: the second one finds everything ready. With `--repeats` all of it is done several times, in
turns, and medians are shown. Whether a masked hint helps is drawn by a hash of the prompt. Memory
is the most that the building process held; the engine's server is another process.
"""

import argparse
import asyncio
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.kill_builds import engine_server
from weak2wise_core.config import ModelSpec, Recipe
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage

REPOSITORY = Path(__file__).resolve().parents[1]
THINKING = "We look at the numbers and add them with care. " * 60
HELPS = 110
"""Of 256 masked hints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One build."""

    questions: int
    engine: str
    again: bool
    """Whether an earlier build had made it all."""
    calls: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    version: str

    @property
    def key(self) -> tuple[int, bool]:
        """What two builds have in common that differ by the engine alone."""
        return self.questions, self.again


class InstantModel:
    """Teachers that know the answer, and a weak model whom some hints help."""

    def __init__(self, spec: ModelSpec, *, delay_s: float) -> None:
        self.identity = {"mock": spec.model}
        self._strong = spec.model != "weak"
        self._delay_s = delay_s

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """A reply that follows from the request."""
        await asyncio.sleep(self._delay_s)
        text = messages[-1].content
        if self._strong:
            return _reply(f"## Adding\n{THINKING[:400]}{draw}\n## Final Answer\n42", THINKING)
        lot = hashlib.blake2b(text.encode(), digest_size=1).digest()[0]
        helped = "## Hint" in text and lot < HELPS
        return _reply(f"\\boxed{{{42 if helped else 0}}}", None)

    async def aclose(self) -> None:
        """Nothing is open."""


def _reply(content: str, reasoning: str | None) -> ChatReply:
    usage = Usage(prompt_tokens=100, completion_tokens=50)
    return ChatReply(
        content=content,
        reasoning=reasoning,
        finish_reason=FinishReason.STOP,
        usage=usage,
        model="mock",
    )


def recipe_for(questions: Path, *, in_flight: int) -> Recipe:
    """Two teachers with three draws each, as in the paper."""
    model = {"backend": "testbed", "model": "weak"}
    tokenizer = str(REPOSITORY / "testbed" / "weak_model")
    return parse_recipe(
        {
            "dataset": "mock",
            "questions": {"path": str(questions)},
            "models": {
                "weak": model | {"tokenizer": tokenizer},
                "strong": [model | {"model": name, "name": name} for name in ("a", "b")],
            },
            "judging": {"method": "rule"},
            "truncation": {"method": "rule"},
            "execution": {"in_flight": in_flight, "speculate": "never"},
        }
    )


class Plain:
    """A stage without the task engine."""

    def __init__(self, stage: Any) -> None:
        self.name = stage.name
        self.cache_policy = None
        self._function = stage.fn.__wrapped__  # without the making of the engine's files

    async def __call__(self, **inputs: Any) -> Any:
        """Run the stage's coroutine with its inputs as they are."""
        from prefect.utilities.annotations import quote

        plain = {k: v.unwrap() if isinstance(v, quote) else v for k, v in inputs.items()}
        return await self._function(**plain)


def build_here(options: argparse.Namespace) -> Built:
    """Build in this process."""
    import tasks.identities
    import tasks.runtime
    from tasks.loops import run
    from tasks.progress import Progress

    def opened(spec: ModelSpec, **_: Any) -> InstantModel:
        return InstantModel(spec, delay_s=options.latency_ms / 1000)

    tasks.runtime.open_model = opened
    tasks.identities.local_model = opened
    if options.no_store:
        _leave_the_store_out()
    recipe = recipe_for(options.questions, in_flight=options.in_flight)
    progress, started, spent = Progress(), time.perf_counter(), time.process_time()
    build = _with_engine if options.engine == "on" else _without_engine
    version = run(build(recipe, progress))
    return Built(
        questions=options.count,
        engine=options.engine,
        again=options.again,
        calls=progress.calls,
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - spent,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        version=version,
    )


def _leave_the_store_out() -> None:
    from tasks.runtime import Runtime

    original = Runtime.__init__

    def without(self: Runtime, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.gateway.store = None

    Runtime.__init__ = without  # type: ignore[method-assign]


async def _with_engine(recipe: Recipe, progress: Any) -> str:
    from flows.build import PROGRESS, weak2wise

    PROGRESS.set(progress)
    state: Any = await weak2wise(recipe, return_state=True)
    assert state.is_completed(), state.message
    return str((await state.aresult()).version)


async def _without_engine(recipe: Recipe, progress: Any) -> str:
    from flows import build, travelling
    from flows.road import Stages
    from tasks.load_questions import load_questions
    from tasks.runtime import data_folder, open_runtime
    from tasks.shards import ShardResult
    from weak2wise_core.dataset.publishing import publish
    from weak2wise_core.sharding import shards_of
    from weak2wise_core.stores.files import scratch_folder

    stages_of = Stages.of
    Stages.of = lambda runtime: Stages(*map(Plain, stages_of(runtime)))  # type: ignore[method-assign, arg-type]
    async with open_runtime(recipe, data=data_folder(), progress=progress) as runtime:
        loaded = await load_questions.fn(recipe)
        largest = recipe.execution.shard_size(len(loaded.questions))
        results: list[ShardResult] = []
        with scratch_folder(runtime.data / "shards" / "loose") as scratch:
            await travelling.travel(
                shards_of(loaded.questions, largest=largest),
                runtime=runtime,
                luggage=travelling.Luggage(),
                scratch=scratch,
                done=results.append,
            )
            contents = build.contents_of(loaded, results, runtime=runtime)
            published = await asyncio.to_thread(publish, contents, root=runtime.data / "datasets")
    return published.version


def build_apart(count: int, options: argparse.Namespace, folder: Path, **how: Any) -> Built:
    """Build in a process of its own."""
    questions = folder / f"{count}.jsonl"
    if not questions.exists():
        rows = (
            {"id": f"q{n}", "question": f"Item {n}: how many is it with all parts?", "answer": "42"}
            for n in range(count)
        )
        questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, __file__, "--child", "--questions", str(questions)]
    command += ["--count", str(count), "--engine", how["engine"]]
    command += ["--in-flight", str(options.in_flight), "--latency-ms", str(options.latency_ms)]
    command += ["--no-store"] if options.no_store else []
    command += ["--again"] if how["again"] else []
    data = folder / f"data-{count}-{how['engine']}-{how['repeat']}"
    environment = {**os.environ, **how["environment"], "WEAK2WISE_DATA": str(data)}
    environment |= {"PREFECT_LOGGING_LEVEL": "ERROR", "PYTHONPATH": str(REPOSITORY)}
    environment["WEAK2WISE_FOLDERS"] = os.pathsep.join((str(folder), str(REPOSITORY)))
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return Built(**json.loads(done.stdout.splitlines()[-1]))


def medians(found: Sequence[Built]) -> list[Built]:
    """One for each kind of build: the medians of its repeats."""
    kinds: dict[tuple[int, bool, str], list[Built]] = {}
    for one in found:
        kinds.setdefault((*one.key, one.engine), []).append(one)
    figures = ("seconds", "cpu_seconds", "peak_mib")
    return [
        replace(same[0], **{name: median(getattr(one, name) for one in same) for name in figures})
        for same in kinds.values()
    ]


def show(found: Sequence[Built], console: Console) -> None:
    """A table, with what the engine adds."""
    table = Table("questions", "engine", "", "calls", "s", "CPU s", "s / 1,000", "MiB", "share")
    for one in found:
        base = [b for b in found if b.key == one.key and b.engine == "off"]
        share = (
            "" if one.engine == "off" or not base else f"{1 - base[0].seconds / one.seconds:.0%}"
        )
        table.add_row(
            f"{one.questions:,}",
            one.engine,
            "again" if one.again else "",
            f"{one.calls:,}",
            f"{one.seconds:.1f}",
            f"{one.cpu_seconds:.1f}",
            f"{1000 * one.seconds / one.questions:.1f}",
            f"{one.peak_mib:.0f}",
            share,
        )
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--modes", nargs="+", choices=("on", "off"), default=["off", "on"])
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--no-store", action="store_true", help="keep no replies")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    for name in ("--child", "--again"):
        parser.add_argument(name, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--questions", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Build in every size and mode, twice, and compare."""
    options = _options()
    if options.child:
        print(json.dumps(asdict(build_here(options))))
        return
    found: list[Built] = []
    with tempfile.TemporaryDirectory() as name, engine_server(Path(name) / "engine") as server:
        kinds = product(options.sizes, range(options.repeats), options.modes, (False, True))
        for count, repeat, engine, again in kinds:
            how = {"engine": engine, "again": again, "repeat": repeat, "environment": server}
            found.append(build_apart(count, options, Path(name), **how))
    show(medians(found), Console())
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
