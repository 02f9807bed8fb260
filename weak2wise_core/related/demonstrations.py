"""What the strong model is shown in stage I: a few questions with the weak model's answers.

The answers may be wrong; they show the task and its form. One choice serves all questions, so that
a server's prefix cache serves all prompts; a question that is itself among the chosen is shown the
next one in its place.

Source: arXiv 2407.13647, section 3.1.
Departure: the wording around the demonstrations is ours, and so is their choice, a random one of
questions that the weak model states an answer to; the authors picked theirs by hand or at random.
"""

from collections.abc import Sequence

from weak2wise_core.config import DemonstrationSettings
from weak2wise_core.errors import UsageError
from weak2wise_core.hashing import content_hash
from weak2wise_core.prompts import RelatedPromptSet
from weak2wise_core.related.final_answers import AnswerRule
from weak2wise_core.related.records import Response


def choose_demonstrations(
    weak: Sequence[Response], *, rule: AnswerRule, settings: DemonstrationSettings
) -> tuple[Response, ...]:
    """Choose what is shown: one more than is needed, for the question that is among them.

    Args:
        weak: Responses of the weak model; their order does not matter.
        rule: Tells which of them state an answer.
        settings: How many are shown, and the seed.

    Raises:
        UsageError: Too few responses state an answer.
    """
    stating = [one for one in weak if rule.read(one.response)]
    if len(stating) <= settings.count:
        raise UsageError(
            f"{len(stating)} of {len(weak)} responses of the weak model state an answer; "
            f"{settings.count} demonstrations need {settings.count + 1}. Look at answers.style, "
            "ask more questions, or set demonstrations.count"
        )
    ranked = sorted(stating, key=lambda one: content_hash("show", settings.seed, one.id))
    return tuple(ranked[: settings.count + 1])


def demonstrated_prompt(
    question_id: str,
    question: str,
    *,
    shown: Sequence[Response],
    questions: dict[str, str],
    prompts: RelatedPromptSet,
) -> str:
    """The prompt of one question, after the demonstrations.

    Args:
        question_id: Its id; it is not shown to itself.
        question: Its text.
        shown: What `choose_demonstrations` returned.
        questions: The texts of the shown questions by id.
        prompts: The templates.
    """
    others = [one for one in shown if one.id != question_id][: len(shown) - 1]
    demonstrations = "\n\n".join(
        prompts.demonstration.fill(question=questions[one.id], response=one.response.strip())
        for one in others
    )
    return prompts.demonstrate.fill(demonstrations=demonstrations, question=question)
