"""What a model answers to a question that it is asked as it stands (the related methods).

Neither is it told the answer, nor is its reply taken apart: a weaker reasoner that teaches, a weak
model that supervises and a student that is sampled are all asked in this one way.
"""

from weak2wise_core.accounts import ledger
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.gateway import Asker
from weak2wise_core.records import Answer, ChatReply, Message, Question, Spent, Verdict
from weak2wise_core.stages.gathering import gather_all


async def answer_question(
    question: Question, *, model: Asker, draws: range, judge: AnswerChecker | None
) -> list[Answer]:
    """Ask a model, once for each draw.

    Args:
        question: Its text is the whole prompt.
        model: Who is asked.
        draws: Which samples to draw, from 0; each is a call of its own.
        judge: Compares each answer with the ground truth, by rule; nobody does where absent.

    Returns:
        The answers by draw, those of a reply that was cut or filtered among them.

    Raises:
        ModelError: A call gave no usable reply.
    """

    async def one(draw: int) -> Answer:
        with ledger() as taken:
            reply = await model.ask(
                [Message(role="user", content=question.question)],
                draw=draw,
                affinity=question.id,
            )
        verdict = Verdict.UNJUDGED
        if judge is not None:
            verdict = await judge.acheck(question.answer, reply.content)
        return _answer(question, reply, draw=draw, verdict=verdict, spent=taken.spent())

    return await gather_all([one(draw) for draw in draws])


def _answer(
    question: Question,
    reply: ChatReply,
    *,
    draw: int,
    verdict: Verdict,
    spent: tuple[Spent, ...],
) -> Answer:
    return Answer(
        question_id=question.id,
        prompt=question.question,
        draw=draw,
        reasoning=reply.reasoning or "",
        content=reply.content,
        finish_reason=reply.finish_reason,
        verdict=verdict,
        model=reply.model,
        spent=spent,
    )
