"""The `weak2wise` command.

Exit codes: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted, 143 terminated. Errors are
one message on standard error; results go to standard output.
"""

import os
import sys

import typer

from weak2wise_core.errors import Weak2WiseError

# The engine's own log lines would break the progress display; what a run itself says goes to the
# server's pages. Set before the engine is first imported; whoever sets a level gets what it says.
_QUIET_ENGINE = {
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


_QUIET_TERMINAL = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "INFO",
}


def main() -> None:
    """Run the command line and turn errors into one message and an exit code."""
    quiet = (
        _QUIET_ENGINE if "PREFECT_LOGGING_LEVEL" in os.environ else _QUIET_ENGINE | _QUIET_TERMINAL
    )
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except Weak2WiseError as error:
        print(f"weak2wise: {error}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nobody is there to tell
        sys.exit(1)


app = typer.Typer(
    name="weak2wise",
    help="Build fine-tuning sets of reasoning traces that a small language model can follow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)


def _register() -> None:
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


_register()

if __name__ == "__main__":
    main()
