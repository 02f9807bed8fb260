"""The trainings of an ablation and what their models answered, kept until nobody needs them.

Everything here is named by its content: two arms with the same rows are one training, an
interrupted ablation goes on where it stopped, and one with more seeds trains only the new ones.
The folder can be removed at any time; what is missing is made again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from weak2wise_core.config import EvaluationSettings, TrainingSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.hashing import content_hash, file_hash
from weak2wise_core.records import SFTExample, Verdict
from weak2wise_core.sft import to_conversational
from weak2wise_core.stores.files import (
    atomic_write_bytes,
    remove_abandoned_below,
    remove_folder,
)
from weak2wise_core.training.jobs import TrainingJob, job_version

EVALUATED_BY = "1"
"""Version of what is kept of an evaluation."""
_SPEED_ONLY = {"benchmarks", "resamples"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkVerdicts:
    """What one model answered to one benchmark."""

    benchmark: str
    items: Mapping[str, tuple[Verdict, ...]]
    """By question: a verdict for each sample."""


_KEPT: TypeAdapter[tuple[BenchmarkVerdicts, ...]] = TypeAdapter(tuple[BenchmarkVerdicts, ...])
"""The file of one evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One model to evaluate: a training, or the base model."""

    name: str
    version: str
    job: TrainingJob | None
    """None for the base model."""


class Runs:
    """The folder of all trainings and evaluations of ablations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        rows: Sequence[SFTExample],
        *,
        name: str,
        dataset_version: str,
        model: str,
        settings: TrainingSettings,
    ) -> Run:
        """One training of an arm; its rows are written down.

        Args:
            rows: What is trained on.
            name: For messages.
            dataset_version: Where the rows come from.
            model: Hub id or folder of the model that is trained.
            settings: How, the seed included.

        Raises:
            InputFileError: The model folder cannot be read.
            StoreError: The rows cannot be written.
        """
        draft = TrainingJob(
            name=name,
            train_file=self._write_rows(rows),
            dataset_version=dataset_version,
            model=model,
            output=self.folder,
            settings=settings,
        )
        version = job_version(draft)
        output = self.folder / version / "model"
        return Run(name=name, version=version, job=draft.model_copy(update={"output": output}))

    def verdicts(self, run: Run, key: str) -> tuple[BenchmarkVerdicts, ...] | None:
        """What the model of a run answered, if that is known; a damaged file is not."""
        try:
            return _KEPT.validate_json(self._evaluation(run, key).read_bytes())
        except (OSError, ValidationError):
            return None

    def keep(self, run: Run, key: str, found: Sequence[BenchmarkVerdicts]) -> None:
        """Keep what the model of a run answered.

        Raises:
            StoreError: The file cannot be written.
        """
        data = _KEPT.dump_json(tuple(found))
        atomic_write_bytes(self._evaluation(run, key), data + b"\n")

    def drop_weights(self, run: Run) -> None:
        """Remove the weights of a model that has been evaluated, all or none of them."""
        if run.job is not None:
            remove_folder(run.job.output)

    def remove_abandoned(self) -> None:
        """Remove what killed processes left of weights that they were writing or removing."""
        remove_abandoned_below(self.folder)

    def _evaluation(self, run: Run, key: str) -> Path:
        return self.folder / run.version / f"evaluation-{key}.json"

    def _write_rows(self, rows: Sequence[SFTExample]) -> Path:
        lines = [json.dumps(to_conversational(row), ensure_ascii=False) for row in rows]
        data = "".join(f"{line}\n" for line in lines).encode()
        path = self.folder / "rows" / f"{hashlib.sha256(data).hexdigest()[:16]}.jsonl"
        if not path.is_file():
            atomic_write_bytes(path, data)
        return path


def evaluation_identity(
    settings: EvaluationSettings, *, sampling: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that decides the verdicts about a model's answers, beside the model.

    Args:
        settings: Benchmarks and sampling. A benchmark file counts by its content.
        sampling: What else decides the replies, such as the number format of the weights.

    Raises:
        InputFileError: A benchmark file cannot be read.
    """
    return {
        "evaluated_by": EVALUATED_BY,
        "settings": settings.model_dump(mode="json", exclude=_SPEED_ONLY),
        "sampling": dict(sampling),
        "benchmarks": [
            one.model_dump(mode="json", exclude={"path"})
            | {"path": None if one.path is None else _sha256(one.path)}
            for one in settings.benchmarks
        ],
    }


def evaluation_key(identity: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for an `evaluation_identity`."""
    return content_hash(identity)[:12]


def verdicts_of(evaluation: Evaluation) -> list[BenchmarkVerdicts]:
    """What is kept of an evaluation."""
    return [
        BenchmarkVerdicts(benchmark=one.name, items={item.id: item.verdicts for item in one.items})
        for one in evaluation.benchmarks
    ]


def _sha256(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise InputFileError(f"benchmark {path} cannot be read: {error.strerror}") from error
