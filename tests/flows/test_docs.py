"""Laws of the commands in the pages of docs/ that run offline: they end well, in one folder."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.commands.app import app
from tests.core.docs.pages import commands

FIRST = "quickstart.md"
"""The page that builds what the others look at."""


@pytest.fixture
def checkout(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the root of the checkout, with a data folder of its own."""
    for name in ("deployments", "testbed", "docs"):
        (tmp_path / name).symlink_to(repository / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_pages_run(engine: None, checkout: Path) -> None:
    """Every command of a run block ends with exit code 0, as a reader would type them in order."""
    ordered = sorted(commands(runs=True), key=lambda command: command.page != FIRST)
    assert {command.words[1] for command in ordered} >= {"build", "plan", "mask", "compare", "sft"}
    for command in ordered:
        done = CliRunner().invoke(app, list(command.words[1:]))
        assert done.exit_code == 0, f"{command}: {done.output}{done.exception!r}"
        assert done.output.strip(), f"{command} says nothing"
    assert (checkout / "train.jsonl").stat().st_size
    assert (checkout / "data" / "datasets" / "testbed" / "latest" / "manifest.json").is_file()
