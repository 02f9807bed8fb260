"""The training rows of every arm: chosen, truncated and formatted, on the same questions.

All truncated arms are cut by the recipe's own method: where it asks a model, that model is asked
about the chosen traces too, through the reply store and within the budget (the golden ones were
answered when the dataset was built). Were the other arms cut by rule instead, they would differ
from `highest` in two things at once. With `truncation.method: rule` nothing is asked.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from weak2wise_core.ablation.arms import SEEDED, choices, is_truncated
from weak2wise_core.ablation.pools import Pool
from weak2wise_core.config import Recipe
from weak2wise_core.config.ablation import Arm
from weak2wise_core.errors import FatalModelError, ModelError, TraceFormatError
from weak2wise_core.gateway import Asker
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import (
    GoldenReasoning,
    GoldenSource,
    MaskOutcomes,
    Message,
    Question,
    SFTExample,
    Truncation,
)
from weak2wise_core.scoring import exact_bounds
from weak2wise_core.selectors.choosing import TraceKey, key_of
from weak2wise_core.sft import example, fits
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.truncating import truncate_golden


class Training(NamedTuple):
    """One arm as it is trained with one seed."""

    arm: Arm
    seed: int


class _Text(NamedTuple):
    """A trace as it is trained on."""

    trace: TraceKey
    truncated: bool


_Made: TypeAlias = Mapping[_Text, SFTExample | str]
"""A training row, or the reason why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPool:
    """What every arm of one pool trains on."""

    name: str
    questions: tuple[str, ...]
    """Ids, in the order of the question file; the same for every arm."""
    rows: Mapping[Training, tuple[SFTExample, ...]]
    """One row for each of the questions."""
    left_out: Mapping[str, int]
    """Questions that no arm trains on, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What turns a chosen trace into a training row."""

    recipe: Recipe
    tokens: Tokens
    """Of the model that is trained."""
    prompts: PromptSet
    truncator: Asker | None


def trainings(arms: Iterable[Arm], *, seeds: Iterable[int]) -> list[Training]:
    """Every arm with every seed, in a fixed order."""
    numbers = list(seeds)
    return [Training(arm, seed) for arm in arms for seed in numbers]


async def prepare(
    pool: Pool, arms: Sequence[Arm], *, seeds: Sequence[int], workshop: Workshop
) -> PreparedPool:
    """The training rows of every arm and seed.

    Args:
        pool: Where the arms choose.
        arms: Who chooses.
        seeds: Of the trainings; `random` chooses anew for each.
        workshop: Truncation and format, as the recipe says.

    Returns:
        Rows for the questions for which every arm with every seed has a trace that training can
        keep whole. The others are left out of all arms, and counted by reason.

    Raises:
        FatalModelError: The truncating model cannot be asked at all.
        BudgetReachedError: It may not be asked any more.
    """
    wanted = trainings(arms, seeds=seeds)
    chosen = {
        training: choices(pool, training.arm, recipe=workshop.recipe, seed=training.seed)
        for training in _distinct(wanted)
    }
    made = await _make(pool, chosen, workshop)
    left_out = Counter(pool.left_out)
    kept = []
    for question in pool.questions:
        texts = [_text(training, picks[question.id]) for training, picks in chosen.items()]
        if reasons := [made[text] for text in texts if isinstance(made[text], str)]:
            left_out[str(reasons[0])] += 1
        else:
            kept.append(question.id)
    return PreparedPool(
        name=pool.name,
        questions=tuple(kept),
        rows={one: _rows(one, chosen[_chooser(one, wanted)], kept, made) for one in wanted},
        left_out=dict(left_out),
    )


def _distinct(wanted: Sequence[Training]) -> list[Training]:
    """Trainings whose choices can differ: seeds change those of seeded arms only."""
    return list(dict.fromkeys(_chooser(one, wanted) for one in wanted))


def _chooser(training: Training, wanted: Sequence[Training]) -> Training:
    if training.arm in SEEDED:
        return training
    return next(one for one in wanted if one.arm is training.arm)


def _text(training: Training, pick: MaskOutcomes) -> _Text:
    return _Text(key_of(pick), is_truncated(training.arm))


def _rows(
    training: Training, picks: Mapping[str, MaskOutcomes], questions: Sequence[str], made: _Made
) -> tuple[SFTExample, ...]:
    rows = [made[_text(training, picks[question])] for question in questions]
    return tuple(row for row in rows if isinstance(row, SFTExample))


async def _make(
    pool: Pool, chosen: Mapping[Training, Mapping[str, MaskOutcomes]], workshop: Workshop
) -> _Made:
    """Every chosen trace as a training row, each made once however many arms chose it."""
    texts = {
        _text(training, pick): pick for training, picks in chosen.items() for pick in picks.values()
    }
    questions = {question.id: question for question in pool.questions}
    rows = await gather_all(
        [
            _make_one(questions[pick.question_id], pick, pool=pool, text=text, workshop=workshop)
            for text, pick in texts.items()
        ]
    )
    return dict(zip(texts, rows, strict=True))


async def _make_one(
    question: Question, pick: MaskOutcomes, *, pool: Pool, text: _Text, workshop: Workshop
) -> SFTExample | str:
    golden = _whole(pick, pool=pool, workshop=workshop)
    recipe = workshop.recipe
    try:
        if text.truncated:
            golden = await truncate_golden(
                question,
                golden,
                truncator=workshop.truncator,
                count_tokens=workshop.tokens.count,
                settings=recipe.truncation,
                prompts=workshop.prompts,
            )
        row = await asyncio.to_thread(
            example,
            golden,
            question=question,
            settings=recipe.sft,
            count_tokens=_counter(workshop.tokens),
        )
    except FatalModelError:
        raise
    except ModelError:
        return "truncator_failed"
    except TraceFormatError:
        return "bad_trace"
    return row if fits(row, settings=recipe.sft) else "over_length"


def _whole(pick: MaskOutcomes, *, pool: Pool, workshop: Workshop) -> GoldenReasoning:
    """A chosen trace in the form in which the build's later stages take the winner."""
    trace = pool.evidence.traces[key_of(pick)].normal_reasoning
    # Another scorer counted in its own tokens; the limits are those of the trained model.
    length = workshop.tokens.count(trace)
    score, _ = exact_bounds(pick, settings=workshop.recipe.step_mask)
    return GoldenReasoning(
        question_id=pick.question_id,
        strong_model=pick.strong_model,
        draw=pick.draw,
        source=GoldenSource.STEP_MASK,
        score=float(score),
        golden_reasoning=trace,
        truncation=Truncation.NOT_NEEDED,
        normal_tokens=length,
        golden_tokens=length,
        spent=(),
    )


def _counter(tokens: Tokens) -> Callable[[str, str], int]:
    def count(prompt: str, response: str) -> int:
        return tokens.count_example([Message(role="user", content=prompt)], response=response)

    return count
