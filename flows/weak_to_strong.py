"""weak-to-strong: agreement (stage I), then preferences (stage II); no ground truth trains."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from weak2wise_core.config import ModelSpec, WeakToStrongRecipe
from weak2wise_core.dataset.publishing import Published
from weak2wise_core.evaluation.arms import compare_arms
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.questions import QuestionSet
from weak2wise_core.records import Answer, Question
from weak2wise_core.related.demonstrations import choose_demonstrations, demonstrated_prompt
from weak2wise_core.related.final_answers import answer_rule
from weak2wise_core.teaching.reports import Report
from weak2wise_core.teaching.rows import counter, responses, with_suffix
from weak2wise_core.teaching.stages import Supervision, stage_one, stage_two, suffix_of

METHOD = "weak-to-strong"
WEAK, STRONG, PRO = "weak", "strong", "M_pro"


@dataclass(slots=True)
class Trainings:
    """What was trained, in the order of the seeds."""

    datasets: dict[str, Published] = field(default_factory=dict)
    models: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, arm: str, dataset: Published, model: Path, *, label: str) -> None:
        """One more model of an arm."""
        self.datasets[label] = dataset
        self.models.setdefault(arm, []).append(model)


@flow(name="weak-to-strong", flow_run_name="weak-to-strong {recipe.dataset}", persist_result=False)
async def weak_to_strong(recipe: WeakToStrongRecipe) -> State[Any]:
    """Train a strong model on what it and a weak one agree on, then on its own preferences.

    Starting the same run again goes on where it ended: answers, trained models and evaluations are
    kept.
    """
    return await hold_class(recipe, lambda room: _teach(room, recipe))


async def _teach(room: Classroom, recipe: WeakToStrongRecipe) -> State[Any]:
    """Weak answers, answers in context, agreement, preferences, evaluation."""
    loaded = await room.questions()
    weak = await _weak_answers(room, recipe, loaded)
    shown = await _answers_in_context(room, recipe, loaded, weak.answers)
    rejections = [*loaded.rejections, *weak.rejections, *shown.rejections]
    if (end := room.too_many_lost(rejections, len(loaded.questions))) is not None:
        return end
    supervision = Supervision(
        recipe=recipe,
        loaded=loaded,
        weak=tuple(weak.answers),
        rejections=tuple(rejections),
        prompts=room.prompts.versions(),
        count_tokens=counter(await asyncio.to_thread(_tokens, recipe)),
    )
    trained = Trainings()
    for seed in seeds_of(recipe):
        plus = await _stage_one(room, supervision, shown.answers, seed=seed, trained=trained)
        if plus is None:
            return Failed(
                name="NothingToTrainOn",
                message="the two models agree on no question that can be trained on; nothing is "
                "trained. Look at answers.style and at the answers of both models",
            )
        await _stage_two(room, supervision, plus, seed=seed, trained=trained)
    return await _compare(room, recipe, supervision, trained)


def _tokens(recipe: WeakToStrongRecipe) -> Tokens:
    return Tokens.load(recipe.models.strong.tokenizer or base_model(recipe))


async def _weak_answers(room: Classroom, recipe: WeakToStrongRecipe, loaded: QuestionSet) -> Any:
    prompts = [room.prompts.solve.fill(question=one.question) for one in loaded.questions]
    asked = asked_with(loaded.questions, prompts)
    return await room.ask(recipe.models.weak, asked, name="weak", judged=True)


async def _answers_in_context(
    room: Classroom, recipe: WeakToStrongRecipe, loaded: QuestionSet, weak: Sequence[Answer]
) -> Any:
    """The strong model answers after a few questions that the weak one answered."""
    texts = {one.id: one.question for one in loaded.questions}
    questions = {one.id: one for one in loaded.questions}
    shown = choose_demonstrations(
        responses(weak, questions=questions, suffix=""),
        rule=answer_rule(recipe.answers),
        settings=recipe.demonstrations,
    )
    prompts = [
        demonstrated_prompt(
            one.id, one.question, shown=shown, questions=texts, prompts=room.prompts
        )
        for one in loaded.questions
    ]
    asked = asked_with(loaded.questions, prompts)
    return await room.ask(recipe.models.strong, asked, name="strong", judged=True)


async def _stage_one(
    room: Classroom,
    supervision: Supervision,
    in_context: Sequence[Answer],
    *,
    seed: int,
    trained: Trainings,
) -> Path | None:
    """M_plus after all rounds; None where nothing can be trained on."""
    recipe, answers, model = supervision.recipe, in_context, None
    for number in range(1, recipe.agreement.rounds + 1):
        lessons = await asyncio.to_thread(stage_one, supervision, answers, number=number, seed=seed)
        if not lessons.train:
            return None
        dataset = await room.publish(lessons)
        found = await room.train(
            dataset,
            recipe.training.model_copy(update={"seed": seed}),
            base=base_model(recipe),
            name=f"{recipe.dataset}-m-plus",
        )
        model = found.folder
        trained.add(plus(number), dataset, model, label=lessons.name)
        if number < recipe.agreement.rounds:
            answers = await _own_answers(room, supervision, model, name=f"M_plus-{seed}-{number}")
    return model


def plus(number: int) -> str:
    """The name of M_plus after a round."""
    return f"M_plus, round {number}"


async def _own_answers(
    room: Classroom, supervision: Supervision, model: Path, *, name: str
) -> list[Answer]:
    """M_plus answers in place of the strong model; it needs no demonstrations."""
    spec = trained_spec(supervision.recipe.models.strong, model)
    asked = await room.ask(spec, _questions(supervision), name=name, judged=True)
    answers: list[Answer] = asked.answers
    return answers


def _questions(supervision: Supervision) -> list[Question]:
    """The questions as the trained model is asked."""
    suffix = suffix_of(supervision.recipe)
    questions = supervision.loaded.questions
    return asked_with(questions, [with_suffix(one.question, suffix) for one in questions])


async def _stage_two(
    room: Classroom, supervision: Supervision, model: Path, *, seed: int, trained: Trainings
) -> None:
    """M_plus is sampled, its confident answers make pairs, and these make M_pro."""
    recipe = supervision.recipe
    spec = trained_spec(recipe.models.strong, model).model_copy(
        update={"temperature": recipe.contrast.temperature}
    )
    samples = await room.ask(
        spec,
        _questions(supervision),
        name=f"M_plus-{seed}",
        draws=recipe.contrast.samples,
        judged=True,
    )
    lessons = await asyncio.to_thread(
        stage_two, supervision, samples.answers, samples.rejections, seed=seed
    )
    if not lessons.pairs:
        return
    dataset = await room.publish(lessons)
    found = await room.train(
        dataset,
        recipe.preference.model_copy(update={"seed": seed}),
        base=str(model),
        name=f"{recipe.dataset}-m-pro",
    )
    trained.add(PRO, dataset, found.folder, label=lessons.name)


async def _compare(
    room: Classroom, recipe: WeakToStrongRecipe, supervision: Supervision, trained: Trainings
) -> State[Any]:
    """Evaluate the two models as they are, and what became of the strong one."""
    arms = {
        WEAK: [await _evaluate(room, recipe, recipe.models.weak, name="weak")],
        STRONG: [await _evaluate(room, recipe, recipe.models.strong, name="strong")],
    }
    seeds = seeds_of(recipe)
    whole = {arm: models for arm, models in trained.models.items() if len(models) == len(seeds)}
    for arm, models in whole.items():
        short = arm.lower().replace(", round ", "-")
        arms[arm] = [
            await _evaluate(
                room, recipe, trained_spec(recipe.models.strong, folder), name=f"{short}-seed{seed}"
            )
            for seed, folder in zip(seeds, models, strict=True)
        ]
    last = plus(recipe.agreement.rounds)
    report = Report(
        name=recipe.dataset,
        method=METHOD,
        inputs=dict(supervision.settings) | {"seeds": seeds},
        trained_on={label: taught_from(one) for label, one in trained.datasets.items()},
        models={arm: [str(one) for one in found] for arm, found in trained.models.items()},
        tables=compare_arms(
            arms,
            differences=((last, WEAK), (last, STRONG), (PRO, last), (PRO, STRONG)),
            resamples=recipe.evaluation.resamples,
        ),
    )
    taught = await room.report(report)
    without = len(seeds) - len(trained.models.get(PRO, ()))
    return Completed(
        name="CompletedWithoutPairs" if without else "Completed",
        message=f"compared in {taught.folder}"
        + (f"; {without} of {len(seeds)} trainings found no pair" if without else ""),
        data=taught,
    )


async def _evaluate(
    room: Classroom, recipe: WeakToStrongRecipe, model: ModelSpec, *, name: str
) -> Evaluation:
    return await room.evaluate(
        model,
        name=f"{recipe.dataset}-{name}",
        suffix=suffix_of(recipe),
        settings=recipe.evaluation,
    )
