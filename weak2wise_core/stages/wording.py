"""The requests of the method as messages: what is asked, in one place for whoever asks it.

A plan looks a request up in the reply store by the very words in which a build would send it.
"""

from collections.abc import Sequence

from weak2wise_core.masking import mask_trace
from weak2wise_core.prompts import PromptSet, quoted
from weak2wise_core.records import Message, Question
from weak2wise_core.steps import Step


def attempt_request(question: Question, *, prompts: PromptSet) -> list[Message]:
    """The weak model is asked unaided (section 3.2)."""
    return [Message(role="user", content=prompts.solve.fill(question=question.question))]


def vote_request(question: Question, attempt: str, *, prompts: PromptSet) -> list[Message]:
    """The judge is asked for a vote on one attempt (appendix A)."""
    text = prompts.judge.fill(
        question=question.question, attempt=quoted(attempt), answer=question.answer
    )
    return [Message(role="user", content=text)]


def trace_request(question: Question, *, prompts: PromptSet) -> list[Message]:
    """A strong model is asked for a trace that leads to the known answer (equation 2)."""
    return [
        Message(role="user", content=question.question),
        Message(role="assistant", content=question.answer),
        Message(role="user", content=prompts.generate.fill()),
    ]


def hint_request(
    question: Question,
    steps: Sequence[Step],
    *,
    level: int,
    granularity: int,
    prompts: PromptSet,
) -> list[Message]:
    """The weak model is asked with what a mask level leaves of a trace (equation 3)."""
    hint = mask_trace(steps, level=level, granularity=granularity)
    text = prompts.hint.fill(question=question.question, step_reasoning=hint)
    return [Message(role="user", content=text)]
