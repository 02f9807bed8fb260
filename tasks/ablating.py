"""The tasks of an ablation: choose, train, evaluate, publish. Thin; the core does the work."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx  # of the engine; models are asked through httpx2
from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from tasks.picturing import artifact_key
from tasks.progress import Progress
from tasks.runtime import current
from testbed.models import WEAK_MODEL_FOLDER
from weak2wise_core.ablation.comparing import ItemVerdict
from weak2wise_core.ablation.planning import evaluation_settings
from weak2wise_core.ablation.pools import Pool
from weak2wise_core.ablation.preparing import PreparedPool, Workshop, prepare
from weak2wise_core.ablation.results import AblationResult
from weak2wise_core.ablation.runs import BenchmarkVerdicts, Run, verdicts_of
from weak2wise_core.ablation.writing import markdown, write_ablation
from weak2wise_core.config import Backend, ModelSpec, Recipe
from weak2wise_core.config.ablation import Arm
from weak2wise_core.gateway import Gateway
from weak2wise_core.training.events import EventKind, TrainingEvent

STAGE = "ablate"


@dataclass(slots=True)
class AblationProgress:
    """How far an ablation is."""

    build: Progress = field(default_factory=Progress)
    """The dataset that it starts from."""
    scoring: Progress = field(default_factory=Progress)
    """Levels that no build asked, or another scorer's."""
    preparing: Progress = field(default_factory=Progress)
    """Truncation of the chosen traces."""
    phase: str = "starting the task engine"
    trainings: int = 0
    """Models that had to be trained in this run."""
    trained: int = 0
    """Models that are trained by now, those among them that an earlier run had left."""
    left_trained: int = 0
    """Models that an earlier run had trained and not evaluated."""
    evaluations: int = 0
    """Models that had to be evaluated in this run."""
    evaluated: int = 0
    known: int = 0
    """Models whose answers were known from an earlier run."""
    running: dict[str, TrainingEvent] = field(default_factory=dict)
    """The last step of every training that is under way."""

    @property
    def sums(self) -> dict[str, Any]:
        """What was paid in this run, as plain values; local models evaluate for nothing."""
        parts = [one.sums for one in (self.build, self.scoring, self.preparing)]
        return {name: round(sum(part[name] for part in parts), 6) for name in parts[0]}

    def heard(self, event: TrainingEvent) -> None:
        """Take in what a training process says."""
        if event.kind is EventKind.STEP:
            self.running[event.job] = event
        elif event.kind in (EventKind.FINISHED, EventKind.SKIPPED):
            self.running.pop(event.job, None)
            self.trained += 1
            self.left_trained += event.kind is EventKind.SKIPPED


PROGRESS: ContextVar[AblationProgress | None] = ContextVar("weak2wise_ablation", default=None)
"""Set by a caller in the same process that wants to watch the ablation."""


def progress() -> AblationProgress:
    """The counters of the ablation that this task belongs to."""
    return PROGRESS.get() or AblationProgress()


def trained_model(recipe: Recipe) -> str:
    """Hub id or folder of the model that every arm trains."""
    weak = recipe.models.weak
    if recipe.training.model is None and weak.backend is Backend.TESTBED:
        return str(WEAK_MODEL_FOLDER)
    return recipe.training.model or weak.model


def evaluated_model(recipe: Recipe, folder: str) -> ModelSpec:
    """A model folder as it is evaluated, in this process, on the weak model's device."""
    weak = recipe.models.weak
    changes = weak.model_dump(include={"batch_size", "batching", "device"}, exclude_unset=True)
    # The testbed's weights are stored in 16 bits and computed in 32.
    dtype = "float32" if weak.backend is Backend.TESTBED else weak.dtype
    return ModelSpec(backend=Backend.TRANSFORMERS, model=folder, dtype=dtype, **changes)


@task(name="choose_traces", cache_policy=NO_CACHE, persist_result=False)
async def choose_traces(
    recipe: Recipe, pool: Pool, arms: Sequence[Arm], seeds: Sequence[int]
) -> PreparedPool:
    """What every arm of a pool trains on: chosen, truncated, formatted."""
    runtime = current()
    workshop = Workshop(
        recipe=recipe,
        tokens=await runtime.tokens(),
        prompts=runtime.prompts,
        truncator=runtime.truncator(stage=STAGE),
    )
    return await prepare(pool, arms, seeds=seeds, workshop=workshop)


@task(name="train_arms", task_run_name="train {label}", cache_policy=NO_CACHE, persist_result=False)
async def train_arms(label: str, runs: Sequence[Run]) -> None:
    """Train some models one after another, in a process of their own."""
    from weak2wise_core.training.running import train

    await train([run.job for run in runs if run.job is not None], on_event=progress().heard)


@task(
    name="evaluate_arm", task_run_name="evaluate {run.name}", cache_policy=NO_CACHE,
    persist_result=False,
)  # fmt: skip
async def evaluate_arm(recipe: Recipe, run: Run) -> list[BenchmarkVerdicts]:
    """What the model of a run answers to the benchmarks."""
    from weak2wise_core.evaluation.running import evaluate
    from weak2wise_core.llm.local import TransformersModel

    _share_cores(recipe)
    folder = trained_model(recipe) if run.job is None else str(run.job.output)
    spec = evaluated_model(recipe, folder)
    runtime, chat = current(), TransformersModel(spec)
    # Models of this process cost nothing: they take no part of the recipe's budget.
    gateway = Gateway(in_flight=recipe.execution.in_flight, store=runtime.store)
    try:
        found = await evaluate(
            spec,
            settings=evaluation_settings(recipe),
            gateway=gateway,
            chat=chat,
            checker=runtime.checker,
            name=run.name,
        )
    finally:
        await chat.aclose()
    return verdicts_of(found)


def _share_cores(recipe: Recipe) -> None:
    """On a CPU, leave the trainings beside this process their cores."""
    import torch

    if recipe.ablation.side_by_side > 1 and not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // recipe.ablation.side_by_side))


@task(name="publish_ablation", cache_policy=NO_CACHE, persist_result=False)
async def publish_ablation(
    result: AblationResult,
    pools: Sequence[PreparedPool],
    verdicts: Sequence[ItemVerdict],
    folder: Path,
) -> Path:
    """Write the ablation below the data folder, whole or not at all, and show its tables."""
    await asyncio.to_thread(write_ablation, result, pools=pools, verdicts=verdicts, folder=folder)
    # Artifacts are for people: a server that cannot take one does not fail the ablation.
    with suppress(httpx.HTTPError, PrefectException, OSError):
        await acreate_markdown_artifact(
            key=artifact_key(result.name, "ablation"),
            markdown=markdown(result),
            description="Accuracy of every arm, with intervals over seeds and questions",
        )
    return folder
