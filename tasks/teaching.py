"""What the flows of the related methods share: progress, publishing, reports. Thin."""

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx  # of the engine; models are asked through httpx2
from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from tasks.evaluate_model import EvaluationProgress
from tasks.picturing import artifact_key
from tasks.progress import Progress, account
from tasks.train_sft import TrainingProgress
from weak2wise_core.dataset.lessons import Lessons, publish_lessons
from weak2wise_core.dataset.publishing import Published
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.teaching.reports import Report, write_report


@dataclass(slots=True)
class TeachingProgress:
    """How far a run of a related method is."""

    models: Progress = field(default_factory=Progress)
    training: TrainingProgress = field(default_factory=TrainingProgress)
    evaluation: EvaluationProgress = field(default_factory=EvaluationProgress)
    phase: str = "starting the task engine"


PROGRESS: ContextVar[TeachingProgress | None] = ContextVar("weak2wise_teaching", default=None)
"""Set by a caller in the same process that wants to watch the run."""


@task(name="publish_lessons", task_run_name="publish {label}", cache_policy=NO_CACHE,
      persist_result=False)  # fmt: skip
async def publish_lessons_task(lessons: Lessons, data: Path, label: str) -> Published:
    """Write what a training reads as a dataset, whole or not at all, and show what was left out."""
    published = await asyncio.to_thread(publish_lessons, lessons, root=data / "datasets")
    await asyncio.to_thread(open_dataset(published.folder).verify)
    rows = [
        {"kind": kind, "stage": stage, "reason": reason, "rows": count}
        for kind in ("dropped", "quarantined")
        for stage, reasons in published.manifest[kind].items()
        for reason, count in reasons.items()
    ]
    # Artifacts are for people: a server that cannot take one does not fail the run.
    with suppress(httpx.HTTPError, PrefectException, OSError):
        await acreate_table_artifact(
            key=artifact_key(label, "drops"),
            table=rows or [{"kind": "", "stage": "", "reason": "none", "rows": 0}],
            description=f"{published.manifest['counts']['train']} rows in {published.folder}",
        )
    return published


@task(name="publish_report", cache_policy=NO_CACHE, persist_result=False)
async def publish_report(report: Report, data: Path, progress: Progress) -> Path:
    """Write the tables below the data folder, whole or not at all, and show them."""
    folder = await asyncio.to_thread(write_report, report, root=data / "related")
    with suppress(httpx.HTTPError, PrefectException, OSError):
        await acreate_markdown_artifact(
            key=artifact_key(report.name, report.method),
            markdown=report.markdown,
            description=f"Accuracy of every model, with intervals; {folder}",
        )
        await acreate_table_artifact(
            key=artifact_key(report.name, "account"),
            table=_account(progress),
            description="What this run asked of the models; stored calls were paid for earlier",
        )
    return folder


def _account(progress: Progress) -> list[dict[str, Any]]:
    return account(progress)
