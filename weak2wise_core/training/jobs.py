"""What a training is: a model, training rows, settings, and the folder that the result takes."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from weak2wise_core.config.base import Name, Settings
from weak2wise_core.config.training import TrainingSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.hashing import content_hash, file_hash
from weak2wise_core.llm.weights import folder_digest, model_folder

FORMAT = "weak2wise.model/1"
METHOD = "1"
"""Version of the training itself; bump it when the same job gives other weights."""
MANIFEST = "training.json"


class TrainingJob(Settings):
    """One training. It goes to the training process as JSON."""

    name: Name = Field(description="name of the model, in messages and in its card")
    train_file: Path = Field(
        description="one row a line: a dataset's train.jsonl, or pairs for objective dpo or orpo"
    )
    dataset_version: str = Field(description="where the rows come from, for the manifest")
    model: str = Field(min_length=1, description="hub id or folder of the model to train")
    output: Path = Field(description="the folder of the trained model; whole or absent")
    settings: TrainingSettings = TrainingSettings()

    @classmethod
    def read(cls, path: Path) -> "TrainingJob":
        """A job from a JSON file.

        Raises:
            InputFileError: The file cannot be read, or is no job.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InputFileError(f"{path} is no training job: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained model in its folder."""

    folder: Path
    manifest: Mapping[str, Any]
    skipped: bool
    """The folder held this very model already; nothing was trained."""


def job_identity(job: TrainingJob) -> dict[str, Any]:
    """Everything that decides the weights: rows, model, decisive settings, version of the method.

    The name, the dataset's version and all paths are left out: two datasets with the same training
    rows give the same model.

    Raises:
        InputFileError: The training rows or the model folder cannot be read.
    """
    return {
        "method": METHOD,
        "train_sha256": _sha256(job.train_file),
        "model": model_identity(job.model),
        "settings": job.settings.decisive(),
    }


def job_version(job: TrainingJob) -> str:
    """Twelve hexadecimal digits of a hash of `job_identity`; the name of a version's folder.

    Raises:
        InputFileError: As in `job_identity`.
    """
    return content_hash(job_identity(job))[:12]


def model_identity(name: str) -> str:
    """A hub id, or a folder's name and a digest of what lies in it.

    Raises:
        InputFileError: The name is a path and there is no such folder.
    """
    folder = model_folder(name)
    return name if folder is None else f"{folder.name}@{folder_digest(folder)[:12]}"


def finished(job: TrainingJob) -> Trained | None:
    """The model of this very job, if its folder holds it.

    Raises:
        InputFileError: The folder is taken by something else, or rows or model cannot be read.
    """
    if not job.output.exists():
        return None
    manifest = _manifest(job.output / MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("identity") != job_identity(job):
        raise InputFileError(
            f"{job.output} holds something else than the model of this training (other rows, "
            "another base model or other settings). Name another output folder, or remove this one"
        )
    return Trained(folder=job.output, manifest=manifest, skipped=True)


def prompt_suffix(train_file: Path) -> str | None:
    """What follows the question in every training prompt: the dataset's `sft.prompt_suffix`.

    Returns:
        None where the rows lie beside no manifest of a dataset.
    """
    manifest = _manifest(train_file.parent / "manifest.json")
    suffix = manifest.get("settings", {}).get("sft", {}).get("prompt_suffix")
    return suffix if isinstance(suffix, str) else None


def _manifest(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _sha256(path: Path) -> str:
    try:
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InputFileError(f"the training rows {path} cannot be read: {error}") from error


@functools.lru_cache(maxsize=256)
def _digest(path: Path, _modified: int, _size: int) -> str:
    return file_hash(path)
