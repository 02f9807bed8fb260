"""What a dataset says about itself: counts, drops by reason, settings, models, cost, digests.

Every figure is computed from the tables alone, so that a resumed build and an undisturbed one write
the same manifest. What one run paid is the run's affair, not the dataset's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from weak2wise_core.config import Recipe
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.returned import changed
from weak2wise_core.dataset.zero_scores import zero_scores
from weak2wise_core.gateway import price
from weak2wise_core.records import (
    Rejection,
    RejectionKind,
    Spent,
    Truncation,
    Usage,
)
from weak2wise_core.scoring import has_unjudged

FORMAT = "weak2wise.dataset/1"


def summary(contents: Contents) -> dict[str, Any]:
    """The part of a manifest that does not depend on how the tables are written."""
    recipe, models = contents.recipe, returned_models(contents)
    change, zeros = changed(models), zero_scores(contents)
    return {
        "counts": counts(contents),
        "dropped": by_reason(contents.rejections, RejectionKind.DROPPED),
        "quarantined": by_reason(contents.rejections, RejectionKind.QUARANTINED),
        "candidates_refused": _refused(contents),
        "candidates_marked": {
            "answer_leak": sum(one.answer_leak for one in contents.candidates),
            "told_answer": sum(one.told_answer for one in contents.candidates),
        },
        "golden": _golden(contents),
        **({"zero_score": zeros} if zeros else {}),
        "models": models,
        **({"models_changed": change} if change else {}),
        "prompts": dict(contents.prompts),
        "settings": settings_of(recipe),
        "cost": cost(contents),
    }


def counts(contents: Contents) -> dict[str, int]:
    """Rows at every station; rows = train + solved + dropped + quarantined."""
    kinds = Counter(item.kind for item in contents.rejections)
    return {
        "rows": contents.rows,
        "questions": len(contents.questions),
        "solved": contents.solved,
        "candidates": len(contents.candidates),
        "candidates_refused": sum(one.refusal is not None for one in contents.candidates),
        "scored": len(contents.outcomes),
        "set_aside": sum(has_unjudged(one) for one in contents.outcomes),
        "mask_levels_asked": sum(sum(one.asked) for one in contents.outcomes),
        "golden": len(contents.golden),
        "train": len(contents.train),
        "train_tokens": sum(row.tokens for row in contents.train),
        "dropped": kinds[RejectionKind.DROPPED],
        "quarantined": kinds[RejectionKind.QUARANTINED],
    }


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The settings that decide what a dataset holds; no path, address, key, limit or budget."""
    left_out: Any = {
        "models": True,
        "questions": True,
        "prompts": True,
        "budget": True,
        "execution": True,
        "training": True,
        "evaluation": True,
        "ablation": True,
        "decontaminate": {"against"},
        "generate": {"imported"},
        "zero_score": {"annotations"},
        "selection": {"model"},
    }
    plain = recipe.model_dump(mode="json", exclude=left_out)
    plain["models"] = {
        "weak": recipe.models.weak.identity(),
        "strong": {spec.name: spec.identity() for spec in recipe.models.strong},
        "judge": recipe.models.judge.identity() if recipe.models.judge else None,
        "truncator": recipe.models.truncator.identity() if recipe.models.truncator else None,
    }
    if recipe.selection.by.reads_model:
        plain["models"]["reader"] = recipe.reader.identity()
    return plain


def cost(contents: Contents) -> list[dict[str, Any]]:
    """What the replies behind the tables took, by stage and model, at the recipe's prices.

    A reply counts where it was used, whether this build or an earlier one paid for it.
    """
    return [
        _priced(stage, model, [item for item in items if item.model == model], contents.recipe)
        for stage, rows in _spent(contents).items()
        for items in [[item for spent in rows for item in spent]]
        for model in sorted({item.model for item in items})
    ]


def _priced(stage: str, model: str, items: Sequence[Spent], recipe: Recipe) -> dict[str, Any]:
    usage = Usage(
        prompt_tokens=sum(item.prompt_tokens for item in items),
        completion_tokens=sum(item.completion_tokens for item in items),
        reasoning_tokens=sum(item.reasoning_tokens for item in items),
        cached_tokens=sum(item.cached_tokens for item in items),
    )
    return {
        "stage": stage,
        "model": model,
        "calls": sum(item.calls for item in items),
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usd": round(price(usage, recipe.models.spec(model).usd_per_mtok), 6),
    }


def by_reason(rejections: Iterable[Rejection], kind: RejectionKind) -> dict[str, dict[str, int]]:
    """Rejections of a kind, counted by stage and reason."""
    found: dict[str, Counter[str]] = {}
    for item in rejections:
        if item.kind is kind:
            found.setdefault(item.stage, Counter())[item.reason] += 1
    return {stage: dict(sorted(counter.items())) for stage, counter in sorted(found.items())}


def _refused(contents: Contents) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for one in contents.candidates:
        counter = found.setdefault(one.strong_model, Counter())
        if one.refusal is not None:
            counter[one.refusal.value] += 1
    return {model: dict(sorted(counter.items())) for model, counter in sorted(found.items())}


def _golden(contents: Contents) -> dict[str, Any]:
    golden = contents.golden
    cut = [
        one
        for one in golden
        if one.truncation not in (Truncation.NOT_NEEDED, Truncation.NONE_COULD)
    ]
    return {
        "by_strong_model": dict(sorted(Counter(one.strong_model for one in golden).items())),
        "by_source": dict(sorted(Counter(one.source.value for one in golden).items())),
        "by_truncation": dict(sorted(Counter(one.truncation.value for one in golden).items())),
        "mean_score": _mean([one.score for one in golden]),
        "mean_tokens_before": _mean([one.normal_tokens for one in golden]),
        "mean_tokens_after": _mean([one.golden_tokens for one in golden]),
        "truncated": len(cut),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None


def returned_models(contents: Contents) -> dict[str, dict[str, int]]:
    """Calls by the names of the recipe and the model ids that the replies named."""
    found: dict[str, Counter[str]] = {}
    for spent in (item for rows in _spent(contents).values() for row in rows for item in row):
        found.setdefault(spent.model, Counter())[spent.returned] += spent.calls
    return {name: dict(sorted(counter.items())) for name, counter in sorted(found.items())}


def _spent(contents: Contents) -> Mapping[str, list[Sequence[Spent]]]:
    """What the rows of every stage took."""
    return {
        "filter_qa": [row.spent for row in contents.attempts],
        "generate_candidates": [row.spent for row in contents.candidates],
        "score_step_masks": [row.spent for row in contents.outcomes],
        "truncate_golden": [row.spent for row in contents.golden],
    }
