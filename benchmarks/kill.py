"""Kill builds and start them again: what is lost, what is paid twice, what stays behind.

    python benchmarks/kill.py                  # 20 rounds with one kill, 3 with several
    python benchmarks/kill.py --in-process     # the same with models in the build's own process

A build of the testbed is killed with SIGKILL, the whole process group at once, at seeded moments
spread over all of its stages, and started again; nothing else is done. Four laws must hold:

1. The dataset folder is byte for byte the one of a build that nobody disturbed.
2. Asked again is only what was in flight at the kill or answered in the 50 ms before it. On a busy
   machine the longest wait of one of the build's threads for a processor is not counted: *older* is
   what was answered earlier than 50 ms before the kill, *too many* the part of it that this does
   not excuse.
3. `weak2wise replies verify` finds the reply store as the kill left it sound.
4. Nothing half-written stays: the data folder has the files of the undisturbed build and no other.

The models are served by this process, which outlives the kills and logs every request; with
`--in-process` nobody can count, and the second law is left out. Exit code 1 if a law is broken or
a stage was never hit.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.kill_builds import REPOSITORY, RigError, engine_server, workplace
from benchmarks.kill_laws import RECENT_S
from benchmarks.kill_models import ServedModels, StoredProgress
from benchmarks.kill_moments import STAGES, chain, moments
from benchmarks.kill_rounds import SOUND, Kill, Reference, Rig, Round
from benchmarks.loopback import LoopbackServer
from testbed.models import MODELS, WEAK, WEAK_MODEL_FOLDER

DATASET = "kill"
_TESTBED = REPOSITORY / "deployments" / "recipes" / "testbed.yaml"
_KILLS_IN_A_CHAIN = (2, 3, 5)
_WIDTH = 150
_COUNTED = ("answered", "in flight", "last 50 ms", "again", "oldest ms", "older", "too many")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do."""

    questions: int = 40
    rounds: int = 20
    chains: int = 3
    """Further rounds in which one build is killed several times."""
    seed: int = 7
    in_process: bool = False


def recipe(plan: Plan, *, url: str) -> dict[str, Any]:
    """The testbed's recipe with its models behind a server."""
    served = {"backend": "openai", "base_urls": [url]}
    weak = {"temperature": 0, "max_tokens": 24, "tokenizer": str(WEAK_MODEL_FOLDER)}
    strong = [
        {"name": name, "model": name, "seed": plan.seed, **served}
        for name in MODELS
        if name != WEAK
    ]
    return {
        **yaml.safe_load(_TESTBED.read_text(encoding="utf-8")),
        "dataset": DATASET,
        "questions": {
            "path": str(REPOSITORY / "testbed" / "questions.jsonl"),
            "limit": plan.questions,
        },
        "models": {"weak": {"model": WEAK, **weak, **served}, "strong": strong},
        "step_mask": {"policy": "race"},
        "execution": {"in_flight": 16, "questions_per_task": 14},
    }


@contextmanager
def served_rig(
    plan: Plan, *, environment: Mapping[str, str], folder: Path, recent_s: float = RECENT_S
) -> Iterator[Rig]:
    """Builds whose models are served, and counted, by this process."""
    models = ServedModels(seed=plan.seed)
    path = folder / "recipe.yaml"
    with LoopbackServer(models.answer, record=False) as server:
        path.write_text(yaml.safe_dump(recipe(plan, url=server.base_url)), encoding="utf-8")
        try:
            yield Rig(
                [str(path)],
                dataset=DATASET,
                environment=environment,
                folder=folder,
                progress=models,
                recent_s=recent_s,
            )
        finally:
            asyncio.run(models.aclose())


def in_process_rig(plan: Plan, *, environment: Mapping[str, str], folder: Path) -> Rig:
    """Builds of the plain testbed recipe, whose models run in the build itself."""
    changes = {
        "dataset": DATASET,
        "questions.limit": plan.questions,
        "execution.questions_per_task": 14,
    }
    arguments = [f"--set={name}={value}" for name, value in changes.items()]
    return Rig(
        [str(_TESTBED), *arguments],
        dataset=DATASET,
        environment=environment,
        folder=folder,
        progress=StoredProgress(),
    )


def play(plan: Plan, rig: Rig, *, reference: Reference) -> Iterator[Round]:
    """All rounds: first those with one kill, then those with several."""
    rng = random.Random(plan.seed)
    single = [[moment] for moment in moments(reference.size, number=plan.rounds, rng=rng)]
    several = [
        chain(reference.size, kills=_KILLS_IN_A_CHAIN[number % len(_KILLS_IN_A_CHAIN)], rng=rng)
        for number in range(plan.chains)
    ]
    for number, places in enumerate([*single, *several], start=1):
        yield rig.play(number, places, reference=reference)


def missed(plan: Plan, rounds: Sequence[Round]) -> list[str]:
    """Stages that no kill hit, where there were enough of them."""
    hit = {kill.stage for played in rounds for kill in played.kills}
    return [stage for stage in STAGES if stage not in hit] if plan.rounds >= 20 else []


