"""What a person sees of a plan and of its pilot."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.commands.display import TITLES, print_account, show_lost, show_warnings
from flows.commands.numbers import WIDEST, short, span, usd_span
from weak2wise_core.accounts import known
from weak2wise_core.config import BudgetSettings, Speculation
from weak2wise_core.planning.forecast import CONFIDENCE, Expected
from weak2wise_core.planning.lengths import CHARS_PER_TOKEN, TYPICAL_REPLY
from weak2wise_core.planning.plan import Plan, PlannedCalls

_PERCENT = round(100 * CONFIDENCE)


def announce_pilot(ahead: Plan, budget: BudgetSettings, console: Console) -> None:
    """Say what a pilot costs at most, before it asks anything."""
    if not ahead.most:
        console.print(f"The store answers the pilot's {ahead.questions} questions: nothing to pay.")
        return
    money = ahead.usd("usd_most")
    caps = [f"{budget.usd:,.2f} USD"] if budget.usd is not None else []
    caps += [f"{budget.calls:,} calls"] if budget.calls is not None else []
    unpriced = f" No price is known for {', '.join(ahead.unpriced)}." if ahead.unpriced else ""
    console.print(
        f"The pilot asks {ahead.questions} questions: at most {ahead.most:,} calls and "
        + (f"{money:,.2f} USD." if money is not None else f"money without a limit: {_UNLIMITED}.")
        + unpriced
        + (f" The budget of the recipe stops it at {' and '.join(caps)}." if caps else ""),
        soft_wrap=True,
    )


def show_plan(plan: Plan, console: Console) -> None:
    """What is stored, what is still to be paid for, and what a pilot lets expect."""
    console.print(
        f"{plan.dataset}: {plan.rows:,} rows, {plan.questions:,} questions, "
        f"{plan.rejected:,} rejected"
    )
    if plan.stored or plan.open < plan.questions:
        console.print(_standing(plan), soft_wrap=True)
    width = min(console.width, WIDEST)
    console.print(_bounds_table(plan), width=width)
    if plan.expected is not None:
        console.print(_expected_table(plan, plan.expected), width=width)
    for sentence in _sentences(plan):
        console.print(sentence, soft_wrap=True)


def show_pilot(facts: Mapping[str, Any], console: Console) -> None:
    """What the pilot paid, and how it ended."""
    if "pilot" not in facts:
        return
    pilot = facts["pilot"]
    print_account(pilot["accounts"], console, title="What the pilot asked")
    usd = known(f"{pilot['usd']:.4f}", missing=pilot["unpriced"], calls=pilot["calls"])
    console.print(
        f"{pilot['calls']:,} calls paid by the pilot, {usd} USD; "
        f"{pilot['stored']:,} answered by the reply store. A build pays for none of them again.",
        soft_wrap=True,
    )
    show_lost(pilot, console)
    for question, reason in list(pilot["failed"].items())[:3]:
        console.print(Text(f"not measured: question {question}: {reason}"), soft_wrap=True)
    show_warnings(facts["model_changes"], console)
    if facts["message"]:
        console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"))


def _standing(plan: Plan) -> str:
    """Where the store leaves the questions."""
    waiting = ", ".join(
        f"{count:,} wait at {TITLES[stage]}"
        for stage in TITLES
        if (count := plan.waiting.get(stage, 0))
    )
    done = plan.questions - plan.open
    return f"The reply store answers {plan.stored:,} calls; {done:,} questions need no other" + (
        f", {waiting}." if waiting else "."
    )


def _bounds_table(plan: Plan) -> Table:
    table = Table("stage", "model", title="Calls of the build", title_justify="left")
    table.columns[1].overflow = "fold"
    for name in ("stored", "to pay", "USD, typical", "USD, longest replies"):
        table.add_column(name, justify="right")
    for row in plan.calls:
        limit = "no limit" if row.usd_most is None else f"{row.usd_most:,.2f}"
        money = (f"{row.usd_typical:,.2f}", limit) if row.priced else ("no price", "no price")
        table.add_row(TITLES[row.stage], row.model, short(row.stored), _calls(row), *money)
    return table


def _calls(row: PlannedCalls) -> str:
    if row.exact:
        return f"{row.most:,}"
    again = f"\n{row.reasks:,} if re-asked" if row.reasks else ""
    return f"{row.least:,} to {row.most - row.reasks:,}" + (again and f"\n+ {again.strip()}")


def _expected_table(plan: Plan, total: Expected) -> Table:
    table = Table(
        "stage",
        "model",
        title=f"To pay, by {plan.samples} questions of the pilot ({_PERCENT}% interval)",
        title_justify="left",
    )
    table.columns[1].overflow = "fold"
    for name in ("calls", "tokens in", "tokens out", "USD"):
        table.add_column(name, justify="right")
    for row in plan.calls:
        if row.expected is not None:
            table.add_row(TITLES[row.stage], row.model, *_ranges(row.expected, priced=row.priced))
    table.add_section()
    table.add_row("all", "", *_ranges(total, priced=True), style="bold")
    return table


def _ranges(expected: Expected, *, priced: bool) -> tuple[str, ...]:
    usd = expected.usd
    return (
        span(expected.calls.low, expected.calls.high),
        _tokens(expected.prompt_tokens, expected.cached_tokens, "cached"),
        _tokens(expected.completion_tokens, expected.reasoning_tokens, "reasoning"),
        usd_span(usd.low, usd.high) if priced else "no price",
    )


def _tokens(whole: Any, part: Any, name: str) -> str:
    below = f"\n{name} {span(part.low, part.high)}" if part.high else ""
    return span(whole.low, whole.high) + below


def _sentences(plan: Plan) -> list[str]:
    if not plan.most:
        return ["Nothing is left to pay for: the reply store answers the whole build."]
    found = []
    if plan.expected is not None:
        calls, usd = plan.expected.calls, plan.expected.usd
        found.append(
            f"Expected by the pilot: {span(calls.low, calls.high)} calls and "
            f"{usd_span(usd.low, usd.high)} USD; the middle is {calls.middle:,.0f} calls and "
            f"{usd.middle:,.2f} USD."
        )
    found += [_calls_and_money(plan), *_what_is_exact(plan)]
    if plan.unpriced:
        found.append(
            f"Not in the money, for want of usd_per_mtok in the recipe: {', '.join(plan.unpriced)}."
        )
    if plan.races:
        found.append("Candidates race: fewer step-mask calls will do, how many depends on them.")
    if plan.guesses:
        found.append(
            "Guesses in idle slots come on top, within the bounds (execution.speculate: "
            f"{Speculation.AUTO.value} makes them where weak model and judge have no price)."
        )
    return [*found, _lengths(plan)]


def _calls_and_money(plan: Plan) -> str:
    money = (
        f"Typical money at most calls: {plan.usd('usd_typical') or 0:,.2f} USD; with every reply "
        f"at its limit: {_money(plan.usd('usd_most'))}."
    )
    if plan.least == plan.most:
        return f"Exactly {plan.most:,} calls, if none fails. {money}"
    return (
        f"From {plan.least:,} to {plan.most:,} calls: at most if every question is kept, every "
        f"trace is usable and every vote is invalid at first. {money}"
    )


def _what_is_exact(plan: Plan) -> list[str]:
    exact = [f"{TITLES[row.stage]} {row.model}" for row in plan.calls if row.exact and row.most]
    if not exact or plan.least == plan.most:
        return []
    return [f"Exact, if no call fails: {', '.join(exact)}. The others are bounds."]


def _lengths(plan: Plan) -> str:
    """How long the typical reply is taken to be."""
    measured = [row for row in plan.calls if row.measured_on]
    assumed = [row for row in plan.calls if not row.measured_on]
    parts = [
        f"{TITLES[row.stage]} {row.model} {row.reply_tokens:,} (mean of {row.measured_on:,})"
        for row in measured
    ]
    text = f"Typical replies, measured on stored ones: {', '.join(parts)} tokens. " if parts else ""
    if assumed:
        listed = ", ".join(f"{name} {tokens}" for name, tokens in TYPICAL_REPLY.items())
        text += (
            f"Typical replies {'of the others ' if parts else ''}are assumed, not measured: "
            f"{listed} tokens; prompts are counted at {CHARS_PER_TOKEN} characters a token. "
            "`--pilot 20` measures them."
        )
    return text.strip()


def _money(usd: float | None) -> str:
    return f"no limit ({_UNLIMITED})" if usd is None else f"{usd:,.2f} USD"


_UNLIMITED = "a model has no max_tokens"
