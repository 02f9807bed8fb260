"""Fine-tuning: a dataset becomes a model folder, in processes of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx  # of the engine; models are asked through httpx2
import prefect.runtime
from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from tasks.heeding import heeding_signals
from tasks.picturing import artifact_key
from tasks.reporting import LONGEST_TABLE
from weak2wise_core.training.card import loss_table
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import Trained, TrainingJob

TRAINED_EVENT = "weak2wise.model.trained"
_SECONDS_BETWEEN_UPDATES = 5.0


@dataclass(slots=True)
class TrainingProgress:
    """How far a training is."""

    started: TrainingEvent | None = None
    last: TrainingEvent | None = None
    """The last step."""
    saved: int = 0
    """The step of the last checkpoint."""

    def begin(self) -> None:
        """Another model is trained."""
        self.started, self.last, self.saved = None, None, 0

    def hear(self, event: TrainingEvent) -> None:
        """Take in what the training process says."""
        if event.kind is EventKind.STARTED:
            self.started = event
        elif event.kind is EventKind.STEP:
            self.last = event
        elif event.kind is EventKind.SAVED:
            self.saved = event.step

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return self.last.step / self.last.steps if self.last else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the mean speed since it was started or resumed; None before the first step."""
        if self.last is None or self.started is None or self.last.step <= self.started.step:
            return None
        spent = self.last.seconds - self.started.seconds
        each = spent / (self.last.step - self.started.step)
        return each * (self.last.steps - self.last.step)

    @property
    def sentence(self) -> str:
        """Where it is, for people."""
        if self.last is None:
            return "loading the model"
        return f"step {self.last.step} of {self.last.steps}, loss {self.last.loss:.4f}"


PROGRESS: ContextVar[TrainingProgress | None] = ContextVar("weak2wise_training", default=None)
"""Set by a caller in the same process that wants to watch the training."""


@task(name="train_sft", task_run_name="train {job.name}", cache_policy=NO_CACHE,
      persist_result=False)  # fmt: skip
async def train_sft(job: TrainingJob) -> Trained:
    """Train one model; one that is there already is not trained again."""
    from weak2wise_core.training.running import train
    from weak2wise_core.training.saving import point_latest

    progress = PROGRESS.get() or TrainingProgress()
    async with _live(progress, job=job):
        with heeding_signals():
            (trained,) = await train([job], on_event=progress.hear)
    point_latest(trained.folder)
    return trained


@asynccontextmanager
async def _live(progress: TrainingProgress, *, job: TrainingJob) -> AsyncIterator[None]:
    """Keep a progress artifact up to date while the block runs.

    Artifacts are for people: a server that cannot take one does not fail the training.
    """
    artifact: Any = None
    with suppress(httpx.HTTPError, PrefectException, OSError):
        artifact = await acreate_progress_artifact(
            progress=0.0,
            key=artifact_key(job.name, "training"),
            description=f"training {job.name}: {progress.sentence}",
        )

    async def keep_updating() -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_UPDATES)
            await _update(artifact, progress, job=job)

    updater = asyncio.create_task(keep_updating())
    try:
        yield
        await _update(artifact, progress, job=job, done=True)
    finally:
        updater.cancel()
        with suppress(asyncio.CancelledError):
            await updater


async def _update(
    artifact: Any, progress: TrainingProgress, *, job: TrainingJob, done: bool = False
) -> None:
    if artifact is None:
        return
    with suppress(httpx.HTTPError, PrefectException, OSError):
        await aupdate_progress_artifact(
            artifact_id=artifact if isinstance(artifact, UUID) else artifact.id,
            progress=100.0 if done else 100 * progress.fraction,
            description=f"training {job.name}: {progress.sentence}",
        )


async def report_training(job: TrainingJob, trained: Trained) -> None:
    """Write the losses and where the model is, as artifacts."""
    steps = trained.manifest["steps"]
    found = "found" if trained.skipped else "trained"
    get_run_logger().info("%s %s: loss %s", found, trained.folder, losses(steps))
    every = -(-len(steps) // LONGEST_TABLE) or 1
    with suppress(httpx.HTTPError, PrefectException, OSError):
        await acreate_markdown_artifact(
            key=artifact_key(job.name, "losses"),
            markdown=f"`{trained.folder}`\n\n{loss_table(steps)}",
            description=f"the loss of {len(steps)} steps",
        )
        await acreate_table_artifact(
            key=artifact_key(job.name, "loss-table"),
            table=steps[::every] or [{"step": 0}],
            description=f"the loss of every {every}. step; all of them are in training.json",
        )


def losses(steps: list[dict[str, Any]]) -> str:
    """First and last loss, for people."""
    return f"{steps[0]['loss']:.4f} to {steps[-1]['loss']:.4f}" if steps else "none"


def announce_model(job: TrainingJob, trained: Trained) -> None:
    """Emit the event that follow-up deployments listen for; only from a deployment's own run.

    A trigger matches any emitter, so a training on somebody's machine must not start another's
    evaluation. A model that was there already is announced too: it may have been trained by hand,
    and a second evaluation asks nothing anew.
    """
    if prefect.runtime.deployment.id is None:
        return
    emit_event(
        TRAINED_EVENT,
        resource={
            "prefect.resource.id": f"weak2wise.model.{job.name}",
            "prefect.resource.name": job.name,
        },
        payload={
            "uri": str(trained.folder),
            "model": job.name,
            "dataset": job.dataset_version,
            "version": trained.manifest["version"],
        },
    )
