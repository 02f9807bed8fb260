"""`weak2wise sft --plan`: which GPUs hold a training, and in which ways; nothing is trained."""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.commands.numbers import short
from weak2wise_core.errors import UsageError

if TYPE_CHECKING:
    from weak2wise_core.training.jobs import TrainingJob
    from weak2wise_core.training.memory import Hardware, Need, Way

USUAL = ((1, 24.0), (1, 48.0), (1, 80.0), (2, 80.0), (4, 80.0), (8, 80.0))
"""GPUs and GB of each, where the command line names none."""


def plan_training(
    job: "TrainingJob", *, gpus: int | None, gigabytes: float | None, as_json: bool
) -> None:
    """Print what a training needs and where it fits.

    Raises:
        UsageError: GPUs were named without their memory, or an example is longer than the context.
    """
    from weak2wise_core.training.memory import GB, plan
    from weak2wise_core.training.shapes import shape_of

    shape = shape_of(job.model)
    hardware = hardware_of(gpus, gigabytes)
    rows = longest_row(job, context=shape.context)
    tokens = rows * job.settings.per_device_batch_size
    ways = plan(shape, job.settings, hardware=hardware, tokens=tokens)
    facts = {
        "model": job.model,
        "parameters": shape.parameters,
        "tokens_at_once": tokens,
        "needs": {
            field.name: round(getattr(ways[0].need, field.name) / GB, 3)
            for field in dataclasses.fields(ways[0].need)
        },
        "ways": [_plain(way) for way in ways],
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    show_plan(facts, ways, Console())


def hardware_of(gpus: int | None, gigabytes: float | None) -> list["Hardware"]:
    """The GPUs that the command line names, or the usual ones.

    Raises:
        UsageError: A number of GPUs without their memory.
    """
    from weak2wise_core.training.memory import Hardware

    if gigabytes is not None:
        return [Hardware(gpus=gpus or 1, gigabytes=gigabytes)]
    if gpus is not None:
        raise UsageError("--gpus needs --gpu-memory, the GB of one of them")
    return [Hardware(gpus=count, gigabytes=size) for count, size in USUAL]


def longest_row(job: "TrainingJob", *, context: int) -> int:
    """Tokens of the longest row on a device: a full pack, the longest example, or both of a pair.

    Raises:
        UsageError: An example does not pass a gate.
    """
    from weak2wise_core.training.fitting import encoded, tokens_of

    longest = min(job.settings.max_length, context)
    examples = encoded(job, tokens=tokens_of(job.model), longest=longest)
    in_all = sum(len(example) for example in examples)
    return min(longest, in_all) if job.settings.packs else max(map(len, examples))


def _plain(way: "Way") -> dict[str, Any]:
    from weak2wise_core.training.memory import GB

    return {
        "gpus": way.hardware.gpus,
        "gpu_memory_gb": way.hardware.gigabytes,
        "way": way.title,
        "options": way.changes,
        "gb_on_each_gpu": round(way.need.total / GB, 3),
        "fits": way.fits,
        "longest_context": way.longest,
    }


def show_plan(facts: dict[str, Any], ways: Sequence["Way"], console: Console) -> None:
    """What the settings need, then every way on every hardware."""
    console.print(
        f"{facts['model']}: {short(facts['parameters'])} parameters, "
        f"{facts['tokens_at_once']:,} tokens on a GPU at once",
        soft_wrap=True,
        highlight=False,
    )
    console.print(_needs(ways[0].need), soft_wrap=True, highlight=False)
    console.print(_table(ways))
    for title, changes in {way.title: way.changes for way in ways if way.changes}.items():
        console.print(Text.assemble(f"{title}: ", (changes, "dim")), soft_wrap=True)
    console.print(Text(_LEGEND, "dim"), soft_wrap=True)


_LEGEND = (
    "GB on each GPU where it fits; else the longest context in tokens that would. An estimate; its "
    "formula stands in weak2wise_core/training/memory.py."
)


def _table(ways: Sequence["Way"]) -> Table:
    """One row for each way, one column for each hardware."""
    hardware = list(dict.fromkeys(way.hardware for way in ways))
    table = Table(box=SIMPLE_HEAD)
    table.add_column("way")
    for one in hardware:
        table.add_column(str(one), justify="right")
    for title in dict.fromkeys(way.title for way in ways):
        cells = {way.hardware: _cell(way) for way in ways if way.title == title}
        table.add_row(title, *(cells.get(one, Text("")) for one in hardware))
    return table


def _cell(way: "Way") -> Text:
    if way.fits:
        return Text(f"{way.need.total / 1e9:.1f} GB", "green")
    return Text(f"to {way.longest:,}" if way.longest else "no", "red")


def _needs(need: "Need") -> str:
    """The parts of the first way, largest first."""
    parts = {field.name: getattr(need, field.name) / 1e9 for field in dataclasses.fields(need)}
    shown = sorted(parts.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {size:.1f}" for name, size in shown if size >= 0.05)
    return f"as set, in GB on each GPU: {named}"
