"""Laws of the flow `sft`: a dataset becomes a model, once."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tasks import train_sft
from tasks.train_sft import PROGRESS, TrainingProgress
from tasks.training_jobs import find_dataset, plan_job
from testbed.models import WEAK_MODEL_FOLDER
from tests.core.training.schooling import rows
from tests.flows.showing import artifacts
from weak2wise_core.config import TrainingSettings
from weak2wise_core.errors import (
    InputFileError,
    RecipeError,
    TrainingRefusedError,
)
from weak2wise_core.hashing import content_hash
from weak2wise_core.training.events import EventKind, TrainingEvent

QUICK = {
    "learning_rate": 1e-3,
    "global_batch_size": 8,
    "per_device_batch_size": 8,
    "packing": False,
    "epochs": 1,
    "device": "cpu",
}
WEAK = {"backend": "testbed", "model": "weak"}


def make_dataset(data: Path, *, count: int = 16, weak: Any = WEAK, name: str = "lessons") -> Path:
    """A published dataset with the files that a training reads."""
    lines = "".join(json.dumps(row) + "\n" for row in rows(count)).encode()
    digest = hashlib.sha256(lines).hexdigest()
    manifest: dict[str, Any] = {
        "format": "weak2wise.dataset/1",
        "dataset": name,
        "counts": {"train": count},
        "settings": {"models": {"weak": weak}, "sft": {"prompt_suffix": ""}},
        "files": {"train.jsonl": {"sha256": digest, "bytes": len(lines)}},
    }
    manifest["version"] = content_hash(manifest)[:12]
    folder = data / "datasets" / name / str(manifest["version"])
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_bytes(lines)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder.parent / "latest").symlink_to(folder.name)
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, with one dataset."""
    monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "data"))
    make_dataset(tmp_path / "data")
    return tmp_path / "data"


def settings(**values: Any) -> TrainingSettings:
    """Quick training settings."""
    return TrainingSettings.model_validate(QUICK | values)


# --- the flow ---------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_dataset_becomes_a_model_once(
    engine: None, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model lies below its name and version, with artifacts and an event; then it is found."""
    pytest.importorskip("trl")
    from flows.sft import sft

    events: list[dict[str, Any]] = []
    monkeypatch.setattr(train_sft, "emit_event", lambda name, **rest: events.append(rest))
    progress = TrainingProgress()
    PROGRESS.set(progress)
    state: Any = await sft("lessons", settings(), return_state=True)
    trained = await state.aresult()
    version = trained.manifest["version"]
    assert state.name == "Completed"
    assert trained.folder == data / "models" / "lessons" / version
    assert (data / "models" / "lessons" / "latest").resolve() == trained.folder.resolve()
    assert trained.manifest["dataset"]["version"].startswith("lessons/")
    assert trained.manifest["dataset"]["prompt_suffix"] == ""
    assert progress.fraction == 1.0
    assert events == [], "outside of a deployment nothing is announced"
    shown = ("lessons-training", "lessons-losses", "lessons-loss-table")
    assert set(await artifacts(*shown)) == set(shown)

    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "0")
    second: Any = await sft("lessons", settings(), return_state=True)
    again = await second.aresult()
    assert again.skipped
    assert again.manifest == trained.manifest
    (event,) = events
    assert event["resource"]["prefect.resource.id"] == "weak2wise.model.lessons"
    assert event["payload"] == {
        "uri": str(trained.folder),
        "model": "lessons",
        "dataset": trained.manifest["dataset"]["version"],
        "version": version,
    }


@pytest.mark.slow
async def test_a_refused_training_fails_the_flow_with_its_reason(engine: None, data: Path) -> None:
    """The state holds the error as it was raised; no model appears."""
    pytest.importorskip("trl")
    from flows.sft import sft

    state: Any = await sft(
        str(data / "datasets" / "lessons"), settings(max_length=60), return_state=True
    )
    error = await state.aresult(raise_on_failure=False)
    assert isinstance(error, TrainingRefusedError)
    assert "longer than the context of 60 tokens" in str(error)
    assert not (data / "models").exists()


# --- which training is meant ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lessons", "lessons/latest", "lessons/VERSION", "FOLDER"])
def test_a_dataset_is_named_or_pointed_to(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By name, by name and version, or by its folder."""
    (folder,) = [
        path for path in (data / "datasets" / "lessons").iterdir() if not path.is_symlink()
    ]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lessons").mkdir()  # a folder of that name, which is no dataset
    wanted = name.replace("VERSION", folder.name).replace("FOLDER", str(folder))
    assert find_dataset(wanted, data=data).folder == folder.resolve()


