"""Stage 1: which questions the weak model answers wrongly (section 3.2, equation 1)."""

from weak2wise_core.gateway import Asker, ledger
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import (
    Attempt,
    Message,
    Question,
    Rejection,
    RejectionKind,
)
from weak2wise_core.stages.judge import Judge


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
    text = prompts.solve.fill(question=question.question)
    with ledger() as taken:
        reply = await weak.ask([Message(role="user", content=text)], affinity=question.id)
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
    votes = ", ".join(vote.value for vote in attempt.votes) or "none were cast"
    return Rejection(
        question_id=attempt.question_id,
        stage="filter_qa",
        kind=RejectionKind.QUARANTINED,
        reason="unjudged",
        detail=f"no verdict on the unaided attempt (votes: {votes}), which ends with "
        f"{attempt.attempt.strip()[-120:]!r}. Stored votes come again: to have them cast anew, run "
        "weak2wise replies prune --model judge",
        model=attempt.model,
    )
