"""What a build would ask and cost, worked out from its recipe and its questions alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from weak2wise_core.config import (
    Backend,
    JudgeMethod,
    ModelSpec,
    Policy,
    Prices,
    Recipe,
    TruncationMethod,
    ZeroScoreAction,
)
from weak2wise_core.gateway import price
from weak2wise_core.prompts import load_prompts
from weak2wise_core.questions import decontaminate, load_questions
from weak2wise_core.records import CandidateTrace, Question, Usage
from weak2wise_core.stores.parquet import read

CHARS_PER_TOKEN = 3.5
"""For prompts, where no tokenizer is asked."""
TYPICAL_REPLY = {
    "attempt": 700,
    "trace": 6_000,
    "steps": 600,
    "vote": 80,
    "endpoint": 60,
}
"""Assumed tokens of a reply (ours): a weak model's answer, a strong model's thinking and its steps,
a judge's vote, a copied sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCalls:
    """The calls of one stage to one model, as exact bounds."""

    stage: str
    model: str
    least: int
    most: int
    prompt_tokens: int
    """Estimated tokens of one prompt."""
    reply_tokens: int
    """Assumed tokens of one reply, within `max_tokens`."""
    usd_typical: float
    """Money at `most` calls with replies of the assumed length."""
    priced: bool
    """Whether the recipe gives the model a price; without one its money is not known."""
    usd_most: float | None
    """Money at `most` calls with every reply at `max_tokens`; None where there is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a build would ask."""

    dataset: str
    rows: int
    questions: int
    rejected: int
    calls: tuple[PlannedCalls, ...]
    races: bool
    """Whether candidates race, so that fewer step-mask calls are made than at most."""

    @property
    def most(self) -> int:
        """Calls if every question is kept, every trace is usable, and every ballot is contested."""
        return sum(row.most for row in self.calls)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "most": self.most, "usd_typical": self.usd("usd_typical")}

    def usd(self, kind: str) -> float | None:
        """Total money of one kind, or None where a part of it has no bound."""
        parts = [getattr(row, kind) for row in self.calls if row.most]
        return None if None in parts else round(sum(parts), 4)


def plan_of(recipe: Recipe) -> Plan:
    """Count the calls of a recipe; reads the questions, asks nothing.

    Raises:
        InputFileError: The question file cannot be used.
    """
    loaded = load_questions(recipe.questions)
    questions, dropped = decontaminate(loaded.questions, settings=recipe.decontaminate)
    return Plan(
        dataset=recipe.dataset,
        rows=loaded.rows,
        questions=len(questions),
        rejected=len(loaded.rejections) + len(dropped),
        calls=tuple(_calls(recipe, questions)),
        races=recipe.step_mask.policy is Policy.RACE,
    )


def _calls(recipe: Recipe, questions: Sequence[Question]) -> list[PlannedCalls]:
    models, count = recipe.models, len(questions)
    question = _mean_tokens([one.question for one in questions])
    prompts = load_prompts(recipe.prompts)
    head = int(len(prompts.hint.text) / CHARS_PER_TOKEN)
    kept_least = 0 if recipe.filter.enabled else count
    draws = _draws(recipe)
    traces = count * len(models.strong) * draws + _imported(recipe, questions)
    cells = traces * recipe.step_mask.granularity
    rows: list[PlannedCalls] = []
    if recipe.filter.enabled:
        rows.append(
            _planned("filter_qa", "weak", models.weak, count, count, question + head, "attempt")
        )
        rows += _votes("filter_qa", recipe, count, count, question)
    rows += [
        _planned(
            "generate_candidates",
            spec.name,
            spec,
            kept_least * recipe.generate.samples_per_model,
            count * draws,
            question + int(len(prompts.generate.text) / CHARS_PER_TOKEN),
            "trace",
        )
        for spec in models.strong
    ]
    hint = question + head + TYPICAL_REPLY["steps"] // 2
    rows.append(_planned("score_step_masks", "weak", models.weak, 0, cells, hint, "attempt"))
    rows += _votes("score_step_masks", recipe, 0, cells, question)
    if models.truncator and recipe.truncation.method is not TruncationMethod.RULE:
        typical = "endpoint" if recipe.truncation.method is TruncationMethod.ENDPOINT else "trace"
        trace = TYPICAL_REPLY["trace"] + question
        rows.append(
            _planned("truncate_golden", "truncator", models.truncator, 0, count, trace, typical)
        )
    return rows


