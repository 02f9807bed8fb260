"""Every command of `weak2wise`, under its name."""

import typer

from flows.commands import (
    ablating,
    annotating,
    building,
    checking,
    comparing,
    evaluating,
    exporting,
    outputs,
    planning,
    recovering,
    replies,
    reporting,
    teaching,
    traces,
    training,
)

app = typer.Typer(
    name="weak2wise",
    help="Build fine-tuning sets of reasoning traces that a small language model can follow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)

app.command("build")(building.build)
app.command("report")(reporting.report)
app.command("plan")(planning.plan)
app.command("sft")(training.sft)
app.command("evaluate")(evaluating.evaluate)
app.command("ablate")(ablating.ablate)
app.command("w2sr")(teaching.w2sr)
app.command("weak-to-strong")(teaching.weak_to_strong)
app.command("compare")(comparing.compare)
app.command("agree")(outputs.agree)
app.command("pairs")(outputs.pairs)
app.command("rgr")(recovering.rgr)
app.command("verify")(traces.verify)
app.command("truncate")(traces.truncate)
app.command("mask")(traces.mask)
app.command("import-traces")(traces.import_traces)
app.command("export")(exporting.export)
app.command("push")(exporting.push)
app.command("doctor")(checking.doctor)
app.add_typer(annotating.app, name="annotate")
app.add_typer(replies.app, name="replies")
