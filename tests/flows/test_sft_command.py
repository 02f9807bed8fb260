"""Laws of `weak2wise sft`: one sentence where it cannot be done, and it goes on where it ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from typer.testing import CliRunner

from flows.commands.app import app
from tests.flows.test_sft import QUICK, data
from weak2wise_core.errors import Weak2WiseError

__all__ = ["data"]  # a fixture

runner = CliRunner()


def invoke(*arguments: object) -> tuple[int, str]:
    """Exit code and output of a command, errors included, as `main` reports them."""
    result = runner.invoke(app, [str(one) for one in arguments])
    if isinstance(result.exception, Weak2WiseError):
        return result.exception.exit_code, f"{result.output}{result.exception}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["lessons/0123"], "has no version 0123"),
        (["nothing"], "is no dataset"),
        (["lessons", "--set", "training.colour=1"], "training.colour: unknown key"),
        (["lessons", "--set", "training.epochs=0"], "training.epochs"),
        (["lessons", "--set", "step_mask.beta=1"], "write training.KEY=VALUE"),
        (["lessons", "--set", "training.device=cuda"], "no GPU"),
        (["lessons", "--set", "training.optimizer=adamw_8bit"], "pip install bitsandbytes"),
        (["lessons", "--model", "./absent"], "./absent does not exist"),
        (["lessons", "--name", "a b"], "--name a b"),
        (["lessons", "--gpus", "8"], "are for --plan"),
        (["lessons", "--plan", "--gpus", "8"], "--gpus needs --gpu-memory"),
        (["lessons", "--plan", "--set", "training.max_length=60"], "longer than the context"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    data: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], found: str
) -> None:
    """What was asked for cannot be done as written, and nothing was started."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, output = invoke("sft", *arguments)
    assert code == 2, output
    assert found in output
    assert not (data / "models").exists()


def test_a_dataset_that_was_changed_is_refused(data: Path) -> None:
    """A training of rows that nobody published is none of that version."""
    (path,) = (data / "datasets" / "lessons").glob("[0-9a-f]*/train.jsonl")
    path.write_text(path.read_text().replace("lemons", "melons"))
    code, output = invoke("sft", "lessons")
    assert code == 2
    assert "not the file that the manifest describes" in output


def test_a_plan_says_what_fits(data: Path) -> None:
    """As a table for people and as JSON for scripts; nothing is trained."""
    pytest.importorskip("torch")
    options = ("sft", "lessons", "--plan", "--gpus", "2", "--gpu-memory", "24")
    code, output = invoke(*options, "--json")
    facts = json.loads(output)
    assert code == 0
    assert facts["parameters"] == 860_288
    assert {way["way"]: way["fits"] for way in facts["ways"]}["as set"] is True
    code, output = invoke(*options, "--set", "training.lora.rank=4")
    assert code == 0
    assert "2 x 24 GB" in output
    assert "860,288 parameters" in output
    assert not (data / "models").exists()


def test_help_shows_an_example() -> None:
    """`--help` says how the command is called."""
    code, output = invoke("sft", "--help")
    assert code == 0
    assert "weak2wise sft" in output.replace("\n", " ")


@pytest.mark.slow
def test_a_stopped_training_goes_on(engine: None, data: Path, repository: Path) -> None:
    """SIGTERM, to the whole group as from a terminal: exit code 143, a checkpoint, one sentence.

    The same command again goes on from there.
    """
    pytest.importorskip("trl")
    options = [f"training.{name}={json.dumps(value)}" for name, value in QUICK.items()]
    command = [sys.executable, "-m", "flows.cli", "sft", "lessons", "--json"]
    for option in (*options, "training.epochs=12", "training.save_every_steps=4"):
        command += ["--set", option]
    environment = os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value() or ""}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=repository,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    process = start()
    workshops = data / "models" / "lessons"
    for _ in range(1200):
        if list(workshops.glob(".*.training/checkpoint-*/complete")) or process.poll() is not None:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 143, output + errors
    assert "its checkpoint is kept" in errors
    assert "Traceback" not in errors
    assert list(workshops.glob(".*.training/checkpoint-*/complete"))
    assert not list(workshops.glob("[0-9a-f]*"))
    again = start()
    output, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    facts = json.loads(output)
    assert facts["counts"]["steps"] == 24
    assert (Path(facts["folder"]) / "training.json").exists()
    assert not list(workshops.glob(".*"))
