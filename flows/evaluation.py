"""evaluation: model -> table of benchmarks, and which of two models is better (section 4.1)."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import prefect.runtime
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.stages import handed_over
from tasks.evaluate_model import evaluate_model, open_bench, publish_results
from tasks.runtime import data_folder
from weak2wise_core.config import Backend, BudgetSettings, EvaluationSettings, ModelSpec
from weak2wise_core.config.base import PositiveInt
from weak2wise_core.errors import BudgetReachedError
from weak2wise_core.evaluation.benchmarks import load_benchmarks
from weak2wise_core.evaluation.comparing import Comparison, check_comparable, compare
from weak2wise_core.evaluation.harness import require_harness
from weak2wise_core.evaluation.models import check_model, model_label, model_spec, settled
from weak2wise_core.evaluation.publishing import holds_results, read_evaluation
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.recipe_files import check_named, is_path

IN_FLIGHT = 256

R = TypeVar("R")


def _run_name() -> str:
    model: Any = prefect.runtime.flow_run.parameters["model"]
    if isinstance(model, ModelSpec):
        model = model.model
    return f"evaluate {model.get('model') if isinstance(model, dict) else model}"


@flow(name="evaluation", flow_run_name=_run_name, persist_result=False)
async def evaluation(
    model: str | ModelSpec,
    evaluation: EvaluationSettings,
    against: str | ModelSpec | None = None,
    name: str | None = None,
    budget: BudgetSettings | None = None,
    in_flight: PositiveInt = IN_FLIGHT,
) -> State[Any]:
    """Ask a model the questions of benchmarks, grade its answers and publish the results.

    Starting the same evaluation again goes on where it ended: what a model answered is never asked
    again.

    Args:
        model: A model folder or hub id, run in this process; or a model's entry of a recipe.
        evaluation: Benchmarks, samples, sampling.
        against: A model that is asked the same, or a folder of earlier results: compared question
            by question.
        name: Under which the results are kept; the model's own where absent.
        budget: What the run may spend.
        in_flight: Model calls at once.
    """
    first = model_spec(model)
    second = None if against is None or results_folder(against) else model_spec(against)
    asked = [first] if second is None else [first, second]
    check_inputs(asked, evaluation, results=results_folder(against))
    settings = settled(first, evaluation)
    label = name or model_label(first)
    async with open_bench(
        asked, data=data_folder(), budget=budget or BudgetSettings(), in_flight=in_flight
    ):
        try:
            found = await evaluate_model(first, settings, label)
            baseline = await _baseline(against, second, settings, label=label)
        except BudgetReachedError as stop:
            return Failed(name="StoppedAtBudget", message=str(stop))
        comparisons = _compared(found, baseline, resamples=settings.resamples)
        published = await publish_results(
            handed_over(found), handed_over(baseline), handed_over(comparisons), data_folder()
        )
    return Completed(message=f"results in {published.folder}", data=published)


def check_inputs(
    models: Sequence[ModelSpec], settings: EvaluationSettings, *, results: Path | None
) -> None:
    """Find what a person must mend, before anything is loaded or paid.

    Args:
        models: Every model that will be asked.
        settings: What they will be asked.
        results: Earlier results that will be compared with.

    Raises:
        UsageError: No benchmark is named, a file may not be read or cannot be used, a folder is no
            whole model or no results, the results are of other questions, or lm-evaluation-harness
            is not installed.
    """
    require_harness()
    check_named(_named(models, settings, results), data=data_folder())
    for model in models:
        check_model(model)
        settled(model, settings)
    on_disk = [one for one in settings.benchmarks if one.path is not None]
    benchmarks = load_benchmarks(settings.model_copy(update={"benchmarks": tuple(on_disk)}))
    if results is not None and len(on_disk) == len(settings.benchmarks):
        check_comparable(benchmarks, read_evaluation(results))


def _named(
    models: Sequence[ModelSpec], settings: EvaluationSettings, results: Path | None
) -> Iterator[tuple[str, Path]]:
    """Every file and folder that an evaluation reads, with the parameter that names it."""
    for number, model in enumerate(models):
        texts = [text for text in (model.model, model.tokenizer) if text and is_path(text)]
        if model.backend is Backend.TRANSFORMERS:
            yield from (("against" if number else "model", Path(text)) for text in texts)
    for number, one in enumerate(settings.benchmarks):
        if one.path is not None:
            yield f"evaluation.benchmarks.{number}.path", one.path
        if one.hub is not None and is_path(one.hub):
            yield f"evaluation.benchmarks.{number}.hub", Path(one.hub)
    if results is not None:
        yield "against", results


def results_folder(against: str | ModelSpec | None) -> Path | None:
    """The folder of earlier results that is compared with, if it is one."""
    if not isinstance(against, str) or not holds_results(Path(against)):
        return None
    return Path(against)


async def _baseline(
    against: str | ModelSpec | None,
    model: ModelSpec | None,
    settings: EvaluationSettings,
    *,
    label: str,
) -> Evaluation | None:
    """What the other model answered, now or earlier."""
    if (results := results_folder(against)) is not None:
        return await asyncio.to_thread(read_evaluation, results)
    if model is None:
        return None
    other = model_label(model)
    found = await evaluate_model(model, settings, f"{other}-baseline" if other == label else other)
    await publish_results(handed_over(found), None, (), data_folder())
    return found


def _compared(
    found: Evaluation, baseline: Evaluation | None, *, resamples: int
) -> tuple[Comparison, ...]:
    if baseline is None or not found.benchmarks:  # stock tasks say nothing about single questions
        return ()
    return compare(found, baseline, resamples=resamples)
