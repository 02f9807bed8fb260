"""`weak2wise rgr`: the reasoning gap recovered, from results that are there."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.commands.building import AsJson
from flows.commands.tables import print_arms, print_table

if TYPE_CHECKING:
    from weak2wise_core.evaluation.arms import ArmTable
    from weak2wise_core.evaluation.records import Evaluation
    from weak2wise_core.teaching.reports import Recovery

PLAIN, CHAIN, AFTER, REINFORCED = (
    "student before",
    "student before, zero-shot chain of thought",
    "student after W2SR",
    "student after reinforcement learning",
)

_RESULTS = "a folder of `weak2wise evaluate`, or a table of rows {id, correct}"

Before = Annotated[Path, typer.Option(help=f"the student as it was: {_RESULTS}", metavar="RESULTS")]
BeforeChain = Annotated[
    Path,
    typer.Option(
        help="the student as it was, asked with zero-shot chain of thought", metavar="RESULTS"
    ),
]
After = Annotated[
    list[Path],
    typer.Option(help="the student after W2SR; once for each training seed", metavar="RESULTS"),
]
Reinforced = Annotated[
    Path | None,
    typer.Option(help="the student after reinforcement learning", metavar="RESULTS"),
]


def rgr(
    *,
    before: Before,
    before_cot: BeforeChain,
    after: After,
    reinforced: Reinforced = None,
    benchmark: Annotated[str, typer.Option(help="the benchmark of rows that name none")] = "items",
    resamples: Annotated[int, typer.Option(min=100, help="of the bootstrap")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """The reasoning gap recovered (RGR): how much of the gain of reinforcement learning W2SR gives.

    RGR = (after - before) / (reinforced - before) on the same questions, with the 95% interval of a
    paired bootstrap over the questions, and over seeds where there are several. Both baselines of
    the student are shown, without and with zero-shot chain of thought, because much of a gain may
    be had by prompting alone. A table has a row `{"id", "correct"}` for every answer, and
    `benchmark` where there are several.

    Example: `weak2wise rgr --before plain.jsonl --before-cot cot.jsonl --after w2sr.jsonl
    --reinforced rl.jsonl`
    """
    from weak2wise_core.evaluation.arms import compare_arms
    from weak2wise_core.teaching.recovering import recoveries
    from weak2wise_core.teaching.results_files import read_results

    given = {PLAIN: [before], CHAIN: [before_cot], AFTER: after}
    given |= {REINFORCED: [reinforced]} if reinforced is not None else {}
    arms: dict[str, Sequence[Evaluation]] = {
        arm: [read_results(path, benchmark=benchmark) for path in paths]
        for arm, paths in given.items()
    }
    differences = ((AFTER, PLAIN), (AFTER, CHAIN), (REINFORCED, PLAIN), (CHAIN, PLAIN))
    tables = compare_arms(arms, differences=differences, resamples=resamples)
    found = recoveries(
        arms, before=(PLAIN, CHAIN), after=AFTER, reinforced=REINFORCED, resamples=resamples
    )
    if as_json:
        facts = {
            "tables": [asdict(one) for one in tables],
            "recovery": [asdict(one) for one in found],
        }
        typer.echo(json.dumps(facts, indent=2))
    else:
        _show(tables, found, Console())


def _show(tables: Sequence["ArmTable"], found: Sequence["Recovery"], console: Console) -> None:
    from weak2wise_core.teaching.reports import recovered

    for one in tables:
        print_arms(one, console)
    values = [(one.benchmark, one.baseline, recovered(one)) for one in found]
    print_table("Reasoning gap recovered", ("benchmark", "baseline", "RGR"), values, console)
