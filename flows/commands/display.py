"""What a person sees of a build: bars while it runs, one screen when it is done."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasks.progress import STAGES, Progress

TITLES = {
    "filter_qa": "filter",
    "generate_candidates": "generate",
    "score_step_masks": "step-mask",
    "select_golden": "select",
    "truncate_golden": "truncate",
    "format_sft": "format",
}
_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def watching(progress: Progress, console: Console) -> Iterator[None]:
    """Show a build while the block runs: live bars on a terminal, a line now and then elsewhere."""
    started = time.monotonic()
    if console.is_terminal:
        screen = Screen(progress, started)
        with Live(screen, console=console, refresh_per_second=5, transient=True):
            yield
        return
    over = threading.Event()

    def report() -> None:
        while not over.wait(_SECONDS_BETWEEN_LINES):
            console.print(line(progress, time.monotonic() - started), soft_wrap=True)

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        over.set()
        reporter.join()


class Screen:
    """The live display; drawn anew several times a second."""

    def __init__(self, progress: Progress, started: float) -> None:
        self._progress = progress
        self._started = started

    def __rich__(self) -> RenderableType:
        progress, seconds = self._progress, time.monotonic() - self._started
        if not progress.questions:
            return Text(f"starting the task engine and reading questions ... {seconds:.0f} s")
        table = Table.grid(padding=(0, 2))
        for stage in STAGES:
            done, total = progress.left(stage), progress.entered[stage]
            cached = f"{progress.cached[stage]} cached" if progress.cached[stage] else ""
            bar = ProgressBar(total=max(total, 1), completed=done, width=30)
            table.add_row(TITLES[stage], bar, f"{done}/{total} questions", Text(cached, "dim"))
        return Group(table, Text(account_line(progress, seconds)))


def line(progress: Progress, seconds: float) -> str:
    """One line for logs and pipes."""
    stages = ", ".join(
        f"{TITLES[stage]} {progress.left(stage)}/{progress.entered[stage]}"
        for stage in STAGES
        if progress.entered[stage]
    )
    return f"{stages or 'starting'} | {account_line(progress, seconds)}"


def account_line(progress: Progress, seconds: float) -> str:
    """Calls, tokens and money so far."""
    rate = progress.calls / seconds if seconds else 0.0
    return (
        f"{progress.calls:,} calls ({rate:,.0f}/s), {progress.stored:,} from the reply store, "
        f"{progress.tokens:,} tokens, {progress.usd:.4f} USD, {seconds:.0f} s"
    )


def show_result(facts: Mapping[str, Any], console: Console) -> None:
    """Where the dataset is, what went where, and what it cost, on one screen."""
    console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"), soft_wrap=True)
    if "counts" in facts:
        console.print(_stations(facts))
        console.print(_teachers(facts))
    console.print(_account(facts["run"]))
    run = facts["run"]
    console.print(
        f"{run['calls']:,} calls paid in this run, {run['stored']:,} answered by the reply store, "
        f"{run['tokens']:,} tokens, {run['usd']:.4f} USD, {run['seconds']:.1f} s"
    )


def _stations(facts: Mapping[str, Any]) -> Table:
    table = Table("questions", "", title="Where the questions went", title_justify="left")
    table.columns[0].justify = "right"
    counts = facts["counts"]
    table.add_row(str(counts["rows"]), "rows in")
    table.add_row(str(counts["solved"]), "solved by the weak model alone")
    for kind in ("dropped", "quarantined"):
        for stage, reasons in facts[kind].items():
            for reason, count in reasons.items():
                table.add_row(str(count), Text(f"{kind}: {reason} ({TITLES.get(stage, stage)})"))
    table.add_row(str(counts["train"]), "trained on", style="bold")
    return table


def _teachers(facts: Mapping[str, Any]) -> Table:
    table = Table("strong model", "golden", "refused", "", title="Teachers", title_justify="left")
    golden, refused = facts["golden"]["by_strong_model"], facts["candidates_refused"]
    for name in sorted(set(golden) | set(refused)):
        reasons = refused.get(name, {})
        named = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        table.add_row(name, str(golden.get(name, 0)), str(sum(reasons.values())), named)
    return table


def _account(run: Mapping[str, Any]) -> Table:
    table = Table(
        "stage", "model", "calls", "stored", "tokens in", "tokens out", "USD",
        title="What this run asked", title_justify="left",
    )  # fmt: skip
    for row in run["accounts"]:
        table.add_row(
            TITLES.get(row["stage"], row["stage"]),
            row["model"],
            f"{row['calls']:,}",
            f"{row['stored']:,}",
            f"{row.get('prompt_tokens', 0):,}",
            f"{row.get('completion_tokens', 0):,}",
            f"{row['usd']:.4f}",
        )
    return table
