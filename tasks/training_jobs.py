"""Which training a dataset and settings mean: rows, model, and the folder of its version."""

from collections.abc import Iterator
from pathlib import Path

from tasks.runtime import data_folder
from testbed.models import WEAK, WEAK_MODEL_FOLDER
from weak2wise_core.config import Backend, TrainingSettings
from weak2wise_core.dataset.manifest import LATEST, MANIFEST
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset
from weak2wise_core.errors import InputFileError
from weak2wise_core.recipe_files import check_named, is_path
from weak2wise_core.training.jobs import TrainingJob, job_version

TRAIN_FILE, PAIRS_FILE = "train.jsonl", "pairs.jsonl"


def open_job(dataset: str, settings: TrainingSettings, *, name: str | None) -> TrainingJob:
    """The training of a dataset that is named as in `find_dataset`, below the data folder.

    Raises:
        InputFileError: There is no such dataset, or it is not what was published.
        RecipeError: A folder may not be read.
    """
    data = data_folder()
    found = find_dataset(dataset, data=data)
    found.verify()
    return plan_job(found, settings, name=name, data=data)


def plan_job(
    dataset: DatasetFolder, settings: TrainingSettings, *, name: str | None, data: Path
) -> TrainingJob:
    """The training of a dataset: its rows, the model, and the folder that its version takes.

    Raises:
        InputFileError: The dataset has no training rows, or does not say which model to train.
        RecipeError: The model is a folder that may not be read.
    """
    model = settings.model or weak_model(dataset)
    if is_path(model) and model != str(WEAK_MODEL_FOLDER):
        check_named([("training.model", Path(model))], data=data)
    name = name or dataset.name
    job = TrainingJob(
        name=name,
        train_file=dataset.file(PAIRS_FILE if settings.objective.reads_pairs else TRAIN_FILE),
        dataset_version=f"{dataset.name}/{dataset.version}",
        model=model,
        output=data / "models" / name,
        settings=settings,
    )
    return job.model_copy(update={"output": job.output / job_version(job)})


def weak_model(dataset: DatasetFolder) -> str:
    """Hub id or folder of the model that a dataset was built for: the weak one of a build.

    Raises:
        InputFileError: It names none that can be found here.
    """
    settings = dataset.manifest.get("settings", {})
    weak = settings.get("models", {}).get(settings.get("trained", "weak"), {})
    backend, model = weak.get("backend"), weak.get("model")
    if backend == Backend.TESTBED and model == WEAK:
        return str(WEAK_MODEL_FOLDER)
    unknown = not isinstance(model, str) or not model
    if unknown or (backend == Backend.TRANSFORMERS and "/" not in model and not is_path(model)):
        raise InputFileError(
            f"dataset {dataset.folder} was built for the model {model!r}, which is no hub id "
            "and no folder here. Name the model to train: --model FOLDER, or training.model"
        )
    return str(model)


def find_dataset(dataset: str, *, data: Path) -> DatasetFolder:
    """A dataset by its folder, or by NAME or NAME/VERSION below the data folder.

    Raises:
        InputFileError: There is none; the versions that are there are named.
        RecipeError: The folder may not be read.
    """
    path, named = Path(dataset), data / "datasets" / dataset
    if not _looks_like_one(path) and named.parent.is_dir():
        path = named  # a folder here may have the name of a dataset there
    check_named([("dataset", path)], data=data)
    try:
        return open_dataset(path)
    except InputFileError as error:
        versions = sorted(_versions(path.parent))
        if path.exists() or not versions:
            raise
        raise InputFileError(
            f"dataset {path.parent.name} has no version {path.name}; there are "
            f"{', '.join(versions)}"
        ) from error


def _looks_like_one(path: Path) -> bool:
    return any((path / name).exists() for name in (MANIFEST, LATEST))


def _versions(folder: Path) -> Iterator[str]:
    for path in folder.glob(f"*/{MANIFEST}"):
        if not path.parent.is_symlink():
            yield path.parent.name
