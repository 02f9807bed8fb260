"""w2sr: the traces of a weaker reasoner -> a stronger student, and the gap that it recovers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.teaching import (
    Classroom,
    asked_with,
    base_model,
    hold_class,
    seeds_of,
    taught_from,
    trained_spec,
)
from weak2wise_core.config import W2SRRecipe
from weak2wise_core.dataset.lessons import Lessons
from weak2wise_core.dataset.publishing import Published
from weak2wise_core.evaluation.arms import compare_arms
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import BOXED
from weak2wise_core.questions import QuestionSet
from weak2wise_core.records import Answer, Rejection
from weak2wise_core.related.selecting import select_traces
from weak2wise_core.teaching.recovering import recoveries
from weak2wise_core.teaching.reports import Report
from weak2wise_core.teaching.results_files import reinforced_results
from weak2wise_core.teaching.rows import counter, trace_examples, traces

METHOD = "w2sr"
PLAIN, COT, AFTER, REINFORCED = "student", "student, zero-shot CoT", "after W2SR", "after RL"
DIFFERENCES = ((AFTER, PLAIN), (AFTER, COT), (REINFORCED, AFTER))


@flow(name="w2sr", flow_run_name="w2sr {recipe.dataset}", persist_result=False)
async def w2sr(recipe: W2SRRecipe) -> State[Any]:
    """Train a student on the traces of a weaker reasoner, and say how much that recovers.

    Starting the same run again goes on where it ended: answers, trained models and evaluations are
    kept.
    """
    return await hold_class(recipe, lambda room: _teach(room, recipe))


async def _teach(room: Classroom, recipe: W2SRRecipe) -> State[Any]:
    """Ask the teacher, select, train, evaluate, compare."""
    loaded = await room.questions()
    prompts = [room.prompts.solve.fill(question=one.question) for one in loaded.questions]
    asked = await room.ask(
        recipe.models.teacher,
        asked_with(loaded.questions, prompts),
        name="teacher",
        draws=recipe.selection.samples,
        judged=True,
    )
    rejections = [*loaded.rejections, *asked.rejections]
    if (end := room.too_many_lost(rejections, len(loaded.questions))) is not None:
        return end
    lessons = await asyncio.to_thread(
        lessons_of, recipe, loaded, asked.answers, rejections, room.prompts.versions()
    )
    if not lessons.train:
        return Failed(
            name="NothingToTrainOn",
            message=f"none of {len(asked.answers)} traces of the teacher can be trained on: "
            f"{_named(lessons.rejections)}",
        )
    dataset = await room.publish(lessons)
    folders = await _train(room, recipe, dataset)
    return await _compare(room, recipe, dataset, folders)


def lessons_of(
    recipe: W2SRRecipe,
    loaded: QuestionSet,
    answers: list[Answer],
    rejections: list[Rejection],
    prompts: Mapping[str, str],
) -> Lessons:
    """Which traces are trained on, and why the others are not."""
    tokens = Tokens.load(recipe.models.student.tokenizer or base_model(recipe))
    questions = {question.id: question for question in loaded.questions}
    suffix = suffix_of(recipe)
    found = traces(answers, questions=questions, suffix=suffix)
    selected = select_traces(found, settings=recipe.selection)
    made = trace_examples(
        selected.kept,
        answers={one.id: one.answer for one in loaded.questions},
        settings=recipe.training,
        count_tokens=counter(tokens),
    )
    return Lessons(
        name=f"{recipe.dataset}-traces",
        method=METHOD,
        step=f"{recipe.selection.traces.value} traces of the teacher",
        questions=loaded.questions,
        answers={"teacher": answers},
        train=made.rows,
        rejections=(*rejections, *selected.rejections, *made.rejections),
        counts={"rows": loaded.rows, "traces": selected.traces},
        settings=settings_of(recipe, suffix),
        prompts=prompts,
    )


def suffix_of(recipe: W2SRRecipe) -> str:
    """What follows a question in training and in the evaluation of the trained student."""
    given = recipe.evaluation.prompt_suffix
    return cot_suffix(recipe) if given is None else given


def cot_suffix(recipe: W2SRRecipe) -> str:
    """What follows a question for the baseline with zero-shot chain of thought."""
    given = recipe.recovery.chain_of_thought_suffix
    return BOXED if given is None else given


def settings_of(recipe: W2SRRecipe, suffix: str) -> dict[str, Any]:
    """The settings that decide what is trained on."""
    return {
        "models": {name: spec.identity() for name, spec in recipe.models.specs().items()},
        "trained": recipe.trained,
        "selection": recipe.selection.model_dump(mode="json"),
        "sft": {"prompt_suffix": suffix, "max_tokens": recipe.training.max_length},
    }


def _named(rejections: tuple[Rejection, ...]) -> str:
    reasons = [one.reason for one in rejections]
    return ", ".join(f"{reasons.count(name)} {name}" for name in sorted(set(reasons)))


async def _train(room: Classroom, recipe: W2SRRecipe, dataset: Published) -> list[Path]:
    """The student after W2SR, once for each seed."""
    trained = [
        await room.train(
            dataset,
            recipe.training.model_copy(update={"seed": seed}),
            base=base_model(recipe),
            name=f"{recipe.dataset}-student",
        )
        for seed in seeds_of(recipe)
    ]
    return [one.folder for one in trained]


async def _compare(
    room: Classroom, recipe: W2SRRecipe, dataset: Published, folders: list[Path]
) -> State[Any]:
    """Evaluate the student before, after, and after reinforcement learning."""
    arms = await _before(room, recipe)
    arms[AFTER] = [
        await room.evaluate(
            trained_spec(recipe.models.student, folder),
            name=f"{recipe.dataset}-after-seed{seed}",
            suffix=suffix_of(recipe),
            settings=recipe.evaluation,
        )
        for seed, folder in zip(seeds_of(recipe), folders, strict=True)
    ]
    arms |= await _reinforced(room, recipe)
    resamples = recipe.recovery.resamples
    report = Report(
        name=recipe.dataset,
        method=METHOD,
        inputs=dataset.manifest["settings"] | {"seeds": seeds_of(recipe)},
        trained_on={AFTER: taught_from(dataset)},
        models={AFTER: [str(folder) for folder in folders]},
        tables=compare_arms(arms, differences=DIFFERENCES, resamples=resamples),
        recovery=recoveries(
            arms, before=(PLAIN, COT), after=AFTER, reinforced=REINFORCED, resamples=resamples
        ),
    )
    taught = await room.report(report)
    return Completed(message=f"compared in {taught.folder}", data=taught)


async def _before(room: Classroom, recipe: W2SRRecipe) -> dict[str, list[Evaluation]]:
    """Both baselines: a gain over the plain one may be no more than prompting."""
    suffixes = {PLAIN: recipe.recovery.plain_suffix, COT: cot_suffix(recipe)}
    names = {PLAIN: "student", COT: "student-cot"}
    return {
        arm: [
            await room.evaluate(
                recipe.models.student,
                name=f"{recipe.dataset}-{names[arm]}",
                suffix=suffix,
                settings=recipe.evaluation,
            )
        ]
        for arm, suffix in suffixes.items()
    }


async def _reinforced(room: Classroom, recipe: W2SRRecipe) -> dict[str, list[Evaluation]]:
    """The student after reinforcement learning, asked here or known from results."""
    if (known := await asyncio.to_thread(reinforced_results, recipe)) is not None:
        return {REINFORCED: [known]}
    if recipe.models.reinforced is None:
        return {}
    found = await room.evaluate(
        recipe.models.reinforced,
        name=f"{recipe.dataset}-reinforced",
        suffix=suffix_of(recipe),
        settings=recipe.evaluation,
    )
    return {REINFORCED: [found]}