def test_an_unknown_version_names_those_that_are_there(data: Path) -> None:
    """And a name without any dataset says what a dataset is."""
    (known,) = [
        path.name for path in (data / "datasets" / "lessons").iterdir() if not path.is_symlink()
    ]
    with pytest.raises(InputFileError, match=f"no version 0123.* {known}"):
        find_dataset("lessons/0123", data=data)
    with pytest.raises(InputFileError, match="is no dataset"):
        find_dataset("nothing", data=data)


def test_the_model_is_the_weak_model_unless_another_is_named(data: Path, tmp_path: Path) -> None:
    """As the dataset's manifest says; a model that cannot be found here is asked for."""
    dataset = find_dataset("lessons", data=data)
    assert plan_job(dataset, settings(), name=None, data=data).model == str(WEAK_MODEL_FOLDER)
    other = plan_job(dataset, settings(model="Qwen/Qwen2.5-7B-Instruct"), name="gr7b", data=data)
    assert (other.model, other.name) == ("Qwen/Qwen2.5-7B-Instruct", "gr7b")
    assert other.output.parent == data / "models" / "gr7b"
    for number, weak in enumerate(({"backend": "transformers", "model": "weak_model_folder"}, {})):
        folder = make_dataset(tmp_path / str(number), weak=weak)
        found = find_dataset(str(folder), data=data)
        with pytest.raises(InputFileError, match="--model FOLDER"):
            plan_job(found, settings(), name=None, data=data)


def test_a_served_weak_model_is_trained_by_its_hub_id(data: Path) -> None:
    """Models behind a server are named as their makers publish them."""
    served = {"backend": "openai", "model": "Qwen/Qwen2.5-7B-Instruct"}
    make_dataset(data, weak=served, name="served")
    job = plan_job(find_dataset("served", data=data), settings(), name=None, data=data)
    assert job.model == "Qwen/Qwen2.5-7B-Instruct"


def test_a_dataset_cannot_name_a_folder_of_the_machine(data: Path) -> None:
    """A dataset of anybody may not make a training read what lies elsewhere."""
    elsewhere = {"backend": "transformers", "model": "/etc/ssl/private"}
    make_dataset(data, weak=elsewhere, name="hostile")
    with pytest.raises(RecipeError, match="may not read"):
        plan_job(find_dataset("hostile", data=data), settings(), name=None, data=data)


def test_progress_tells_the_time_that_is_left() -> None:
    """At the mean speed since the start, or since the resumption."""
    progress = TrainingProgress()
    assert (progress.fraction, progress.seconds_left) == (0.0, None)
    progress.hear(TrainingEvent(kind=EventKind.STARTED, step=10, steps=40, seconds=5.0))
    progress.hear(
        TrainingEvent(kind=EventKind.STEP, step=20, steps=40, seconds=25.0, loss=1.5, tokens=9)
    )
    progress.hear(TrainingEvent(kind=EventKind.SAVED, step=20, steps=40))
    assert progress.fraction == 0.5
    assert progress.seconds_left == pytest.approx(40.0)
    assert progress.sentence == "step 20 of 40, loss 1.5000"
    assert progress.saved == 20
