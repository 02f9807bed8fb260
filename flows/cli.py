"""The `weak2wise` command.

Exit codes: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted, 143 terminated. Errors are
one message on standard error; results go to standard output.
"""

import os
import sys

from flows.starting import Stopped, stop_at_signals

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
    """Run the command line and turn errors and signals into one message and an exit code."""
    quiet = (
        _QUIET_ENGINE if "PREFECT_LOGGING_LEVEL" in os.environ else _QUIET_ENGINE | _QUIET_TERMINAL
    )
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    try:
        stop_at_signals()
        _run()
    except Stopped as stop:
        _say(str(stop))
        sys.exit(stop.code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nobody is there to tell
        sys.exit(1)


def _run() -> None:
    from flows.commands.app import app  # takes a second, in which a signal may come
    from weak2wise_core.errors import Weak2WiseError

    try:
        app()
    except Weak2WiseError as error:
        _say(str(error))
        sys.exit(error.exit_code)


def _say(message: str) -> None:
    print(f"weak2wise: {message}", file=sys.stderr)  # noqa: T201 - the command line's own voice


if __name__ == "__main__":
    main()
