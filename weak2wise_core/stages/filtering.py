"""Stage 1: which questions the weak model answers wrongly (section 3.2, equation 1)."""

from weak2wise_core.accounts import ledger
from weak2wise_core.gateway import Asker
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import (
    Attempt,
    FinishReason,
    Question,
    Rejection,
    RejectionKind,
)
from weak2wise_core.stages.judge import Judge
from weak2wise_core.stages.wording import attempt_request


async def attempt_question(
    question: Question, *, weak: Asker, judge: Judge, prompts: PromptSet
) -> Attempt:
    """Let the weak model answer unaided and judge its answer.

    Returns:
        The attempt with its verdict. The question is kept where it is INCORRECT; UNJUDGED is
        neither kept nor solved.

    Raises:
        ModelError: The weak model or the judge gave no usable reply.

    Source: section 3.2, equation 1. Departure: the question stands under the same heading and with
    the same instruction as in the Step-Mask prompt, so that filter and score measure the same
    model; the reference code uses two templates.
    """
    request = attempt_request(question, prompts=prompts)
    with ledger() as taken:
        reply = await weak.ask(request, affinity=question.id)
        judgement = await judge.judge(question, reply)
    return Attempt(
        question_id=question.id,
        attempt=reply.content,
        finish_reason=reply.finish_reason,
        verdict=judgement.verdict,
        judged_by=judgement.judged_by,
        votes=judgement.votes,
        model=reply.model,
        spent=taken.spent(),
    )


def unjudged(attempt: Attempt) -> Rejection:
    """A question that is neither kept nor solved, because nobody could judge its attempt."""
    return Rejection(
        question_id=attempt.question_id,
        stage="filter_qa",
        kind=RejectionKind.QUARANTINED,
        reason="unjudged",
        detail=f"no verdict on the unaided attempt: {_why(attempt)}",
        model="weak",
        draw=0,
    )


def _why(attempt: Attempt) -> str:
    if attempt.finish_reason is FinishReason.CONTENT_FILTER:
        return (
            "the server's content filter withheld it. The stored reply comes again: ask another "
            "weak model, leave the question out, or run weak2wise replies prune --model weak "
            "--stage filter_qa to have every attempt made anew"
        )
    end = f"it ends with {attempt.attempt.strip()[-120:]!r}"
    if not attempt.votes:
        return f"no rule is certain of it; {end}. judging.method rule_then_llm asks a judge then"
    votes = ", ".join(vote.value for vote in attempt.votes)
    return (
        f"the judge's votes have no majority ({votes}); {end}. Stored votes come again: to have "
        "them cast anew, run weak2wise replies prune --model judge"
    )
