"""Laws of a training in its own process: what it says, what it leaves behind, how it ends."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.core.training.conftest import School
from tests.core.training.schooling import cancelled, job, rows, write_rows
from weak2wise_core.errors import (
    InputFileError,
    TrainingError,
    TrainingRefusedError,
    TrainingStoppedError,
    Weak2WiseError,
)
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.fitting import fit, prepare
from weak2wise_core.training.jobs import TrainingJob
from weak2wise_core.training.running import train

pytestmark = pytest.mark.slow


async def outcome(wanted: TrainingJob) -> tuple[Weak2WiseError, list[TrainingEvent]]:
    """The error in which a training ends, and what it said."""
    events: list[TrainingEvent] = []
    with pytest.raises(Weak2WiseError) as raised:
        await train([wanted], on_event=events.append)
    return raised.value, events


def test_the_weak_model_learns(school: School) -> None:
    """Its loss falls from step to step, with and without packs and adapters."""
    for name in ("plain", "packed", "adapted", "half", "summed"):
        losses = school.losses(name)
        assert losses[-1] < 0.9 * losses[0], (name, losses)


def test_events_tell_every_step_in_order(school: School) -> None:
    """Started, each step once with its loss, finished; in the manifest the same losses."""
    said = [event for event in school.events if event.job == "plain"]
    assert [event.kind for event in said] == [
        EventKind.STARTED,
        *[EventKind.STEP] * 8,
        EventKind.FINISHED,
    ]
    assert [event.step for event in said[1:-1]] == list(range(1, 9))
    assert {event.steps for event in said} == {8}
    assert [event.loss for event in said[1:-1]] == school.losses("plain")
    assert {event.number for event in school.events if event.job == "half"} == {3}


def test_a_training_does_not_depend_on_those_before_it(school: School) -> None:
    """The first and the last of a process, with the same settings, are the same to the bit."""
    first, last = (school.trained[name].folder for name in ("plain", "again"))
    assert school.losses("plain") == school.losses("again")
    weights = [(folder / "model.safetensors").read_bytes() for folder in (first, last)]
    assert weights[0] == weights[1]


async def test_a_model_that_is_there_is_not_trained_again(school: School) -> None:
    """The same rows, model and settings: skipped; settings that change nothing do not matter."""
    events: list[TrainingEvent] = []
    wanted = job(school.folder, "plain", threads=2, save_every_steps=7)
    (found,) = await train([wanted], on_event=events.append)
    assert [event.kind for event in events] == [EventKind.SKIPPED]
    assert found.skipped
    assert found.manifest == school.trained["plain"].manifest


async def test_a_folder_with_another_model_is_not_overwritten(school: School) -> None:
    """Another seed is another model: the folder is refused, and stays as it is."""
    wanted = job(school.folder, "plain", seed=1)
    before = sorted(path.name for path in wanted.output.iterdir())
    error, _ = await outcome(wanted)
    assert isinstance(error, InputFileError)
    assert "holds something else" in str(error)
    assert sorted(path.name for path in wanted.output.iterdir()) == before


async def test_one_refused_job_keeps_all_from_starting(tmp_path: Path) -> None:
    """Every job is checked first; nothing is written."""
    good = job(tmp_path, "good", epochs=1)
    content = rows(4)
    content[2]["completion"][0]["content"] = "the thinking is gone"
    bad = good.model_copy(
        update={
            "name": "bad",
            "train_file": write_rows(tmp_path / "bad.jsonl", content),
            "output": tmp_path / "models" / "bad",
        }
    )
    events: list[TrainingEvent] = []
    with pytest.raises(TrainingRefusedError, match=f"{content[2]['id']} has lost its thinking"):
        await train([good, bad], on_event=events.append)
    assert [event.kind for event in events] == [EventKind.REFUSED]
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"max_length": 60}, r"longer than the context of 60 tokens: testbed-00000 \(\d+ tokens"),
        ({"global_batch_size": 9}, "cannot be shared out evenly"),
        ({"sharding": "fsdp"}, "need a CUDA GPU"),
    ],
    ids=["length", "batch", "fsdp"],
)
def test_what_does_not_suit_is_found_before_weights_are_read(
    tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    """Every gate is passed before the training libraries are loaded."""
    with pytest.raises(TrainingRefusedError, match=found):
        prepare(job(tmp_path, count=4, **changes))


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    """A folder without one is named, with what to put there."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    wanted = job(tmp_path, count=4).model_copy(update={"model": str(folder)})
    with pytest.raises(InputFileError, match="bare holds no tokenizer") as raised:
        prepare(wanted)
    for said in (str(folder), "Copy tokenizer.json", "--model, or training.model"):
        assert said in str(raised.value)


