"""What a dataset says about itself: counts, drops by reason, settings, models, cost, digests.

Every figure is computed from the tables alone, so that a resumed build and an undisturbed one write
the same manifest. What one run paid is the run's affair, not the dataset's.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from weak2wise_core.accounts import price
from weak2wise_core.audits import counted
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.auditing import audit
from weak2wise_core.dataset.contents import AnyContents
from weak2wise_core.dataset.returned import changed
from weak2wise_core.dataset.tally import Tally
from weak2wise_core.dataset.zero_scores import zero_scores
from weak2wise_core.records import Finding, Rejection, RejectionKind, Usage

FORMAT = "weak2wise.dataset/1"
LATEST = "latest"
MANIFEST = "manifest.json"


def summary(contents: AnyContents, *, found: Sequence[Finding] | None = None) -> dict[str, Any]:
    """The part of a manifest that does not depend on how the tables are written.

    Args:
        contents: What a build found.
        found: What the audits found in it, where they have been made already.
    """
    found = audit(contents) if found is None else found
    recipe, models, tally = contents.recipe, returned_models(contents), contents.tally
    change, zeros = changed(models), zero_scores(contents)
    return {
        "counts": counts(contents),
        "dropped": by_reason(contents.rejections, RejectionKind.DROPPED),
        "quarantined": by_reason(contents.rejections, RejectionKind.QUARANTINED),
        "candidates_refused": _refused(tally),
        "candidates_marked": {
            "answer_leak": tally.count("marked", "answer_leak"),
            "told_answer": tally.count("marked", "told_answer"),
        },
        "audits": counted(found, decontaminated=bool(recipe.decontaminate.against)),
        "golden": _golden(tally),
        **({"zero_score": zeros} if zeros else {}),
        "models": models,
        **({"models_changed": change} if change else {}),
        "prompts": dict(contents.prompts),
        "settings": settings_of(recipe),
        "cost": cost(contents),
    }


def counts(contents: AnyContents) -> dict[str, int]:
    """Rows at every station; rows = train + solved + dropped + quarantined."""
    kinds = Counter(item.kind for item in contents.rejections)
    tally = contents.tally
    refused = sum(n for (_, reason), n in tally.under("refused").items() if reason)
    return {
        "rows": contents.rows,
        "questions": len(contents.questions),
        "solved": tally.count("solved"),
        "candidates": tally.count("rows", "candidates"),
        "candidates_refused": refused,
        "scored": tally.count("rows", "outcomes"),
        "set_aside": tally.count("set_aside"),
        "mask_levels_asked": tally.count("mask_levels_asked"),
        "golden": tally.count("rows", "golden"),
        "train": tally.count("rows", "train"),
        "train_tokens": tally.count("train_tokens"),
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


def cost(contents: AnyContents) -> list[dict[str, Any]]:
    """What the replies behind the tables took, by stage and model, at the recipe's prices.

    A reply counts where it was used, whether this build or an earlier one paid for it.
    """
    totals: dict[tuple[str, str], Counter[str]] = {}
    for (stage, model, _, name), number in contents.tally.under("spent").items():
        totals.setdefault((stage, model), Counter())[name] += number
    return [
        _priced(stage, model, totals[stage, model], contents.recipe)
        for stage, model in sorted(totals, key=lambda one: (_STAGES.index(one[0]), one[1]))
    ]


_STAGES = ("filter_qa", "generate_candidates", "score_step_masks", "truncate_golden")


def _priced(stage: str, model: str, total: Counter[str], recipe: Recipe) -> dict[str, Any]:
    usage = Usage(
        prompt_tokens=total["prompt_tokens"],
        completion_tokens=total["completion_tokens"],
        reasoning_tokens=total["reasoning_tokens"],
        cached_tokens=total["cached_tokens"],
    )
    spec = recipe.models.spec(model)
    return {
        "stage": stage,
        "model": model,
        "calls": total["calls"],
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usd": round(price(usage, spec.usd_per_mtok), 6),
        **_uncounted(usage, total["calls"], priced=spec.has_price),
    }


def _uncounted(usage: Usage, calls: int, *, priced: bool) -> dict[str, int]:
    """How many calls are missing in tokens and money, where their server counted nothing at all.

    Where it counted some of the calls the tables do not tell which: the sums are then too small.
    """
    if usage.counted:
        return {}
    return {"uncounted": calls} | ({"unpriced": calls} if priced else {})


def by_reason(rejections: Iterable[Rejection], kind: RejectionKind) -> dict[str, dict[str, int]]:
    """Rejections of a kind, counted by stage and reason."""
    found: dict[str, Counter[str]] = {}
    for item in rejections:
        if item.kind is kind:
            found.setdefault(item.stage, Counter())[item.reason] += 1
    return {stage: dict(sorted(counter.items())) for stage, counter in sorted(found.items())}


def _refused(tally: Tally) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (model, reason), number in tally.under("refused").items():
        found.setdefault(model, {}).update({reason: number} if reason else {})
    return found


def _golden(tally: Tally) -> dict[str, Any]:
    rows = tally.count("rows", "golden")
    named = ("by_strong_model", "by_source", "by_truncation")
    return {
        **{name: {key: n for (key,), n in tally.under("golden", name).items()} for name in named},
        "mean_score": _mean(tally.score, rows),
        "mean_tokens_before": _mean(tally.count("tokens", "before"), rows),
        "mean_tokens_after": _mean(tally.count("tokens", "after"), rows),
        "truncated": tally.count("truncated"),
    }


def _mean(total: Fraction | int, rows: int) -> float | None:
    return round(float(Fraction(total) / rows), 6) if rows else None


def returned_models(contents: AnyContents) -> dict[str, dict[str, int]]:
    """Calls by the names of the recipe and the model ids that the replies named."""
    found: dict[str, Counter[str]] = {}
    for (_, model, returned, name), number in contents.tally.under("spent").items():
        if name == "calls":
            found.setdefault(model, Counter())[returned] += number
    return {name: dict(sorted(counter.items())) for name, counter in sorted(found.items())}
