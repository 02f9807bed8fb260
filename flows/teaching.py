"""What the flows of the related methods do alike: ask, train and evaluate, each by a task."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Failed

from flows.evaluation import check_inputs
from flows.stages import handed_over, run_stage
from tasks.answer_questions import answer_questions
from tasks.evaluate_model import PROGRESS as EVALUATION
from tasks.evaluate_model import evaluate_model, publish_results, share_bench
from tasks.load_questions import load_questions
from tasks.runtime import RelatedRecipe, Session, data_folder, open_session
from tasks.stage import stored_in
from tasks.teaching import PROGRESS, TeachingProgress, publish_lessons_task, publish_report
from tasks.train_sft import PROGRESS as TRAINING
from tasks.train_sft import announce_model, report_training, train_sft
from tasks.training_jobs import plan_job
from weak2wise_core.config import (
    EvaluationSettings,
    ModelSpec,
    Runner,
    TrainingSettings,
    W2SRRecipe,
)
from weak2wise_core.dataset.lessons import Lessons
from weak2wise_core.dataset.publishing import Published
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.errors import BudgetReachedError, RecipeError
from weak2wise_core.evaluation.models import check_model, settled
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.prompts import RelatedPromptSet, load_related_prompts
from weak2wise_core.questions import QuestionSet
from weak2wise_core.records import Answer, Question, Rejection, RejectionKind
from weak2wise_core.sharding import Shard, shards_of
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.teaching.reports import Report
from weak2wise_core.teaching.results_files import reinforced_results
from weak2wise_core.training.jobs import Trained

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model said to the questions, and which of them it failed."""

    answers: list[Answer]
    rejections: list[Rejection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """A run of a related method, reported in its folder."""

    folder: Path
    report: Report


class Classroom:
    """The run of one recipe of a related method."""

    def __init__(self, recipe: RelatedRecipe, run: Session, progress: TeachingProgress) -> None:
        """Hold what every step needs.

        Raises:
            RecipeError: A template cannot be read.
        """
        self.recipe = recipe
        self.run = run
        self.progress = progress
        self.prompts: RelatedPromptSet = load_related_prompts(recipe.prompts)

    async def questions(self) -> QuestionSet:
        """The question set, as a build reads it."""
        loaded = await load_questions(self.recipe)
        self.run.progress.questions = len(loaded.questions)
        get_run_logger().info(
            "%d rows: %d questions, %d rejected",
            loaded.rows,
            len(loaded.questions),
            len(loaded.rejections),
        )
        return loaded

    async def ask(
        self,
        model: ModelSpec,
        prompts: Sequence[Question],
        *,
        name: str,
        draws: int = 1,
        judged: bool = False,
    ) -> Asked:
        """Let a model answer prompts, shard by shard; what it answered before is not asked again.

        Args:
            model: Who is asked.
            prompts: Questions whose text is the whole prompt.
            name: Under which the model is counted.
            draws: Answers to each prompt.
            judged: Whether they are compared with the ground truth.
        """
        self.progress.phase = f"{name} answers"
        stage = stored_in(answer_questions, self.run.data)
        execution = self.recipe.execution
        largest = execution.shard_size(len(prompts))
        gate = asyncio.Semaphore(execution.shards_at_once(largest))
        inputs = {"model": model, "name": name, "draws": draws, "judged": judged}

        async def one(shard: Shard) -> Any:
            async with gate:
                return await run_stage(
                    stage,
                    shard.questions,
                    session=self.run,
                    shard=f"{name} {shard.name}",
                    inputs=inputs,
                )

        parts = await gather_all([one(shard) for shard in shards_of(prompts, largest=largest)])
        place = {question.id: number for number, question in enumerate(prompts)}
        answers = [row for part in parts for row in part.rows]
        return Asked(
            answers=sorted(answers, key=lambda row: (place[row.question_id], row.draw)),
            rejections=[row for part in parts for row in part.rejections],
        )

    async def publish(self, lessons: Lessons) -> Published:
        """Write what a training reads as a dataset."""
        return await publish_lessons_task(handed_over(lessons), self.run.data, lessons.name)

    async def train(
        self, dataset: Published, settings: TrainingSettings, *, base: str, name: str
    ) -> Trained:
        """Train a model on a dataset; one that is there already is not trained again.

        Args:
            dataset: Rows to train on.
            settings: How.
            base: Hub id or folder of the model that is trained.
            name: Of the trained model.
        """
        self.progress.phase = f"training {name}"
        self.progress.training.begin()
        await self.run.release()  # the training may want their memory
        job = await asyncio.to_thread(
            plan_job,
            open_dataset(dataset.folder),
            settings.model_copy(update={"model": base}),
            name=name,
            data=self.run.data,
        )
        trained = await train_sft(job)
        announce_model(job, trained)
        await report_training(job, trained)
        return trained

    async def evaluate(
        self, model: ModelSpec, *, name: str, suffix: str, settings: EvaluationSettings
    ) -> Evaluation:
        """Ask a model the benchmarks and publish what it answered."""
        self.progress.phase = f"evaluating {name}"
        await self.run.release()
        asked = settled(model, settings.model_copy(update={"prompt_suffix": suffix}))
        with share_bench(self.run):
            found = await evaluate_model(model, asked, name)
        await publish_results(handed_over(found), None, (), self.run.data)
        return found

    async def report(self, report: Report) -> Taught:
        """Write the tables."""
        self.progress.phase = "comparing"
        folder = await publish_report(
            handed_over(report), self.run.data, handed_over(self.run.progress)
        )
        return Taught(folder=folder, report=report)

    def too_many_lost(self, rejections: Sequence[Rejection], questions: int) -> State[Any] | None:
        """The end of a run that lost too much to failures; None where it may go on."""
        lost = [one for one in rejections if one.kind is RejectionKind.QUARANTINED]
        failed = [one for one in lost if one.stage != "load"]
        limit = self.recipe.execution.max_quarantine_fraction
        if len({one.question_id for one in failed}) <= limit * questions:
            return None
        return Failed(
            name="TooManyQuarantined",
            message=f"{len(failed)} of {questions} questions were lost to failures, more than "
            f"execution.max_quarantine_fraction {limit} allows; nothing is trained. The first: "
            f"{failed[0].question_id}, {failed[0].stage}: {failed[0].detail}",
        )


async def hold_class(
    recipe: RelatedRecipe, teach: Callable[[Classroom], Awaitable[State[Any]]]
) -> State[Any]:
    """Check a recipe, open what its run needs, and teach.

    Args:
        recipe: Of a related method.
        teach: What the method does, and how it ends.

    Raises:
        UsageError: The recipe cannot be run.
    """
    PROGRESS.set(progress := PROGRESS.get() or TeachingProgress())
    TRAINING.set(progress.training)
    EVALUATION.set(progress.evaluation)
    await asyncio.to_thread(check_recipe, recipe)
    async with open_session(recipe, data=data_folder(), progress=progress.models) as run:
        try:
            return await teach(Classroom(recipe, run, progress))
        except BudgetReachedError as stop:
            return Failed(name="StoppedAtBudget", message=str(stop))


def asked_with(questions: Sequence[Question], prompts: Sequence[str]) -> list[Question]:
    """The questions with whole prompts in place of their texts."""
    return [
        Question(id=question.id, question=prompt, answer=question.answer)
        for question, prompt in zip(questions, prompts, strict=True)
    ]


def trained_spec(base: ModelSpec, folder: Path) -> ModelSpec:
    """A model that was trained here, asked as the model that it was made of."""
    sampling = base.model_dump(
        include={"temperature", "top_p", "max_tokens", "seed", "batch_size", "device", "dtype"},
        exclude_unset=True,
    )
    return ModelSpec.model_validate({**sampling, "backend": "transformers", "model": str(folder)})


def base_model(recipe: RelatedRecipe) -> str:
    """Hub id or folder of the model that is trained first."""
    return recipe.training.model or recipe.models.specs()[recipe.trained].model


def seeds_of(recipe: RelatedRecipe) -> list[int]:
    """The seeds of the trainings."""
    first = recipe.training.seed
    return list(range(first, first + recipe.seeds))


def taught_from(dataset: Published) -> dict[str, Any]:
    """What a report says about a dataset that was trained on."""
    names = ("counts", "dropped", "quarantined", "version")
    return {name: dataset.manifest[name] for name in names} | {"folder": str(dataset.folder)}


def check_recipe(recipe: RelatedRecipe) -> None:
    """Find what a person must mend before anything is asked or trained.

    Raises:
        UsageError: There is no benchmark, a file cannot be read, a package is missing, or results
            that are given are about other questions.
    """
    from weak2wise_core.training.machine import require_packages

    if not recipe.evaluation.benchmarks:
        raise RecipeError(
            "this method compares models on benchmarks, and the recipe has none: name at least one "
            "in evaluation.benchmarks, as in {kind: math500, path: data/math500.jsonl}"
        )
    if recipe.execution.runner is not Runner.ASYNC:
        raise RecipeError(
            f"execution.runner is {recipe.execution.runner.value}, and this method runs in one "
            "event loop: leave it out, or set it to async"
        )
    require_packages(recipe.training)
    for model in recipe.models.specs().values():
        check_model(model)
    check_inputs([recipe.models.specs()[recipe.trained]], recipe.evaluation, results=None)
    if isinstance(recipe, W2SRRecipe):
        reinforced_results(recipe)
