"""What the task engine shows of a build: progress, tables, a summary, an event."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import httpx  # of the engine; models are asked through httpx2
import prefect.runtime
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from tasks.local_models import sentence
from tasks.picturing import artifact_key, show_dataset
from tasks.progress import STAGES, Progress, account, fraction_done, stages
from tasks.runtime import Runtime
from weak2wise_core.accounts import known
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.contents import AnyContents
from weak2wise_core.dataset.drift import model_changes
from weak2wise_core.dataset.manifest import counts, returned_models
from weak2wise_core.dataset.publishing import REPORT, Published
from weak2wise_core.dataset.returned import merged

PUBLISHED_EVENT = "weak2wise.dataset.published"
LONGEST_TABLE = 200
"""Rows; longer tables belong in Parquet."""
_SECONDS_BETWEEN_UPDATES = 5.0


@asynccontextmanager
async def live_progress(progress: Progress, *, dataset: str) -> AsyncIterator[None]:
    """Keep a progress artifact of the build and one of every stage up to date."""
    shown: dict[str, Any] = {}
    async with _tolerated("the progress"):
        shown[""] = await acreate_progress_artifact(
            progress=0.0,
            key=artifact_key(dataset, "progress"),
            description=f"{progress.questions} questions in {progress.shards} shards",
        )

    async def keep_updating() -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_UPDATES)
            await _show(progress, shown, dataset=dataset)

    updater = asyncio.create_task(keep_updating())
    try:
        yield
        updater.cancel()
        await _show(progress, shown, dataset=dataset)
        await _update(shown.get(""), 100.0)
    finally:
        updater.cancel()
        with suppress(asyncio.CancelledError):
            await updater


async def _show(progress: Progress, shown: dict[str, Any], *, dataset: str) -> None:
    """Bring every artifact up to date; that of a stage appears when questions come to it."""
    await _update(shown.get(""), 100 * fraction_done(progress))
    for stage in STAGES:
        if not (entered := progress.entered[stage]):
            continue
        percent = 100 * progress.left(stage) / entered
        if stage in shown:
            await _update(shown[stage], percent)
            continue
        async with _tolerated("the progress"):
            shown[stage] = await acreate_progress_artifact(
                progress=percent,
                key=artifact_key(dataset, f"progress-{stage}".replace("_", "-")),
                description=f"{stage}: questions that are done, of those that came to it so far",
            )


@asynccontextmanager
async def _tolerated(what: str) -> AsyncIterator[None]:
    """Reports are for people: a server that cannot take one does not fail the build."""
    try:
        yield
    except (httpx.HTTPError, PrefectException, OSError) as error:
        get_run_logger().warning("%s could not be written: %s", what, error)


async def _update(artifact: Any, percent: float) -> None:
    if artifact is None:
        return
    identity = artifact if isinstance(artifact, UUID) else artifact.id
    async with _tolerated("the progress"):
        await aupdate_progress_artifact(artifact_id=identity, progress=percent)


async def report_run(
    runtime: Runtime, *, contents: AnyContents | None, published: Published | None = None
) -> None:
    """Write what was dropped, what was paid and where the dataset is, as artifacts."""
    note_model_changes(runtime.recipe, runtime.progress, contents=contents)
    for change in runtime.progress.model_changes:
        get_run_logger().warning("%s", change.sentence)
    async with _tolerated("the report"):
        await _report(runtime, contents=contents, published=published)
    if published is not None:
        found = published.manifest["counts"]
        get_run_logger().info(
            "%d of %d rows became training rows: %s; report: %s",
            found["train"],
            found["rows"],
            published.folder,
            published.folder / REPORT,
        )
    get_run_logger().info(
        "%d calls paid (%.4f USD), %d answered by the reply store",
        runtime.progress.calls,
        runtime.progress.usd,
        runtime.progress.stored,
    )


async def _report(
    runtime: Runtime, *, contents: AnyContents | None, published: Published | None
) -> None:
    dataset = runtime.recipe.dataset
    if contents is not None:
        await acreate_table_artifact(
            key=artifact_key(dataset, "drops"),
            table=drops(contents),
            description="Questions that are not in the training set, by stage and reason",
        )
        await acreate_table_artifact(
            key=artifact_key(dataset, "quarantine"),
            table=rejected(contents)[:LONGEST_TABLE],
            description=f"{len(contents.rejections)} questions, the first {LONGEST_TABLE}; "
            "all of them are in quarantine.parquet",
        )
    await acreate_table_artifact(
        key=artifact_key(dataset, "account"),
        table=account(runtime.progress),
        description="What this run asked of the models; stored calls were paid for earlier",
    )
    await acreate_table_artifact(
        key=artifact_key(dataset, "stages"),
        table=stages(runtime.progress) or [{"stage": "none", "questions": 0}],
        description="Questions and seconds of every stage; stages overlap",
    )
    if published is not None:
        await show_dataset(published)
    await acreate_markdown_artifact(
        key=artifact_key(dataset, "summary"),
        markdown=summary(runtime.progress, contents=contents, published=published),
        description="How the build went",
    )


def note_model_changes(recipe: Recipe, progress: Progress, *, contents: AnyContents | None) -> None:
    """Find the models that answer under other ids than before.

    The tables know the replies of earlier runs too; the accounts know those of a run that made no
    tables.
    """
    of_tables = {} if contents is None else returned_models(contents)
    returned = merged(of_tables, progress.returned)
    progress.model_changes = model_changes(recipe, returned, earlier=progress.earlier)


def drops(contents: AnyContents) -> list[dict[str, Any]]:
    """Rejections counted by stage, kind and reason; at least one row."""
    found = Counter((item.stage, item.kind.value, item.reason) for item in contents.rejections)
    return [
        {"stage": stage, "kind": kind, "reason": reason, "questions": count}
        for (stage, kind, reason), count in sorted(found.items())
    ] or [{"stage": "", "kind": "", "reason": "none", "questions": 0}]


def rejected(contents: AnyContents) -> list[dict[str, Any]]:
    """Every rejection as a row for people; at least one row."""
    return [
        {
            "question": item.question_id,
            "stage": item.stage,
            "kind": item.kind.value,
            "reason": item.reason,
            "model": item.model,
            "draw": "" if item.draw is None else item.draw,
            "detail": item.detail[:300],
        }
        for item in contents.rejections
    ] or [{"question": "", "stage": "", "kind": "", "reason": "none", "detail": ""}]


def summary(
    progress: Progress, *, contents: AnyContents | None, published: Published | None
) -> str:
    """A short report in Markdown."""
    rows: list[tuple[str, object]] = []
    if contents is not None:
        rows += [(name.replace("_", " "), value) for name, value in counts(contents).items()]
    calls, missing, usd = progress.calls, progress.uncounted, f"{progress.usd:.4f}"
    rows += [
        ("calls paid in this run", calls),
        ("calls answered by the reply store", progress.stored),
        ("tokens paid in this run", known(str(progress.tokens), missing=missing, calls=calls)),
        *((f"of them {kind}", count) for kind, count in progress.parts.items() if count),
        ("US dollars paid in this run", known(usd, missing=progress.unpriced, calls=calls)),
    ]
    if progress.lost:
        lost = f"{progress.lost}; {progress.lost_usd:.4f} US dollars at the most"
        rows.append(("tries without a reply that may be charged for, in no figure", lost))
    if missing:
        rows.append(("calls without token counts, in neither figure", missing))
    if published is not None:
        rows += [
            ("version", published.version),
            ("folder", f"`{published.folder}`"),
            ("report", f"`{published.folder / REPORT}`"),
        ]
    lines = [f"| {name} | {value} |" for name, value in rows]
    local = [f"\n{sentence(row)}." for row in progress.local.rows()]
    warnings = [f"\n**Model id changed:** {one.sentence}." for one in progress.model_changes]
    return "\n".join(["| | |", "| --- | ---: |", *lines, *local, *warnings])


def announce(published: Published) -> None:
    """Emit the event that follow-up deployments listen for; only from a deployment's own run.

    A trigger matches any emitter, so a build on somebody's laptop must not start a training run.
    """
    if prefect.runtime.deployment.id is None:
        return
    dataset = published.manifest["dataset"]
    emit_event(
        PUBLISHED_EVENT,
        resource={
            "prefect.resource.id": f"weak2wise.dataset.{dataset}",
            "prefect.resource.name": dataset,
        },
        payload={
            "uri": str(published.folder),
            "dataset": dataset,
            "version": published.version,
            "rows": published.manifest["counts"]["train"],
        },
    )
