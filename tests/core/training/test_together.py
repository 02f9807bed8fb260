"""Laws of several processes: they train the model that one process trains."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.core.training.conftest import School, losses
from tests.core.training.schooling import cancelled, job
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import Trained, TrainingJob
from weak2wise_core.training.running import train

pytestmark = pytest.mark.slow

PAIR: dict[str, Any] = {"processes": 2, "per_device_batch_size": 2}


def twin(school: School, folder: Path, name: str, **settings: Any) -> TrainingJob:
    """The job of one of the school's models, for two processes."""
    wanted = job(folder, name, **PAIR, **settings)
    return wanted.model_copy(update={"train_file": school.folder / "train32.jsonl"})


def check(trained: Trained, school: School, name: str) -> None:
    """The losses are those of one process, up to rounding."""
    assert losses(trained) == pytest.approx(school.losses(name), rel=1e-3)
    assert trained.manifest["machine"]["processes"] == 2


def test_two_processes_train_what_one_trains(school: School, tmp_path: Path) -> None:
    """The same global batches in the same order, with both losses, and with one voice.

    Also when they are stopped in between: the wish reaches both, and both go on.
    """
    plain = twin(school, tmp_path, "plain")
    summed = twin(school, tmp_path, "summed", loss="equation_10", epochs=1)
    before = asyncio.run(cancelled(plain))
    assert before[-1].step < 8
    assert not plain.output.exists()
    events: list[TrainingEvent] = []
    trained = asyncio.run(train([plain, summed], on_event=events.append))
    check(trained[0], school, "plain")
    check(trained[1], school, "summed")
    assert 2 <= events[0].step < 8, "it did not go on from the checkpoint"
    kinds = [event.kind for event in events if event.job == "summed"]
    assert kinds == [EventKind.STARTED, *[EventKind.STEP] * 4, EventKind.FINISHED]
    assert not list((tmp_path / "models").glob(".*"))
