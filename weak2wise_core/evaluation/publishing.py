"""Writing results: beside their place, renamed when whole; and reading them back."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weak2wise_core.config import BenchmarkKind
from weak2wise_core.errors import InputFileError
from weak2wise_core.evaluation.assembling import results_of
from weak2wise_core.evaluation.comparing import Comparison
from weak2wise_core.evaluation.records import Evaluation, StockResult
from weak2wise_core.evaluation.tables import comparison_rows, markdown, stock_summary, summary
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import EvaluatedSample
from weak2wise_core.stores import parquet
from weak2wise_core.stores.files import atomic_folder, remove_abandoned, scratch_folder

FORMAT = "weak2wise.evaluation/1"
RESULTS, SAMPLES, PAGE = "results.json", "samples.parquet", "results.md"
LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEvaluation:
    """Results in their folder."""

    folder: Path
    results: dict[str, Any]
    """The content of results.json."""

    @property
    def page(self) -> str:
        """The tables, as markdown."""
        return markdown(self.results)


def publish_evaluation(
    evaluation: Evaluation,
    *,
    root: Path,
    against: Evaluation | None = None,
    comparisons: Sequence[Comparison] = (),
) -> PublishedEvaluation:
    """Write results below `root` / name / version and let `latest` point to them.

    The version is a hash of the results, which hold the digest of all answers: the same answers
    give the same folder, and writing it again changes nothing.

    Args:
        evaluation: What was found.
        root: The folder of all evaluations.
        against: What it was compared with.
        comparisons: The comparison, by benchmark.

    Raises:
        StoreError: The folder cannot be written; nothing is left behind.
    """
    samples = parquet.to_bytes(evaluation.samples, EvaluatedSample)
    results: dict[str, Any] = {
        "format": FORMAT,
        "name": evaluation.name,
        "model": dict(evaluation.model),
        "returned": dict(evaluation.returned),
        "settings": dict(evaluation.settings),
        "benchmarks": summary(evaluation),
        "stock": stock_summary(evaluation),
        "against": _named(against) if against else None,
        "comparisons": comparison_rows(comparisons),
        "samples_sha256": hashlib.sha256(samples).hexdigest(),
    }
    results["version"] = content_hash(results)[:12]
    folder = root / evaluation.name / results["version"]
    remove_abandoned(folder.parent)
    with atomic_folder(folder) as beside:
        (beside / SAMPLES).write_bytes(samples)
        (beside / PAGE).write_text(markdown(results), encoding="utf-8")
        text = json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False)
        (beside / RESULTS).write_text(text + "\n", encoding="utf-8")
    _point(folder.parent / LATEST, results["version"])
    return PublishedEvaluation(folder=folder, results=results)


def read_evaluation(path: Path) -> Evaluation:
    """Read results back.

    Args:
        path: A version's folder, or a name's folder, of which the latest version is read.

    Raises:
        InputFileError: It holds no results, or they are damaged.
    """
    folder = path if (path / RESULTS).is_file() else path / LATEST
    try:
        results = json.loads((folder / RESULTS).read_bytes())
        if results["format"] != FORMAT:
            raise ValueError(f"format {results['format']}, {FORMAT} was expected")
        data = (folder / SAMPLES).read_bytes()
        if hashlib.sha256(data).hexdigest() != results["samples_sha256"]:
            raise ValueError(f"{SAMPLES} is not the file that was written")
        return _evaluation(results, parquet.from_bytes(data, EvaluatedSample))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{path} holds no results of `weak2wise evaluate` that can be read "
            f"({type(error).__name__}: {error}); name the folder of one version"
        ) from error


def holds_results(path: Path) -> bool:
    """Whether a folder looks like results rather than a model."""
    return any((folder / RESULTS).is_file() for folder in (path, path / LATEST))


def _evaluation(results: dict[str, Any], samples: list[EvaluatedSample]) -> Evaluation:
    rows = results["benchmarks"]
    kinds = {name: BenchmarkKind(row["kind"]) for name, row in rows.items()}
    return Evaluation(
        name=results["name"],
        model=results["model"],
        settings=results["settings"],
        benchmarks=results_of(samples, kinds=kinds),
        samples=tuple(samples),
        stock=tuple(
            StockResult(task=task, metrics=row["metrics"], questions=row["questions"])
            for task, row in results["stock"].items()
        ),
        majorities={
            name: row["maj_at_k"] for name, row in rows.items() if row["maj_at_k"] is not None
        },
        returned=results["returned"],
    )


def _named(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "name": evaluation.name,
        "model": dict(evaluation.model),
        "returned": dict(evaluation.returned),
        "settings": dict(evaluation.settings),
    }


def _point(link: Path, target: str) -> None:
    """Let a symbolic link point to a version, in one step."""
    with scratch_folder(link) as beside:
        made = beside / LATEST
        made.symlink_to(target, target_is_directory=True)
        made.replace(link)
