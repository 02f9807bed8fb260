"""The report of a published dataset, made anew from its folder."""

from collections.abc import Mapping
from typing import Any

from weak2wise_core.dataset.contents import portions_of
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
    SFTExample,
    TraceMeasure,
)
from weak2wise_core.report.page import page
from weak2wise_core.report.tables import Tables
from weak2wise_core.stores.parquet import read

MEASURES = "measures.parquet"


def tables_in(dataset: DatasetFolder) -> Tables:
    """What a report reads, of a published dataset.

    Raises:
        InputFileError: A table is missing, damaged or of another version.
    """
    listed = dataset.manifest["files"]
    if "audits.parquet" not in listed:
        raise InputFileError(
            f"dataset {dataset.folder} was published without audits, by an earlier weak2wise; "
            "build it again: what models answered is kept, and nothing is paid twice"
        )
    questions = read(dataset.file("questions.parquet"), Question)
    portions = tuple(
        portions_of(
            questions,
            attempts=read(dataset.file("attempts.parquet"), Attempt),
            candidates=read(dataset.file("candidates.parquet"), CandidateTrace),
            outcomes=read(dataset.file("outcomes.parquet"), MaskOutcomes),
            measures=read(dataset.file(MEASURES), TraceMeasure) if MEASURES in listed else (),
            golden=read(dataset.file("golden.parquet"), GoldenReasoning),
            train=read(dataset.file("train.parquet"), SFTExample),
        )
    )
    return Tables(
        manifest=dataset.manifest,
        questions=questions,
        portions=lambda: iter(portions),
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
