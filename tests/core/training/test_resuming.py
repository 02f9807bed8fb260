"""Laws of interruption: a training that was stopped or killed ends as if it had not been."""

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest

from tests.core.training.conftest import School, losses
from tests.core.training.schooling import job, next_event, start
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import TrainingJob
from weak2wise_core.training.program import STOPPED
from weak2wise_core.training.running import train

pytestmark = pytest.mark.slow

SIGTERM_AT, SIGKILL_AT = 3, 6


def until(process: subprocess.Popen[bytes], *, kind: EventKind, step: int) -> list[TrainingEvent]:
    """Read events until one of this kind at this step."""
    said = [next_event(process)]
    while not (said[-1].kind is kind and said[-1].step >= step):
        said.append(next_event(process))
    return said


def interrupted(wanted: TrainingJob, path: Path) -> list[TrainingEvent]:
    """Stop a training by SIGTERM, kill it by SIGKILL after a later checkpoint, let it end."""
    first = start(wanted, path)
    said = until(first, kind=EventKind.STEP, step=SIGTERM_AT)
    first.terminate()
    rest, _ = first.communicate(timeout=120)
    assert first.returncode == STOPPED
    said += [TrainingEvent.from_json(line) for line in rest.splitlines()]
    assert said[-1].kind is EventKind.STOPPED

    second = start(wanted, path)
    again = until(second, kind=EventKind.SAVED, step=SIGKILL_AT)
    until(second, kind=EventKind.STEP, step=SIGKILL_AT + 1)
    second.send_signal(signal.SIGKILL)
    second.communicate()
    assert again[0].step >= SIGTERM_AT, "it did not go on but began anew"
    return said + again


def test_an_interrupted_training_ends_as_an_undisturbed_one(school: School, tmp_path: Path) -> None:
    """SIGTERM in the middle, SIGKILL after a checkpoint: the same losses, the same weights."""
    wanted = job(tmp_path, save_every_steps=2)
    wanted = wanted.model_copy(update={"train_file": school.folder / "train32.jsonl"})
    interrupted(wanted, tmp_path / "job.json")
    assert not wanted.output.exists()
    workshop = tmp_path / "models" / ".pupil.training"
    (workshop / "checkpoint-99").mkdir()  # as a process leaves it that is killed while it saves
    (trained,) = asyncio.run(train([wanted], on_event=lambda _: None))
    undisturbed = school.trained["plain"]
    assert losses(trained) == losses(undisturbed)
    assert [step["num_tokens"] for step in trained.manifest["steps"]] == [
        step["num_tokens"] for step in undisturbed.manifest["steps"]
    ]
    weights = [one.folder / "model.safetensors" for one in (trained, undisturbed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert not workshop.exists()
