"""The report of a published dataset, made anew from its folder."""

from collections.abc import Mapping
from typing import Any

from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import InputFileError
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    Finding,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    Rejection,
    ScoredTrace,
    SFTExample,
)
from weak2wise_core.report.page import page
from weak2wise_core.report.tables import Tables
from weak2wise_core.stores.parquet import read


def tables_in(dataset: DatasetFolder) -> Tables:
    """What a report reads, of a published dataset.

    Raises:
        InputFileError: A table is missing, damaged or of another version.
    """
    if "audits.parquet" not in dataset.manifest["files"]:
        raise InputFileError(
            f"dataset {dataset.folder} was published without audits, by an earlier weak2wise; "
            "build it again: what models answered is kept, and nothing is paid twice"
        )
    return Tables(
        manifest=dataset.manifest,
        questions=read(dataset.file("questions.parquet"), Question),
        attempts=read(dataset.file("attempts.parquet"), Attempt),
        candidates=read(dataset.file("candidates.parquet"), CandidateTrace),
        outcomes=read(dataset.file("outcomes.parquet"), MaskOutcomes),
        scores=read(dataset.file("scores.parquet"), ScoredTrace),
        golden=read(dataset.file("golden.parquet"), GoldenReasoning),
        train=read(dataset.file("train.parquet"), SFTExample),
        rejections=read(dataset.file("quarantine.parquet"), Rejection),
        findings=read(dataset.file("audits.parquet"), Finding),
    )


def report_of(dataset: DatasetFolder, *, run: Mapping[str, Any] | None = None) -> str:
    """The report of a published dataset; byte for byte the one in its folder where `run` is None.

    Args:
        dataset: A dataset of this version.
        run: What one run paid and how long it took.

    Raises:
        InputFileError: The dataset cannot be read.
    """
    return page(tables_in(dataset), run=run)