def _draws(recipe: Recipe) -> int:
    """Most draws of one strong model for one question."""
    again = recipe.zero_score.action is ZeroScoreAction.RESAMPLE
    return recipe.zero_score.max_draws if again else recipe.generate.samples_per_model


def _imported(recipe: Recipe, questions: Sequence[Question]) -> int:
    """Imported candidates for questions of this build."""
    ids = {question.id for question in questions}
    rows = (row for path in recipe.generate.imported for row in read(path, CandidateTrace))
    return sum(row.question_id in ids and row.refusal is None for row in rows)


def _votes(stage: str, recipe: Recipe, least: int, most: int, question: int) -> list[PlannedCalls]:
    """Votes on `least` to `most` attempts: two settle a ballot of three, if they agree."""
    judge, votes = recipe.models.judge, recipe.judging.votes
    if judge is None or recipe.judging.method is JudgeMethod.RULE:
        return []
    always = recipe.judging.method is JudgeMethod.LLM
    fewest = least * (votes // 2 + 1) if always else 0
    prompt = question + TYPICAL_REPLY["attempt"]
    return [_planned(stage, "judge", judge, fewest, most * votes, prompt, "vote")]


def _planned(
    stage: str, name: str, spec: ModelSpec, least: int, most: int, prompt: int, reply: str
) -> PlannedCalls:
    typical = min(TYPICAL_REPLY[reply], spec.max_tokens or TYPICAL_REPLY[reply])

    def usd(reply_tokens: int) -> float:
        usage = Usage(prompt_tokens=prompt * most, completion_tokens=reply_tokens * most)
        return round(price(usage, spec.usd_per_mtok), 4)

    free = usd(1_000_000) == 0
    return PlannedCalls(
        stage=stage,
        model=name,
        least=least,
        most=most,
        prompt_tokens=prompt,
        reply_tokens=typical,
        usd_typical=usd(typical),
        priced=spec.backend is not Backend.OPENAI or spec.usd_per_mtok != Prices(),
        usd_most=0.0 if free else usd(spec.max_tokens) if spec.max_tokens else None,
    )


def _mean_tokens(texts: Sequence[str]) -> int:
    return round(sum(len(text) for text in texts) / len(texts) / CHARS_PER_TOKEN) if texts else 0


def show_plan(plan: Plan, console: Console) -> None:
    """A table for people."""
    from flows.commands.display import TITLES

    console.print(
        f"{plan.dataset}: {plan.rows} rows, {plan.questions} questions, {plan.rejected} rejected"
    )
    table = Table("stage", "model", "calls", "USD, typical", "USD, longest replies")
    for row in plan.calls:
        calls = f"{row.most:,}" if row.least == row.most else f"{row.least:,} to {row.most:,}"
        limit = "no limit" if row.usd_most is None else f"{row.usd_most:,.2f}"
        money = (f"{row.usd_typical:,.2f}", limit) if row.priced else ("no price", "no price")
        table.add_row(TITLES[row.stage], row.model, calls, *money)
    console.print(table)
    typical, most = plan.usd("usd_typical"), plan.usd("usd_most")
    console.print(
        f"At most {plan.most:,} calls, if the weak model solves no question alone and every trace "
        f"is usable. Typical money for that: {typical:,.2f} USD; with every reply at its limit: "
        f"{'no limit is set' if most is None else f'{most:,.2f} USD'}.",
        soft_wrap=True,
    )
    if unpriced := sorted({row.model for row in plan.calls if not row.priced}):
        console.print(
            f"Not in the money, for want of usd_per_mtok in the recipe: {', '.join(unpriced)}."
        )
    if plan.races:
        console.print("Candidates race: fewer step-mask calls will do, how many depends on them.")
    console.print(
        "Typical replies are assumed, not measured: "
        + ", ".join(f"{name} {tokens}" for name, tokens in TYPICAL_REPLY.items())
        + f" tokens; prompts are counted at {CHARS_PER_TOKEN} characters a token. A vote that is "
        "neither yes nor no is asked once more, which is not counted.",
        soft_wrap=True,
    )