def table(rounds: Sequence[Round]) -> Table:
    """One line for each kill."""
    shown = _table("round", "killed in", "at", "after s", *_COUNTED, "store", "dataset", "left")
    for played in rounds:
        for kill in played.kills:
            last = kill is played.kills[-1]
            same = "differs" if played.changed else "same"
            shown.add_row(
                str(played.number),
                kill.stage,
                kill.where,
                f"{kill.after_s:.1f}",
                *_counts([kill]),
                kill.store.verdict[:20],
                *((same, str(len(played.left))) if last else ("", "")),
            )
    return shown


def stage_table(rounds: Sequence[Round]) -> Table:
    """One line for each stage."""
    shown = _table("killed in", "kills", *_COUNTED, "sound stores", "broken laws")
    for stage in (*STAGES, "all"):
        hit = {
            played.number: [kill for kill in played.kills if stage in {kill.stage, "all"}]
            for played in rounds
        }
        kills = [kill for one in hit.values() for kill in one]
        broken = [fault for played in rounds if hit[played.number] for fault in played.faults]
        sound = sum(kill.store.verdict in SOUND for kill in kills)
        shown.add_row(stage, str(len(kills)), *_counts(kills), str(sound), str(len(broken)))
    return shown


def _table(*names: str) -> Table:
    shown = Table()
    for name in names:
        shown.add_column(name, no_wrap=True)
    return shown


def _counts(kills: Sequence[Kill]) -> list[str]:
    """The columns of `_COUNTED`."""
    found = [kill.repeats for kill in kills if kill.repeats is not None]
    if not found:
        return ["-"] * len(_COUNTED)
    oldest = max((one.oldest_ms for one in found if one.oldest_ms is not None), default=None)
    return [
        f"{sum(one.answered for one in found):,}",
        str(sum(one.in_flight for one in found)),
        str(sum(one.recent for one in found)),
        str(sum(one.again for one in found)),
        "-" if oldest is None else f"{oldest:.0f}",
        str(sum(one.older for one in found)),
        str(sum(one.unexplained for one in found)),
    ]


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """The figures of a whole benchmark."""
    kills = [kill for played in rounds for kill in played.kills]
    counted = [kill.repeats for kill in kills if kill.repeats is not None]
    ages = [one.oldest_ms for one in counted if one.oldest_ms is not None]
    return {
        "rounds": len(rounds),
        "kills": len(kills),
        "same_dataset": sum(not played.changed for played in rounds),
        "nothing_left": sum(not played.left for played in rounds),
        "sound_stores": sum(kill.store.verdict in SOUND for kill in kills),
        "answered_before_a_kill": sum(one.answered for one in counted),
        "in_flight_or_recent": sum(one.in_flight + one.recent for one in counted),
        "asked_again": sum(one.again for one in counted),
        "older_than_50_ms": sum(one.older for one in counted),
        "too_many": sum(one.unexplained for one in counted),
        "oldest_ms": max(ages, default=None),
    }


def run(plan: Plan, *, console: Console) -> dict[str, Any]:
    """The whole benchmark in temporary folders; what it found."""
    started = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(workplace())
        environment = stack.enter_context(engine_server(folder / "engine"))
        rig = (
            in_process_rig(plan, environment=environment, folder=folder)
            if plan.in_process
            else stack.enter_context(served_rig(plan, environment=environment, folder=folder))
        )
        reference = rig.undisturbed()
        console.print(f"undisturbed: {reference.seconds:.1f} s, {reference.size}")
        rounds: list[Round] = []
        for played in play(plan, rig, reference=reference):
            rounds.append(played)
            for kill in played.kills:
                console.print(f"{played.number}: {kill.stage}, {kill.where}")
    console.print(table(rounds))
    console.print(stage_table(rounds))
    return {
        "plan": asdict(plan),
        "size": asdict(reference.size),
        "undisturbed_s": reference.seconds,
        "seconds": round(time.monotonic() - started, 1),
        "summary": summary(rounds),
        "stages_missed": missed(plan, rounds),
        "faults": [f"round {one.number}: {fault}" for one in rounds for fault in one.faults],
        "rounds": [asdict(played) for played in rounds],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    usual = Plan()
    parser.add_argument("--questions", type=int, default=usual.questions)
    parser.add_argument("--rounds", type=int, default=usual.rounds, help="with one kill each")
    parser.add_argument("--chains", type=int, default=usual.chains, help="with several kills each")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--in-process", action="store_true", help="models inside the build")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def main() -> None:
    """Run the benchmark and print its table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up
    options = vars(_options())
    file, console = options.pop("json"), Console(width=_WIDTH)
    try:
        found = run(Plan(**options), console=console)
    except RigError as error:
        sys.exit(f"the kill test cannot go on: {error}")
    if file is not None:
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print_json(data=found["summary"] | {"seconds": found["seconds"]})
    for fault in (*found["faults"], *(f"never hit: {stage}" for stage in found["stages_missed"])):
        console.print(f"broken: {fault}")
    sys.exit(bool(found["faults"] or found["stages_missed"]))


if __name__ == "__main__":
    main()
