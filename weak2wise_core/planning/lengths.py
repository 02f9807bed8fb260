"""How long a call is: measured on stored replies, else assumed, and at the very most."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from weak2wise_core.config import JudgeMethod, ModelSpec, Recipe, TruncationMethod
from weak2wise_core.planning.meter import Row, Taken
from weak2wise_core.planning.scene import FILTER, GENERATE, JUDGE, SCORE, TRUNCATE, TRUNCATOR, WEAK
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import CandidateTrace, Question, Usage

CAUTIOUS_CHARS_PER_TOKEN = 2
"""For the most that a plan expects: real prompts have three to four characters a token."""
CHARS_PER_TOKEN = 3.5
"""For prompts that were never sent, where no tokenizer is asked (ours)."""
TYPICAL_REPLY: Mapping[str, int] = {
    "attempt": 700,
    "trace": 6_000,
    "steps": 600,
    "vote": 80,
    "endpoint": 60,
}
"""Assumed tokens of a reply (ours): a weak model's answer, a strong model's thinking and its steps,
a judge's vote, a copied sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Tokens of one call."""

    typical: Usage
    measured_on: int
    """Stored replies that `typical` is the mean of; 0 where it is assumed, as it is where a server
    counts no tokens."""
    longest: Usage | None
    """With every reply at its limit, those that the prompt repeats included; None where one has no
    limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One line of a plan: who is asked, and what the request is made of."""

    row: Row
    spec: ModelSpec
    chars: int
    """Characters of the question and of the words around it."""
    reply: str
    """What kind of reply it is; see TYPICAL_REPLY."""
    repeats: int = 0
    """Tokens of an earlier reply that the request repeats, as a rule."""
    repeats_most: int | None = 0
    """The same at most; None where that reply has no limit."""


def lengths_of(
    recipe: Recipe,
    questions: Sequence[Question],
    *,
    prompts: PromptSet,
    imported: Sequence[CandidateTrace],
    stored: Mapping[Row, Taken],
) -> dict[Row, Length]:
    """The length of a call in every line of a plan, in the order of the stages.

    Args:
        recipe: Models, limits and methods.
        questions: The questions of the build.
        prompts: The wording of its requests.
        imported: Candidates that exist already.
        stored: What the store's replies took, by line.
    """
    texts = [len(one.question) for one in questions] or [0]
    question = round(sum(texts) / len(texts))
    return {
        call.row: _length(call, stored=stored.get(call.row, Taken()))
        for call in _calls(recipe, question, prompts=prompts, imported=imported)
    }


def _calls(
    recipe: Recipe, question: int, *, prompts: PromptSet, imported: Sequence[CandidateTrace]
) -> Iterator[_Call]:
    weak = recipe.models.weak
    if recipe.filter.enabled:
        chars = question + len(prompts.solve.text)
        yield _Call(row=Row(FILTER, WEAK), spec=weak, chars=chars, reply="attempt")
        yield from _votes(recipe, FILTER, question, prompts=prompts)
    for spec in recipe.models.strong:
        chars = question + len(prompts.generate.text)
        yield _Call(row=Row(GENERATE, spec.name), spec=spec, chars=chars, reply="trace")
    yield _Call(
        row=Row(SCORE, WEAK),
        spec=weak,
        chars=question + len(prompts.hint.text),
        reply="attempt",
        repeats=TYPICAL_REPLY["steps"] // 2,
        repeats_most=_longest(recipe, [one.step_reasoning for one in imported]),
    )
    yield from _votes(recipe, SCORE, question, prompts=prompts)
    method, truncator = recipe.truncation.method, recipe.models.truncator
    if truncator is not None and method is not TruncationMethod.RULE:
        yield _Call(
            row=Row(TRUNCATE, TRUNCATOR),
            spec=truncator,
            chars=question + len(prompts.truncate_endpoint.text),
            reply="endpoint" if method is TruncationMethod.ENDPOINT else "trace",
            repeats=TYPICAL_REPLY["trace"],
            repeats_most=_longest(recipe, [one.normal_reasoning for one in imported]),
        )


def _votes(recipe: Recipe, stage: str, question: int, *, prompts: PromptSet) -> Iterator[_Call]:
    if recipe.models.judge is not None and recipe.judging.method is not JudgeMethod.RULE:
        yield _Call(
            row=Row(stage, JUDGE),
            spec=recipe.models.judge,
            chars=question + len(prompts.judge.text),
            reply="vote",
            repeats=TYPICAL_REPLY["attempt"],
            repeats_most=recipe.models.weak.max_tokens,
        )


def _longest(recipe: Recipe, imported: Sequence[str]) -> int | None:
    """Tokens of the longest text of a trace that any candidate can have; None without a limit."""
    limits = [spec.max_tokens for spec in recipe.models.strong]
    found = [limit for limit in limits if limit is not None]
    longest = max((len(text) for text in imported), default=0) // CAUTIOUS_CHARS_PER_TOKEN
    return None if len(found) < len(limits) else max([longest, *found])


def _length(call: _Call, *, stored: Taken) -> Length:
    limit = call.spec.max_tokens
    assumed = Usage(
        prompt_tokens=round(call.chars / CHARS_PER_TOKEN) + call.repeats,
        completion_tokens=min(TYPICAL_REPLY[call.reply], limit or TYPICAL_REPLY[call.reply]),
    )
    longest = None
    if limit is not None and call.repeats_most is not None:
        prompt = call.chars // CAUTIOUS_CHARS_PER_TOKEN + call.repeats_most
        longest = Usage(prompt_tokens=prompt, completion_tokens=limit)
    return Length(
        typical=_mean(stored) if stored.counted else assumed,
        measured_on=stored.counted,
        longest=longest,
    )


def _mean(taken: Taken) -> Usage:
    return Usage(
        prompt_tokens=round(taken.prompt_tokens / taken.counted),
        completion_tokens=round(taken.completion_tokens / taken.counted),
        reasoning_tokens=round(taken.reasoning_tokens / taken.counted),
        cached_tokens=round(taken.cached_tokens / taken.counted),
    )
