"""What a person sees of a build: bars while it runs, one screen when it is done."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.commands.numbers import WIDEST, duration, money, short, time_left
from flows.commands.saying import now_and_then
from tasks.local_models import sentence
from tasks.progress import STAGES, Progress, fraction_done
from weak2wise_core.accounts import known

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
_OTHER_LINES = 17
"""Lines of a result beside the reasons to leave and the models that were asked."""
_PLAIN: dict[str, Any] = {"box": None, "title_justify": "left", "padding": (0, 2, 0, 0)}


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
    with now_and_then(
        lambda: console.print(line(progress, time.monotonic() - started), soft_wrap=True)
    ):
        yield


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
    """Calls, their rate, tokens and money so far, and how long it may still take."""
    rate, calls = progress.calls / seconds if seconds else 0.0, progress.calls
    tokens = known(f"{progress.tokens:,}", missing=progress.uncounted, calls=calls)
    usd = known(f"{progress.usd:.4f}", missing=progress.unpriced, calls=calls)
    return (
        f"{calls:,} calls ({rate:,.0f}/s), {progress.stored:,} from the reply store, "
        f"{tokens} tokens, {usd} USD, {duration(seconds)}"
        f"{time_left(fraction_done(progress), seconds)}"
    )


def show_result(facts: Mapping[str, Any], console: Console) -> None:
    """Where dataset and report are, what went where, and what it cost, on one screen."""
    console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"), soft_wrap=True)
    if "report" in facts:
        console.print(Text(f"Report: {facts['report']}"), soft_wrap=True)
    if "counts" in facts:
        console.print()
        console.print(_side_by_side(_stations(facts, most=_room(facts, console)), _teachers(facts)))
        console.print(audit_line(facts["audits"]))
    run = facts["run"]
    console.print()
    print_account(run["accounts"], console, title="What this run asked")
    tokens, usd = (
        _known(run, "tokens", f"{run['tokens']:,}"),
        _known(run, "usd", f"{run['usd']:.4f}"),
    )
    console.print(
        f"{run['calls']:,} calls paid in this run, {run['stored']:,} answered by the reply store, "
        f"{tokens} tokens{_parts(run)}, {usd} USD, {run['seconds']:.1f} s"
    )
    show_uncounted(run, console)
    show_lost(run, console)
    show_local(run["local"], console)
    show_warnings(facts["model_changes"], console)


_MISSING_IN = {"tokens": "uncounted", "usd": "unpriced"}


def _known(row: Mapping[str, Any], what: str, text: str) -> str:
    """A figure of tokens or money, unknown where no reply counted what it took."""
    return known(text, missing=row.get(_MISSING_IN[what], 0), calls=row["calls"])


def show_uncounted(run: Mapping[str, Any], console: Console) -> None:
    """Say how many replies came without token counts, if any did."""
    if run["uncounted"]:
        console.print(
            f"{run['uncounted']:,} of {run['calls']:,} paid calls came without token counts "
            "(`usage`): what they took is in none of these figures; a budget holds them at the most"
        )


def show_paid(run: Mapping[str, Any], console: Console) -> None:
    """What a run paid, in one line, and what of it is not known."""
    usd = _known(run, "usd", f"{run['usd']:.4f}")
    console.print(
        f"{run['calls']:,} calls paid in this run, {run['stored']:,} answered by the reply store, "
        f"{usd} USD, {run['seconds']:.0f} s"
    )
    show_lost(run, console)


def show_lost(run: Mapping[str, Any], console: Console) -> None:
    """Say how many tries gave no reply and may be charged for, if any did."""
    if run["lost"]:
        console.print(
            f"{run['lost']:,} tries gave no reply and may be charged for all the same (cut, broken "
            f"off or given up): {run['lost_usd']:.4f} USD at the most, in none of these figures; "
            "a budget counts them"
        )


def show_local(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """How fast and how full the models were that worked in this process."""
    for row in rows:
        console.print(sentence(row), soft_wrap=True)


def _parts(run: Mapping[str, Any]) -> str:
    """The tokens that were cached or spent on thinking, where there are any."""
    named = (("cached", run["cached_tokens"]), ("reasoning", run["reasoning_tokens"]))
    found = [f"{count:,} {name}" for name, count in named if count]
    return f" (of them {', '.join(found)})" if found else ""


def _side_by_side(*parts: RenderableType) -> Table:
    """Tables beside each other; where they do not fit their columns become narrower."""
    grid = Table.grid(padding=(0, 4))
    grid.add_row(*parts)
    return grid


def _room(facts: Mapping[str, Any], console: Console) -> int:
    """How many reasons to leave the screen has room for."""
    if not console.is_terminal:
        return len(_reasons(facts))
    return max(1, console.height - _OTHER_LINES - len(facts["run"]["accounts"]))


def _stations(facts: Mapping[str, Any], *, most: int) -> Table:
    table = Table(title="Where the questions went", **_PLAIN)
    table.add_column(justify="right")
    table.add_column()
    counts = facts["counts"]
    table.add_row(str(counts["rows"]), "rows in")
    table.add_row(str(counts["solved"]), "solved by the weak model alone")
    left = _reasons(facts)
    for count, what in left[:most]:
        table.add_row(str(count), Text(what))
    if others := sum(count for count, _ in left[most:]):
        table.add_row(str(others), "for other reasons: see the report")
    table.add_row(str(counts["train"]), "trained on", style="bold")
    return table


def _reasons(facts: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Why questions left, the most frequent reason first."""
    found = [
        (count, f"{kind}: {reason} ({TITLES.get(stage, stage)})")
        for kind in ("dropped", "quarantined")
        for stage, reasons in facts[kind].items()
        for reason, count in reasons.items()
    ]
    return sorted(found, key=lambda pair: -pair[0])


def _teachers(facts: Mapping[str, Any]) -> Table:
    table = Table("strong model", "golden", "refused", title="Teachers", **_PLAIN)
    for column in table.columns[1:]:
        column.justify = "right"
    golden, refused = facts["golden"]["by_strong_model"], facts["candidates_refused"]
    for name in sorted(set(golden) | set(refused)):
        lost = sum(refused.get(name, {}).values())
        table.add_row(Text(name), str(golden.get(name, 0)), str(lost))
    return table


def audit_line(audits: Mapping[str, Mapping[str, Any]]) -> Text:
    """What the audits found, in one line, with what of it is trained on."""
    found = [
        f"{one['found']:,} {name.replace('_', ' ')} ({one['trained_on']:,} trained on)"
        for name, one in audits.items()
        if one["found"]
    ]
    return Text(f"Audits: {', '.join(found) or 'nothing found'}")


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
    table = Table(title=title, title_justify="left", pad_edge=False, box=None)
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
            _known(row, "usd", money(row["usd"])),
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
        figure, share = (
            _known(row, "tokens", short(row.get(f"{name}_tokens", 0))) for name in (whole, part)
        )
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
