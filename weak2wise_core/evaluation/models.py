"""The model that is evaluated: named by a person, checked before anything is loaded."""

import json
import re
from pathlib import Path
from typing import Any

from weak2wise_core.config import Backend, EvaluationSettings, ModelSpec
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.llm.weights import model_folder

TRAINED = "training.json"
"""What a model folder of this project says about its training."""
_LONGEST_NAME = 100

_NEEDED = {
    "configuration (config.json)": ("config.json",),
    "weights (*.safetensors or *.bin)": ("*.safetensors", "*.bin"),
    "tokenizer (tokenizer.json or tokenizer.model)": (
        "tokenizer.json",
        "tokenizer.model",
        "vocab.json",
    ),
}


def model_spec(model: str | ModelSpec) -> ModelSpec:
    """A model as it is asked; a text is a model folder or a hub id, run in this process."""
    if isinstance(model, ModelSpec):
        return model
    return ModelSpec(backend=Backend.TRANSFORMERS, model=model)


def check_model(model: ModelSpec) -> None:
    """Find out whether a model folder can be one, without loading it.

    Raises:
        InputFileError: There is no such folder, or it lacks configuration, weights or tokenizer.
    """
    folder = _folder(model)
    if folder is None:
        return
    lacking = [
        what
        for what, patterns in _NEEDED.items()
        if not any(next(folder.glob(pattern), None) for pattern in patterns)
        and not (what.startswith("tokenizer") and model.tokenizer is not None)
    ]
    if lacking:
        raise InputFileError(
            f"the model folder {model.model} has no {', no '.join(lacking)}; name the folder of a "
            "whole model, such as `weak2wise sft` writes"
        )


def model_label(model: ModelSpec) -> str:
    """A short name of a model, fit for a folder: as it was trained, or its folder's or id's."""
    folder = _folder(model)
    named = str(_training(model).get("name") or "")
    text = named or (model.model.strip("/") if folder is None else folder.name)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")
    return plain[:_LONGEST_NAME] or "model"


def prompt_suffix(model: ModelSpec, settings: EvaluationSettings) -> str:
    """What follows every question, after a blank line.

    Returns:
        `prompt_suffix` of the settings; where absent, that of the dataset which the model was
        trained on, as its folder says; for any other model none.

    Raises:
        InputFileError: The model's folder holds a file about its training that cannot be read.
    """
    if settings.prompt_suffix is not None:
        return settings.prompt_suffix
    dataset = _training(model).get("dataset")
    return str(dataset.get("prompt_suffix") or "") if isinstance(dataset, dict) else ""


def _folder(model: ModelSpec) -> Path | None:
    return model_folder(model.model) if model.backend is Backend.TRANSFORMERS else None


def _training(model: ModelSpec) -> dict[str, Any]:
    folder = _folder(model)
    if folder is None or not (folder / TRAINED).is_file():
        return {}
    try:
        content = json.loads((folder / TRAINED).read_bytes())
    except (OSError, ValueError) as error:
        raise InputFileError(f"{folder / TRAINED} cannot be read: {error}") from error
    return content if isinstance(content, dict) else {}


def settled(model: ModelSpec, settings: EvaluationSettings) -> EvaluationSettings:
    """The settings with what they leave to the model; two models that are compared share them.

    Raises:
        UsageError: No benchmark is named.
        InputFileError: As `prompt_suffix`.
    """
    if not settings.benchmarks and not settings.stock_tasks:
        raise UsageError(
            "no benchmark is named: give --benchmark aime24=FILE (or math500, gpqa_diamond), or "
            "list some under evaluation.benchmarks"
        )
    return settings.model_copy(update={"prompt_suffix": prompt_suffix(model, settings)})
