"""What a person sees of an ablation: one line while it runs, its tables when it is done."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from flows.commands.display import READING, show_paid
from flows.commands.display import line as build_line
from flows.commands.numbers import duration, time_left
from flows.commands.saying import one_line
from flows.commands.tables import print_table

if TYPE_CHECKING:
    from tasks.ablating import AblationProgress
    from weak2wise_core.ablation.results import AblationResult


def watching(progress: "AblationProgress", console: Console) -> AbstractContextManager[None]:
    """Say how far the ablation is, now and then; on a terminal in one line that changes."""
    return one_line(lambda seconds: line(progress, seconds), console)


def run_facts(state: Any, progress: "AblationProgress", *, seconds: float) -> dict[str, Any]:
    """What a script wants to know of a run that trains arms."""
    return {
        "state": state.name,
        "message": state.message or "",
        "run": {
            "trained": progress.trained - progress.left_trained,
            "evaluated": progress.evaluated,
            "known": progress.known,
            **progress.sums,
            "seconds": round(seconds, 3),
        },
    }


def line(progress: "AblationProgress", seconds: float) -> str:
    """One line: what is being done, and how much of it is left."""
    if progress.phase == "building the dataset":
        return build_line(progress.build, seconds)
    if not progress.evaluations:
        read, to_read = progress.preparing.left(READING), progress.preparing.entered[READING]
        reading = f" {read}/{to_read}" if read < to_read else ""
        return f"{progress.phase}{reading}, {progress.sums['calls']:,} calls, {seconds:.0f} s"
    done = (progress.trained + progress.evaluated) / (progress.trainings + progress.evaluations)
    steps = ", ".join(f"{e.job} {e.step}/{e.steps}" for e in list(progress.running.values()))
    return (
        f"trained {progress.trained}/{progress.trainings}, evaluated "
        f"{progress.evaluated}/{progress.evaluations}, known {progress.known}"
        f"{f' | {steps}' if steps else ''} | {duration(seconds)}{time_left(done, seconds)}"
    )


def show(facts: dict[str, Any], result: "AblationResult | None", console: Console) -> None:
    """The tables, every ordering that fails, and where the rest lies."""
    from weak2wise_core.ablation.results import benchmarks

    console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"), soft_wrap=True)
    run = facts["run"]
    if result is None:
        show_paid(run, console)
        return
    for benchmark in benchmarks(result):
        _show_benchmark(result, benchmark, console)
    for pool in result.pools:
        left_out = ", ".join(f"{count} {reason}" for reason, count in pool.left_out.items())
        console.print(
            f"pool {pool.name}: {pool.questions} questions; left out of every arm: "
            f"{left_out or 'none'}",
            soft_wrap=True,
        )
    console.print(
        f"{run['trained']} models trained, {run['evaluated']} evaluated, {run['known']} known from "
        "earlier runs"
    )
    show_paid(run, console)


def _show_benchmark(result: "AblationResult", benchmark: str, console: Console) -> None:
    from weak2wise_core.ablation.results import (
        ARM_HEAD,
        DIFFERENCE_HEAD,
        arm_table,
        difference_table,
        disorder_lines,
    )

    arms = arm_table(result, benchmark=benchmark)
    differences = difference_table(result, benchmark=benchmark)
    for pool in dict.fromkeys(row[0] for row in arms if row[0]):
        _show(f"Accuracy on {benchmark}, pool {pool}", ARM_HEAD, _of(pool, arms), console)
        _show(f"Differences, pool {pool}", DIFFERENCE_HEAD, _of(pool, differences), console)
    for sentence in disorder_lines(result, benchmark=benchmark):
        console.print(Text(sentence), soft_wrap=True)


def _of(pool: str, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The lines of a pool, the base model's among them, without the pool's name."""
    return [row[1:] for row in rows if row[0] in (pool, "")]


def _show(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]], console: Console) -> None:
    """Print the lines of one pool; only the last column may be broken into lines."""
    print_table(title, head[1:], rows, console, whole=head[1:-1])
