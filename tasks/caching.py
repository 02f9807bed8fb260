"""What makes two task runs the same run.

The key of a stage result is made of the stage's version, the settings that this stage reads, the
identity of the models it asks, the wording of its prompts, and the content of its rows. Clients,
addresses, limits, paths and run ids are left out. A change of the method bumps the version.

A stage of the related methods takes no recipe but the one model that it asks; its rows hold the
whole prompts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext

from tasks.identities import model_identity, reply_identity, tokenizer_identity
from tasks.runtime import prompts_of
from weak2wise_core.config import JudgeMethod, Policy, Recipe, TruncationMethod
from weak2wise_core.hashing import content_hash
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import Answer, EvaluatedSample, Finding, QueuedQuestion
from weak2wise_core.related.records import PreferencePair
from weak2wise_core.selectors.measuring import MEASURED_BY, deciding
from weak2wise_core.stores.tables import TABLES

VERSIONS: Mapping[str, str] = {
    "filter_qa": "1",
    "generate_candidates": "2",
    "score_step_masks": "3",
    "measure_traces": "1",
    "select_golden": "1",
    "truncate_golden": "1",
    "format_sft": "1",
}
"""Version of each stage; bump it when the same inputs give another output."""

ANSWERS_VERSION = "1"
"""The same for the one stage of the related methods, `answer_questions`."""

NOT_STAGED = (EvaluatedSample, Finding, QueuedQuestion, PreferencePair)
"""Tables that are written beside the stages; no stage result has them."""

TABLE_IDS = sorted(table.id for kind, table in TABLES.items() if kind not in {*NOT_STAGED, Answer})
"""Formats of the stages' tables; with another one a stored result cannot be read."""

NOT_CONTENT = frozenset({"recipe", "shard", "model", "name"})
"""Task parameters that the key reads in part (the recipe, the model) or not at all (names)."""


@dataclass
class StageKey(CachePolicy):
    """The cache key of one stage; also the path of its result file, shaped like a partition."""

    stage: str = ""
    known: str | None = None
    """The key, where it was worked out before the engine asks for it."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,  # noqa: ARG002 - the engine's signature
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> str:
        """The path of the result file below the result storage.

        Raises:
            TypeError: A row is not plain data; there is no fallback to pickle.
        """
        return self.known or self.of(inputs)

    def of(self, inputs: Mapping[str, Any]) -> str:
        """The key of a run with such inputs; see `compute_key`."""
        rows = {name: value for name, value in inputs.items() if name not in NOT_CONTENT}
        digest = content_hash(*_read_by(self.stage, inputs), rows)
        return f"stage={self.stage}/{digest[:40]}.parquet"


def _read_by(stage: str, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Version, formats and settings that decide what a stage gives."""
    if "recipe" not in inputs:
        return ANSWERS_VERSION, [TABLES[Answer].id], {"model": model_identity(inputs["model"])}
    recipe = inputs["recipe"]
    settings = stage_settings(stage, recipe, prompts=prompts_of(recipe))
    return VERSIONS[stage], TABLE_IDS, settings


def build_settings(recipe: Recipe, *, prompts: PromptSet) -> dict[str, Any]:
    """Everything in a recipe that changes what becomes of a question between load and format."""
    return {
        "stages": {
            stage: [version, stage_settings(stage, recipe, prompts=prompts)]
            for stage, version in VERSIONS.items()
        },
        "tables": TABLE_IDS,
        "filter": recipe.filter.model_dump(mode="json"),
        "draws": recipe.generate.samples_per_model,
        "zero_score": recipe.zero_score.model_dump(mode="json", exclude={"annotations"}),
    }


def stage_settings(stage: str, recipe: Recipe, *, prompts: PromptSet) -> dict[str, Any]:
    """Everything in a recipe that changes the output of a stage, and nothing else."""
    return _READS[stage](recipe, prompts)


def _filter_qa(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    return {
        "weak": model_identity(recipe.models.weak),
        "solve": prompts.solve.version,
        "judge": _judge(recipe, prompts),
    }


def _generate_candidates(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    strong = {spec.name: model_identity(spec) for spec in recipe.models.strong}
    audits = recipe.generate.model_dump(mode="json", exclude={"samples_per_model", "imported"})
    return {"strong": strong, "audits": audits, "generate": prompts.generate.version}


def _score_step_masks(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    settings = recipe.step_mask
    raced = settings.policy is Policy.RACE  # then the weights decide which levels are asked
    return {
        "weak": model_identity(recipe.models.weak),
        "tokenizer": tokenizer_identity(recipe.models.weak),
        "hint": prompts.hint.version,
        "granularity": settings.granularity,
        "race": settings.model_dump(mode="json") if raced else None,
        "judge": _judge(recipe, prompts),
    }


def _select_golden(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    selection = recipe.selection.model_dump(mode="json", include={"by", "seed"})
    return {"step_mask": recipe.step_mask.model_dump(mode="json"), "selection": selection}


def _measure_traces(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    tells = recipe.tells_probabilities
    return {
        "reader": reply_identity(recipe.reader) if tells else None,
        "tokenizer": tokenizer_identity(recipe.models.weak),
        "measured_by": MEASURED_BY,
        "formulas": deciding(recipe.selection),
        "prompt_suffix": recipe.sft.prompt_suffix,
        "solve": prompts.solve.version,
    }


def _truncate_golden(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    asked = recipe.truncation.method is not TruncationMethod.RULE
    return {
        "truncation": recipe.truncation.model_dump(mode="json"),
        "truncator": model_identity(recipe.models.truncator) if asked else None,
        "tokenizer": tokenizer_identity(recipe.models.weak),
        "prompt": _truncation_prompt(recipe, prompts),
    }


def _format_sft(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    return {
        "sft": recipe.sft.model_dump(mode="json"),
        "tokenizer": tokenizer_identity(recipe.models.weak),
    }


def _judge(recipe: Recipe, prompts: PromptSet) -> dict[str, Any]:
    if recipe.judging.method is JudgeMethod.RULE:
        return {"method": recipe.judging.method.value}
    return {
        "judging": recipe.judging.model_dump(mode="json"),
        "model": model_identity(recipe.models.judge),
        "judge": prompts.judge.version,
    }


def _truncation_prompt(recipe: Recipe, prompts: PromptSet) -> str | None:
    return {
        TruncationMethod.ENDPOINT: prompts.truncate_endpoint.version,
        TruncationMethod.REEMIT: prompts.truncate_reemit.version,
        TruncationMethod.RULE: None,
    }[recipe.truncation.method]


_READS: Mapping[str, Callable[[Recipe, PromptSet], dict[str, Any]]] = {
    "filter_qa": _filter_qa,
    "generate_candidates": _generate_candidates,
    "score_step_masks": _score_step_masks,
    "measure_traces": _measure_traces,
    "select_golden": _select_golden,
    "truncate_golden": _truncate_golden,
    "format_sft": _format_sft,
}
