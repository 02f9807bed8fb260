"""Signals in the first seconds of a command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.starting import Stopped

_HARMLESS = "deployments/recipes/testbed.yaml"


def stopped_after(module: str, *, by: int, repository: Path, data: Path) -> tuple[int, str]:
    """Start a build and send it a signal when it has imported a module.

    Returns:
        Its exit code, and what it wrote to standard error.
    """
    from prefect.settings import PREFECT_API_URL

    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "flows.cli", "build", _HARMLESS, "--limit", "3"],
        cwd=repository,
        env=os.environ
        | {"WEAK2WISE_DATA": str(data), "PREFECT_API_URL": PREFECT_API_URL.value() or ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    errors = []
    for line in process.stderr:
        errors.append(line)
        if line.split("|")[-1].strip() == module:
            process.send_signal(by)
            break
    errors += process.stderr.readlines()
    return process.wait(timeout=120), "".join(errors)


@pytest.mark.slow
@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("module", "number", "code"),
    [
        ("typer", signal.SIGINT, 130),
        ("weak2wise_core.config", signal.SIGTERM, 143),
        ("prefect.flows", signal.SIGINT, 130),
        ("flows.build", signal.SIGTERM, 143),
    ],
)
def test_a_build_that_is_stopped_while_it_starts_says_how_to_go_on(
    tmp_path: Path, repository: Path, module: str, number: int, code: int
) -> None:
    """From the first import on, a signal ends it with one sentence and its exit code."""
    got, errors = stopped_after(module, by=number, repository=repository, data=tmp_path)
    assert got == code, errors
    assert "Traceback" not in errors
    assert errors.rstrip().endswith("again to go on")
    assert errors.count("to go on") == 1


def test_an_ignored_signal_stays_ignored(repository: Path) -> None:
    """What `nohup` has a command ignore does not stop it."""
    program = (
        "import os, signal; from flows.starting import stop_at_signals;"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); stop_at_signals();"
        "os.kill(os.getpid(), signal.SIGINT); print('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout == "alive\n"


def test_nothing_is_done_about_a_stop_by_accident() -> None:
    """Code that catches every error does not catch a stop."""
    assert not issubclass(Stopped, Exception)
    assert Stopped(signal.SIGTERM).code == 143