def test_what_another_process_finished_meanwhile_is_not_trained_again(
    school: School, tmp_path: Path
) -> None:
    """Two trainings of one model: the second one, checked before the first ended, finds its model.

    It asks again when the workshop is its own.
    """
    wanted = school_twin(school, tmp_path)
    prepared = prepare(wanted)
    shutil.copytree(school.trained["plain"].folder, wanted.output)
    before = {path.name: path.stat().st_mtime_ns for path in wanted.output.iterdir()}
    events: list[TrainingEvent] = []
    fit(prepared, emit=events.append, stop_asked=lambda: False)
    assert [(one.kind, one.folder) for one in events] == [(EventKind.SKIPPED, str(wanted.output))]
    assert {path.name: path.stat().st_mtime_ns for path in wanted.output.iterdir()} == before
    assert [path.name for path in wanted.output.parent.iterdir()] == [wanted.output.name]


def test_what_took_the_place_meanwhile_is_not_overwritten(school: School, tmp_path: Path) -> None:
    """Something else than this model in its folder: refused, and left as it is."""
    wanted = school_twin(school, tmp_path)
    prepared = prepare(wanted)
    shutil.copytree(school.trained["half"].folder, wanted.output)
    with pytest.raises(InputFileError, match="holds something else"):
        fit(prepared, emit=lambda _: None, stop_asked=lambda: False)
    manifest = json.loads((wanted.output / "training.json").read_text())
    assert manifest == school.trained["half"].manifest


def school_twin(school: School, folder: Path) -> TrainingJob:
    """The job of the school's plain model, in another place."""
    wanted = job(school.folder, "plain")
    return wanted.model_copy(update={"output": folder / "models" / "twin"})


async def test_a_refusal_crosses_the_processes(tmp_path: Path) -> None:
    """Its class, its exit code and its one sentence arrive as they were raised."""
    error, events = await outcome(job(tmp_path, count=4, max_length=60))
    assert isinstance(error, TrainingRefusedError)
    assert error.exit_code == 2
    assert [event.kind for event in events] == [EventKind.REFUSED]
    assert str(error) == events[0].message
    assert "\n" not in str(error)


async def test_a_process_that_dies_is_an_error_that_says_so(tmp_path: Path) -> None:
    """Killed from outside, as when memory runs out: no model, and a named error."""
    wanted = job(tmp_path, epochs=200)

    def kill(event: TrainingEvent) -> None:
        if event.kind is EventKind.STEP and event.step == 2:
            os.kill(_trainer_of(wanted), signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"SIGKILL.*memory"):
        await train([wanted], on_event=kill)
    assert not wanted.output.exists()


def _trainer_of(wanted: TrainingJob) -> int:
    """The process that holds a job's workshop."""
    lock = wanted.output.parent / f".{wanted.output.name}.training" / "lock"
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(link.readlink() == lock for link in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:
            continue
    raise AssertionError("no process holds the workshop")


async def test_a_cancelled_training_saves_and_ends(tmp_path: Path) -> None:
    """Whoever waits for it may go: the process finds its input closed, saves, and ends.

    While it runs, nobody else trains into the same folder.
    """
    wanted = job(tmp_path, epochs=200)
    trainers: list[Path] = []

    async def meanwhile() -> None:
        trainers.append(Path(f"/proc/{_trainer_of(wanted)}"))
        error, _ = await outcome(wanted)
        assert isinstance(error, TrainingRefusedError)
        assert "another process" in str(error)

    await cancelled(wanted, meanwhile=meanwhile)
    assert not trainers[0].exists()
    assert list((tmp_path / "models" / ".pupil.training").glob("checkpoint-*/complete"))
    assert not wanted.output.exists()


async def test_one_folder_for_two_trainings_is_refused(tmp_path: Path) -> None:
    """Two models cannot take the same place."""
    wanted = job(tmp_path)
    with pytest.raises(InputFileError, match="two trainings"):
        await train([wanted, wanted], on_event=lambda _: None)


async def test_a_training_that_is_told_to_stop_says_how_to_go_on(tmp_path: Path) -> None:
    """SIGTERM to the training process itself reaches the caller as a named error."""
    wanted = job(tmp_path, epochs=200)

    def stop(event: TrainingEvent) -> None:
        if event.kind is EventKind.STEP and event.step == 2:
            os.kill(_trainer_of(wanted), signal.SIGTERM)

    with pytest.raises(TrainingStoppedError, match="start it again"):
        await train([wanted], on_event=stop)
