"""The two stages of weak-to-strong reasoning, from answers to what is trained on.

Source: arXiv 2407.13647, sections 3.1 and 3.2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weak2wise_core.config import StageOneSet, WeakToStrongRecipe
from weak2wise_core.dataset.lessons import Lessons
from weak2wise_core.prompts import BOXED
from weak2wise_core.questions import QuestionSet
from weak2wise_core.records import Answer, Rejection, Verdict
from weak2wise_core.related.agreement import agree, examples
from weak2wise_core.related.contrast import contrast
from weak2wise_core.related.final_answers import answer_rule
from weak2wise_core.related.records import Agreements, PlainExample, Response
from weak2wise_core.teaching.rows import CountTokens, fitting_pairs, plain_examples, responses

METHOD = "weak-to-strong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """What every training of a run starts from."""

    recipe: WeakToStrongRecipe
    loaded: QuestionSet
    weak: tuple[Answer, ...]
    """The weak model's answers, one a question."""
    rejections: tuple[Rejection, ...]
    """What left before any comparison."""
    prompts: Mapping[str, str]
    """Versions of the templates."""
    count_tokens: CountTokens
    """In the tokens and the template of the strong model."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decide what is trained on."""
        recipe = self.recipe
        sections = ("answers", "demonstrations", "agreement", "contrast")
        plain = recipe.model_dump(mode="json", include=set(sections))
        return plain | {
            "models": {name: spec.identity() for name, spec in recipe.models.specs().items()},
            "trained": recipe.trained,
            "sft": {
                "prompt_suffix": suffix_of(recipe),
                "max_tokens": recipe.training.max_length,
            },
        }

    def responses(self, answers: Iterable[Answer]) -> list[Response]:
        """Answers of a model, under the prompt of the model that is trained."""
        questions = {one.id: one for one in self.loaded.questions}
        return responses(answers, questions=questions, suffix=suffix_of(self.recipe))


def suffix_of(recipe: WeakToStrongRecipe) -> str:
    """What follows a question in training and in evaluation."""
    given = recipe.evaluation.prompt_suffix
    return BOXED if given is None else given


def stage_one(
    supervision: Supervision, other: Sequence[Answer], *, number: int, seed: int
) -> Lessons:
    """What M_plus is trained on in one round.

    Args:
        supervision: The weak model's answers and the settings.
        other: The strong model's answers in context; from the second round on those of M_plus.
        number: The round, from 1.
        seed: Of the training; from the second round on it decides the answers too.
    """
    recipe = supervision.recipe
    rule = answer_rule(recipe.answers)
    found = agree(
        supervision.responses(supervision.weak),
        supervision.responses(other),
        rule=rule,
        settings=recipe.agreement,
    )
    rows = examples(found.agreed, train_on=recipe.agreement.train_on)
    made = plain_examples(
        zip(rows, _writers(rows, recipe.agreement.train_on), strict=True),
        answers={one.weak.id: one.answer for one in found.agreed},
        longest=recipe.training.max_length,
        count_tokens=supervision.count_tokens,
    )
    label = "" if number == 1 else f"-round{number}-seed{seed}"
    return Lessons(
        name=f"{recipe.dataset}-agreed{label}",
        method=METHOD,
        step=f"stage I, round {number}, {recipe.agreement.train_on.value}",
        questions=supervision.loaded.questions,
        answers={"weak": supervision.weak, "strong" if number == 1 else "m-plus": other},
        train=made.rows,
        rejections=(*supervision.rejections, *found.rejections, *made.rejections),
        counts={"rows": supervision.loaded.rows, **_counts(supervision, found, other)},
        settings=supervision.settings,
        prompts=supervision.prompts,
    )


def _writers(rows: Sequence[PlainExample], train_on: StageOneSet) -> list[str]:
    """Who wrote each row; of two rows for a question the first is the weak model's."""
    if train_on is not StageOneSet.HYBRID:
        return [train_on.value] * len(rows)
    return [("weak", "icl")[place % 2] for place in range(len(rows))]


def _counts(supervision: Supervision, found: Agreements, other: Sequence[Answer]) -> dict[str, int]:
    """Agreement, and beside it what the ground truth says, which selects nothing."""
    right = {one.question_id for one in supervision.weak if one.verdict is Verdict.CORRECT}
    return {
        "agreed": len(found.agreed),
        "agreed_by_number": found.same_number,
        "weak_right": len(right),
        "strong_right": sum(one.verdict is Verdict.CORRECT for one in other),
        "agreed_right": sum(one.weak.id in right for one in found.agreed),
    }


def stage_two(
    supervision: Supervision,
    samples: Sequence[Answer],
    lost: Sequence[Rejection],
    *,
    seed: int,
) -> Lessons:
    """What M_pro is trained on.

    Args:
        supervision: The weak model's answers and the settings.
        samples: Answers of M_plus, several a question.
        lost: Questions for which it could not be asked.
        seed: Of the training that made M_plus.
    """
    recipe = supervision.recipe
    found = contrast(
        supervision.responses(supervision.weak),
        supervision.responses(samples),
        rule=answer_rule(recipe.answers),
        settings=recipe.contrast,
    )
    made = fitting_pairs(
        found.pairs, longest=recipe.preference.max_length, count_tokens=supervision.count_tokens
    )
    return Lessons(
        name=f"{recipe.dataset}-pairs-seed{seed}",
        method=METHOD,
        step="stage II",
        questions=supervision.loaded.questions,
        answers={"weak": supervision.weak, "m-plus": samples},
        pairs=made.rows,
        rejections=(*supervision.rejections, *lost, *found.rejections, *made.rejections),
        counts={
            "rows": supervision.loaded.rows,
            "samples_right": sum(one.verdict is Verdict.CORRECT for one in samples),
            **{kind: sum(one.kind == kind for one in made.rows) for kind in _KINDS},
        },
        settings=supervision.settings,
        prompts=supervision.prompts,
    )


_KINDS = ("weak_chosen", "weak_rejected")
