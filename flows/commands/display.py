"""What a person sees of a build: bars while it runs, one screen when it is done."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.commands.numbers import WIDEST, money, short
from tasks.local_models import sentence
from tasks.progress import STAGES, Progress

TITLES = {
    "filter_qa": "filter",
    "generate_candidates": "generate",
    "score_step_masks": "step-mask",
    "select_golden": "select",
    "truncate_golden": "truncate",
    "format_sft": "format",
    "measure_traces": "read traces",
}
READING = "measure_traces"
_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def watching(
    progress: Progress, console: Console, *, stages: Sequence[str] = STAGES
) -> Iterator[None]:
    """Show a build while the block runs: live bars on a terminal, a line now and then elsewhere."""
    started = time.monotonic()
    if console.is_terminal:
        screen = Screen(progress, started, stages=stages)
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

    def __init__(
        self, progress: Progress, started: float, *, stages: Sequence[str] = STAGES
    ) -> None:
        self._progress = progress
        self._stages = stages
        self._started = started

    def __rich__(self) -> RenderableType:
        progress, seconds = self._progress, time.monotonic() - self._started
        if not progress.questions:
            return Text(f"starting the task engine and reading questions ... {seconds:.0f} s")
        table = Table.grid(padding=(0, 2))
        for stage in _shown(self._stages, progress):
            done, total = progress.left(stage), progress.entered[stage]
            cached = f"{progress.cached[stage]} cached" if progress.cached[stage] else ""
            bar = ProgressBar(total=max(total, 1), completed=done, width=30)
            table.add_row(TITLES[stage], bar, f"{done}/{total} questions", Text(cached, "dim"))
        return Group(table, Text(account_line(progress, seconds)))


def line(progress: Progress, seconds: float) -> str:
    """One line for logs and pipes."""
    stages = ", ".join(
        f"{TITLES[stage]} {progress.left(stage)}/{progress.entered[stage]}"
        for stage in _shown(STAGES, progress)
        if progress.entered[stage]
    )
    return f"{stages or 'starting'} | {account_line(progress, seconds)}"


def _shown(stages: Sequence[str], progress: Progress) -> list[str]:
    """The stages, and before the selection the reading of traces where a selector needs it."""
    reads = bool(progress.entered[READING])
    return [
        one
        for stage in stages
        for one in ([READING, stage] if reads and stage == "select_golden" else [stage])
    ]


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
    run = facts["run"]
    print_account(run["accounts"], console, title="What this run asked")
    console.print(
        f"{run['calls']:,} calls paid in this run, {run['stored']:,} answered by the reply store, "
        f"{run['tokens']:,} tokens{_parts(run)}, {run['usd']:.4f} USD, {run['seconds']:.1f} s"
    )
    show_local(run["local"], console)
    show_warnings(facts["model_changes"], console)


def show_local(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """How fast and how full the models were that worked in this process."""
    for row in rows:
        console.print(sentence(row), soft_wrap=True)


def _parts(run: Mapping[str, Any]) -> str:
    """The tokens that were cached or spent on thinking, where there are any."""
    named = (("cached", run["cached_tokens"]), ("reasoning", run["reasoning_tokens"]))
    found = [f"{count:,} {name}" for name, count in named if count]
    return f" (of them {', '.join(found)})" if found else ""


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


def page() -> Console:
    """Where results go: the terminal as wide as it is, a file or a pipe as wide as our tables."""
    console = Console()
    narrow = not console.is_terminal and "COLUMNS" not in os.environ
    return Console(width=WIDEST) if narrow else console


def print_account(rows: Sequence[Mapping[str, Any]], console: Console, *, title: str) -> None:
    """Calls, tokens and money by stage and model, at most 100 columns wide.

    Cached and reasoning tokens, where there are any, stand behind the figure that they are a part
    of; on a narrow screen below it.
    """
    there = [name for name in _PARTS if any(row.get(f"{name}_tokens") for row in rows)]
    width = min(console.width, WIDEST)
    beside = len(there) < len(_PARTS) or width >= _WIDE
    table = Table(title=title, title_justify="left", pad_edge=width >= _WIDE)
    table.add_column("stage", no_wrap=True)
    table.add_column("model", overflow="fold")
    for head in _heads(there, beside=beside):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            TITLES.get(row["stage"], row["stage"]),
            row["model"],
            short(row["calls"]),
            short(row["stored"]),
            *_tokens(row, there, beside=beside),
            money(row["usd"]),
        )
    console.print(table, width=width)


_WHOLES = {"cached": ("prompt", "tokens\nin"), "reasoning": ("completion", "tokens\nout")}
_PARTS = tuple(_WHOLES)
_WIDE = 90


def _heads(there: Sequence[str], *, beside: bool) -> list[str]:
    tokens: list[str] = []
    for part, (_, head) in _WHOLES.items():
        below = f"{head}\n({part})" if part in there and not beside else head
        tokens += [below, part] if part in there and beside else [below]
    return ["calls", "stored", *tokens, "USD"]


def _tokens(row: Mapping[str, Any], there: Sequence[str], *, beside: bool) -> list[str]:
    cells: list[str] = []
    for part, (whole, _) in _WHOLES.items():
        figure, share = (short(row.get(f"{name}_tokens", 0)) for name in (whole, part))
        if part not in there:
            cells.append(figure)
        else:
            cells += [figure, share] if beside else [f"{figure}\n({share})"]
    return cells


def show_warnings(changes: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Say which models answer under other ids than before."""
    for change in changes:
        text = Text.assemble(("warning", "yellow"), f": {change['sentence']}")
        console.print(text, soft_wrap=True)
