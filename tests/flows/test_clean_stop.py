"""What a command says when it ends before its work does."""

import asyncio
import io
import signal

import pytest
import typer
from rich.console import Console

from flows.commands.stopping import clean_stop
from weak2wise_core.errors import BuildError


@pytest.mark.parametrize(
    ("stop", "stopped_by", "code"),
    [
        (KeyboardInterrupt(), [], 130),
        (asyncio.CancelledError(), [signal.SIGINT], 130),
        (asyncio.CancelledError(), [signal.SIGTERM], 143),
    ],
)
def test_whoever_stops_a_build_is_told_how_to_go_on(
    stop: BaseException, stopped_by: list[int], code: int
) -> None:
    """In one sentence, with the exit code that shells expect."""
    said = io.StringIO()
    with pytest.raises(typer.Exit) as ended, clean_stop("build", stopped_by, Console(file=said)):
        raise stop
    assert ended.value.exit_code == code
    assert "every reply is kept. Start the same build again" in " ".join(said.getvalue().split())


def test_a_cancellation_that_nobody_asked_for_is_an_error() -> None:
    """It is not passed off as a stop: whoever waits for the build would not look for a fault."""
    said = io.StringIO()
    with (
        pytest.raises(BuildError, match=r"nobody stopped it.*Every reply is kept"),
        clean_stop("build", [], Console(file=said)),
    ):
        raise asyncio.CancelledError
    assert said.getvalue() == ""
