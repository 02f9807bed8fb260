"""Laws of jobs: what decides the weights decides the version, and nothing else does."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from testbed.models import WEAK_MODEL_FOLDER
from tests.core.training.schooling import job, rows, write_rows
from weak2wise_core.config.training import NOT_DECISIVE, TrainingSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import (
    MANIFEST,
    TrainingJob,
    finished,
    job_identity,
    job_version,
    model_identity,
    prompt_suffix,
)


def test_a_job_survives_json(tmp_path: Path) -> None:
    """It goes to another process as JSON and comes back as it was."""
    wanted = job(tmp_path, lora={"rank": 4, "targets": ["q_proj"]}, precision="bfloat16")
    path = tmp_path / "job.json"
    path.write_text(wanted.model_dump_json())
    assert TrainingJob.read(path) == wanted
    with pytest.raises(ValidationError):
        wanted.name = "other"  # type: ignore[misc]


def test_what_is_no_job_is_an_error(tmp_path: Path) -> None:
    """The file is named."""
    path = tmp_path / "job.json"
    with pytest.raises(InputFileError, match=r"job\.json"):
        TrainingJob.read(path)
    path.write_text('{"name": "x"}')
    with pytest.raises(InputFileError, match="train_file"):
        TrainingJob.read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1e-4},
        {"seed": 3},
        {"loss": "equation_10"},
        {"lora": {"rank": 4}},
        {"packing": True},
        {"epochs": 1},
    ],
)
def test_decisive_settings_make_another_version(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Each gives other weights."""
    assert job_version(job(tmp_path, **changes)) != job_version(job(tmp_path))


def test_how_a_training_is_run_does_not(tmp_path: Path) -> None:
    """Neither devices, processes and threads, nor names and folders, nor the dataset's version."""
    plain = job(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    other = job(
        tmp_path / "elsewhere",
        "renamed",
        processes=2,
        threads=2,
        per_device_batch_size=2,
        save_every_steps=1,
        gradient_checkpointing=True,
    ).model_copy(update={"dataset_version": "another"})
    assert job_version(other) == job_version(plain)
    assert set(TrainingSettings.model_fields) >= NOT_DECISIVE


def test_other_rows_or_another_model_make_another_version(tmp_path: Path) -> None:
    """One changed row, one changed weight."""
    plain = job(tmp_path)
    content = rows(32)
    content[3]["completion"][0]["content"] += "0"
    other_rows = write_rows(tmp_path / "other.jsonl", content)
    copied = tmp_path / "weak_model"
    shutil.copytree(WEAK_MODEL_FOLDER, copied)
    moved = plain.model_copy(update={"model": str(copied)})
    assert job_version(moved) == job_version(plain)
    data = bytearray((copied / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copied / "model.safetensors").write_bytes(data)
    changed = plain.model_copy(update={"train_file": other_rows})
    assert len({job_version(one) for one in (plain, changed, moved)}) == 3


def test_a_hub_id_is_its_own_identity() -> None:
    """Nothing is fetched to name it; a path that is not there is an error."""
    assert model_identity("Qwen/Qwen2.5-7B-Instruct") == "Qwen/Qwen2.5-7B-Instruct"
    with pytest.raises(InputFileError, match="does not exist"):
        model_identity("./nothing/here")


def test_a_folder_counts_as_finished_only_with_its_own_manifest(tmp_path: Path) -> None:
    """Without one, with a damaged one or with another's, it is not taken for the model."""
    wanted = job(tmp_path)
    assert finished(wanted) is None
    wanted.output.mkdir(parents=True)
    for content in ("", "{", "[]", '{"format": "weak2wise.model/1", "identity": {}}'):
        (wanted.output / MANIFEST).write_text(content)
        with pytest.raises(InputFileError, match="holds something else"):
            finished(wanted)
    good = {"format": "weak2wise.model/1", "identity": job_identity(wanted)}
    (wanted.output / MANIFEST).write_text(json.dumps(good))
    found = finished(wanted)
    assert found is not None
    assert found.skipped


def test_the_prompt_suffix_comes_from_the_dataset(tmp_path: Path) -> None:
    """Its manifest lies beside the rows; without one nothing is said."""
    path = write_rows(tmp_path / "train.jsonl", rows(1))
    assert prompt_suffix(path) is None
    manifest = {"settings": {"sft": {"prompt_suffix": "Think."}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert prompt_suffix(path) == "Think."


def test_events_survive_a_line_of_json() -> None:
    """What is at its default is left out; what is no event is an error."""
    event = TrainingEvent(kind=EventKind.STEP, job="a", step=3, steps=9, loss=0.25, tokens=7)
    line = event.to_json()
    assert "\n" not in line
    assert TrainingEvent.from_json(line) == event
    assert "message" not in line
    for wrong in ("[]", '{"kind": "dancing"}', '{"kind": "step", "colour": 1}', "{}", "nothing"):
        with pytest.raises((ValueError, KeyError)):
            TrainingEvent.from_json(wrong)
